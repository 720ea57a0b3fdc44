"""Redis on a volume may be lost in any way: the GCS ends with it and comes back with all it knew."""

import time
from collections.abc import Callable

import pytest
from faults import Faults
from kube import until
from survivor import HEAD, PATIENCE, WORKERS, Survivor, longest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
REDIS = "app=redis"
CUT = 90.0  # seconds; the window is 600 (RAY_gcs_rpc_server_reconnect_timeout_s)
CLIENT = 'REDISCLI_AUTH="$(cat /etc/raystead/redis/password)" redis-cli'
FILL = f"""
i=0
while [ $((i+=1)) -le 100 ]; do
  answer=$({CLIENT} setrange fill:$i 16000000 x)
  case $answer in *OOM*) echo "$answer"; exit 0;; esac
done
echo "never full"
"""


def graceful(survivor: Survivor, faults: Faults) -> None:
    faults.delete_pod(survivor.user, "redis-0", force=False)


def force(survivor: Survivor, faults: Faults) -> None:
    faults.delete_pod(survivor.user, "redis-0", force=True)


def kill_container(survivor: Survivor, faults: Faults) -> None:
    faults.kill_container(survivor.user, "redis-0", "redis")


def whole(survivor: Survivor) -> bool:
    """Head and Redis are ready and Ray knows three nodes."""
    seen = survivor.ready(REDIS), survivor.ready(HEAD), survivor.nodes()
    assert seen == (True, True, 3), (
        f"Redis ready, head ready, nodes: {seen}; {survivor.raystead('status', code=None).stdout}"
    )
    return True


def unhurt(survivor: Survivor, lost: float, workers: object, last: int) -> str:
    assert survivor.answer() > last, "the detached actor is known and has its state"
    beats = survivor.unhurt(since=lost)
    assert survivor.lives(WORKERS) == workers, "no worker restarted"
    assert survivor.job(survivor.pulse)["status"] == "RUNNING"
    return f"slowest of {len(beats)} beats {longest(beats):.2f} s"


@pytest.mark.parametrize("fault", [graceful, force, kill_container])
def test_a_lost_redis_costs_nothing_else(
    survivor: Survivor, machine_faults: Faults, fault: Callable[[Survivor, Faults], None]
) -> None:
    """Over 60 s: a head that has lost Redis ends only after a while, and starts anew."""
    workers, heads, redis = survivor.lives(WORKERS), survivor.lives(HEAD), survivor.lives(REDIS)
    last, lost = survivor.beats()[-1].n or 0, time.time()
    fault(survivor, machine_faults)
    until(lambda: survivor.ready(REDIS, other_than=redis), PATIENCE, "Redis is back")
    until(
        lambda: survivor.ready(HEAD, other_than=heads),
        PATIENCE,
        "the GCS ended and its head is back",
        every=1,
    )
    until(lambda: whole(survivor), PATIENCE, "three nodes", every=1)
    back = time.time()
    print(f"{fault.__name__}: whole {back - lost:.1f} s,", unhurt(survivor, lost, workers, last))


@pytest.mark.long
def test_redis_cut_off_for_90_seconds(survivor: Survivor, machine_faults: Faults) -> None:
    workers, last, lost = survivor.lives(WORKERS), survivor.beats()[-1].n or 0, time.time()
    with machine_faults.no_network(survivor.user, "redis-0"):
        time.sleep(CUT)
    mended = time.time()
    until(lambda: whole(survivor), PATIENCE, "whole again", every=1)
    print(f"cut: whole {time.time() - mended:.1f} s later,", unhurt(survivor, lost, workers, last))


@pytest.mark.long
def test_a_full_redis_refuses_and_loses_nothing(survivor: Survivor, machine_faults: Faults) -> None:
    user, workers, last, lost = (
        survivor.user,
        survivor.lives(WORKERS),
        survivor.beats()[-1].n or 0,
        time.time(),
    )
    redis = survivor.lives(REDIS)
    said = user.exec("redis-0", "sh", "-c", FILL, timeout=120)
    assert "OOM command not allowed when used memory > 'maxmemory'" in said
    time.sleep(20)
    assert survivor.lives(REDIS) == redis, "Redis refuses, it is not killed"
    until(
        lambda: "OOM command not allowed" in _log(survivor),
        PATIENCE,
        "the head says that Redis is full",
        every=2,
    )
    clean = f"i=0; while [ $((i+=1)) -le 100 ]; do {CLIENT} del fill:$i; done"
    user.exec("redis-0", "sh", "-c", clean, timeout=120)
    until(lambda: whole(survivor), PATIENCE, "whole again", every=1)
    print("full:", unhurt(survivor, lost, workers, last))


def _log(survivor: Survivor) -> str:
    head = survivor.head()
    return survivor.user.out("logs", head) + survivor.user.out("logs", head, "--previous", check=False)
