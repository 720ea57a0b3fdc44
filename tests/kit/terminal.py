"""A person at a terminal: a shell on a real pseudo-terminal, what it shows read back as text.

`Terminal` types into bash and waits for what comes, as long as a busy machine needs, and measures the longest time in
which nothing on the screen changed. A walk is a test that types one command after another; `shows` compares.
"""

import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fcntl import ioctl
from functools import partial
from pathlib import Path

import pyte
from patience import crowding

SILENT = 5.0  # seconds in which something has to change while a person waits
_COLUMNS, _LINES = 120, 40
_SHOWN = 60  # characters of a command in the table of waits
_KEPT = 5000  # lines that have gone off the top and can still be read
_NEW = "⟫"  # begins our prompt; nothing that is run prints it
_PROMPT = re.compile(rf"^(.*){_NEW}(\d+):(\d+) \$ *$")


@dataclass(frozen=True)
class Shown:
    """What one command has shown: its lines, as wide as they were written.

    Attributes:
        seconds: from Enter to the next prompt.
        silence: the longest time in between without a change on the screen, in seconds.
    """

    command: str
    text: str
    code: int
    seconds: float
    silence: float

    def hint(self, beginning: str) -> str:
        """The one command on the screen that begins so, as it is printed; what stands behind it in a column is no part."""
        found = [
            re.split(r"\s{3,}", line[line.index(beginning) :].strip())[0]
            for line in self.text.splitlines()
            if beginning in line
        ]
        assert len(set(found)) == 1, f"{beginning!r} is printed {len(set(found))} times:\n{self.text}"
        return found[0]


class Paper(pyte.HistoryScreen):
    """A screen that knows which lines a row too short for them has broken, and which rows have changed."""

    def __init__(self, columns: int) -> None:
        self._drawing = False
        self._seen: dict[int, str] = {}
        super().__init__(columns, _LINES, history=_KEPT)

    def draw(self, data: str) -> None:
        self._drawing = True
        super().draw(data)
        self._drawing = False

    def linefeed(self) -> None:
        self.buffer[self.cursor.y].broken = self._drawing  # type: ignore[attr-defined]
        super().linefeed()

    def moved(self) -> bool:
        """Whether a person would see something else than at the last call."""
        now = {y: self.row(self.buffer[y]) for y in self.dirty}
        self.dirty.clear()
        moved = any(self._seen.get(y, "") != text for y, text in now.items())
        self._seen |= now
        return moved

    def row(self, line: Mapping[int, pyte.screens.Char]) -> str:
        return "".join(line[x].data for x in range(self.columns)).rstrip()

    def text(self) -> str:
        """All that is on the screen and above it, lines as wide as they were written."""
        lines = [""]
        for line in (*self.history.top, *(self.buffer[y] for y in range(self.lines))):
            broken = getattr(line, "broken", False)
            lines[-1] += "".join(line[x].data for x in range(self.columns)) if broken else self.row(line)
            if not broken:
                lines.append("")
        return "\n".join(lines).rstrip()


