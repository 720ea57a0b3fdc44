"""Findings as people read them."""

from datetime import timedelta

import explain_kit as kit
import pytest

from raystead.explain.model import Evidence, Finding
from raystead.explain.text import ago, render

FOUND = Finding(
    "image-not-found", "worker", "pod/w", "image x:2.60.O cannot be pulled: not found",
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


def test_no_finding_is_no_text() -> None:
    assert render([], kit.NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (89, "89 s"), (150, "2 min"), (7200, "2 h"), (200000, "2 days")],
)
def test_times_are_rounded(seconds: float, text: str) -> None:
    assert ago(kit.NOW - timedelta(seconds=seconds), kit.NOW) == text
