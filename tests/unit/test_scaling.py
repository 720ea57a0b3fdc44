"""What the autoscaler's wishes become: names are chosen once, so nothing is made twice or forgotten."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystead.incluster import scaling as s
from raystead.incluster.hands import Hands

Json = dict[str, Any]


def document(**groups: Json) -> Json:
    specs = [{"groupName": name, **spec} for name, spec in groups.items()]
    return s.with_defaults(
        {"metadata": {"name": "demo", "namespace": "ns"}, "spec": {"workerGroupSpecs": specs}}
    )


def counter() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):05d}"


def begun(doc: Json, suffix: Callable[[], str]) -> s.Scaling:
    return s.adopt(s.Scaling(), doc, suffix)


def replicas(index: int, value: Any) -> Json:
    return {"op": "replace", "path": f"/spec/workerGroupSpecs/{index}/replicas", "value": value}


def deletion(index: int, *names: str) -> Json:
    value = {"workersToDelete": list(names)}
    return {"op": "replace", "path": f"/spec/workerGroupSpecs/{index}/scaleStrategy", "value": value}


def pod(name: str, group: str = "small", **more: Any) -> Json:
    metadata = {"name": name, "uid": f"uid-{name}", "labels": {s.GROUP: group, s.NODE_TYPE: "worker"}}
    return {"metadata": {**metadata, **more.pop("metadata", {})}, "status": {"phase": "Running", **more}}


READY = [{"type": "Ready", "status": "True"}]


def test_the_crds_defaults_are_filled_in_and_nothing_else_changes() -> None:
    (group,) = document(small={"template": {"a": 1}})["spec"]["workerGroupSpecs"]
    assert group == {
        "groupName": "small",
        "template": {"a": 1},
        "replicas": 0,
        "minReplicas": 0,
        "maxReplicas": 2147483647,
        "numOfHosts": 1,
        "rayStartParams": {},
        "scaleStrategy": {"workersToDelete": []},
    }


@pytest.mark.parametrize(
    "spec, names",
    [
        ({}, 0),
        ({"replicas": 2}, 2),
        ({"minReplicas": 3}, 3),
        ({"replicas": 9, "maxReplicas": 4}, 4),
        ({"replicas": 2, "numOfHosts": 4}, 8),
        ({"replicas": 2, "suspend": True}, 0),
    ],
)
def test_a_group_starts_as_the_file_says(spec: Json, names: int) -> None:
    assert len(begun(document(small=spec), counter()).groups["small"].names) == names


def test_more_replicas_are_more_names_and_those_there_stay() -> None:
    doc, suffix = document(small={"replicas": 1}), counter()
    first = begun(doc, suffix)
    more = s.patched(first, doc, [replicas(0, 3)], suffix)
    assert more.groups["small"].names == [
        "demo-small-worker-00001",
        "demo-small-worker-00002",
        "demo-small-worker-00003",
    ]
    assert more.version == first.version + 1


def test_who_is_named_goes_and_nobody_else() -> None:
    doc, suffix = document(small={"replicas": 3}), counter()
    three = begun(doc, suffix)
    less = s.patched(three, doc, [replicas(0, 2), deletion(0, "demo-small-worker-00002")], suffix)
    assert less.groups["small"].names == ["demo-small-worker-00001", "demo-small-worker-00003"]
    cleared = s.patched(less, doc, [deletion(0)], suffix)
    assert cleared.groups["small"].names == less.groups["small"].names


def test_who_is_named_in_the_file_goes_and_is_replaced_as_under_kuberay() -> None:
    suffix = counter()
    three = begun(document(small={"replicas": 3}), suffix)
    named = document(small={"replicas": 3, "scaleStrategy": {"workersToDelete": ["demo-small-worker-00002"]}})
    after = s.adopt(three, named, suffix)
    assert after.groups["small"].names == [f"demo-small-worker-0000{n}" for n in (1, 3, 4)]
    assert s.adopt(after, named, suffix) == after
    (seen,) = s.shown(after, named, {})["spec"]["workerGroupSpecs"]
    assert seen["scaleStrategy"] == {"workersToDelete": []}, "Ray's autoscaler sees its own alone"


def test_fewer_replicas_without_a_name_delete_nobody() -> None:
    doc, suffix = document(small={"replicas": 3}), counter()
    less = s.patched(begun(doc, suffix), doc, [replicas(0, 1)], suffix)
    assert len(less.groups["small"].names) == 3


@pytest.mark.parametrize(
    "operations, status",
    [
        ({"spec": {"idleSuspend": True}}, 403),
        ([{"op": "replace", "path": "/spec/workerGroupSpecs/0/template", "value": {}}], 403),
        ([{"op": "remove", "path": "/spec/workerGroupSpecs/0/replicas"}], 403),
        ([replicas(7, 1)], 403),
        ([replicas(0, "many")], 422),
        ([replicas(0, -1)], 422),
        ([{"op": "add", "path": "/metadata/finalizers", "value": ["x"]}], 403),
        ([{"op": "test", "path": "/metadata/resourceVersion", "value": "77"}], 409),
    ],
)
def test_only_replicas_and_workers_to_delete_can_be_patched(operations: Any, status: int) -> None:
    doc, suffix = document(small={"replicas": 1}), counter()
    before = begun(doc, suffix)
    kept = copy.deepcopy(before)
    with pytest.raises(s.PatchRefused) as refused:
        s.patched(before, doc, operations, suffix)
    assert refused.value.status == status
    assert before == kept


def test_a_pod_that_ended_is_replaced_under_a_new_name() -> None:
    doc, suffix = document(small={"replicas": 2}), counter()
    before = begun(doc, suffix)
    failed = pod("demo-small-worker-00001", phase="Failed")
    stopped = pod("demo-small-worker-00002", containerStatuses=[{"state": {"terminated": {}}}])
    after = s.replace_lost(before, doc, [failed, stopped], suffix)
    assert after.groups["small"].names == ["demo-small-worker-00003", "demo-small-worker-00004"]
    assert s.work(after, [failed, stopped]) == s.Work(
        (("demo-small-worker-00003", "small"), ("demo-small-worker-00004", "small")), (failed, stopped)
    )


def test_a_new_template_replaces_one_pod_at_a_time() -> None:
    doc, suffix = document(small={"replicas": 2}), counter()
    state = begun(doc, suffix)
    old = {"annotations": {s.TEMPLATE: "old"}}
    there = [pod(name, metadata=old, conditions=READY) for name in state.groups["small"].names]
    rolled = s.roll(state, doc, there, {"small": "new"}, suffix)
    assert rolled.groups["small"].names == ["demo-small-worker-00002", "demo-small-worker-00003"]
    starting = pod("demo-small-worker-00003", metadata={"annotations": {s.TEMPLATE: "new"}})
    waits = s.roll(rolled, doc, [there[1], starting], {"small": "new"}, suffix)
    assert waits == rolled, "the first successor is not ready yet"
    done = s.roll(
        rolled, doc, [there[1], {**starting, "status": {"conditions": READY}}], {"small": "new"}, suffix
    )
    assert done.groups["small"].names == ["demo-small-worker-00003", "demo-small-worker-00004"]


def test_a_quota_lowers_the_most_that_the_autoscaler_sees_and_never_below_the_least() -> None:
    doc = document(small={"minReplicas": 2, "replicas": 3, "maxReplicas": 10}, big={"maxReplicas": 5})
    seen = s.shown(begun(doc, counter()), doc, {"small": 1})
    small, big = seen["spec"]["workerGroupSpecs"]
    assert (small["maxReplicas"], big["maxReplicas"]) == (2, 5)


def test_groups_come_and_go_with_the_document() -> None:
    doc, suffix = document(small={"replicas": 2}), counter()
    state = begun(doc, suffix)
    both = s.adopt(state, document(small={"replicas": 9}, big={"replicas": 1}), suffix)
    assert both.groups["small"].names == state.groups["small"].names, (
        "the autoscaler's word counts, not the file's"
    )
    assert len(both.groups["big"].names) == 1
    assert list(s.adopt(both, document(big={}), suffix).groups) == ["big"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("replicas"), st.integers(0, 8)),
            st.tuples(st.just("delete"), st.integers(0, 8)),
            st.tuples(st.just("fail"), st.integers(0, 8)),
            st.tuples(st.just("act"), st.integers(0, 20)),
            st.tuples(st.just("killed"), st.just(0)),
        ),
        max_size=30,
    )
)
def test_killed_anywhere_it_ends_with_exactly_the_pods_that_are_wanted(steps: list[tuple[str, int]]) -> None:
    """What is stored survives, what was begun may be done or not: a second steward ends where the first would."""
    doc, suffix = document(small={"maxReplicas": 8}), counter()
    state, pods, made = begun(doc, suffix), {}, []

    def act(most: int | None = None) -> None:
        nonlocal state
        state = s.restored(s.replace_lost(state, doc, list(pods.values()), suffix).stored())
        todo = s.work(state, list(pods.values()))
        for name, group in todo.make[:most]:
            assert name not in pods
            made.append(name)
            pods[name] = pod(name, group)
        for one in todo.delete[:most]:
            del pods[s.name_of(one)]

    for what, number in steps:
        names = state.groups["small"].names
        if what == "replicas":
            state = s.patched(state, doc, [replicas(0, max(number, len(names)))], suffix)
        elif what == "delete" and names:
            gone = names[number % len(names)]
            wish = [replicas(0, len(names) - 1), deletion(0, gone)]
            state = s.patched(state, doc, wish, suffix)
        elif what == "fail" and pods:
            name = list(pods)[number % len(pods)]
            pods[name] = pod(name, phase="Failed")
        elif what == "act":
            act(number)
        elif what == "killed":
            state = s.restored(state.stored())
    act()
    act()
    assert sorted(pods) == sorted(state.groups["small"].names)
    assert len(pods) == state.groups["small"].replicas
    assert len(made) == len(set(made)), "no name is used twice"


def test_pods_of_the_owner_before_and_after_a_changed_end_are_both_ours() -> None:
    """Else a steward would take its own pods for lost, and make them again and again."""
    unused: Any = None
    template = {"metadata": {"ownerReferences": [{"uid": "keeper"}]}}
    hands = Hands(unused, unused, "anchor", lambda: {"small": template}, lambda: {}, print)

    def pod(name: str, *owners: str) -> Json:
        references = [{"uid": owner} for owner in owners]
        labels = {"ray.io/node-type": "worker"}
        return {"metadata": {"name": name, "labels": labels, "ownerReferences": references}}

    pods = [
        pod("old", "anchor"),
        pod("new", "keeper"),
        pod("foreign", "somebody"),
        pod("two", "anchor", "keeper"),
    ]
    hands._pods = {item["metadata"]["name"]: item for item in pods}
    assert [item["metadata"]["name"] for item in hands._look()] == ["old", "new"]
