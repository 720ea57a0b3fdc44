"""Verbs that talk to Ray, on a cluster whose head cannot start: one sentence with the cause, and what to run."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.api

GET = "import os, urllib.request; urllib.request.urlopen(os.environ['RAY_ADDRESS'], timeout=5)"


def test_each_verb_says_why_the_head_does_not_run(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    space = namespace(quota={"pods": "0"})
    edit = Cli(as_user(space, "edit"))
    edit("up", "--yes", "--wait=false")

    def refused() -> bool:
        said = edit("explain", code=None)
        return "refuses" in said.stdout and "head" in said.stdout

    until(refused, 30, "the quota has refused the head")
    for words in (
        ("verify",),
        ("job", "list"),
        ("job", "status"),
        ("job", "logs", "raysubmit_1"),
        ("job", "stop", "raysubmit_1"),
    ):
        said = edit(*words, code=73).stderr
        assert said.startswith("raystead: the head does not run: quota"), said
        assert "  do     " in said
        assert "Error" not in said
        assert "127.0.0.1" not in said
    said = edit("verify", "--yes", code=90).stderr
    assert "is not whole now: a fault would prove nothing" in said
    assert "quota" in said
    assert "raystead explain" in said
    said = edit("connect", "--", sys.executable, "-c", GET, code=1).stderr
    assert "! the head does not run: quota" in said
