"""What people are told while an API server keeps them waiting: nobody waits for five seconds in silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Notices"]

_LATE = (
    4.5  # seconds without an answer after which that is said, again and again: people wait five in silence
)
_SLOW = 1.0  # seconds of an answer that is worth a word where nothing else was said for as long


class Notices:
    """Says what is late, at most once in `_LATE` seconds however many requests wait. Threads may share it.

    Attributes:
        take: called with each sentence; None: nobody listens.
    """

    def __init__(self, take: Callable[[str], None] | None) -> None:
        self.take = take
        self._lock = threading.Lock()
        self._troubled = False  # requests are being repeated, and that was said
        self._last = 0.0  # when anything was said last, or the first request began

    def begin(self) -> None:
        """A request begins: the silence is counted from the first one on."""
        self._last = self._last or time.monotonic()

    def trouble(self, why: str) -> None:
        """A request is repeated."""
        with self._lock:
            known, self._troubled = self._troubled, True
        if self.take and (self._due() or not known):
            again = "still trying" if known else "trying again"
            self.take(f"the API server does not answer as it should ({why}); {again}")

    def over(self) -> None:
        """A request was answered: the next trouble is a new one."""
        self._troubled = False

    def slow(self, took: float) -> None:
        """An answer took so many seconds."""
        if took > _SLOW and self.take and self._due():
            self.take(f"the API server is slow ({took:.1f} s for an answer); still working")

    @contextmanager
    def late(self, what: str, *, again: bool = True) -> Iterator[None]:
        """Says every few seconds that the block is not done yet; once where several wait at the same time.

        `again` False says it once: a login may wait for its user.
        """
        if self.take is None:
            yield
            return
        begun, ended = time.monotonic(), threading.Event()

        def tell() -> None:
            while not ended.wait(_LATE):
                if self.take and self._due():
                    self.take(f"{what} for {time.monotonic() - begun:.0f} s; still waiting")
                if not again:
                    return

        threading.Thread(target=tell, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _due(self) -> bool:
        """Nothing was said for so long that something has to be; whoever asks then says it."""
        now = time.monotonic()
        with self._lock:
            due = now - self._last > 0.9 * _LATE
            self._last = now if due else self._last
        return due
