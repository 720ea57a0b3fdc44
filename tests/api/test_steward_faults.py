"""The steward on a real API server: what admission refuses, what somebody does to its pods, and its own death."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cli import Cli
from kube import Kube, until
from stewards import STEWARD, StewardProcess, spec

pytestmark = [pytest.mark.api, pytest.mark.long]
GROUP = "ray.io/group=small"


class Grown:
    """The cluster `auto` of an `admin` user and its steward; Ray's autoscaler is the test."""

    def __init__(self, user: Kube) -> None:
        self.user, self.cli = user, Cli(user)
        self.cli("up", "--wait=false", "-f", "-", stdin=spec(40))
        self.steward = StewardProcess(user)

    def pods(self) -> list[dict[str, Any]]:
        return self.user.items("pods", "-l", GROUP)

    def names(self) -> set[str]:
        """Of those that are not on their way out."""
        return {pod["metadata"]["name"] for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]}

    def become(self, count: int, seconds: float = 40) -> set[str]:
        until(lambda: len(self.names()) == count, seconds, f"there are {count} workers")
        return self.names()

    def shrink(self) -> None:
        """To none, whoever is there."""
        self.steward.want(0, *self.names())
        until(lambda: not self.pods(), 40, "no worker is left")
        self.steward.want(0)

    def seen(self) -> int:
        """The most that Ray's autoscaler is told that it may have."""
        return int(self.steward.ask()["spec"]["workerGroupSpecs"][0]["maxReplicas"])

    def kept(self) -> list[str]:
        state = json.loads(self.user.get("configmap", STEWARD)["data"]["state"])
        return list(state["groups"]["small"]["names"])


@pytest.fixture(scope="module")
def grown(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Grown]:
    made = Grown(as_user(space, "admin"))
    yield made
    made.steward.close()


@pytest.fixture(autouse=True)
def left_empty(grown: Grown) -> Iterator[None]:
    yield
    if grown.steward.process.poll() is not None:
        grown.steward.start()
    grown.shrink()


QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
LIMIT = {"type": "Container", "max": {"cpu": "500m"}}
LIMITS = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [LIMIT]},
}


def test_a_quota_is_told_bounds_the_autoscaler_and_may_be_raised(grown: Grown, space: Kube) -> None:
    space.apply({**QUOTA, "spec": {"hard": {"pods": "4"}}})  # the head is the fourth
    until(lambda: "used" in space.get("quota", "few").get("status", {}), 20, "the quota is counted")
    grown.steward.want(5)
    grown.become(3)
    until(lambda: grown.seen() == 3, 10, "no more are asked for than fit")
    assert "exceeded quota" in grown.cli("status").stdout
    assert "few" in grown.cli("explain", code=None).stdout
    space.apply({**QUOTA, "spec": {"hard": {"pods": "5"}}})
    grown.become(4)
    space.run("delete", "quota", "few")
    grown.become(5)
    until(lambda: grown.seen() == 40, 20, "the refusal is forgotten")
    until(lambda: "exceeded quota" not in grown.cli("status").stdout, 20, "and no longer told")


@pytest.mark.parametrize("what", ["limits", "security"])
def test_an_admission_that_refuses_every_pod_is_told_and_asked_again(
    grown: Grown, space: Kube, admin: Kube, what: str
) -> None:
    enforce = "pod-security.kubernetes.io/enforce"
    if what == "limits":
        space.apply(LIMITS)
    else:  # an image that nobody hardens unasked
        grown.cli("up", "--wait=false", "-f", "-", "--yes", stdin=spec(40).replace("rayproject", "mine"))
        admin.run("label", "namespace", space.namespace, f"{enforce}=restricted")
    grown.steward.want(2)
    words = "maximum cpu usage per Container is 500m" if what == "limits" else "violates PodSecurity"
    until(lambda: words in grown.cli("status").stdout, 30, "status tells of it")
    assert grown.names() == set()
    if what == "limits":
        space.run("delete", "limitrange", "small")
    else:
        admin.run("label", "namespace", space.namespace, f"{enforce}-")
    grown.become(2)
    grown.cli("up", "--wait=false", "-f", "-", "--yes", stdin=spec(40))


