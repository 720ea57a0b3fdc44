"""A resumed log neither loses nor repeats a line; what a pod says of its container."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystead.kube.logs import DeliveredLines, Source, _state_of, containers_of, split


def line(second: int, fraction: int, text: str = "x", zone: str = "Z") -> bytes:
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}.{fraction:09}{zone} {text}".encode()


def server(log: list[bytes], since: str | None) -> list[bytes]:
    """What the API server sends: lines whose time is not before the whole second `since`."""
    return [raw for raw in log if since is None or raw[:19].decode() >= since[:19]]


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3), st.sampled_from("ab")), max_size=80),
    st.lists(st.integers(0, 80), max_size=6),
    st.randoms(use_true_random=False),
)
def test_streams_cut_anywhere_give_each_line_once(
    raw: list[tuple[int, int, str]], cuts: list[int], chance: random.Random
) -> None:
    # stdout and stderr are stamped by two writers: neighbours may be out of order by a little
    log = [line(*item) for item in sorted(raw, key=lambda item: item[0] + chance.random() * 1.5)]
    seen, got = DeliveredLines(), []
    for cut in [*sorted(cuts), len(log)]:
        since = seen.since
        seen.resume()
        got += [item for item in server(log[:cut], since) if seen.is_new(item)]
    assert got == log


def test_the_same_line_twice_at_the_same_moment_is_two_lines() -> None:
    seen, twins = DeliveredLines(), [line(1, 5), line(1, 5)]
    assert [seen.is_new(raw) for raw in twins] == [True, True]
    seen.resume()
    assert [seen.is_new(raw) for raw in [*twins, line(1, 5)]] == [False, False, True]


def test_a_nodes_own_time_zone_is_given_back() -> None:
    seen = DeliveredLines()
    seen.is_new(line(1, 5, zone="+08:00"))
    assert seen.since == "2026-01-01T00:00:01+08:00"


def test_only_the_last_seconds_are_remembered() -> None:
    seen = DeliveredLines()
    for second in range(50):
        seen.is_new(line(second, 0))
    assert seen.since == "2026-01-01T00:00:47Z"


def test_a_line_is_time_and_text() -> None:
    source = Source("p", "c", "u")
    assert split(source, b"2026-01-01T00:00:00.5Z a b ") == (source, "2026-01-01T00:00:00.5Z", "a b ")
    assert split(source, b"2026-01-01T00:00:00Z \xff").text == "\ufffd"
    assert split(source, b"2026-01-01T00:00:00Z ").text == ""


DIED = {"exitCode": 137, "reason": "OOMKilled"}


@pytest.mark.parametrize(
    "status, expected",
    [
        ({}, (0, False, False, False, "")),
        ({"state": {"waiting": {}}}, (0, False, False, False, "")),
        ({"state": {"running": {}}}, (0, True, True, False, "")),
        ({"state": {"terminated": DIED}}, (0, True, False, False, "")),
        (
            {"state": {"waiting": {}}, "lastState": {"terminated": DIED}, "restartCount": 3},
            (3, True, False, False, " (OOMKilled, exit code 137)"),
        ),
    ],
)
def test_what_a_pod_says_of_its_container(status: dict, expected: tuple) -> None:
    pod = {"status": {"phase": "Running", "containerStatuses": [{"name": "c", **status}] if status else []}}
    assert tuple(_state_of(pod, "c")) == expected
    assert _state_of({"status": {"phase": "Failed"}}, "c").final


def test_init_containers_are_left_out() -> None:
    spec = {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}
    assert containers_of({"spec": spec}) == ["a", "b"]
