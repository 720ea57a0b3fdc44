"""What NetworkPolicy objects let through, as Kubernetes defines it; what a CNI adds is not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

from msgspec import Struct

from raystead.live.pods import Pod
from raystead.live.reading import dig, meta
from raystead.spec.model import Json

__all__ = ["blocks", "blocks_dns"]

_DNS_PORTS = (53, 5353)


class _Way(Struct, frozen=True):
    """One direction, seen from the pod whose policies decide."""

    kind: str  # Egress, Ingress
    rules: str  # egress, ingress
    peers: str  # to, from


_OUT = _Way("Egress", "egress", "to")
_IN = _Way("Ingress", "ingress", "from")


def blocks(policies: Sequence[Json], source: Pod, target: Pod, port: int, namespace: str) -> tuple[str, ...]:
    """Names of the policies that keep source from target's TCP port; () when nothing does."""
    for pod, peer, way in ((source, target, _OUT), (target, source, _IN)):
        if pod.on_host:
            continue  # its policies do not reach it
        selecting = _selecting(policies, pod, way)
        rules = [rule for p in selecting for rule in dig(p, "spec", way.rules) or []]
        allowed = any(
            _peer(r.get(way.peers), peer, namespace) and _port(r, port, target, "TCP") for r in rules
        )
        if selecting and not allowed:
            return tuple(meta(p, "name") for p in selecting)
    return ()


def blocks_dns(policies: Sequence[Json], source: Pod) -> tuple[str, ...]:
    """Names of the policies that keep the pod from any DNS server outside its namespace."""
    selecting = _selecting(policies, source, _OUT)
    for policy in selecting:
        for rule in dig(policy, "spec", "egress") or []:
            ports = any(_port(rule, n, None, kind) for n in _DNS_PORTS for kind in ("UDP", "TCP"))
            peers = rule.get("to")
            if ports and (not peers or any("namespaceSelector" in p or "ipBlock" in p for p in peers)):
                return ()
    return tuple(meta(p, "name") for p in selecting)


def _selecting(policies: Sequence[Json], pod: Pod, way: _Way) -> list[Json]:
    return [
        p for p in policies if way.kind in _types(p) and _matches(dig(p, "spec", "podSelector"), pod.labels)
    ]


def _types(policy: Json) -> Iterable[str]:
    types = dig(policy, "spec", "policyTypes")
    if types:
        return list(types)
    return ["Ingress", "Egress"] if dig(policy, "spec", "egress") is not None else ["Ingress"]


def _matches(selector: Json | None, labels: dict[str, str]) -> bool:
    if any(labels.get(k) != v for k, v in (dig(selector, "matchLabels") or {}).items()):
        return False
    return all(_expression(e, labels) for e in dig(selector, "matchExpressions") or [])


def _expression(expression: Json, labels: dict[str, str]) -> bool:
    key, values = str(expression.get("key")), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def _peer(peers: Sequence[Json] | None, pod: Pod, namespace: str) -> bool:
    """An absent list is everybody."""
    return not peers or any(_lets_in(p, pod, namespace) for p in peers)


def _lets_in(peer: Json, pod: Pod, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        if not pod.ip:
            return True
        address = ip_address(pod.ip)
        inside = address in ip_network(block["cidr"], strict=False)
        return inside and not any(address in ip_network(e, strict=False) for e in block.get("except") or [])
    if pod.on_host:
        return False  # it has its node's address: no selector of pods takes it
    if "namespaceSelector" in peer and not _own(peer["namespaceSelector"], namespace):
        return False
    return "podSelector" not in peer or _matches(peer["podSelector"], pod.labels)


def _own(selector: Json, namespace: str) -> bool:
    """The selector takes our namespace. Its labels are not known, but for its name: in doubt, yes."""
    name = (dig(selector, "matchLabels") or {}).get("kubernetes.io/metadata.name")
    return name is None or name == namespace


def _port(rule: Json, number: int, target: Pod | None, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        p.get("protocol", "TCP") == protocol and _number(p, number, target) for p in ports
    )


def _number(port_wanted: Json, number: int, target: Pod | None) -> bool:
    port = port_wanted.get("port")
    if port is None:
        return True
    if isinstance(port, str) and not port.isdigit():
        declared = [p for c in target.containers for p in c.spec.get("ports") or []] if target else []
        return any(p.get("name") == port and p.get("containerPort") == number for p in declared)
    return int(port) <= number <= int(port_wanted.get("endPort") or port)
