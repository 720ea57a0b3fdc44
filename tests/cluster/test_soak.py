"""Ten losses of head and Redis at random moments under a stream of tasks: no state is lost, no worker restarts."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import test_head_loss
import test_redis_loss
from cli import Cli
from faults import Faults
from kube import Kube, until
from survivor import WORKERS, Survivor, longest

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(2400)]
SEED, FAULTS = 20261124, 10


def test_ten_losses_at_random_moments(
    own_cluster: Path, space: Kube, as_user: Callable[[Kube, str], Kube], machine_faults: Faults
) -> None:
    user = as_user(space, "edit")
    survivor = Survivor(user, Cli(user))
    survivor.raystead("up")
    survivor.start()
    chance = random.Random(SEED)
    head = [
        test_head_loss.force,
        test_head_loss.graceful,
        test_head_loss.kill_gcs,
        test_head_loss.kill_container,
    ]
    redis = [test_redis_loss.force, test_redis_loss.graceful, test_redis_loss.kill_container]
    workers, begun = survivor.lives(WORKERS), time.time()
    for number in range(FAULTS):
        # some come before the cluster is whole from the last one
        time.sleep(chance.uniform(2, 40))
        fault = chance.choice([*head, *redis])
        print(f"{number + 1} {time.time() - begun:.0f} s {fault.__module__}.{fault.__name__}")
        try:
            if fault in head:
                fault(survivor, machine_faults, survivor.head())
            else:
                fault(survivor, machine_faults)
        except (AssertionError, IndexError, StopIteration) as error:
            print("  nothing there to break now:", error)
    until(lambda: test_redis_loss.whole(survivor), 400, "whole at the end", every=2)
    assert survivor.answer() > 0
    beats = survivor.unhurt(since=begun)
    assert survivor.lives(WORKERS) == workers, "no worker restarted"
    assert survivor.job(survivor.pulse)["status"] == "RUNNING"
    print(f"{len(beats)} beats, the slowest {longest(beats):.1f} s, counter {beats[-1].n}")
    survivor.raystead("down", "--yes")
