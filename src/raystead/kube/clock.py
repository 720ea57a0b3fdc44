"""The server's clock, as the Date of its answers tells it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["Clock"]


class Clock:
    """How far the server's clock is ahead of ours, as exactly as answers with whole seconds allow.

    Each answer says that the offset lies between two bounds; the bounds of all of them are kept. Ours counts
    as right while they allow it, so that clocks in step are never told apart by a rounded second.
    """

    def __init__(self) -> None:
        self._low, self._high = float("-inf"), float("inf")

    def seen(self, date: str | None, sent: float, received: float) -> None:
        """An answer's Date header, and when by our clock its request went and it came."""
        if not date:
            return
        from email.utils import parsedate_to_datetime

        try:
            second = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        low, high = second - received, second + 1 - sent
        if low > self._high or high < self._low:  # a clock was set meanwhile
            self._low, self._high = low, high
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)

    @property
    def ahead(self) -> float:
        """Seconds; 0.0 before any answer."""
        if self._low <= 0 <= self._high:
            return 0.0
        return self._low if self._low > 0 else self._high

    def now(self) -> datetime:
        """The server's time."""
        return datetime.fromtimestamp(time.time() + self.ahead, UTC)
