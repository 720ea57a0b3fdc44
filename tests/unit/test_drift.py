"""Drift: what somebody else changed on the cluster's objects, by the server's own notes."""

from typing import Any

import pytest

from raystead.plan.drift import drift_of, missing


def deployment(replicas: int, image: str = "ray:2", *notes: dict[str, Any]) -> dict[str, Any]:
    containers = [{"name": "ray-worker", "image": image}]
    spec = {"replicas": replicas, "template": {"spec": {"containers": containers}}}
    return {
        "kind": "Deployment",
        "metadata": {"name": "workers", "managedFields": list(notes)},
        "spec": spec,
    }


def note(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": fields}, **more}


REPLICAS: dict[str, Any] = {"f:replicas": {}}
IMAGE: dict[str, Any] = {
    "f:template": {
        "f:spec": {"f:containers": {'k:{"name":"ray-worker"}': {".": {}, "f:image": {}, "f:tty": {}}}}
    }
}
AT = "2026-11-24T07:53:00Z"


@pytest.mark.parametrize(
    "live, sentences",
    [
        (deployment(2), ()),
        (deployment(3, "ray:2", note("raystead", REPLICAS)), ()),
        (deployment(3, "ray:2", note("kube-controller-manager", REPLICAS)), ()),
        (deployment(3, "ray:2", note("x", REPLICAS, subresource="status")), ()),
        # scaled by kubectl, whose note on the scale has no time
        (
            deployment(3, "ray:2", note("kubectl", REPLICAS, subresource="scale")),
            ("Deployment/workers: spec.replicas changed by kubectl",),
        ),
        # and back: he still manages the field, but nothing differs
        (deployment(2, "ray:2", note("kubectl", REPLICAS)), ()),
        (
            deployment(2, "ray:3", note("kubectl-edit", IMAGE, time=AT)),
            (
                "Deployment/workers: spec.template.spec.containers[ray-worker].image "
                f"changed by kubectl-edit at {AT}",
            ),
        ),
        (deployment(2, "ray:2", note("kubectl-edit", IMAGE, time=AT)), ()),
    ],
)
def test_drift_is_what_another_manager_made_different(
    live: dict[str, Any], sentences: tuple[str, ...]
) -> None:
    assert drift_of([live], [deployment(2)]) == sentences


def test_many_fields_are_counted() -> None:
    live = deployment(2, "ray:2", note("x", {f"f:{name}": {} for name in "abcde"}))
    live["spec"] |= dict.fromkeys("abcde", 1)
    (sentence,) = drift_of([live], [deployment(2)])
    assert sentence == "Deployment/workers: spec.a, spec.b, spec.c and 2 more changed by x"


def test_an_object_that_is_gone_is_missing() -> None:
    assert missing([deployment(2)], []) == ("Deployment/workers is missing",)
