"""What makes an autoscaled cluster grow, which group grows, and what a loss on the way costs."""

import time
from collections.abc import Callable, Iterator

import pytest
from autoscaled import MORE, Auto, group, spec
from cli import Cli
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.cluster
IDLE = 8  # seconds
SMALL, GPU = group(), group("gpu", 1, rayStartParams={"num-gpus": "1"}, idleTimeoutSeconds=IDLE + 14)
SPREAD = """\
import ray
from ray.util.placement_group import placement_group
ray.init(namespace="t")
placement_group([{"CPU": 1}] * 2, strategy="STRICT_SPREAD", name="pair", lifetime="detached")
"""
PLACED = """\
import ray
from ray.util.placement_group import get_placement_group
ray.init(namespace="t")
print("PLACED" if get_placement_group("pair").wait(120) else "WAITS")
"""
GATHER = """\
import ray
from ray.util.placement_group import get_placement_group, remove_placement_group
ray.init(namespace="t")
remove_placement_group(get_placement_group("pair"))
"""
REQUEST = """\
import ray, sys
from ray.autoscaler.sdk import request_resources
ray.init()
request_resources(num_cpus=int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def auto(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Auto]:
    cli = Cli(as_user(space, "admin"))
    cli("up", "-f", "-", stdin=spec("v2", SMALL, GPU, storage="redis", idle=IDLE))
    yield Auto(space, cli)
    cli("down", "--yes")
    assert space.items("pods", "-l", "raystead.io/cluster=auto") == []


@pytest.fixture(autouse=True)
def left_empty(auto: Auto) -> Iterator[None]:
    """What a failed test still asks for keeps no worker of the next one."""
    yield
    auto.forget()
    auto.empty()


def by_group(auto: Auto) -> dict[str, int]:
    found: dict[str, int] = {}
    for pod in auto.pods():
        name = pod["metadata"]["labels"]["ray.io/group"]
        found[name] = found.get(name, 0) + 1
    return found


def uids(auto: Auto, labels: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in auto.space.items("pods", "-l", labels)}


def becomes(auto: Auto, wanted: dict[str, int], seconds: float = 120) -> None:
    until(lambda: by_group(auto) == wanted, seconds, f"the workers are {wanted}", every=1)


def test_a_group_with_gpus_grows_only_for_what_needs_one_and_goes_after_its_own_time(auto: Auto) -> None:
    """Over 60 s: a cluster and two workers start, and go one after the other."""
    auto.want("plain", num_cpus=1)
    becomes(auto, {"small": 1})
    auto.want("learner", num_cpus=0, num_gpus=1)
    becomes(auto, {"small": 1, "gpu": 1})
    until(lambda: auto.nodes() == {"small": 1, "gpu": 1}, 60, "both are alive", every=1)
    auto.kill("plain", "learner")
    auto.empty()
    assert auto.deleted() == ["small", "gpu"], "its own time-out is longer"


def test_a_placement_group_brings_its_workers_and_keeps_them(auto: Auto) -> None:
    """Over 60 s: two workers start, are kept for longer than an idle one would be, are deleted, come again, and go."""
    auto.run(SPREAD)
    becomes(auto, {"small": 2})
    until(lambda: auto.nodes() == {"small": 2}, 60, "both are alive", every=1)
    kept = auto.names()
    time.sleep(IDLE + 10)
    assert auto.names() == kept, "what holds a bundle is not idle"
    auto.space.run("delete", "pod", "--wait=false", *kept)
    until(lambda: auto.names().isdisjoint(kept) and len(auto.names()) == 2, 60, "two others come", every=1)
    assert "PLACED" in auto.run(PLACED)
    assert len(auto.names()) == 2
    auto.run(GATHER)
    auto.empty()


def test_requested_resources_stay_until_the_request_is_taken_back(auto: Auto) -> None:
    """Over 60 s: two workers start, are kept for longer than an idle one would be, and go."""
    auto.run(REQUEST, "2")
    becomes(auto, {"small": 2})
    until(lambda: sum(auto.nodes().values()) == 2, 60, "both are alive", every=1)
    kept = auto.names()
    time.sleep(IDLE + 10)
    assert auto.names() == kept
    auto.run(REQUEST, "0")
    auto.empty()


def test_a_group_that_is_added_grows_and_nobody_restarts(auto: Auto) -> None:
    """Over 60 s: two workers start and go when they are idle."""
    heads = uids(auto, "ray.io/node-type=head")
    (host,) = auto.have("a")
    extra = group("extra", 2, rayStartParams={"resources": '"{\\"disk\\": 1}"'})
    auto.cli("up", "-f", "-", stdin=spec("v2", SMALL, GPU, extra, storage="redis", idle=IDLE))
    auto.want("writer", num_cpus=0, resources={"disk": 1})
    becomes(auto, {"small": 1, "extra": 1})
    assert host in auto.names()
    assert uids(auto, "ray.io/node-type=head") == heads
    auto.kill("a", "writer")
    auto.empty()
    auto.cli("up", "-f", "-", "--yes", stdin=spec("v2", SMALL, GPU, storage="redis", idle=IDLE))


@pytest.mark.parametrize("lost", ["ray.io/node-type=head", "app=redis"])
def test_a_loss_while_it_grows_forgets_no_demand_and_ends_where_the_demand_says(
    auto: Auto, lost: str
) -> None:
    """Over 60 s: two workers start one after the other, and a head or Redis in between."""
    (first,) = auto.have("a")
    # On the first worker: Ray forgets an actor that is not made yet when its driver and the head have both ended.
    job = auto.cli.start("submit", "--", "python", "-c", MORE, "a", "b")
    until(lambda: len(auto.names()) == 2, 120, "the second worker is made", every=0.5)
    auto.space.run("delete", "pod", "-l", lost, "--force", "--grace-period=0")
    out, err = job.communicate(timeout=patience(240))
    assert job.returncode == 0, err
    hosts = out.rpartition("HOSTS ")[2].partition("\n")[0].split()
    assert hosts[0] == first, "a worker with an actor outlives the loss"
    until(
        lambda: auto.names() == set(hosts), 120, "no more than the demand", every=1
    )  # Ray asks for one too many for a while
    assert auto.names() == set(auto.state()["groups"]["small"]["names"])
    auto.kill("a", "b")
    auto.empty()
