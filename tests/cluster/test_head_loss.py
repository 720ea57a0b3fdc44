"""A head that is lost in any way costs no state, no worker and no job that runs on workers."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from faults import Faults
from kube import until
from patience import patience
from survivor import HEAD, PATIENCE, WORKERS, Survivor, longest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ON_HEAD = ("--entrypoint-resources", '{"node:__internal_head__": 0.001}')
SLEEP = "import time, ray; ray.init(); time.sleep(3600)"
# With cgroup v1 the kernel kills one process and not the container: here the GCS, as the one that it likes best.
OOM = """
import contextlib, glob
for name in glob.glob("/proc/[0-9]*/cmdline"):
    with contextlib.suppress(FileNotFoundError):  # it has ended
        if open(name).read().split(chr(0))[0].endswith("gcs/gcs_server"):
            open(name.replace("cmdline", "oom_score_adj"), "w").write("1000")
x = bytearray(16 << 30)
x[::4096] = b"x" * len(x[::4096])
"""


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
    done = survivor.user.run("exec", head, "--", "python3", "-c", OOM, check=False)
    assert "Error" not in done.stderr, done.stderr


# In this order: a pod whose container restarts twice waits 10 s before the second time, a new pod does not.
@pytest.mark.parametrize("fault", [force, kill_gcs, graceful, kill_container, evict, oom])
def test_a_lost_head_costs_nothing_else(
    survivor: Survivor, machine_faults: Faults, fault: Callable[[Survivor, Faults, str], None]
) -> None:
    workers, before = survivor.lives(WORKERS), survivor.lives(HEAD)
    doomed = survivor.submit(SLEEP, *ON_HEAD)
    until(lambda: survivor.job(doomed)["status"] == "RUNNING", PATIENCE, "the job on the head runs")
    last = survivor.beats()[-1].n or 0
    lost = time.time()
    fault(survivor, machine_faults, survivor.head())
    until(lambda: survivor.ready(HEAD, other_than=before), PATIENCE, "a new head is ready")
    ready = time.time()
    until(
        lambda: survivor.job(doomed)["status"] == "FAILED", PATIENCE, "the job of the lost driver is FAILED"
    )
    failed = time.time()
    assert survivor.answer() > last
    beats = survivor.unhurt(since=lost)
    assert survivor.lives(WORKERS) == workers, "no worker restarted"
    assert survivor.job(survivor.pulse)["status"] == "RUNNING"
    print(
        f"{fault.__name__}: head ready {ready - lost:.1f} s, job FAILED {failed - ready:.1f} s later,"
        f" slowest of {len(beats)} beats {longest(beats):.2f} s"
    )
    assert failed - ready <= patience(10), "FAILED within 10 s of the new head's readiness"


COMMAND = re.compile(r'^(\d+\.\d+) \[\d+ ([\d.]+):\d+\] "(\w+)" "([^"]*)"')
WRITES = {"hset", "hsetnx", "hdel", "del", "unlink", "incrby"}


def writes(monitor: str) -> dict[str, list[float]]:
    """By client address, when it wrote. `DEL DUMMY` is how a GCS looks whether Redis is there."""
    out: dict[str, list[float]] = {}
    for line in monitor.splitlines():
        found = COMMAND.match(line)
        if found and found[3].lower() in WRITES and found[4] != "DUMMY":
            out.setdefault(found[2], []).append(float(found[1]))
    return out


def test_an_old_head_that_lives_on_writes_no_more(survivor: Survivor, tmp_path: Path) -> None:
    """Its preStop keeps the old GCS alive for 20 s, and the ReplicaSet makes the new pod at once."""
    spec = yaml.safe_load(survivor.raystead("render", "--as", "raycluster").stdout)
    template = spec["spec"]["headGroupSpec"]["template"]["spec"]
    template["terminationGracePeriodSeconds"] = 30
    template["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "20"]}}}
    file = tmp_path / "slow-end.yaml"
    file.write_text(yaml.safe_dump(spec))
    survivor.raystead("up", "-f", str(file), "--yes")  # the head restarts
    old, user = survivor.pods(HEAD)[0], survivor.user
    name, address = old["metadata"]["name"], old["status"]["podIP"]
    script = 'REDISCLI_AUTH="$(cat /etc/raystead/redis/password)" timeout 50 redis-cli monitor'
    with ThreadPoolExecutor(1) as pool:
        monitor = pool.submit(user.exec, "redis-0", "sh", "-c", script, check=False, timeout=70)
        time.sleep(2)
        before = survivor.lives(HEAD)
        user.run("delete", "pod", name, "--wait=false")
        until(lambda: survivor.ready(HEAD, other_than=before), PATIENCE, "a new head is ready", every=1)
        new = survivor.pods(HEAD)[0]["status"]["podIP"]
        until(lambda: user.run("get", "pod", name, check=False).returncode, PATIENCE, "the old pod is gone")
        gone = time.time()
        seen = writes(monitor.result())
    assert min(seen[new]) < gone - 1, "the old pod was there when the new head began to write"
    assert max(seen.get(address, [0])) < min(seen[new]), "the old GCS wrote no more"
    assert survivor.answer() > 0
