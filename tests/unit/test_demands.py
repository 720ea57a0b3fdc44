"""What a namespace may demand is asked for only where it would change the cluster's objects."""

from __future__ import annotations

from typing import Any

import pytest

from raystead.base import labels
from raystead.manifests.demands import PlainObjects
from raystead.manifests.facts import Facts
from raystead.spec.flags import Flags, build

PLAIN = PlainObjects(build(Flags(name="mine")), Facts(anchor_uid="u"))


def policy(
    name: str, selects: dict[str, str] | None = None, ours: str = "", owned: bool = False, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {labels.OURS: ours} if ours else {}}
    if owned:
        metadata["ownerReferences"] = [{"kind": "ConfigMap", "name": "raystead-mine", "uid": "u"}]
    return {"metadata": metadata, "spec": {"podSelector": {"matchLabels": selects or {}}, **spec}}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (policy("deny", policyTypes=["Ingress", "Egress"]), ["deny"]),
        (policy("rules-alone", egress=[{"ports": [{"port": 53}]}]), ["rules-alone"]),
        (policy("workers", {"ray.io/node-type": "worker"}, policyTypes=["Egress"]), ["workers"]),
        (policy("ingress", policyTypes=["Ingress"]), []),
        (policy("elsewhere", {"app": "web"}, policyTypes=["Egress"]), []),
        (policy("own", ours="mine", owned=True, policyTypes=["Egress"]), []),
        (policy("mine-workers-worker", ours="mine", policyTypes=["Egress"]), []),  # `render | kubectl apply`
        (policy("copy", ours="mine", policyTypes=["Egress"]), ["copy"]),
        (policy("of-another-cluster", ours="other", policyTypes=["Egress"]), ["of-another-cluster"]),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
def test_policies_of_others_that_restrict_our_pods_isolate(given: dict[str, Any], found: list[str]) -> None:
    assert PLAIN.isolated_by([given]) == found


def test_a_demand_counts_where_it_changes_an_object() -> None:
    assert PLAIN.changed_by(restricted=True) is False, "all containers are hardened as they are"
    assert PLAIN.changed_by(demanded=("limits.cpu", "requests.memory")) is False, "all have sizes"
    own_image = build(Flags(image="registry.example/own-ray:1"))
    assert PlainObjects(own_image, Facts(anchor_uid="u")).changed_by(restricted=True)


def test_what_the_facts_hold_already_is_not_compared_with() -> None:
    demanding = Facts(anchor_uid="u", isolated=True, restricted=True, demanded=("limits.cpu",))
    image = build(Flags(image="registry.example/own-ray:1"))
    assert PlainObjects(image, demanding).changed_by(restricted=True)
