"""What is shown while something takes long: a bar, or a line with its seconds; off the screen at the end."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raystead.base.quantities import human_bytes
from raystead.base.text import neutral
from raystead.ui.plain import Reporter
from raystead.ui.terminal import raw

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "WaitLine", "bar", "waiting"]

_EVERY = 5.0  # seconds between two lines where there is no terminal
_REDRAWS = 1.0  # seconds between two drawings of a wait, for the seconds in it


class Bar:
    """One bar at a time; `clear` takes it off the screen, so that a line may follow."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._what = ""
        self._shown: Progress | None = None
        self._told = time.monotonic()

    def show(self, what: str, done: int, total: int) -> None:
        """`what` is being done, `done` of `total` bytes of it."""
        if self._reporter.quiet:
            return
        if not self._reporter.tty:
            if time.monotonic() - self._told > _EVERY:
                self._told = time.monotonic()
                self._reporter.step(f"{what}: {human_bytes(done)} of {human_bytes(total)}")
            return
        if self._shown is None or self._what != what:
            self.clear()
            self._shown, self._what = _started(what, self._reporter), what
        self._shown.update(self._shown.task_ids[0], completed=done, total=total)

    def clear(self) -> None:
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def _started(what: str, reporter: Reporter) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(file=raw(reporter.err))
    shown = Progress(TextColumn(what), BarColumn(), DownloadColumn(), console=console, transient=True)
    shown.add_task("", total=None)
    shown.start()
    return shown


@contextmanager
def bar(reporter: Reporter) -> Iterator[Bar]:
    """A bar that is off the screen at the end, however that comes."""
    made = Bar(reporter)
    try:
        yield made
    finally:
        made.clear()


class WaitLine:
    """A line that says what is waited for and how long already; any thread may change it."""

    def __init__(self, reporter: Reporter, text: str) -> None:
        self._reporter = reporter
        self._text = text
        self._begun = self._told = time.monotonic()
        self._drawn = reporter.tty and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._over = threading.Event()

    def tell(self, text: str) -> None:
        """Something else is waited for now."""
        with self._lock:
            self._text = text
            self._draw()

    def warn(self, text: str) -> None:
        """A line that stays, above this one."""
        with self._lock:
            self._wipe()
            self._reporter.warn(text)
            self._draw()

    def keep_on(self) -> None:
        """Draws until `end`: the body of a thread."""
        while not self._over.wait(_REDRAWS):
            with self._lock:
                self._draw()

    def end(self) -> None:
        self._over.set()
        with self._lock:
            self._wipe()

    def _draw(self) -> None:
        if self._reporter.quiet or self._over.is_set():
            return
        now = time.monotonic()
        if self._drawn:
            seconds = f"   {now - self._begun:.0f} s"  # never cut off: what moves tells of life
            text, room = neutral(self._text), shutil.get_terminal_size().columns - 1 - len(seconds)
            text = text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"
            self._put(f"\r{text}{seconds}\033[K")
        elif now - self._told >= _EVERY:
            self._told = now
            self._reporter.step(self._text, now - self._begun)

    def _wipe(self) -> None:
        if self._drawn and not self._reporter.quiet:
            self._put("\r\033[K")

    def _put(self, text: str) -> None:
        stream = raw(self._reporter.err)
        stream.write(text)
        stream.flush()


@contextmanager
def waiting(reporter: Reporter, text: str) -> Iterator[WaitLine]:
    """Keeps a line on the screen while the block runs; elsewhere one comes every five seconds."""
    shown = WaitLine(reporter, text)
    shown.tell(text)
    thread = threading.Thread(target=shown.keep_on, daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        shown.end()
        thread.join()
