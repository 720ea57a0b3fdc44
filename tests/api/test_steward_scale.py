"""The steward's own part in 1,000 workers: from the autoscaler's patch to the last pod created, and its memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from cli import Cli
from kube import Kube, until
from patience import patience
from stewards import StewardProcess, spec

pytestmark = [pytest.mark.api, pytest.mark.long]
COUNT, SECONDS = 1000, 8.0
EMPTY_MB, FULL_MB = 40.0, 60.0


def test_a_thousand_workers_are_made_in_eight_seconds_with_sixty_megabytes(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """A thousand pods on a real API server, where none of them runs."""
    user = as_user(namespace(), "admin")
    Cli(user)("up", "--wait=false", "-f", "-", stdin=spec(COUNT))
    steward = StewardProcess(user)
    try:
        time.sleep(2)  # it has looked once
        before, begun = steward.memory(), time.monotonic()
        steward.want(COUNT)
        until(
            lambda: sum(" made, " in line for line in steward.lines) >= COUNT, 120, "all are made", every=0.05
        )
        took = time.monotonic() - begun
        time.sleep(5)  # the watch has told of all of them
        after = steward.memory()
    finally:
        steward.close()
    print(f"{COUNT} pods in {took:.1f} s; {before:.0f} MB with none, {after:.0f} MB with all")
    assert len(user.out("get", "pods", "-l", "ray.io/group=small", "-o", "name").splitlines()) == COUNT
    assert before < EMPTY_MB
    assert after < FULL_MB
    assert took < patience(SECONDS)
