"""Findings as people read them."""

from dataclasses import replace
from datetime import timedelta

import explain_kit as kit
import pytest
from test_explain_rules import refused

from raystead.base.groups import HEAD, worker
from raystead.explain.engine import explain
from raystead.explain.model import Evidence, Finding
from raystead.explain.text import ago, render

FOUND = Finding(
    "image-not-found", worker("worker"), "pod/w", "image x:2.60.O cannot be pulled: not found",
    'the tag does not exist in the registry; "2.60.O" ends in a letter O', "raystead up --image x:2.60.0\nor another", "sure",
    (Evidence("Failed to pull\n image", "event", kit.NOW - timedelta(seconds=12), 9),), kit.NOW - timedelta(seconds=240), 3,
)  # fmt: skip


def test_a_finding_says_why_means_do() -> None:
    assert render([FOUND], kit.NOW) == (
        "worker: 3 pods, for 4 min\n"
        "  why    image x:2.60.O cannot be pulled: not found\n"
        "  seen   event, 12 s ago, 9 times: Failed to pull image\n"
        '  means  the tag does not exist in the registry; "2.60.O" ends in a letter O\n'
        "  do     raystead up --image x:2.60.0\n"
        "         or another"
    )


def test_what_is_the_same_in_several_groups_is_said_once() -> None:
    again = replace(FOUND, group=HEAD, pods=1, since=kit.NOW - timedelta(seconds=300))
    other = replace(FOUND, group=worker("gpu"), remedy="another")
    first, second = render([FOUND, again, other], kit.NOW).split("\n\n")
    assert first.splitlines()[0] == "worker, head: 4 pods, for 5 min"
    assert second.splitlines()[0] == "gpu: 3 pods, for 4 min"


def test_no_finding_is_no_text() -> None:
    assert render([], kit.NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (89, "89 s"), (150, "2 min"), (7200, "2 h"), (200000, "2 days")],
)
def test_times_are_rounded(seconds: float, text: str) -> None:
    assert ago(kit.NOW - timedelta(seconds=seconds), kit.NOW) == text


def remedy(said: str) -> str:
    (found,) = explain(refused(f"exceeded quota: q, {said}"))
    return found.remedy


def test_the_quotas_remedy_is_what_would_be_enough() -> None:
    text = remedy("requested: requests.memory=4Gi, used: requests.memory=6Gi, limited: requests.memory=8Gi")
    assert "raystead up --name demo --workers 1" in text
    assert 'please raise quota `q` in namespace team to requests.memory=10Gi"' in text


def test_a_quota_on_pods_is_not_answered_with_a_smaller_pod() -> None:
    said = "requested: pods=1, used: pods=3, limited: pods=3"
    event_of = kit.event("StatefulSet", kit.owner("redis", 1), "FailedCreate", f"exceeded quota: q, {said}")
    (found,) = explain(kit.with_pods("redis", events=(event_of,)))
    assert found.remedy == 'send to the administrator: "please raise quota `q` in namespace team to pods=4"'


def test_a_larger_size_is_twice_the_one_that_did_not_do() -> None:
    (found,) = explain(kit.with_pods("worker", kit.crashed("worker", 137, "OOMKilled")))
    assert found.remedy.startswith("raystead up --name demo --worker-memory 8Gi ")
