"""Isolation of the namespace: policies that are not ours and what they leave open between our pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from raystead.base import labels
from raystead.base.groups import HEAD, REDIS, GroupId
from raystead.doctor.model import Check, Observations
from raystead.explain.policies import blocks, blocks_dns
from raystead.live.pods import Pod
from raystead.spec.model import Json

__all__ = ["check"]

_REDIS_PORT = 6379
_UNSEEN = "what the network itself adds (Cilium's or Calico's own policies) cannot be seen here"
_PROBE = "raystead doctor --probe tries it with a pod"


def check(seen: Observations) -> Iterator[Check]:
    if seen.policies is None:
        why = "network policies may not be read"
        yield Check("network", "unknown", why, seen.unread.get("policies", ""), _PROBE)
        return
    foreign = [policy for policy in seen.policies if not seen.ours(policy)]
    mine = [item for item in seen.objects if item["kind"] == "NetworkPolicy"]
    pods = {group.group: Pod(group.pod, group.group) for group in seen.groups}
    ways = {name: _names(foreign, list(pods.values()), name) for name in ("Egress", "Ingress")}
    named = list(dict.fromkeys([*ways["Egress"], *ways["Ingress"]]))
    closed = list(_closed(seen, [*foreign, *mine], pods))
    if closed:
        what = f"closed by policies: {'; '.join(closed)}"
        yield Check("network", "fail", what, _evidence(named), _opening(seen, named))
    elif named:
        directions = " and ".join(way.lower() for way, found in ways.items() if found)
        does = "policies will be added" if mine else "nothing our pods need is closed"
        if mine and seen.exists:
            does = "our policies open what the cluster needs"
        what = f"{directions} restricted here ({', '.join(named)}): {does}"
        yield Check("network", "warn", what, f"{_evidence(named)}; {_UNSEEN}", _PROBE)
    else:
        yield Check("network", "ok", "no other NetworkPolicy restricts our pods", _UNSEEN, _PROBE)


def _names(policies: Iterable[Json], pods: Iterable[Pod], way: str) -> list[str]:
    """Policies that restrict this direction for any of the pods."""
    found = []
    for policy in policies:
        spec = policy["spec"]
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        if way in types and any(labels.matches(spec.get("podSelector") or {}, pod.labels) for pod in pods):
            found.append(str(policy["metadata"]["name"]))
    return found


def _closed(seen: Observations, policies: list[Json], pods: dict[GroupId, Pod]) -> Iterator[str]:
    """The ways that the cluster cannot do without."""
    namespace, head, redis = seen.facts.namespace or "", pods.get(HEAD), pods.get(REDIS)
    port = int(seen.context.gcs_port)
    if head is None:
        return
    for name, pod in pods.items():
        if name in (HEAD, REDIS):
            continue
        if by := blocks(policies, pod, head, port, namespace):
            yield f"{name} to the head ({_by(by)})"
        elif by := blocks(policies, head, pod, port, namespace):
            yield f"the head to {name} ({_by(by)})"
        if by := blocks_dns(policies, pod):
            yield f"{name} to DNS ({_by(by)})"
    if redis and (by := blocks(policies, head, redis, _REDIS_PORT, namespace)):
        yield f"the head to Redis ({_by(by)})"


def _by(names: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(names))


def _evidence(names: list[str]) -> str:
    return ", ".join(f"networkpolicy/{name}" for name in names)


def _opening(seen: Observations, named: list[str]) -> str:
    if seen.choices.policies == "never":
        return f"{seen.up} --policies auto"
    return (
        f'send to the administrator: "policies {", ".join(named)} in namespace {seen.facts.namespace} close '
        f'what the Ray pods need among themselves, to DNS and to Redis"'
    )
