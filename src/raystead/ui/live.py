"""A wait, drawn: a region that is redrawn in place on a terminal, one line per change of state elsewhere."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raystead.base.groups import GroupId
from raystead.base.text import neutral
from raystead.explain.text import joined
from raystead.ops.events import Done, Event, Explained, Note, Planned, Progress
from raystead.ui.board import ALL, ASCII, LATE, Board, Line, Row, done_text, finding_lines, screen
from raystead.ui.plain import Reporter
from raystead.ui.plans import plan_brief
from raystead.ui.terminal import raw

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["view"]

View = Callable[[Event], None]
COUNTS_EVERY = 15.0  # seconds between two plain lines of a group whose counts alone have moved
REDRAWS = 1  # a second, for the seconds that pass; what changes is drawn at once
_STYLES = {ALL: "green", LATE: "red"}
_TO_ASCII = str.maketrans({**ASCII, "…": "~"})


@contextmanager
def view(reporter: Reporter) -> Iterator[View]:
    """Yields what takes the events of one wait; however the block ends, the terminal is as before.

    Several threads may call it.
    """
    if reporter.quiet:
        yield lambda event: None
    elif reporter.tty and os.environ.get("TERM") != "dumb":
        terminal = TerminalView(reporter)
        with _tidy_end():
            try:
                yield _one_by_one(terminal.take)
            finally:
                terminal.close()
    else:
        yield _one_by_one(PlainView(reporter).take)


@contextmanager
def _tidy_end() -> Iterator[None]:
    """SIGTERM unwinds like an exit, else it would leave a terminal without a cursor."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _one_by_one(take: View) -> View:
    lock = threading.Lock()

    def locked(event: Event) -> None:
        with lock:
            take(event)

    return locked


class PlainView:
    """Lines for logs and pipes: a group speaks when it is done, when its note changes, or now and then."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._board = Board()
        self._said: dict[str, tuple[Row, float]] = {}
        self._explained: set[tuple[GroupId | None, str]] = set()

    def take(self, event: Event) -> None:
        self._board.take(event)
        if isinstance(event, Planned):
            self._reporter.line(plan_brief(event.plan))
        elif isinstance(event, Note):
            self._reporter.line(event.text)
        elif isinstance(event, Progress):
            for row in self._board.rows():
                self._row(row)
        elif isinstance(event, Explained):
            self._explain(event)
        elif isinstance(event, Done):
            self._reporter.line(done_text(event))

    def _row(self, row: Row) -> None:
        now = self._board.seconds
        before, at = self._said.get(row.name, (None, 0.0))
        if before is not None:
            moved = (before.state, before.note) != (row.state, row.note)
            news = before.done != row.done or (before.note != row.note and not _counts(row, before))
            if not news and not (moved and now - at >= COUNTS_EVERY):
                return
        self._said[row.name] = (row, now)
        self._reporter.line(row.text)

    def _explain(self, event: Explained) -> None:
        new = []
        for finding in event.findings:
            key = (finding.group, re.sub(r"\d+", "#", finding.why))  # the seconds in it go on
            if key not in self._explained:
                self._explained.add(key)
                new.append(finding)
        for shared in joined(new):
            lines = finding_lines(shared.finding)
            head = f"{shared.groups}: " if shared.groups else ""
            self._reporter.line("\n".join([f"{head}{lines[0]}", *(f"  {line}" for line in lines[1:])]))


def _counts(row: Row, before: Row) -> bool:
    """The notes differ in their numbers only."""
    return re.sub(r"\d+", "#", row.note) == re.sub(r"\d+", "#", before.note)


class TerminalView:
    """A region of one line per group, redrawn in place; its last state stays as plain lines."""

    def __init__(self, reporter: Reporter) -> None:
        from rich.console import Console
        from rich.live import Live

        self._board = Board()
        self._at = time.monotonic()  # when the last progress came; the seconds on the screen go on
        self._done = ""
        self._drawn: list[Line] = []
        self._ascii = "utf" not in (reporter.err.encoding or "").lower()
        self._console = Console(file=raw(reporter.err), highlight=False)
        self._live: Live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=REDRAWS,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def take(self, event: Event) -> None:
        self._board.take(event)
        if isinstance(event, Progress):
            self._at = time.monotonic()
        if isinstance(event, Planned):
            self._print(plan_brief(event.plan, self._console.width))
        elif isinstance(event, Note):
            self._print(event.text)
        elif isinstance(event, Done):
            self._done = done_text(event)
        elif not self._live.is_started:
            self._live.start(refresh=True)
        elif (lines := screen(self._board, *self._console.size)) != self._drawn:
            self._drawn = lines
            self._live.refresh()

    def close(self) -> None:
        """Ends the region and leaves its last state, compact."""
        if self._live.is_started:
            self._live.stop()
            self._console.print(self._draw())
        if self._done:
            self._print(self._done)

    def _print(self, text: str) -> None:
        harmless = "\n".join(map(neutral, text.split("\n")))
        self._console.print(harmless, markup=False, soft_wrap=True)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        size = self._console.size
        lines = screen(self._board, size.width, size.height, time.monotonic() - self._at)
        if self._ascii:
            lines = [(text.translate(_TO_ASCII), symbol) for text, symbol in lines]
        styled = [(neutral(text), _STYLES.get(symbol, "")) for text, symbol in lines]
        return Group(*(Text(text, style, no_wrap=True, overflow="ellipsis") for text, style in styled))
