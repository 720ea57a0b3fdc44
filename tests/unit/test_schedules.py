"""When a CronJob comes next, in the words and with the limits of Kubernetes' own parser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from raystead.base.schedules import every, mistakes, schedule_of, zone_of

NOW = datetime(2026, 11, 26, 16, 40, 30, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    "text, zone, due",
    [
        ("* * * * *", "", "2026-11-26 16:41"),
        ("@hourly", "", "2026-11-26 17:00"),
        ("@every 10m", "", "2026-11-26 16:50"),
        ("5/15 * * * *", "", "2026-11-26 16:50"),
        ("45 21 * * *", "", "2026-11-26 21:45"),
        ("45 21 * * *", "Asia/Taipei", "2026-11-27 13:45"),
        ("0 9 * * mon-wed", "", "2026-11-30 09:00"),
        ("0 0 ? * SUN", "", "2026-11-29 00:00"),
        ("0 0 13 * fri", "", "2026-11-27 00:00"),  # either of the two
        ("0 0 */2 * fri", "", "2026-11-27 00:00"),
        ("0 0 13 * *", "", "2026-12-13 00:00"),
        ("0 0 29 feb *", "", "2028-02-29 00:00"),
        ("30 2 * * *", "Europe/Zurich", "2026-11-27 01:30"),
    ],
)
def test_the_next_tick(text: str, zone: str, due: str) -> None:
    found = schedule_of(text).after(NOW, zone_of(zone) or UTC)
    assert f"{found:%Y-%m-%d %H:%M}" == due


def test_a_day_that_never_comes_has_no_next_tick() -> None:
    assert schedule_of("0 0 31 2 *").after(NOW) is None


def test_a_zone_that_this_machine_does_not_know_is_none() -> None:
    assert zone_of("Mars/Olympus") is None
    assert zone_of("../etc/passwd") is None


@pytest.mark.parametrize(
    "text, fields",
    [
        ("@every 10m", "*/10 * * * *"),
        ("@every 1h", "0 */1 * * *"),
        ("@every 60m", "0 */1 * * *"),
        ("@every 120m", "0 */2 * * *"),
        ("@every 300s", "*/5 * * * *"),
        ("@every 7m", None),
        ("@every 5h", None),
        ("@every 90s", None),
        ("@every 0m", None),
        ("@hourly", None),
        ("*/10 * * * *", None),
    ],
)
def test_every_is_told_as_minutes_of_the_clock(text: str, fields: str | None) -> None:
    assert every(text) == fields


@pytest.mark.parametrize(
    "text",
    [
        "*/5 * * * *",
        "0 0 1,15 * *",
        "@hourly",
        "30 9 * * mon-fri",
        "5-10/2 0 * jan 0",
        "0 0 ? * 6",
        "@every 30m",
    ],
)
def test_a_schedule_that_kubernetes_takes(text: str) -> None:
    assert list(mistakes(text)) == []


@pytest.mark.parametrize(
    "text, what",
    [
        ("* * * *", "expected five fields, got 4"),
        ("61 * * * *", '"61" is not a valid minute'),
        ("* * * 13 *", '"13" is not a valid month'),
        ("*/0 * * * *", '"*/0" is not a valid minute'),
        ("9-5 * * * *", '"9-5" is not a valid minute'),
        ("* ² * * *", "is not a valid hour"),
        ("0 0 * * 7", '"7" is not a valid day of week'),
        ("TZ=UTC * * * * *", "no time zone may stand"),
        ("@every day", 'no "@every day"'),
        ("@every 1h30m", "is not a whole part of an hour or of a day"),
        ("@every 10s", "is not a whole part"),
        ("@reboot", 'no "@reboot"'),
        ("", "expected five fields, got 0"),
    ],
)
def test_a_schedule_that_is_refused(text: str, what: str) -> None:
    assert any(what in found for found, _ in mistakes(text))
    with pytest.raises(ValueError, match=r"."):
        schedule_of(text)
