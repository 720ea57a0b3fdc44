"""Kubernetes' timestamps as datetimes and back, and spans of time as people read and type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["ago", "in_seconds", "instant", "rounded", "span", "when"]

_TYPED = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def in_seconds(typed: str) -> float | None:
    """What people type: "90", "30s", "10m", "2h", "1d"; None when it is none of these."""
    match = _TYPED.fullmatch(typed.strip())
    return float(match[1]) * _UNITS[match[2]] if match else None


def when(text: object) -> datetime | None:
    """The moment of an RFC 3339 timestamp; None where there is none."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def instant(moment: datetime) -> str:
    """As Kubernetes writes it: 2026-11-24T07:12:30Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rounded(seconds: float) -> str:
    """Seconds for people: 0.4 s, 9 s, 3 min, 2 h, 4 d."""
    for limit, size, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            value = seconds / size
            return f"{value:.1f} {unit}" if limit == 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def span(seconds: float) -> str:
    """Like `rounded`, for what Kubernetes recorded: whole seconds, never negative."""
    return f"{max(0.0, seconds):.0f} s" if seconds < 10 else rounded(seconds)


def ago(moment: datetime, now: datetime) -> str:
    """How long before `now`: 3 s ago, 2 h ago."""
    return f"{span((now - moment).total_seconds())} ago"
