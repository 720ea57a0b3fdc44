"""A problem of a spec: where, what is wrong, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from raystead.base.text import neutral
from raystead.errors import SpecError

NEAR = (
    0.75  # how alike two names are of which one was meant: `limit` and `limits` 0.91, `envs` and `env` 0.86
)


class Problem(Struct, frozen=True, order=True):
    """`line` and `column` count from 1; 0 where there is no file (flags)."""

    file: str
    line: int
    column: int
    path: str
    what: str
    instead: str = ""

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}:{self.column}: "
            if self.line
            else (f"{self.file}: " if self.file else "")
        )
        path = f"{self.path}: " if self.path else ""
        text = f"{place}{path}{self.what}" + (f"; {self.instead}" if self.instead else "")
        return neutral(text)  # it quotes what stands in somebody's file


class SpecNote(Problem, frozen=True):
    """Something the user should know; nothing is refused."""


def problems_error(problems: Iterable[Problem]) -> SpecError:
    """One error that lists them all, each once, in the order of the file."""
    listed = sorted(set(problems))
    count = "a problem" if len(listed) == 1 else f"{len(listed)} problems"
    text = "\n".join([f"the spec has {count}:", *(f"  {p}" for p in listed)])
    return SpecError(text, problems=tuple(listed))


def odd_letter(name: str) -> str:
    """ ": it has U+0435" of a name that only looks like one of ASCII letters; "" for all others."""
    letter = next((one for one in name if not one.isascii()), "")
    return letter and f": it has U+{ord(letter):04X}"


def given(value: Any) -> str:
    """A value in the words of a message: "the number 2.6", "a list"."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return {"dict": "a mapping", "list": "a list", "str": "a string"}.get(
        type(value).__name__, type(value).__name__
    )