@dataclass
class Terminal:
    """A shell with a screen. Use it as a context manager; leaving ends the shell and what it runs.

    Attributes:
        waits: all commands so far.
    """

    env: Mapping[str, str]
    cwd: Path
    columns: int = _COLUMNS
    waits: list[Shown] = field(default_factory=list, init=False)

    def __enter__(self) -> "Terminal":
        self._screen = Paper(self.columns)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = time.monotonic()
        self._silence = 0.0
        pid, self._fd = pty.fork()
        if pid == 0:
            os.chdir(self.cwd)
            own = {"TERM": "xterm-256color", "PS1": rf"{_NEW}\#:$? $ ", "LC_ALL": "C.UTF-8", "HISTFILE": ""}
            inherited = {k: v for k, v in self.env.items() if k not in ("PROMPT_COMMAND", "COLUMNS", "LINES")}
            os.execvpe("bash", ["bash", "--noprofile", "--norc", "-i"], {**inherited, **own})
        self._pid = pid
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, self.columns, 0, 0))
        self._until(lambda: self._prompt() is not None, 10, "the shell's prompt")
        self._type("bind 'set enable-bracketed-paste off'; set +o history\n")
        self._until(lambda: self._prompt() not in (None, (1, 0)), 10, "the shell's second prompt")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)  # SIGHUP for what is in the foreground
        for name in (signal.SIGHUP, signal.SIGKILL):
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    return
                time.sleep(0.05)
            os.kill(self._pid, name)
        os.waitpid(self._pid, 0)

    def run(
        self,
        command: str,
        code: int = 0,
        seconds: float = 60,
        *,
        answers: Mapping[str, str] | None = None,
        silent: float = SILENT,
    ) -> Shown:
        """Types a command and Enter, and waits for the next prompt.

        Args:
            code: what it has to end with.
            seconds: what it may take on a quiet machine.
            answers: what to type, by the text on the screen that it answers, in this order; "^C" is that key.
            silent: seconds in which the screen may stay as it is.
        """
        command = command.strip()
        before = self._prompt()
        assert before is not None, f"no prompt to type {command!r} at:\n{self._screen.text()}"
        self._screen.history.top.clear()
        begun = self._changed = time.monotonic()
        self._silence = 0.0
        self._type(f"{command}\n")
        for question, answer in (answers or {}).items():
            asked = partial(self._asked, question.rstrip(), before[0])
            self._until(asked, seconds, f"{question!r} after {command!r}")
            # No person is faster. Python only reads its signals between two of its own steps: an interrupt in the
            # moment between the prompt and the read behind it is seen with the next key.
            time.sleep(0.3)
            self._type("\x03" if answer == "^C" else answer)
        busy = crowding()

        def ended() -> bool:
            now = self._prompt()
            return now is not None and now[0] > before[0]

        self._until(ended, seconds, f"the end of {command!r}")
        prompt = self._prompt()
        assert prompt is not None
        self._silence = max(self._silence, time.monotonic() - self._changed)
        done = Shown(command, self._after(before[0]), prompt[1], time.monotonic() - begun, self._silence)
        self.waits.append(done)
        shown = re.search(r".*\\x[01][0-9a-f].*", done.text)
        assert shown is None, f"{command} shows a control character: {shown and shown[0]}"
        assert done.code == code, f"{command} ended with {done.code}, not {code}:\n{done.text}"
        bound = silent * max(busy, crowding())
        assert done.silence <= bound, f"{command}: silent for {done.silence:.1f} s:\n{done.text}"
        return done

    def _type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def _until(self, what: Callable[[], bool], seconds: float, why: str) -> None:
        begun, busy, news = time.monotonic(), 1.0, True
        while not (news and what()):
            busy, news = max(busy, crowding()), False
            if time.monotonic() - begun > seconds * busy:
                raise AssertionError(
                    f"not within {seconds * busy:.0f} s: {why}; the screen:\n{self._screen.text()}"
                )
            if select.select([self._fd], [], [], 0.05)[0]:
                try:
                    self._stream.feed(os.read(self._fd, 65536))
                except OSError:
                    raise AssertionError(
                        f"the shell has ended before {why}:\n{self._screen.text()}"
                    ) from None
                self._look()
                news = True

    def _look(self) -> None:
        if self._screen.moved():
            now = time.monotonic()
            self._silence = max(self._silence, now - self._changed)
            self._changed = now

    def _prompt(self) -> tuple[int, int] | None:
        """The number of the prompt that the cursor stands at and the last exit code; None while something runs.

        An output that ends in the middle of a line would have the prompt glued to it: that is a fault.
        """
        last = self._screen.row(self._screen.buffer[self._screen.cursor.y])
        if (found := _PROMPT.match(f"{last} ")) is None:
            return None
        assert not found[1], f"the prompt is glued to {found[1]!r}"
        return int(found[2]), int(found[3])

    def _asked(self, question: str, number: int) -> bool:
        return question in self._after(number)

    def _after(self, number: int) -> str:
        """What stands below the line in which a command was typed, the prompt's number says which."""
        lines = self._screen.text().split("\n")
        typed = [i for i, line in enumerate(lines) if f"{_NEW}{number}:" in line]
        if not typed:
            return ""
        below = lines[typed[-1] + 1 :]
        if below and _NEW in below[-1]:
            below.pop()
        return "\n".join(below)


def shows(shown: Shown, expected: str) -> None:
    """Asserts what is on the screen, line by line: `…` in a line stands for anything, alone for any lines.

    Times, ages, sizes, ids, pods and ports differ from run to run; `same` makes them equal on both sides.
    """
    want = [same(line) for line in expected.strip().splitlines()]
    have = [same(line) for line in shown.text.splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n" for line in want
    )
    assert re.fullmatch(pattern, "".join(f"{line}\n" for line in have)), (
        f"$ {shown.command}\n--- expected\n" + "\n".join(want) + "\n--- on the screen\n" + "\n".join(have)
    )


_SAME = (
    (r"raysubmit_\w+", "raysubmit_ID"),
    (r"(deployment-ray-[a-z]+)-[0-9a-z]{8,10}-[0-9a-z]{5}", r"\1-POD"),
    (r"\bpid \d+", "pid N"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*(?: UTC)?", "TIME"),
    (r"\b(\d+[smhd])+\b(?! of)", "AGE"),
    (r"\b[\d.]+ (s|min|ms|h)\b", r"N s"),
    (r"\b[\d.]+/([\d.]+ (?:GB|MB))", r"N/\1"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b\d+\.\d+\.\d+\.\d+\b", "IP"),
    (r"\bt-[0-9a-z-]{8,}\b", "NAMESPACE"),
    (r" +", " "),
)


def same(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, text in _SAME:
        line = re.sub(pattern, text, line)
    return line.strip()


def raystead_env(**more: str) -> dict[str, str]:
    """A user's environment with this raystead first on PATH, nothing of Ray's or Kubernetes' in it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "KUBE"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", **more}


def waits_table(place: str, waits: list[Shown]) -> str:
    """The rows of docs/figures.md: what a person waited for, how long, and how long nothing moved."""
    load = f"load {os.getloadavg()[0]:.1f}, {date.today()}"
    rows = [f"| {place} | `{w.command[:_SHOWN]}` | {w.seconds:.1f} s | {w.silence:.1f} s |" for w in waits]
    return "\n".join(
        [
            f"{place}: {load}",
            "| place | command | took | longest without a change |",
            "|---|---|---|---|",
            *rows,
        ]
    )


__all__ = ["SILENT", "Shown", "Terminal", "raystead_env", "same", "shows", "waits_table"]
