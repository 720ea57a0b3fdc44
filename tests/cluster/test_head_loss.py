"""A head that is lost in any way costs no state, no worker and no job that runs on workers."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli import Cli
from faults import Faults
from kube import Kube, until
from survivor import HEAD, WORKERS, Survivor, longest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
ON_HEAD = ("--entrypoint-resources", '{"node:__internal_head__": 0.001}')
SLEEP = "import time, ray; ray.init(); time.sleep(3600)"
OOM = "x = bytearray(8 << 30); x[::4096] = b'x' * len(x[::4096])"


@pytest.fixture(scope="module")
def survivor(own_cluster: Path, space: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Survivor]:
    user = as_user(space, "edit")
    alive = Survivor(user, Cli(user))
    alive.raystead("up")
    alive.start()
    yield alive
    alive.raystead("down", "--yes")


def force(survivor: Survivor, faults: Faults, head: str) -> None:
    faults.delete_pod(survivor.user, head, force=True)


def graceful(survivor: Survivor, faults: Faults, head: str) -> None:
    faults.delete_pod(survivor.user, head, force=False)


def evict(survivor: Survivor, faults: Faults, head: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": head}}
    path = f"/api/v1/namespaces/{survivor.user.namespace}/pods/{head}/eviction"
    survivor.user.out("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def kill_container(survivor: Survivor, faults: Faults, head: str) -> None:
    faults.kill_container(survivor.user, head, "ray-head")


def kill_gcs(survivor: Survivor, faults: Faults, head: str) -> None:
    survivor.user.exec(head, "pkill", "-9", "-f", "gcs/gcs_server")


def oom(survivor: Survivor, faults: Faults, head: str) -> None:
    survivor.user.run("exec", head, "--", "python3", "-c", OOM, check=False)


# In this order: a pod whose container restarts twice waits 10 s before the second time, a new pod does not.
@pytest.mark.parametrize("fault", [force, kill_gcs, graceful, kill_container, evict, oom])
def test_a_lost_head_costs_nothing_else(
    survivor: Survivor, machine_faults: Faults, fault: Callable[[Survivor, Faults, str], None]
) -> None:
    workers, before = survivor.lives(WORKERS), survivor.lives(HEAD)
    doomed = survivor.submit(SLEEP, *ON_HEAD)
    until(lambda: survivor.job(doomed)["status"] == "RUNNING", 60, "the job on the head runs")
    last = survivor.beats()[-1].n or 0
    lost = time.time()
    fault(survivor, machine_faults, survivor.head())
    until(lambda: survivor.ready(HEAD, other_than=before), 120, "a new head is ready")
    ready = time.time()
    until(lambda: survivor.job(doomed)["status"] == "FAILED", 60, "the job of the lost driver is FAILED")
    failed = time.time()
    assert survivor.answer() > last
    beats = survivor.unhurt(since=lost)
    assert survivor.lives(WORKERS) == workers, "no worker restarted"
    assert survivor.job(survivor.pulse)["status"] == "RUNNING"
    print(
        f"{fault.__name__}: head ready {ready - lost:.1f} s, job FAILED {failed - ready:.1f} s later,"
        f" slowest of {len(beats)} beats {longest(beats):.2f} s"
    )
    assert failed - ready <= 10, "FAILED within 10 s of the new head's readiness"
