"""How soon a lost head is forgotten; asserted here and not where other tests run at the same time."""

import time

import pytest
from faults import Faults
from kube import until
from shared import Running
from test_connect import HEAD, Connected
from test_head_loss import ON_HEAD

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(600)]


def test_connect_is_back_within_3_seconds_and_a_dead_job_is_failed_within_10(
    running: Running, faults: Faults
) -> None:
    """Both counted from the moment when the new head is ready."""
    job = running.cli("submit", "--no-wait", "-q", *ON_HEAD, "--", "sleep", "600").stdout.strip()
    until(lambda: "RUNNING" in running.cli("job", "status", job).stdout, 60, "the job on the head runs")
    here = Connected(running.cli)
    assert here.version() == 200
    (old,) = running.space.items("pods", "-l", HEAD)
    faults.delete_pod(running.space, old["metadata"]["name"], force=True)

    def serves() -> bool:
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for pod in running.space.items("pods", "-l", HEAD)
            if pod["metadata"]["uid"] != old["metadata"]["uid"]
            for condition in pod["status"].get("conditions") or []
        )

    until(serves, 180, "a new head serves")
    ready = time.monotonic()
    until(lambda: here.version() == 200, 30, "the same address serves again", every=0.1)
    back = time.monotonic() - ready
    until(lambda: "FAILED" in running.cli("job", "status", job).stdout, 60, "the dead driver's job is FAILED")
    failed = time.monotonic() - ready
    here.end()
    print(f"connect {back:.1f} s, FAILED {failed:.1f} s after the new head is ready")
    assert back <= 3
    assert failed <= 10
