"""Workers, all pods at once, the API server: the cluster ends as its spec says."""

import re
import time

import pytest
from faults import Faults
from kube import until
from survivor import HEAD, PATIENCE, WORKERS, Survivor

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(900), pytest.mark.long]


def as_the_spec_says(survivor: Survivor) -> bool:
    pods = [p for p in survivor.user.items("pods") if not p["metadata"].get("deletionTimestamp")]
    ready = [
        p
        for p in pods
        if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions") or [])
    ]
    return len(pods) == len(ready) == 4 and survivor.nodes() == 3


@pytest.mark.parametrize("by_force", [True, False], ids=["by force", "gracefully"])
def test_a_lost_worker_is_replaced_and_the_rest_goes_on(
    survivor: Survivor, machine_faults: Faults, by_force: bool
) -> None:
    """The one without the driver and, the second time, without the actor: its loss costs nothing else."""
    others = survivor.lives(WORKERS)
    heads = survivor.lives(HEAD)
    victim = next(name for name in others if name != survivor.driver)
    machine_faults.delete_pod(survivor.user, victim, force=by_force)
    until(lambda: survivor.lives(WORKERS).keys() != others.keys(), PATIENCE, "a new worker pod", every=1)
    until(lambda: as_the_spec_says(survivor), PATIENCE, "as the spec says", every=1)
    assert survivor.lives(HEAD) == heads
    assert survivor.lives(WORKERS)[survivor.driver] == others[survivor.driver]
    assert survivor.job(survivor.pulse)["status"] == "RUNNING"
    assert "nothing is wrong, 4 of 4 pods are ready" in survivor.raystead("explain").stdout
    since = re.search(r"Ready since (\d+) s", survivor.raystead("status").stdout)
    assert since, "status tells that something has just come back"


def test_an_api_server_that_is_away_stops_nothing(survivor: Survivor, machine_faults: Faults) -> None:
    lives = survivor.lives(WORKERS) | survivor.lives(HEAD)
    with machine_faults.no_api_server():
        time.sleep(10)
    until(lambda: as_the_spec_says(survivor), PATIENCE, "as the spec says", every=1)
    assert survivor.lives(WORKERS) | survivor.lives(HEAD) == lives, "no container restarted"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_api_server_that_is_away_for_five_minutes_stops_nothing(
    survivor: Survivor, machine_faults: Faults
) -> None:
    lives = survivor.lives(WORKERS) | survivor.lives(HEAD)
    with machine_faults.no_api_server():
        time.sleep(300)
    until(lambda: as_the_spec_says(survivor), PATIENCE, "as the spec says", every=1)
    assert survivor.lives(WORKERS) | survivor.lives(HEAD) == lives, "no container restarted"


def test_all_pods_deleted_at_once_the_cluster_comes_back(survivor: Survivor) -> None:
    """A namespace-wide restart, last here: the driver goes with its worker, the detached actor does not come back
    with its state, but the cluster is whole and runs jobs.
    """
    survivor.user.run("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")
    until(lambda: as_the_spec_says(survivor), PATIENCE, "as the spec says", every=1)
    done = survivor.raystead("submit", "-q", "--", "python", "-c", "import ray; ray.init(); print('runs')")
    assert "runs" in done.stdout
    until(
        lambda: survivor.job(survivor.pulse)["status"] == "FAILED",
        PATIENCE,
        "the job of before is FAILED",
        every=1,
    )
