"""Ray's own autoscaler on a cluster without KubeRay, as an `admin` user: workers come, go, and are never doubled."""

import time
from collections.abc import Callable, Iterator

import pytest
from autoscaled import Auto, spec
from cli import Cli
from fixtures import fresh
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def auto(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Auto]:
    cli = Cli(as_user(space, "admin"))
    cli("up", "-f", "-", stdin=spec("v2"))
    yield Auto(space, cli)
    cli("down", "--yes")
    assert space.items("pods", "-l", "raystead.io/cluster=auto") == []


def test_two_detached_actors_bring_two_workers_which_go_when_they_are_idle(auto: Auto) -> None:
    """Over 60 s: a cluster and two workers start, are idle for 15 s, and go."""
    assert auto.pods() == []
    begun = time.monotonic()
    hosts = auto.have("a", "b")
    came = time.monotonic() - begun
    assert set(hosts) == auto.names()
    assert len(set(hosts)) == 2
    assert "2" in next(line for line in auto.cli("status").stdout.splitlines() if line.startswith("small"))
    assert auto.nodes() == {"small": 2}
    begun = time.monotonic()
    auto.kill("a", "b")
    auto.empty()
    print(f"demand to both answering {came:.1f} s; idle to gone {time.monotonic() - begun:.1f} s")
    assert "nothing to change" in auto.cli("plan", "--name", "auto").stdout


def test_bounds_change_while_it_runs(auto: Auto) -> None:
    auto.cli("scale", "1..2")
    assert len(auto.pods()) == 1
    assert "between 1 and 2" in auto.cli("scale", "3", code=2).stderr
    auto.cli("scale", "0..3")
    auto.empty()


def test_a_worker_that_is_deleted_by_force_comes_back_under_a_new_name(auto: Auto) -> None:
    (host,) = auto.have("c")
    auto.space.run("delete", "pod", host, "--force", "--grace-period=0")
    until(lambda: host not in auto.names() and len(auto.pods()) == 1, 120, "another pod is there", every=1)
    # What is deleted by force may still answer for a moment.
    until(lambda: auto.have("c") != [host], 120, "the actor is on the new worker", every=1)


def test_a_steward_that_is_killed_loses_nothing_and_makes_no_pod_twice(auto: Auto) -> None:
    """Over 60 s: a worker starts, and both are idle for 15 s before they go."""
    before = auto.names()
    auto.space.run("exec", "deploy/auto-head", "-c", "steward", "--", "sh", "-c", "kill -9 1 || kill 1")
    auto.begin("d")
    assert len(set(auto.have("c", "d"))) == 2
    assert before < auto.names()
    assert len(auto.pods()) == 2
    assert auto.names() == set(auto.state()["groups"]["small"]["names"])
    auto.kill("c", "d")
    auto.empty()


def test_a_quota_that_is_hit_midway_is_told(auto: Auto) -> None:
    """Over 60 s: two workers start one after the other, the second after its refusal is tried again."""
    until(lambda: len(auto.space.items("pods")) == 1, 120, "what is ending no longer counts; the head stays")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    auto.space.apply({**quota, "spec": {"hard": {"pods": "2"}}})
    auto.begin("e", "f")
    until(lambda: "exceeded quota" in auto.cli("status").stdout, 120, "status tells of the quota", every=2)
    assert "few" in auto.cli("explain", code=None).stdout
    until(lambda: len(auto.pods()) == 1, 60, "what fits is there", every=1)
    auto.space.run("delete", "resourcequota", "few")
    assert len(set(auto.have("e", "f"))) == 2
    auto.kill("e", "f")


def test_a_suspended_cluster_has_no_pods_and_comes_back(auto: Auto) -> None:
    auto.cli("suspend", "--yes")
    until(lambda: not auto.space.items("pods", "-l", "raystead.io/cluster=auto"), 120, "all pods are gone")
    auto.cli("resume")


def test_the_first_autoscaler_v1_too(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """A cluster of its own: the version is the head's, and is read at its start."""
    space = namespace()
    cli = Cli(as_user(space, "admin"))
    cli("up", "-f", "-", stdin=spec("v1"))
    auto = Auto(space, cli)
    assert len(set(auto.have("a", "b"))) == 2
    until(lambda: auto.nodes() == {"small": 2}, 30, "it says so itself", every=2)
    auto.kill("a", "b")
    auto.empty()
    cli("down", "--yes")


def test_demand_that_no_worker_can_take_is_told_with_the_worker_it_would_need(auto: Auto) -> None:
    auto.want("wide", num_cpus=8)
    until(
        lambda: "no group's worker has 8 CPU" in auto.cli("status").stdout, 60, "status tells of it", every=2
    )
    said = auto.cli("explain", code=None).stdout
    assert "no group's worker has 8 CPU" in said
    auto.kill("wide")
    assert auto.pods() == []


@pytest.fixture(scope="module")
def alone(admin: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Auto]:
    """An autoscaled cluster of an `edit` user, whose steward has no rights."""
    with fresh(admin) as space:
        cli = Cli(as_user(space, "edit"))
        assert "`raystead autoscale auto` runs" in cli("up", "-f", "-", stdin=spec("v2")).stderr
        yield Auto(space, cli)
        cli("down", "--yes")


def test_with_edit_alone_a_client_makes_the_workers_and_may_be_killed(alone: Auto) -> None:
    """Two workers start one after the other, then both are idle for long enough."""
    assert "nobody runs raystead autoscale" in alone.cli("status").stdout
    assert "raystead autoscale auto" in alone.cli("explain", code=None).stdout
    first = alone.cli.start("autoscale")
    (kept,) = alone.have("a")
    second = alone.cli.start("autoscale")
    alone.begin("b")
    until(lambda: len(alone.names()) == 2, 60, "the second worker is made", every=0.1)
    first.kill()  # its worker has just been made: the next one has to know
    first.communicate()
    hosts = alone.have("a", "b")
    assert hosts[0] == kept
    assert alone.names() == set(hosts) == set(alone.state()["groups"]["small"]["names"])
    alone.kill("a", "b")
    alone.empty()
    second.kill()
    said = second.communicate()[1]
    assert 'acts for "auto" already' in said
    assert said.count("no longer wanted") == 2


def test_a_client_goes_on_with_another_head_until_its_steward_gets_an_account(alone: Auto) -> None:
    """The head is replaced twice, and waited for."""
    acting = alone.cli.start("autoscale")
    log = ("logs", "deploy/auto-head", "-c", "steward", "--tail=1")
    until(lambda: f":{acting.pid}:" in alone.space.out(*log), 60, "it acts")
    alone.space.run("delete", "pod", "-l", "ray.io/node-type=head")
    until(lambda: f":{acting.pid}:" in alone.space.out(*log), 120, "it has met another head")
    asked_for = alone.cli("autoscale", "auto", "--rbac").stdout
    alone.space.run("apply", "-f", "-", stdin=asked_for)  # an administrator has answered
    alone.cli("up", "--name", "auto", "--service-account", "raystead-auto-autoscaler", "--yes")
    said = acting.communicate(timeout=patience(60))[1]
    assert acting.returncode == 90, said
    assert "the head is away" in said
    assert said.count("connected to the head") >= 2, said
    assert "asyncio" not in said, said
    assert alone.have("c")
    assert "nobody runs raystead autoscale" not in alone.cli("status").stdout
