"""The test cluster's policy engine, judged against the examples of Kubernetes' own documentation."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "testcluster"))
import policies as engine

SPACES = [
    {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name} | labels}}
    for name, labels in {"default": {}, "mine": {"project": "myproject"}, "other": {}}.items()
]


def pod(name: str, ip: str, space: str = "default", ports: Any = (), **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": {"nodeName": "node1", "containers": [{"ports": list(ports)}]},
        "status": {"podIP": ip, "phase": "Running"},
    }


def policy(spec: dict[str, Any], space: str = "default") -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": space}, "spec": spec}


DB = pod("db", "10.0.0.1", role="db", ports=[{"name": "sql", "containerPort": 6379}])
FRONT = pod("front", "10.0.0.2", role="frontend")
PROJECT = pod("project", "10.0.0.3", space="mine", role="frontend")
OTHER = pod("other", "10.0.0.4", space="other", role="frontend")
PODS = [DB, FRONT, PROJECT, OTHER]


def allowed(spec: dict[str, Any], direction: str, target: dict[str, Any] = DB) -> list[str] | None:
    """The matches that `target` lets through in one direction, or None if it is not isolated there."""
    text = engine.rules([policy(spec)], PODS, SPACES, "node1")
    own = "-d" if direction == "I" else "-s"
    jump = f"-A {engine.ROOT} {own} {target['status']['podIP']} -j "
    chains = [line.removeprefix(jump) for line in text.splitlines() if line.startswith(jump)]
    if not chains:
        return None
    body = [line for line in text.splitlines() if line.startswith(f"-A {chains[0]}")]
    assert body[-1] == f"-A {chains[0]} -j DROP"
    return [line.removeprefix(f"-A {chains[0]}").removesuffix(" -j RETURN").strip() for line in body[1:-1]]


# https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource
DOCUMENTED = {
    "podSelector": {"matchLabels": {"role": "db"}},
    "policyTypes": ["Ingress", "Egress"],
    "ingress": [
        {
            "from": [
                {"ipBlock": {"cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"]}},
                {"namespaceSelector": {"matchLabels": {"project": "myproject"}}},
                {"podSelector": {"matchLabels": {"role": "frontend"}}},
            ],
            "ports": [{"protocol": "TCP", "port": 6379}],
        }
    ],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 5978}]}],
}


def test_documented_example() -> None:
    ingress = allowed(DOCUMENTED, "I")
    assert ingress is not None
    assert "-s 10.0.0.2 -p tcp --dport 6379" in ingress, "frontend of the same namespace"
    assert "-s 10.0.0.3 -p tcp --dport 6379" in ingress, "any pod of a namespace labelled project=myproject"
    assert not [m for m in ingress if "10.0.0.4" in m], "frontend of another namespace"
    blocks = [m.split()[1] for m in ingress if "172.17" in m]
    assert "172.17.0.0/24" in blocks
    assert "172.17.2.0/23" in blocks
    assert not [b for b in blocks if b.startswith("172.17.1.")]
    assert allowed(DOCUMENTED, "E") == ["-d 10.0.0.0/24 -p tcp --dport 5978"]
    assert allowed(DOCUMENTED, "I", FRONT) is None, "a pod no policy selects is not isolated"


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ({"podSelector": {}, "policyTypes": ["Ingress"]}, [], None),  # default deny all ingress
        ({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}, [""], None),  # allow all ingress
        ({"podSelector": {}, "policyTypes": ["Egress"]}, None, []),  # default deny all egress
        ({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}, None, [""]),  # allow all egress
        ({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, [], []),  # deny all
        ({"podSelector": {}}, [], None),  # policyTypes unsaid: ingress
        ({"podSelector": {}, "egress": [{}]}, [], [""]),  # and egress, if there is a rule for it
    ],
)
def test_documented_defaults(spec: dict[str, Any], ingress: Any, egress: Any) -> None:
    assert (allowed(spec, "I"), allowed(spec, "E")) == (ingress, egress)


def test_one_peer_with_both_selectors_means_and_two_peers_mean_or() -> None:
    space = {"namespaceSelector": {"matchLabels": {"project": "myproject"}}}
    role = {"podSelector": {"matchLabels": {"role": "frontend"}}}
    both = {"podSelector": {}, "ingress": [{"from": [space | role]}]}
    either = {"podSelector": {}, "ingress": [{"from": [space, role]}]}
    assert allowed(both, "I") == ["-s 10.0.0.3"]
    assert allowed(either, "I") == ["-s 10.0.0.3", "-s 10.0.0.2"]


def test_ranges_and_names_of_ports() -> None:
    spec = {"podSelector": {}, "egress": [{"ports": [{"protocol": "TCP", "port": 32000, "endPort": 32768}]}]}
    assert allowed(spec, "E") == ["-p tcp --dport 32000:32768"]
    assert allowed({"podSelector": {}, "ingress": [{"ports": [{"port": "sql"}]}]}, "I") == [
        "-p tcp --dport 6379"
    ]
    to_db = {"podSelector": {}, "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": "sql"}]}]}
    assert allowed(to_db, "E", FRONT) == ["-d 10.0.0.1 -p tcp --dport 6379"], "the name is the server's"
    assert allowed({"podSelector": {}, "ingress": [{"ports": [{"protocol": "UDP"}]}]}, "I") == ["-p udp"]


@pytest.mark.parametrize(
    ("operator", "values", "verdict"),
    [
        ("In", ["a"], True),
        ("In", ["b"], False),
        ("NotIn", ["a"], False),
        ("NotIn", ["b"], True),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ],
)
def test_expressions(operator: str, values: Any, verdict: bool) -> None:
    term = {"key": "k", "operator": operator, "values": values}
    assert engine.matches({"matchExpressions": [term]}, {"k": "a"}) is verdict


def test_policies_add_up_and_finished_or_host_network_pods_are_left_alone() -> None:
    open_one, open_two = ({"podSelector": {}, "ingress": [{"ports": [{"port": n}]}]} for n in (1, 2))
    done, host = pod("done", "10.0.0.8"), pod("host", "10.0.0.9")
    done["status"]["phase"], host["spec"]["hostNetwork"] = "Succeeded", True
    text = engine.rules([policy(open_one), policy(open_two)], [DB, done, host], SPACES, "node1")
    assert "--dport 1 -j RETURN" in text
    assert "--dport 2 -j RETURN" in text
    assert text.count("-j DROP") == 1
    assert "10.0.0.8" not in text
    assert "10.0.0.9" not in text
