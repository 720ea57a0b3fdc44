"""The head's Service, Serve's, and what of them and of the file's own doors the policies let in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from raystead.manifests.doors import foreign_doors
from raystead.manifests.facts import Facts
from raystead.manifests.notes import notes
from raystead.manifests.render import manifests
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
ALL = {"10001": "client", "8265": "dashboard", "6379": "gcs-server", "8080": "metrics"}
SIZE = {"limits": {"cpu": "1", "memory": "2Gi"}}


def cluster(
    ports: Sequence[Json] = (), annotations: Mapping[str, str] | None = None, worker: Any = (), **spec: Any
) -> RayCluster:
    """`ports` of the head's container, `worker` those of the worker's; `head` in `spec` adds to the head."""

    def pod(name: str, own: Any) -> Json:
        ray = {"name": name, "image": "rayproject/ray:2.60.0", "ports": list(own), "resources": SIZE}
        return {"spec": {"containers": [ray]}}

    head = {"template": pod("ray-head", ports), **spec.pop("head", {})}
    group = {"groupName": "small", "replicas": 1, "template": pod("ray-worker", worker)}
    return read(
        RayCluster,
        {
            "metadata": {"name": "c", "annotations": dict(annotations or {})},
            "spec": {"headGroupSpec": head, "workerGroupSpecs": [group], **spec},
        },
    )


def port(name: str, number: int, **more: Any) -> Json:
    return {"name": name, "containerPort": number, **more}


def service(spec: RayCluster, name: str = "c-head-svc") -> Json | None:
    found = [o for o in manifests(spec, Facts()) if o["kind"] == "Service" and o["metadata"]["name"] == name]
    return found[0] if found else None


def numbers(item: Json | None) -> dict[str, str]:
    assert item is not None
    keys = [(p["port"], p["protocol"]) for p in item["spec"]["ports"]]
    assert len(set(keys)) == len(keys), "the server refuses doubles"
    names = [p["name"] for p in item["spec"]["ports"]]
    assert len(set(names)) == len(names)
    return {str(p["port"]): p["name"] for p in item["spec"]["ports"]}


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([], {**ALL, "8000": "serve"}),
        ([port("dashboard", 8265), port("client", 10001)], ALL),
        ([port("serve", 8000)], {**ALL, "8000": "serve"}),
        ([port("gcs", 6379)], {**ALL, "6379": "gcs"}),
        ([port("web", 8080)], {**{k: v for k, v in ALL.items() if k != "8080"}, "8080": "web"}),
        ([port("dashboard", 9999)], {**ALL, "9999": "dashboard", "8265": "8265-port"}),
        ([{"containerPort": 7777}], {**ALL, "7777": "7777-port"}),
        ([port("dns", 6379, protocol="UDP")], None),
    ],
)
def test_gcs_dashboard_and_client_are_always_in_the_heads_service(ports: Any, expected: Any) -> None:
    if expected is None:
        found = {(p["port"], p["protocol"]) for p in service(cluster(ports))["spec"]["ports"]}  # type: ignore[index]
        assert {(6379, "UDP"), (6379, "TCP")} <= found
    else:
        assert numbers(service(cluster(ports))) == expected


def test_a_service_of_the_file_keeps_its_words_and_leads_somewhere() -> None:
    own = {
        "metadata": {"name": "rayhead", "namespace": "other", "annotations": {"a": "b"}},
        "spec": {
            "type": "NodePort",
            "clusterIP": "None",
            "ports": [
                {"name": "dashboard", "port": 8265, "nodePort": 30265},
                {"name": "gcs", "port": 6379, "targetPort": "gcs"},
            ],
        },
    }
    found = service(cluster(head={"headService": own}), "rayhead")
    assert found is not None
    assert found["spec"]["type"] == "NodePort"
    assert "clusterIP" not in found["spec"], "the server refuses a headless NodePort"
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert "namespace" not in found["metadata"]
    ports = {p["port"]: p for p in found["spec"]["ports"]}
    assert ports[8265]["nodePort"] == 30265
    assert ports[6379]["targetPort"] == 6379, "no container has a port named gcs"
    assert {10001, 8080} <= set(ports)


SERVE = {"ray.io/enable-serve-service": "true"}


@pytest.mark.parametrize(
    ("ports", "annotations", "head", "expected"),
    [
        ([port("serve", 8000), port("serve-grpc", 9000), port("gcs-server", 6379)], SERVE,
         {"serviceType": "LoadBalancer"}, ("LoadBalancer", {"8000": "serve", "9000": "serve-grpc"})),
        ([port("gcs-server", 6379)], SERVE, {}, None),
        ([port("server", 8000)], SERVE, {}, None),
        ([], SERVE, {}, ("ClusterIP", {"8000": "serve"})),
        ([], {"ray.io/enable-serve-service": "True"}, {"serviceType": "NodePort"}, ("NodePort", {"8000": "serve"})),
        ([port("serve", 8000)], {}, {}, None),
    ],
)  # fmt: skip
def test_serves_service_has_the_heads_type_and_exists_only_with_a_port(
    ports: Any, annotations: Any, head: Any, expected: Any
) -> None:
    found = service(cluster(ports, annotations, head=head), "c-serve-svc")
    assert (found and (found["spec"]["type"], numbers(found))) == expected


def opened(spec: RayCluster, **facts: Any) -> dict[str, list[int]]:
    """By policy, the ports that everybody may reach."""
    out = {}
    for item in manifests(spec, Facts(**facts)):
        if item["kind"] == "NetworkPolicy":
            rules = [rule for rule in item["spec"].get("ingress", []) if "from" not in rule]
            out[item["metadata"]["name"]] = [p["port"] for rule in rules for p in rule["ports"]]
    return out


def allowed(spec: RayCluster) -> dict[str, list[int]]:
    """By policy, the ports that a peer of --allow-from may reach."""
    out = {}
    for item in manifests(spec, Facts()):
        if item["kind"] == "NetworkPolicy":
            rules = [rule for rule in item["spec"]["ingress"] if "from" in rule and "ports" in rule]
            out[item["metadata"]["name"]] = [p["port"] for rule in rules for p in rule["ports"]]
    return out


def both(head: list[int], worker: Sequence[int] = ()) -> dict[str, list[int]]:
    return {"c-head": head, "c-workers-small": list(worker)}


NODE_PORT = {"serviceType": "NodePort"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (cluster(), both([])),
        (cluster([port("gcs-server", 6379), port("dashboard", 8265)]), both([])),
        (cluster(head=NODE_PORT), both([8000, 8265, 10001])),
        (cluster([port("dashboard", 8265)], head=NODE_PORT), both([8265])),
        (cluster(head={"serviceType": "LoadBalancer", "headService": {"spec": {"ports": [
            {"name": "d", "port": 80, "targetPort": 8265}]}}}), both([8265])),
        (cluster([port("serve", 8000), port("serve-grpc", 9000)]), both([8000, 9000])),
        (cluster([port("serve", 8000)], SERVE), both([8000], [8000])),
        (cluster(worker=[port("serve", 8001)]), both([], [8001])),
        (cluster([port("serve", 8000)], networkPolicy={"mode": "DenyAll"}), both([])),
        (cluster([port("serve", 8000)], {"raystead.io/policies": "never"}), {}),
    ],
)  # fmt: skip
def test_what_the_file_opens_the_policies_open(spec: RayCluster, expected: Any) -> None:
    assert opened(spec) == expected


def test_who_is_named_may_reach_serve_and_numbered_ports_of_every_pod() -> None:
    annotation = {"raystead.io/allow-from": "pods=app=web to serve,9090"}
    assert allowed(cluster([port("serve", 8123)], annotation)) == both([8123, 9090], [8123, 9090])
    assert allowed(cluster([], annotation)) == both([8000, 9090], [8000, 9090])


def ingress(name: str, wanted: Json, kind: str = "Ingress") -> Json:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": wanted}}}
    return {"kind": kind, "metadata": {"name": "web"}, "spec": {"rules": [{"http": {"paths": [path]}}]}}


def own_service(kind: str, selector: Json, target: Any = 8265) -> Json:
    spec = {"type": kind, "selector": selector, "ports": [{"name": "x", "port": 80, "targetPort": target}]}
    return {"kind": "Service", "metadata": {"name": "mine"}, "spec": spec}


HEAD = {"ray.io/cluster": "c", "ray.io/node-type": "head"}


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        ([ingress("c-head-svc", {"number": 8265})], {"Ingress/web": ["head:8265"]}),
        ([ingress("c-head-svc", {"name": "dashboard"})], {"Ingress/web": ["head:8265"]}),
        ([ingress("somebody-elses", {"number": 8265})], {}),
        ([{"kind": "Ingress", "metadata": {"name": "d"},
           "spec": {"defaultBackend": {"service": {"name": "c-head-svc", "port": {"number": 8265}}}}}],
         {"Ingress/d": ["head:8265"]}),
        ([{"kind": "Route", "metadata": {"name": "r"},
           "spec": {"to": {"kind": "Service", "name": "c-head-svc"}, "port": {"targetPort": "dashboard"}}}],
         {"Route/r": ["head:8265"]}),
        ([{"kind": "HTTPRoute", "metadata": {"name": "h"},
           "spec": {"rules": [{"backendRefs": [{"name": "c-head-svc", "port": 8265}]}]}}],
         {"HTTPRoute/h": ["head:8265"]}),
        ([own_service("LoadBalancer", HEAD)], {"Service/mine": ["head:8265"]}),
        ([own_service("NodePort", {"ray.io/cluster": "c"}, 8000)], {"Service/mine": ["head:8000", "workers:8000"]}),
        ([own_service("ClusterIP", HEAD)], {}),
        ([own_service("ClusterIP", HEAD), ingress("mine", {"number": 80})], {"Ingress/web": ["head:8265"]}),
        ([own_service("LoadBalancer", {"app": "other"})], {}),
        ([own_service("NodePort", HEAD, "metrics")], {"Service/mine": ["head:8080"]}),
        ([{"kind": "Ingress", "metadata": {"name": "bad"}, "spec": {"rules": "x"}}, {"kind": "Service"}], {}),
    ],
)  # fmt: skip
def test_the_files_other_documents_lead_to_ports(foreign: Any, expected: Any) -> None:
    assert foreign_doors(cluster(), foreign) == expected


def test_a_door_of_another_document_is_let_in_and_said() -> None:
    doors = {"Ingress/web": ["head:8265"], "Service/mine": ["workers:8000"]}
    assert opened(cluster(), doors=doors) == both([8265], [8000])
    said = [line for line in notes(cluster(), Facts(doors=doors)) if line.startswith("open to everybody")]
    assert said == [
        "open to everybody on head by Ingress/web: 8265 (the token guards it)",
        "open to everybody on workers by Service/mine: 8000 (no token guards it)",
    ]


def test_the_plan_says_who_may_reach_what_and_whether_a_token_guards_it() -> None:
    guarded = notes(cluster(head=NODE_PORT), Facts())
    expected = "8265, 10001 (the token guards them) and 8000 (no token guards it)"
    assert f"open to everybody on head by Service c-head-svc, NodePort: {expected}" in guarded
    bare = notes(cluster(head=NODE_PORT, authOptions={"mode": "disabled"}), Facts())
    assert any("8000, 8265, 10001 (no token guards them)" in line for line in bare)
    assert not [line for line in notes(cluster(), Facts()) if "open to everybody" in line]


KUBE_DNS = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}


@pytest.mark.parametrize(
    ("rules", "mode", "shut"),
    [
        ([], "DenyAll", "ports 8000, 8265"),
        ([{"ports": [{"port": 8265}]}], "DenyAll", "port 8000"),
        ([{"ports": [{"port": 8000, "endPort": 8300}]}], "DenyAllIngress", ""),
        ([{"from": [{"podSelector": {}}]}], "DenyAll", ""),
        ([], "DenyAllEgress", ""),
    ],
)
def test_a_door_that_the_files_own_policy_shuts_is_told(rules: list[Json], mode: str, shut: str) -> None:
    policy = {"mode": mode, "head": {"ingressRules": rules}}
    spec = cluster(networkPolicy=policy)
    facts = Facts(doors={"Ingress/dash": ("head:8000", "head:8265")})
    told = [line for line in notes(spec, facts) if "networkPolicy lets nobody in" in line]
    assert [line.partition(" of head")[0] for line in told] == (
        [f"Ingress/dash leads to {shut}"] if shut else []
    )


def egress(spec: RayCluster) -> dict[str, list[Json]]:
    """By policy, the egress rules after the one between the cluster's own pods."""
    return {
        o["metadata"]["name"]: o["spec"]["egress"][1:]
        for o in manifests(spec, Facts())
        if o["kind"] == "NetworkPolicy" and "egress" in o["spec"]
    }


