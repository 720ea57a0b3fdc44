"""What does not follow a model is told at every place at once, in words; and only that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError

from raystead.spec.model import RayCluster, read
from raystead.spec.rayjob import RayJob
from raystead.spec.shape import ShapeError, faults
from raystead.spec.template import converted
from raystead.spec.yamlio import Path, dotted

Json = dict[str, Any]
RAY: Json = {
    "name": "ray",
    "image": "rayproject/ray:2.60.0",
    "env": [
        {"name": "A", "value": "b"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    "ports": [{"containerPort": 6379}],
    "resources": {"limits": {"cpu": 1, "memory": "2Gi"}},
    "securityContext": {"runAsUser": 1000, "capabilities": {"add": ["SYS_PTRACE"]}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
}
TEMPLATE: Json = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [RAY], "volumes": [{"name": "v"}]},
}
CLUSTER: Json = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "demo", "labels": {"a": "b"}},
    "spec": {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"template": TEMPLATE, "headService": {"spec": {"ports": [{"port": 80}]}}},
        "workerGroupSpecs": [
            {"groupName": "w", "replicas": 1, "resources": {"CPU": "2"}, "template": TEMPLATE}
        ],
        "networkPolicy": {"mode": "DenyAll", "head": {"ingressRules": [{}]}},
        "idleTerminationOptions": {"timeoutSeconds": 60},
    },
}
JOB: Json = {
    "metadata": {"name": "demo"},
    "spec": {"entrypointNumCpus": 2, "rayClusterSpec": CLUSTER["spec"], "submissionMode": "HTTPMode"},
}
CONTAINER: Path = ("spec", "headGroupSpec", "template", "spec", "containers", 0)
WORKER: Path = ("spec", "workerGroupSpecs", 0)


def paths(value: Any, at: Path = ()) -> list[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, one in inner for path in paths(one, (*at, key)))]


def changed(document: Json, path: Path, value: Any) -> Json:
    out: Json = json.loads(json.dumps(document))
    part: Any = out
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return out


WORDS = [
    (("metadata", "name"), 2.6, "expected a string, got the number 2.6", "write it in quotes"),
    (("metadata", "name"), ["a"], "expected a string, got a list", ""),
    (("metadata", "labels"), [], "expected a mapping, got a list", ""),
    (("spec", "headGroupSpec", "template"), "x", "expected a mapping, got a string", ""),
    (("spec", "workerGroupSpecs"), {}, "expected a list, got a mapping", ""),
    ((*WORKER, "replicas"), 1.0, "expected a whole number, got the number 1.0", ""),
    ((*WORKER, "replicas"), True, "expected a whole number, got the boolean true", ""),
    ((*WORKER, "replicas"), "1", "expected a whole number, got a string", "write it without quotes"),
    ((*WORKER, "suspend"), "true", "expected true or false, got a string", "write it without quotes"),
    ((*WORKER, "suspend"), 1, "expected true or false, got the number 1", ""),
    ((*WORKER, "replica"), 1, "there is no such field here", "did you mean replicas?"),
    ((*WORKER, "rayVersion"), "x", "there is no such field here", "rayVersion belongs in spec: check the indentation"),
    ((*WORKER, "resources", "CPU"), False, "expected a quantity such as 2, 0.5 or 4Gi, got the boolean false", ""),
    ((*WORKER, "resources", "CPU"), "-1", "-1 is negative", ""),
    (("spec", "networkPolicy", "mode"), "None", "\"None\" is not one of DenyAll, DenyAllIngress, DenyAllEgress", ""),
    (("kind",), 5, "the number 5 is not one of RayCluster", ""),
    ((*CONTAINER, "ports", 0, "containerPort"), 0, "expected at least 1, got the number 0", ""),
    ((*CONTAINER, "ports", 0, "containerPort"), 70000, "expected at most 65535, got the number 70000", ""),
    ((*CONTAINER, "env", 0, "value"), 1, "expected a string, got the number 1", "write it in quotes"),
    ((*CONTAINER, "env", 1), None, "expected a mapping, got nothing", ""),
    ((*CONTAINER, "anything", ), {"newer": [1.5, None]}, None, ""),
    (("metadata", "uid"), 5, None, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "what", "instead"), WORDS, ids=[f"{dotted(w[0])}={w[1]}" for w in WORDS]
)
def test_a_value_that_is_none_of_the_field_is_a_sentence(
    path: Path, value: Any, what: str | None, instead: str
) -> None:
    document = changed(CLUSTER, path, value)
    if what is None:
        assert read(RayCluster, document).document()["spec"] == document["spec"]
        return
    with pytest.raises(ShapeError) as caught:
        read(RayCluster, document)
    assert [tuple(fault) for fault in caught.value.faults] == [(path, what, instead, ())]


def test_all_faults_are_told_at_once() -> None:
    alone = [
        (path, value)
        for path, value, what, _ in WORDS
        if what and path[0] == "spec" and CONTAINER[:3] != path[:3]
    ]
    wrong = {path: value for path, value in alone if len(path) > 2}
    broken = CLUSTER
    for path, value in wrong.items():
        broken = changed(broken, path, value)
    del broken["spec"]["idleTerminationOptions"]["timeoutSeconds"]
    found = {dotted(fault.path): fault.what for fault in faults(RayCluster, broken)}
    assert found.pop("spec.idleTerminationOptions.timeoutSeconds") == "this field is missing"
    assert found.keys() == {*map(dotted, wrong)}
    assert len(found) == 6


def test_what_is_passed_through_stays_the_mapping_that_was_given() -> None:
    cluster = read(RayCluster, CLUSTER)
    assert cluster.spec.head.template.spec is CLUSTER["spec"]["headGroupSpec"]["template"]["spec"]
    assert cluster.spec.workers[0].resources == {"CPU": "2"}
    kept = cluster.document()
    kept["spec"]["headGroupSpec"]["template"]["spec"]["containers"].clear()
    assert cluster.document() == CLUSTER


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "a", "2", "4Gi", "-1", "DenyAll"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "a", "replicas"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.data())
def test_a_fault_is_found_exactly_where_msgspec_finds_one(data: st.DataObject) -> None:
    """The walk that finds all of them and the conversion that finds the first never disagree."""
    model, document = data.draw(st.sampled_from([(RayCluster, CLUSTER), (RayJob, JOB)]))
    path = data.draw(st.sampled_from(paths(document)[1:]))
    broken = changed(document, path, data.draw(JSON))
    found = list(faults(model, broken))
    try:
        converted(model, broken)
    except ValidationError:
        assert found
        assert all(fault.path[: len(path)] == path for fault in found)
    else:
        assert found == []
