"""What `doctor` found, as a table and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

from raystead.base.text import plural
from raystead.doctor.model import Check
from raystead.ops.doctor import Examined

__all__ = ["check_rows", "examined_json", "examined_text", "summary"]

_MARKS = {"ok": "✓", "fail": "✗", "warn": "!", "unknown": "?"}
_COLOURS = {"ok": "32", "fail": "31", "warn": "33", "unknown": "36"}
_WORDS = {"ok": "", "fail": "problem: ", "warn": "note: ", "unknown": "unknown: "}


def examined_text(examined: Examined, *, colour: bool = False, width: int | None = None) -> str:
    """A heading, one row per check with its remedy below, a line that counts them."""
    parts = [f"context {examined.context}", f"namespace {examined.namespace}"]
    parts += [f"server {examined.server}"] if examined.server else []
    parts += [f"you: {examined.user}"] if examined.user else []
    return "\n".join(
        ["   ".join(parts), *check_rows(examined.checks, colour=colour, width=width), summary(examined)]
    )


def check_rows(checks: Sequence[Check], *, colour: bool = False, width: int | None = None) -> list[str]:
    """The lines of each check, its remedy below."""
    column = max((len(check.name) for check in checks), default=0) + 6
    lines: list[str] = []
    for check, after in pairwise((*checks, None)):
        if check and after and (check.name, check.remedy) == (after.name, after.remedy):
            check = replace(check, evidence="", remedy="")  # once, below the last of them
        if check:
            lines += _rows(check, column, colour, width)
    return lines


def summary(examined: Examined) -> str:
    """`1 problem, 2 notes`."""
    counts = [(examined.count("fail"), "problem"), (examined.count("warn"), "note")]
    parts = [plural(count, word) for count, word in counts if count]
    if unknown := examined.count("unknown"):
        parts.append(f"{unknown} unknown")
    return ", ".join(parts) or f'nothing stands in the way of "{examined.cluster}"'


def examined_json(examined: Examined) -> dict[str, Any]:
    """Stable: what `-o json` prints."""
    return {
        "context": examined.context,
        "namespace": examined.namespace,
        "server": examined.server,
        "user": examined.user,
        "cluster": examined.cluster,
        "checks": [asdict(check) for check in examined.checks],
        "problems": examined.count("fail"),
        "notes": examined.count("warn"),
        "unknown": examined.count("unknown"),
        "requests": examined.requests,
    }


def _rows(check: Check, column: int, colour: bool, width: int | None) -> Iterator[str]:
    mark = _MARKS[check.verdict]
    if colour:
        mark = f"\033[{_COLOURS[check.verdict]}m{mark}\033[0m"
    pad = " " * column
    first, *rest = _wrapped(_WORDS[check.verdict] + check.what, column, width)
    yield f"  {mark} {check.name.ljust(column - 4)}{first}"
    yield from (pad + line for line in rest)
    if check.verdict == "ok":
        return
    if check.evidence:
        yield from (pad + line for line in _wrapped(f"seen: {check.evidence}", column, width))
    for number, line in enumerate(check.remedy.split("\n") if check.remedy else ()):
        text = line if number else f"do: {line}"
        yield from (pad + part for part in _wrapped(text, column, width))


def _wrapped(text: str, column: int, width: int | None) -> list[str]:
    if width is None:
        return [text]
    room = max(width - column, 24)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
