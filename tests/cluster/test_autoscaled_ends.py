"""Autoscaled clusters that end by themselves: with their job, or once they are idle."""

import time
from collections.abc import Callable

import pytest
import yaml
from autoscaled import IDLE, Auto, cluster, spec
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.cluster
PROGRAM = (
    "import ray; ray.init(); "
    "hosts = ray.remote(num_cpus=1)(lambda: (__import__('time').sleep(8), __import__('socket').gethostname())[1]); "
    "print('HOSTS', len(set(ray.get([hosts.options(scheduling_strategy='SPREAD').remote() for _ in range(2)]))))"
)


def test_an_autoscaled_job_gets_its_workers_and_takes_them_along(
    space: Kube, as_user: Callable[[Kube, str], Kube]
) -> None:
    """Over 60 s: a cluster starts, then its workers, and both end with the job."""
    cli = Cli(as_user(space, "admin"))
    job = {"entrypoint": f'python -c "{PROGRAM}"', "shutdownAfterJobFinishes": True}
    document = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "grows"}}
    text = yaml.safe_dump({**document, "spec": {**job, "rayClusterSpec": cluster("v2")}})
    done = cli("run", "-f", "-", stdin=text, timeout=400)
    assert "HOSTS 2" in done.stdout, "two tasks of a CPU each at a time need two workers"
    until(lambda: not space.items("pods", "-l", "ray.io/node-type"), 60, "head and workers are gone", every=1)
    cli("down", "grows", "--yes")


def test_an_idle_cluster_goes_to_no_workers_and_then_to_nothing(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """Over 60 s: a worker starts, goes when it is idle, and the cluster half a minute later."""
    space = namespace()
    cli = Cli(as_user(space, "admin"))
    cli("up", "-f", "-", stdin=spec("v2", idle_timeout="45s"))
    auto = Auto(space, cli)
    auto.have("a")
    time.sleep(50)
    assert len(auto.pods()) == 1, "an actor is work: neither the worker nor the cluster ends"
    auto.kill("a")
    begun = time.monotonic()
    auto.empty()
    without_workers = time.monotonic() - begun
    assert space.items("pods", "-l", "ray.io/node-type=head"), (
        f"after {IDLE} s the worker goes, after 45 s all"
    )
    until(lambda: not space.items("pods"), 120, "the cluster is gone", every=1)
    print(f"no worker after {without_workers:.1f} s, no cluster after {time.monotonic() - begun:.1f} s")
    assert "no cluster" in cli("list").stdout + cli("list").stderr
