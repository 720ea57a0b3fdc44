"""A bar for what takes long: rich on a terminal, else a line now and then. Only here is rich imported."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raystead.base.quantities import human_bytes
from raystead.ui.plain import Reporter
from raystead.ui.terminal import raw

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "bar"]

_EVERY = 5.0  # seconds between two lines where there is no terminal


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
