"""A plan made of a real server's answers: its defaults are no changes, its refusals are replacements.

A quota of no pods keeps the test cheap: only objects are compared here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from raystead.base import kinds, names
from raystead.errors import ApiError
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.paths import Discovery, path_of
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.render import manifests
from raystead.ops.living import live_objects
from raystead.plan.make import key_of, make
from raystead.plan.model import Action, Plan
from raystead.spec.documents import RayDocument, parsed
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))
pytestmark = pytest.mark.api


class Server:
    """A namespace where one cluster's objects are applied and planned."""

    def __init__(self, api: Api, document: RayDocument) -> None:
        self.api, self.document, self.paths = api, document, Discovery(api)
        self.cluster = cluster = document.cluster
        anchor = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names.anchor(cluster.name), "labels": {"raystead.io/cluster": cluster.name}},
        }
        uid = api.apply(path_of(api.namespace, "ConfigMap", anchor["metadata"]["name"]), anchor)["metadata"][
            "uid"
        ]
        self.facts = Facts(namespace=api.namespace, anchor_uid=uid, storage_namespace=uid)

    def apply(self, objects: Sequence[Json]) -> None:
        for item in objects:
            self.api.apply(self.paths.path(item, self.api.namespace), item)

    def plan(self, wanted: Sequence[Json], desired: RayCluster | None = None) -> Plan:
        made = kinds.owned(kinds.made_by(wanted))
        live = [item for items in live_objects(self.api, self.cluster.name, made).values() for item in items]
        answers, refusals = {}, {}
        for item in wanted:
            try:
                path = self.paths.path(item, self.api.namespace)
                answers[key_of(item)] = self.api.apply(path, item, dry_run=True)
            except ApiError as error:
                refusals[key_of(item)] = error.evidence
        desired = desired or self.cluster
        return make(wanted, live, answers, desired=desired, applied=self.cluster, refusals=refusals)


@pytest.fixture
def place(namespace: Callable[..., Any]) -> Iterator[Callable[[str], Server]]:
    def start(name: str) -> Server:
        kube = namespace(quota={"pods": "0"})
        document = parsed(yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text()))
        return Server(Api(load(kubeconfig=str(kube.kubeconfig), namespace=kube.namespace)), document)

    return start


@pytest.mark.parametrize("name", NAMES)
def test_what_the_server_fills_in_is_no_change(place: Callable[[str], Server], name: str) -> None:
    here = place(name)
    wanted = manifests(here.document, here.facts)
    first = here.plan(wanted)
    assert {change.action for change in first.changes} == {Action.CREATE}
    assert first.problems == ()
    here.apply(wanted)
    again = here.plan(wanted)
    assert again.mutating == ()
    assert again.problems == again.notes == ()


def one(objects: Sequence[Json], kind: str) -> Json:
    return next(item for item in objects if item["kind"] == kind)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", "spec.selector.matchLabels.added"),
        ("StatefulSet", "spec.volumeClaimTemplates[data].spec.storageClassName"),
        ("Service", "spec.clusterIP"),
    ],
)
def test_what_cannot_be_changed_in_place_is_replaced(
    place: Callable[[str], Server], kind: str, path: str
) -> None:
    here = place("guide")
    wanted = manifests(here.cluster, here.facts)
    here.apply(wanted)
    changed = one(wanted, kind)
    if kind == "Deployment":
        changed["spec"]["selector"]["matchLabels"]["added"] = "x"
        changed["spec"]["template"]["metadata"]["labels"]["added"] = "x"
    elif kind == "StatefulSet":
        changed["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = "fast"
    else:
        changed["spec"]["clusterIP"] = "None"
    plan = here.plan(wanted)
    (change,) = plan.mutating
    assert plan.problems == ()
    assert (change.action, change.key) == (Action.REPLACE, key_of(changed))
    assert path in [field.path for field in change.fields]
    assert change.reason.endswith("cannot be changed in place")


def test_a_nonsense_object_is_a_problem(place: Callable[[str], Server]) -> None:
    here = place("guide")
    wanted = manifests(here.cluster, here.facts)
    here.apply(wanted)
    one(wanted, "Deployment")["spec"]["template"]["spec"]["containers"][0]["name"] = "Not_A_Name"
    (problem,) = here.plan(wanted).problems
    assert "Not_A_Name" in problem


def test_quantities_written_otherwise_are_no_change(place: Callable[[str], Server]) -> None:
    here = place("guide")
    wanted = manifests(here.cluster, here.facts)
    here.apply(wanted)
    container = one(wanted, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    cpu = container["resources"]["requests"]["cpu"]
    assert cpu == "500m"
    container["resources"]["requests"]["cpu"] = "0.5"
    assert not here.plan(wanted).mutates


def test_every_change_is_what_the_apply_does(place: Callable[[str], Server]) -> None:
    here = place("guide")
    here.apply(manifests(here.cluster, here.facts))
    spec = here.cluster.document()
    spec["spec"]["workerGroupSpecs"][0]["replicas"] = 1
    spec["metadata"]["annotations"]["raystead.io/storage"] = "none"
    desired = read(RayCluster, spec)
    wanted = manifests(desired, here.facts, Choices(policies="never"))
    plan = here.plan(wanted, desired)
    assert {(str(c.action), c.kind, c.name) for c in plan.mutating} == {
        ("change", "Deployment", "deployment-ray-head"),
        ("change", "Deployment", "deployment-ray-worker"),
        ("delete", "StatefulSet", "redis"),
        ("delete", "Service", "redis"),
        ("delete", "ConfigMap", "redis-config"),
        *(
            ("delete", "NetworkPolicy", n)
            for n in ("ray-head-ingress", "ray-worker-ingress", "redis-ingress")
        ),
    }
    here.apply(wanted)
    for change in plan.of(Action.DELETE):
        path = path_of(here.api.namespace, change.kind, change.name)
        here.api.delete(path, uid=here.api.get(path)["metadata"]["uid"])
    assert not here.plan(wanted, desired).mutates