def test_a_pod_that_is_deleted_and_held_by_a_finalizer_is_replaced_at_once(grown: Grown, space: Kube) -> None:
    grown.steward.want(2)
    first, second = sorted(grown.become(2))
    hold = json.dumps({"metadata": {"finalizers": ["example.com/hold"]}})
    for name in (first, second):
        space.run("patch", "pod", name, "--type=merge", "-p", hold)
    space.run("delete", "pod", first, "--wait=false")
    until(lambda: first not in grown.names() and len(grown.names()) == 2, 30, "another is in its place")
    grown.steward.want(1, second)
    until(lambda: second not in grown.names() and len(grown.names()) == 1, 30, "what Ray gives back goes")
    assert len(grown.pods()) == 3, "both are held"
    for name in (first, second):
        space.run("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    until(lambda: len(grown.pods()) == 1, 30, "and go when they are let go")


def test_a_worker_on_a_machine_that_died_is_replaced_before_anybody_confirms_its_end(
    grown: Grown, space: Kube, admin: Kube
) -> None:
    """As the node controller does it after five minutes: the pod is deleted, and no kubelet says that it has gone."""
    admin.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "dead"}})
    grown.steward.want(2)
    lost, other = sorted(grown.become(2))
    target = {"apiVersion": "v1", "kind": "Node", "name": "dead"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": lost}, "target": target}
    path = f"/api/v1/namespaces/{space.namespace}/pods/{lost}/binding"
    space.run("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    space.run("delete", "pod", lost, "--wait=false")
    until(lambda: lost not in grown.names() and len(grown.names()) == 2, 30, "another is in its place")
    there = grown.names()
    assert other in there
    assert len(grown.pods()) == 3, "its end is not confirmed"
    admin.run("delete", "node", "dead")
    space.run("delete", "pod", lost, "--force", "--grace-period=0")  # as Kubernetes does a minute later
    until(lambda: len(grown.pods()) == 2, 20, "it is gone")
    assert grown.names() == there == set(grown.kept())


def test_a_steward_that_is_killed_again_and_again_makes_no_pod_twice(grown: Grown) -> None:
    chance = random.Random(19)
    for count in (12, 25, 40):
        grown.steward.want(count)
        for _ in range(3):
            time.sleep(chance.random() / 3)
            grown.steward.kill()
            grown.steward.start()
    names = grown.become(40)
    assert names == set(grown.kept())
    assert len(grown.pods()) == 40, "none is on its way out: no pod was one too many"


def test_a_steward_that_was_paused_ends_when_another_one_has_acted(grown: Grown) -> None:
    grown.steward.want(1)
    grown.become(1)
    paused = grown.steward.process
    paused.send_signal(signal.SIGSTOP)
    other = StewardProcess(grown.user)
    try:
        other.want(4)
        names = grown.become(4)
        paused.send_signal(signal.SIGCONT)
        assert paused.wait(60) == 3
        assert grown.become(4) == names == set(grown.kept())
    finally:
        other.close()


def test_a_group_that_leaves_the_file_takes_its_workers_along(grown: Grown) -> None:
    grown.cli("up", "--wait=false", "-f", "-", stdin=spec(40, "extra"))
    until(lambda: len(grown.steward.ask()["spec"]["workerGroupSpecs"]) == 2, 20, "the steward knows it")
    grown.steward.want(2, group=1)
    until(lambda: len(grown.user.items("pods", "-l", "ray.io/group=extra")) == 2, 30, "two are there")
    grown.steward.want(1)
    (kept,) = grown.become(1)
    said = grown.cli("plan", "-f", "-", stdin=spec(40)).stdout
    assert "extra" in said
    grown.cli("up", "--wait=false", "-f", "-", "--yes", stdin=spec(40))
    until(lambda: not grown.user.items("pods", "-l", "ray.io/group=extra"), 30, "they are gone")
    assert grown.names() == {kept}


def test_down_in_the_midst_of_growing_leaves_nothing(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """Even where its steward goes on, as this one does, which is in no pod."""
    made = Grown(as_user(namespace(), "admin"))
    try:
        made.steward.want(40)
        until(lambda: made.names(), 20, "it has begun", every=0)
        made.cli("down", "--yes")
        assert not made.user.items("pods,configmaps", "-l", "raystead.io/cluster=auto")
        until(lambda: "configmaps" in "".join(made.steward.lines), 60, "it knows that there is nothing left")
        assert not made.user.items("pods", "-l", "raystead.io/cluster=auto")
    finally:
        made.steward.close()
