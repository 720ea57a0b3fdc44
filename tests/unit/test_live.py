"""What runs, whoever keeps it: a group of bare pods, which no Deployment makes, is read rightly by everybody.

Four situations: all is well; it grows; the API server refuses its pods; its pods are of an older version.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import barepods
import explain_kit as kit
import pytest
from msgspec.structs import replace

from raystead.base.groups import HEAD, REDIS, named, worker
from raystead.doctor import quota
from raystead.doctor.model import Client, Observations
from raystead.explain.engine import explain
from raystead.kube.api import Api
from raystead.live.groups import Group, groups
from raystead.live.makers import MAKERS, makers_of
from raystead.live.pods import pods_of
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.render import manifests
from raystead.ops.restart import groups_named
from raystead.ops.watching import Watched
from raystead.plan.listing import list_rows
from raystead.plan.losses import WORKERS
from raystead.plan.make import key_of, make
from raystead.plan.observed import observe
from raystead.spec.edits import scaled
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
NEW = "rayproject/ray:2.61.0"
SPEC = kit.spec("none", workers=barepods.TARGET)
ANCHOR = {
    "metadata": {
        "name": "raystead-demo", "namespace": kit.SPACE, "uid": "u", "creationTimestamp": kit.ago(3600),
        "labels": {"raystead.io/cluster": "demo"},
    }
}  # fmt: skip
HEAD_POD = kit.pod("head", ready=True, age=3600)


@dataclass(frozen=True)
class Situation:
    """The object that says what to keep, and the pods that are there."""

    keeper: Json
    pods: tuple[Json, ...]


STARTING = barepods.pods(1, first=1, ready=False, age=5)
SITUATIONS = {
    "healthy": Situation(barepods.keeper(), (*barepods.pods(3),)),
    "growing": Situation(barepods.keeper(), (*barepods.pods(1), *STARTING)),
    "refused": Situation(barepods.keeper(refused=barepods.QUOTA), (*barepods.pods(1),)),
    "outdated": Situation(barepods.keeper(), (*barepods.pods(3, image="rayproject/ray:2.59.0"),)),
}


@pytest.fixture(autouse=True)
def _bare_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAKERS, "ConfigMap", barepods.makers)


@pytest.fixture(params=SITUATIONS)
def case(request: pytest.FixtureRequest) -> tuple[str, Situation]:
    return request.param, SITUATIONS[request.param]


def head() -> Json:
    """The head's Deployment as the controllers left it, with nothing of the workers'."""
    made = makers_of(*manifests(SPEC, Facts(namespace=kit.SPACE)))
    out = next(maker.json for maker in made if maker.id == HEAD)
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    out["metadata"] |= {"generation": 1, "creationTimestamp": kit.ago(3600)}
    return {**out, "status": status}


def group(case: Situation) -> Group:
    found = groups(SPEC, makers_of(head(), case.keeper), pods_of([HEAD_POD, *case.pods]))
    return next(one for one in found if one.id == worker("worker"))


def test_done_is_at_least_the_target_ready_nothing_old_within_the_bounds(case: tuple[str, Situation]) -> None:
    name, situation = case
    one = group(situation)
    assert (one.done, one.settled) == ((True, True) if name == "healthy" else (False, False))
    assert (len(one.live), one.ready, len(one.outdated)) == {
        "healthy": (3, 3, 0), "growing": (2, 1, 0), "refused": (1, 1, 0), "outdated": (3, 0, 3),
    }[name]  # fmt: skip


@pytest.mark.parametrize(("count", "done"), [(2, False), (3, True), (4, True), (5, True), (6, False)])
def test_a_group_that_scales_is_done_anywhere_between_its_target_and_its_maximum(
    count: int, done: bool
) -> None:
    assert group(Situation(barepods.keeper(), tuple(barepods.pods(count)))).done is done


def test_explain_blames_no_deployment_that_never_was_and_names_a_refusal(case: tuple[str, Situation]) -> None:
    name, situation = case
    snapshot = replace(
        kit.healthy(storage="none"),
        cluster=SPEC,
        pods=(HEAD_POD, *situation.pods),
        deployments=(head(),),
        statefulsets=(),
        replicasets=(),
        makers=(situation.keeper,),
        ray_nodes=tuple(kit.ray_node(pod) for pod in (HEAD_POD, *situation.pods)),
    )
    found = explain(snapshot)
    assert kit.causes(found) == ([("quota-exceeded", "worker")] if name == "refused" else [])
    if found:
        assert found[0].subject == "autoscaler"
        assert found[0].pods == 2


def test_plan_knows_that_a_new_image_restarts_the_pods(case: tuple[str, Situation]) -> None:
    name, situation = case
    new = barepods.keeper(NEW, refused=situation.keeper["data"]["refused"])
    change = next(
        c
        for c in make(
            [new], [situation.keeper], {key_of(new): new}, desired=SPEC, applied=SPEC, pods=situation.pods
        ).changes
        if c.name == "demo-worker-pods"
    )
    there = {"healthy": 3, "growing": 2, "refused": 1, "outdated": 3}[name]
    assert (change.restarts, change.stops, change.loses) == (there, 0, WORKERS)


def test_plan_counts_the_pods_of_a_group_that_goes(case: tuple[str, Situation]) -> None:
    _, situation = case
    made = make([], [situation.keeper], {}, desired=SPEC, applied=SPEC, pods=situation.pods)
    assert (made.restarts, made.stops) == (0, len(situation.pods))


def test_plan_of_an_unchanged_spec_restarts_nothing(case: tuple[str, Situation]) -> None:
    keeper = case[1].keeper
    made = make([keeper], [keeper], {key_of(keeper): keeper}, desired=SPEC, applied=SPEC, pods=case[1].pods)
    assert not made.mutates


def test_list_counts_wanted_and_ready_pods(case: tuple[str, Situation]) -> None:
    name, situation = case
    (row,) = list_rows([ANCHOR], [head(), situation.keeper], kit.NOW, situation.pods)
    assert (row.state, row.ready, row.wanted) == {
        "healthy": ("Ready", 3, 3), "growing": ("partly", 1, 3), "refused": ("partly", 1, 3), "outdated": ("partly", 0, 3),
    }[name]  # fmt: skip
    assert row.cpu == 6  # each of the three workers wanted 2; the file gives the head no number


def test_status_counts_pods_and_says_what_keeps_them_back(case: tuple[str, Situation]) -> None:
    name, situation = case
    seen = observe(
        cluster=SPEC,
        anchor=ANCHOR,
        deployments=[head()],
        statefulsets=[],
        services=[],
        pods=[HEAD_POD, *situation.pods],
        makers=[situation.keeper],
        now=kit.NOW,
    )
    line = seen.groups[1]
    assert (seen.state, line.wanted, line.running, line.ready) == {
        "healthy": ("Ready", 3, 3, 3), "growing": ("partly", 3, 2, 1), "refused": ("partly", 3, 1, 1),
        "outdated": ("partly", 3, 0, 0),
    }[name]  # fmt: skip
    assert line.note == {
        "healthy": "", "growing": "1 pod running, not ready yet",
        "refused": "2 pods refused: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2",
        "outdated": "3 pods of an older version",
    }[name]  # fmt: skip


def test_doctor_counts_the_pods_for_the_quota(case: tuple[str, Situation]) -> None:
    _, situation = case
    hard = {"pods": "2"}
    compute = {
        "metadata": {"name": "compute"},
        "spec": {"hard": hard},
        "status": {"hard": hard, "used": {"pods": "0"}},
    }
    seen = Observations(
        cluster=SPEC,
        facts=Facts(namespace=kit.SPACE),
        up="raystead up",
        client=Client("1"),
        objects=(head(), situation.keeper),
        pods=(),
        quotas=(compute,),
        claims=(), services=(), policies=(), deployments=(), statefulsets=(),
    )  # fmt: skip
    (said,) = quota.check(seen)
    assert "needs 4 of pods, 2 left: 2 of 3 pods of worker will be refused" in said.what


def watched(situation: Situation) -> Watched:
    """A wait at the moment when all this is mirrored."""
    out = Watched(cast(Api, SimpleNamespace(namespace=kit.SPACE, now=lambda: kit.NOW)), SPEC, lambda: None)
    out.makers = {kind: cast(Any, SimpleNamespace(items=items)) for kind, items in (
        ("Deployment", [head()]), ("ConfigMap", [situation.keeper]))}  # fmt: skip
    out.pods = cast(Any, SimpleNamespace(items=[HEAD_POD, *situation.pods]))
    return out


def test_a_wait_ends_when_the_pods_are_there_and_not_before(case: tuple[str, Situation]) -> None:
    name, situation = case
    wait = watched(situation)
    line = wait.groups()[1]
    assert (wait.settled(), line.done) == ((True, True) if name == "healthy" else (False, False))
    assert not wait.overtaken()


@pytest.mark.parametrize(("restarts", "seconds", "done"), [(2, 1, False), (2, 10, True), (0, 1, True)])
def test_a_sidecar_that_fails_at_once_is_not_ready_in_between(
    case: tuple[str, Situation], restarts: int, seconds: float, done: bool
) -> None:
    """Without a probe the kubelet calls it ready for as long as it runs, and the pod with it."""
    wait = watched(case[1])
    beside = {
        "name": "logs",
        "ready": True,
        "restartCount": restarts,
        "state": {"running": {"startedAt": kit.ago(seconds)}},
    }
    pod = {
        **HEAD_POD,
        "spec": {**HEAD_POD["spec"], "containers": [*HEAD_POD["spec"]["containers"], {"name": "logs"}]},
    }
    pod["status"] = {
        **pod["status"],
        "containerStatuses": [*pod["status"]["containerStatuses"], beside],
    }
    wait.pods = cast(Any, SimpleNamespace(items=[pod, *case[1].pods]))
    assert wait.groups()[0].done == done


# -- who is who -------------------------------------------------------------------------------------------


def odd() -> RayCluster:
    """Worker groups that are called like the other roles."""
    document = kit.spec("redis").document()
    first = document["spec"]["workerGroupSpecs"][0]
    names = ("head", "redis", "headgroup", "small")
    document["spec"]["workerGroupSpecs"] = [{**first, "groupName": name, "replicas": 1} for name in names]
    return read(RayCluster, document)


def test_groups_that_are_called_like_a_role_are_told_apart() -> None:
    objects = manifests(odd(), Facts(namespace=kit.SPACE))
    found = groups(odd(), makers_of(*objects), ())
    assert [(str(one.id), one.maker.subject) for one in found] == [
        ("redis", "statefulset/demo-redis"),
        ("head", "deployment/demo-head"),
        ("worker/head", "deployment/demo-head-worker"),
        ("worker/redis", "deployment/demo-redis-worker"),
        ("headgroup", "deployment/demo-headgroup-worker"),
        ("small", "deployment/demo-small-worker"),
    ]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("head", HEAD), ("redis", REDIS), ("small", worker("small")), ("worker/small", worker("small")),
        ("worker/head", worker("head")), ("headgroup", worker("headgroup")), ("worker", worker("worker")),
    ],
)  # fmt: skip
def test_a_word_means_one_group_and_every_group_has_a_word(word: str, meant: object) -> None:
    assert named(word) == meant
    assert named(str(meant)) == meant


def test_restart_and_scale_take_these_words() -> None:
    assert groups_named(odd(), ["head", "worker/head", "headgroup"]) == [
        HEAD,
        worker("head"),
        worker("headgroup"),
    ]
    assert [g.replicas for g in scaled(odd(), {"worker/head": 4, "small": 2}).spec.workers] == [4, 1, 1, 2]


def test_a_restart_stamps_the_group_that_was_meant() -> None:
    def stamped(word: str) -> list[str]:
        objects = manifests(odd(), Facts(namespace=kit.SPACE), Choices(restarted={str(named(word)): "T"}))
        return [
            str(maker.id)
            for maker in makers_of(*objects)
            if "raystead.io/restarted-at" in (maker.template["metadata"].get("annotations") or {})
        ]

    for word in ("head", "worker/head", "headgroup", "small"):
        assert stamped(word) == [word]


def test_status_gives_each_group_its_own_deployment_and_pods() -> None:
    objects = manifests(odd(), Facts(namespace=kit.SPACE))
    deployments = [item for item in objects if item["kind"] == "Deployment"]
    pods = [kit.pod("head", ready=True)]
    for one in ("head", "headgroup"):
        pod = kit.pod("worker", f"demo-{one}-worker-1", ready=one == "head")
        pod["metadata"]["labels"] = {**pod["metadata"]["labels"], "ray.io/group": one}
        pods.append(pod)
    seen = observe(
        cluster=odd(),
        anchor=ANCHOR,
        deployments=deployments,
        statefulsets=[],
        services=[],
        pods=pods,
        now=kit.NOW,
    )
    assert [(line.name, line.running, line.ready) for line in seen.groups] == [
        ("head", 1, 1), ("worker/head", 1, 1), ("worker/redis", 0, 0), ("headgroup", 1, 0), ("small", 0, 0),
    ]  # fmt: skip
