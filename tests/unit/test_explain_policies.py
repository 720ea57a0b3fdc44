"""NetworkPolicy objects as Kubernetes defines them."""

import explain_kit as kit
import pytest

from raystead.explain.policies import blocks, blocks_dns
from raystead.live.pods import Pod
from raystead.manifests.context import Context
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.policies import policies

WORKER = Pod(kit.pod("worker"), "worker")
HEAD = Pod(kit.pod("head"), "head")
ALL: kit.Json = {}
TO_HEAD = {"podSelector": {"matchLabels": {"ray.io/node-type": "head"}}}
GCS = {"protocol": "TCP", "port": 6379}


def policy(name: str, select: kit.Json, types: list[str] | None = None, **rules: list[kit.Json]) -> kit.Json:
    spec: kit.Json = {"podSelector": select, **rules}
    return {"metadata": {"name": name}, "spec": spec | ({"policyTypes": types} if types else {})}


CASES: list[tuple[str, list[kit.Json], tuple[str, ...]]] = [
    ("none", [], ()),
    ("default deny", [policy("deny", ALL, ["Ingress", "Egress"])], ("deny",)),
    ("deny in only, types left out", [policy("deny", ALL)], ("deny",)),
    ("selects others", [policy("deny", {"matchLabels": {"app": "shop"}}, ["Egress"])], ()),
    ("empty rule lets all through", [policy("open", ALL, ["Egress"], egress=[{}])], ()),
    ("right pod, right port", [policy("p", ALL, ["Egress"], egress=[{"to": [TO_HEAD], "ports": [GCS]}])], ()),
    ("wrong port", [policy("p", ALL, ["Egress"], egress=[{"to": [TO_HEAD], "ports": [{"port": 80}]}])], ("p",)),
    ("range of ports", [policy("p", ALL, ["Egress"], egress=[{"ports": [{"port": 6000, "endPort": 7000}]}])], ()),
    ("UDP is not TCP", [policy("p", ALL, ["Egress"], egress=[{"ports": [{"port": 6379, "protocol": "UDP"}]}])], ("p",)),
    ("address block", [policy("p", ALL, ["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])], ()),
    ("address cut out", [policy("p", ALL, ["Egress"], egress=[
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": [f"{HEAD.ip}/32"]}}]}])], ("p",)),
    ("another namespace", [policy("p", ALL, ["Egress"], egress=[
        {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dns"}}}]}])], ("p",)),
    ("any namespace", [policy("p", ALL, ["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}])], ()),
    ("two policies add up", [policy("deny", ALL, ["Egress"]), policy("p", ALL, ["Egress"], egress=[{}])], ()),
    ("ingress of the head", [policy("p", {"matchLabels": {"ray.io/node-type": "head"}}, ["Ingress"], ingress=[
        {"from": [{"podSelector": {"matchLabels": {"app": "shop"}}}]}])], ("p",)),
    ("expressions", [policy("p", {"matchExpressions": [
        {"key": "ray.io/group", "operator": "In", "values": ["worker"]}, {"key": "gone", "operator": "DoesNotExist"}]},
        ["Egress"])], ("p",)),
    ("expressions that do not match", [policy("p", {"matchExpressions": [
        {"key": "ray.io/group", "operator": "NotIn", "values": ["worker"]}]}, ["Egress"])], ()),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "names"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_worker_to_head(objects: list[kit.Json], names: tuple[str, ...]) -> None:
    assert blocks(objects, WORKER, HEAD, 6379, kit.SPACE) == names


def test_the_policies_we_render_let_ray_through_in_a_closed_namespace() -> None:
    cluster = kit.spec("redis")
    ours = policies(Context(cluster, Facts(namespace=kit.SPACE), Choices(policies="always")))
    closed = [policy("default-deny", ALL, ["Ingress", "Egress"]), *ours]
    redis = Pod(kit.pod("redis"), "redis")
    assert blocks(closed, WORKER, HEAD, 6379, kit.SPACE) == ()
    assert blocks(closed, HEAD, redis, 6379, kit.SPACE) == ()
    assert blocks(closed, WORKER, redis, 6379, kit.SPACE) != ()
    assert blocks_dns(closed, WORKER) == ()
    assert blocks_dns(closed[:1], WORKER) == ("default-deny",)
