"""A CronJob's schedule as Kubernetes reads it: its mistakes, and when it comes next.

Five fields or a macro, in the words of Kubernetes' own parser (github.com/robfig/cron): `*` and `?`, numbers,
names of months and days, ranges, steps, lists; Sunday is 0 and not 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

__all__ = ["Schedule", "every", "mistakes", "schedule_of", "zone_of"]

_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
_NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ANY = frozenset({"*", "?", "*/1", "?/1"})  # a larger step restricts the day
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_FAR = 4 * 366  # days: the 29th of February comes at least once, but for the turn of most centuries


class Schedule(Struct, frozen=True):
    """The values that each field takes; days match as in cron: either of two that both restrict."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def _on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return of_month and of_week
        return of_month or of_week

    def after(self, moment: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The next tick after `moment`, in UTC; None where none comes within four years."""
        day = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        for number in range(_FAR):
            there = day + timedelta(days=number)
            if not self._on(there):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    tick = there.replace(hour=hour, minute=minute).astimezone(UTC)
                    if tick > moment:
                        return tick
        return None


def schedule_of(text: str) -> Schedule:
    """The schedule of a text without mistakes.

    Raises:
        ValueError: it has some.
    """
    if found := list(mistakes(text)):
        raise ValueError(found[0][0])
    fields = (every(text) or _MACROS.get(text.strip()) or text).split()
    minutes, hours, days, months, weekdays = (
        frozenset(number for part in word.split(",") for number in _numbers(part, *field))
        for word, field in zip(fields, _FIELDS, strict=True)
    )
    any_day, any_weekday = (not _ANY.isdisjoint(fields[i].split(",")) for i in (2, 4))
    return Schedule(minutes, hours, days, months, weekdays, any_day, any_weekday)


def every(text: str) -> str | None:
    """`@every 10m` as five fields: at full minutes that divide the hour, or full hours that divide the day.

    None for another text. Objects that are made one after the other count `@every` from their own beginnings,
    so that they never meet; fields they share.
    """
    found = text.strip().removeprefix("@every ")
    if found == text.strip():
        return None
    seconds = _span(found)
    minutes, rest = divmod(seconds or 0, 60)
    hours, left = divmod(minutes, 60)
    if not seconds or rest:
        return None
    if minutes < 60 and 60 % minutes == 0:
        return f"*/{minutes:.0f} * * * *"
    if not left and hours and 24 % hours == 0:
        return f"0 */{hours:.0f} * * *"
    return None


def mistakes(text: str) -> Iterator[tuple[str, str]]:
    """What is wrong with it, and what to write instead."""
    words = text.split()
    if "TZ" in text:
        yield "no time zone may stand in the schedule", "spec.timeZone says it"
    elif text.startswith("@every ") and _span(text.strip().removeprefix("@every ")) is not None:
        if every(text) is None:
            what = f'"{text.strip()}" is not a whole part of an hour or of a day'
            yield what, "five fields, for example */10 * * * *"
    elif text.startswith("@"):
        if text.strip() not in _MACROS:
            yield f'Kubernetes has no "{text}" for a CronJob', "five fields, for example */10 * * * *"
    elif len(words) != len(_FIELDS):
        yield f"expected five fields, got {len(words)}", "minute hour day-of-month month day-of-week"
    else:
        for word, (name, least, most) in zip(words, _FIELDS, strict=True):
            for part in word.split(","):
                if not _numbers(part, name, least, most):
                    yield f'"{part}" is not a valid {name}', f"{least} to {most}, *, a-b or */n"


def zone_of(name: str | None) -> tzinfo | None:
    """The zone of a CronJob's `timeZone`, UTC without one; None where this machine does not know it."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _span(text: str) -> float | None:
    """Seconds of a Go duration, `1h30m`; None: it is none."""
    total, digits, letters = 0.0, "", ""
    for letter in f"{text} ":
        if letters and not letter.isalpha():
            if letters not in _UNITS or not digits.replace(".", "", 1).isdigit():
                return None
            total, digits, letters = total + float(digits) * _UNITS[letters], "", ""
        if letter.isalpha():
            letters += letter
        elif letter != " ":
            digits += letter
    return None if digits or not text else total


def _numbers(part: str, name: str, least: int, most: int) -> range:
    """The values of `*`, `3`, `1-5`, each with a step; an empty range where it is not valid."""
    spread, slash, step = part.partition("/")
    width = _number(step, "") if slash else 1
    if not width:
        return range(0)
    if spread in ("*", "?"):
        return range(least, most + 1, width)
    first, dash, last = spread.partition("-")
    begin = _number(first, name)
    end = _number(last, name) if dash else most if slash else begin
    if begin is None or end is None or not least <= begin <= end <= most:
        return range(0)
    return range(begin, end + 1, width)


def _number(word: str, name: str) -> int | None:
    if word.isascii() and word.isdigit():
        return int(word) if len(word) < 4 else None
    names = _NAMES.get(name, [])
    if word.lower() not in names:
        return None
    return names.index(word.lower()) + (1 if name == "month" else 0)
