"""The one gate between us and the terminal: whatever is printed, only text and colours come out of it.

Most of what we print was written by others: messages of the API server, events, logs, a spec file's own
words in an error about it. A control sequence in it could set the clipboard or the title, move the cursor
over what we said before, or reorder what is read. So `guard` puts the gate before stdout and stderr, and
nothing that prints has to remember it. Only what draws in place (rich) goes round it, by `raw`, with texts
that it has made harmless itself.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import Any, TextIO

from raystead.base.text import FOREIGN, RESET, shown

__all__ = ["Gate", "data", "guard", "leave", "raw", "silence"]

_STANDARD = (0, 1, 2)
_KEPT = "\t\n"
_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")


class Gate:
    """A text stream that shows control characters instead of sending them; colours end with their line.

    It has no `buffer`: click would write through it and past the gate.
    """

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream
        self._coloured = False

    def write(self, text: str) -> int:
        """Lines; a carriage return is shown, but before a line feed."""
        return self._write(text, _KEPT)

    def stream(self, text: str) -> int:
        """Output that the user has asked for as it is (a job's): it may begin its own line again."""
        return self._write(text, f"{_KEPT}\r")

    def _write(self, text: str, kept: str) -> int:
        def harmless(match: re.Match[str]) -> str:
            found = match[0]
            if colour := _COLOUR.fullmatch(found):
                self._coloured = colour[1].strip("0;") != ""
                return found
            if found == "\n" and self._coloured:
                self._coloured = False
                return f"{RESET}\n"
            return found if found in kept else shown(match)

        if text.isprintable() and not self._coloured:
            self.raw.write(text)
        else:
            self.raw.write(FOREIGN.sub(harmless, text.replace("\r\n", "\n")))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.raw, name)


def guard() -> None:
    """Puts the gate before stdout and stderr, and gives a closed standard stream the null device.

    What an encoding cannot say is written as an escape, and never ends a command.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in _STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _gated(sys.stdout, 1)
    sys.stderr = _gated(sys.stderr, 2)


def raw(stream: Any) -> TextIO:
    """The stream behind the gate, for what draws in place."""
    behind: TextIO = stream.raw if isinstance(stream, Gate) else stream
    return behind


def data(text: str) -> None:
    """A document for another program: as it is, where stdout is not a terminal."""
    stream = sys.stdout
    (stream if stream.isatty() else raw(stream)).write(text)


def leave() -> OSError | None:
    """Flushes both streams for the last time; what hindered it, but for a reader that has gone.

    Python itself would complain of either a second time at its exit.
    """
    found: OSError | None = None
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError as error:
            found = found if isinstance(error, BrokenPipeError) else error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
    return found


def silence() -> None:
    """The terminal has gone: what is still said goes nowhere, instead of ending what has to be finished."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in _STANDARD:
        if stat.S_ISCHR(os.fstat(number).st_mode):  # a file or a pipe is still there
            os.dup2(null, number)
    os.close(null)


def _gated(stream: TextIO | None, number: int) -> Any:
    if stream is None:
        stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream if isinstance(stream, Gate) else Gate(stream)
