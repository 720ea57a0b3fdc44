"""Text for people: tables, steps and sizes; plain, with a little colour on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from raystead.base.times import rounded
from raystead.ui.terminal import Gate, raw


class Reporter:
    """Progress on stderr, results on stdout; `quiet` keeps results only.

    `meant` completes the commands in a sentence, so that they work as printed.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        err: TextIO | None = None,
        out: TextIO | None = None,
        meant: Callable[[str], str] = str,
    ) -> None:
        self.err: TextIO | Gate = err or sys.stderr
        self.out: TextIO | Gate = out or sys.stdout
        self.quiet, self._meant = quiet, meant
        self.tty = self.err.isatty()
        self.colour = self.tty and not os.environ.get("NO_COLOR")

    def step(self, text: str, seconds: float | None = None) -> None:
        """One finished step, with how long it took."""
        if not self.quiet:
            tail = f"   {rounded(seconds)}" if seconds is not None else ""
            self.line(f"{self._paint('▸', '36')} {text}{tail}")

    def warn(self, text: str) -> None:
        self.line(f"{self._paint('!', '33')} {text}")

    def hint(self, text: str) -> None:
        """The next useful command; left out where nobody reads it."""
        if not self.quiet and self.tty:
            self.line(f"next: {text}")

    @contextmanager
    def passing(self, text: str) -> Iterator[None]:
        """A line that is true for a moment: on a terminal it goes when the moment is over."""
        self.err.write(text if self.tty else f"{text}\n")
        self.err.flush()
        behind = raw(self.err)  # the gate would show what wipes the line
        try:
            yield
        finally:
            if self.tty:
                behind.write("\r\033[K")
                behind.flush()

    def line(self, text: str) -> None:
        print(self._meant(text), file=self.err, flush=True)

    def result(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    def write(self, text: str) -> None:
        """Part of a job's output; it may draw over its own line, as progress bars do."""
        (self.out.stream if isinstance(self.out, Gate) else self.out.write)(text)
        self.out.flush()

    def _paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text


def json_text(value: Any) -> str:
    """JSON in plain ASCII without control characters, which the gate would have to rewrite."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two blanks between; no trailing blanks."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