@pytest.mark.parametrize(
    ("head", "worker", "widened"),
    [
        ([KUBE_DNS], [KUBE_DNS], []),
        ([KUBE_DNS], [], ["c-workers-small"]),
        ([], [], ["c-head", "c-workers-small"]),
        ([{"to": [{"ipBlock": {"cidr": "10.0.0.10/32"}}]}], [KUBE_DNS], []),
        ([{"ports": [{"port": 443}]}], [{"ports": [{"port": 1, "endPort": 100}]}], ["c-head"]),
    ],
)
def test_what_a_file_restricts_stays_restricted(head: Any, worker: Any, widened: list[str]) -> None:
    policy = {"mode": "DenyAll", "head": {"egressRules": head}, "worker": {"egressRules": worker}}
    spec = cluster(networkPolicy=policy)
    found = egress(spec)
    dns = [
        name for name, rules in found.items() if any("to" not in r and len(r["ports"]) == 4 for r in rules)
    ]
    assert dns == widened
    said = [line for line in notes(spec, Facts()) if "networkPolicy has no rule" in line]
    assert bool(said) == bool(widened)
    assert not said or all(name in said[0] for name in widened)


def test_redis_is_reached_by_the_files_own_rule_where_it_has_one() -> None:
    own = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 6390}]}
    options = {"redisAddress": "redis.example:6390"}
    policy = {
        "mode": "DenyAll",
        "head": {"egressRules": [KUBE_DNS, own]},
        "worker": {"egressRules": [KUBE_DNS]},
    }
    spec = cluster(networkPolicy=policy, gcsFaultToleranceOptions=options)
    assert egress(spec)["c-head"] == [KUBE_DNS, own]
    without = {**policy, "head": {"egressRules": [KUBE_DNS]}}
    spec = cluster(networkPolicy=without, gcsFaultToleranceOptions=options)
    assert egress(spec)["c-head"] == [{"ports": [{"protocol": "TCP", "port": 6390}]}, KUBE_DNS]
    assert any("the head's way to Redis" in line for line in notes(spec, Facts()))
