"""Whether a machine is large enough for a pod, where nodes may be listed; else only what is hardly meant."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS
from raystead.base.text import plural
from raystead.doctor.amounts import Amounts, effective, shown
from raystead.doctor.model import Check, Observations, Pods, unmade
from raystead.spec.model import Json

__all__ = ["check"]

# Beyond these a size is more often a slip than a wish: few machines on offer have more.
_PLAUSIBLE: Amounts = {"cpu": Decimal(192), "memory": Decimal(2 * 2**40)}
_UNKNOWN = "you may not list nodes"


def check(seen: Observations) -> Iterator[Check]:
    """One check; none where nodes cannot be seen and every size is plausible."""
    pods = [group_pods for group_pods in seen.groups if group_pods.wanted]
    if seen.nodes:
        yield from _nowhere(seen, seen.nodes)
        yield from _against(seen, pods, seen.nodes)
        return
    odd = [text for group_pods in pods for text in _beyond(group_pods)]
    if not odd:
        return
    why = "there is no node now" if seen.nodes is not None else seen.unread.get("nodes", _UNKNOWN)
    what = f"not checked, {why}; {'; '.join(odd)}: hardly any machine has that much"
    yield Check("nodes", "unknown", what, "", _smaller(seen, pods))


def _against(seen: Observations, pods: list[Pods], nodes: tuple[Json, ...]) -> Iterator[Check]:
    rooms = [_allocatable(node) for node in nodes]
    for group_pods in pods:
        asked = effective(group_pods.pod["spec"], "requests")
        if any(all(room.get(name, Decimal(0)) >= value for name, value in asked.items()) for room in rooms):
            continue
        most = {n: max((room.get(n, Decimal(0)) for room in rooms), default=Decimal(0)) for n in asked}
        short = {n: v for n, v in asked.items() if v > most[n]} or asked
        text = " and ".join(f"{shown(n, v)} of {n}" for n, v in short.items())
        best = " and ".join(f"{shown(n, most[n])} of {n}" for n in short)
        what = f"{group_pods.one} asks for {text}; the largest of {plural(len(rooms), 'node')} has {best}"
        yield Check(
            "nodes", "warn", what, "a cluster autoscaler may add a larger one", _smaller(seen, [group_pods])
        )


def _nowhere(seen: Observations, nodes: tuple[Json, ...]) -> Iterator[Check]:
    """Groups whose nodeSelector no node has, those without pods yet too."""
    for group_pods in seen.groups:
        chosen = group_pods.pod["spec"].get("nodeSelector") or {}
        if not chosen or any(chosen.items() <= _labels(node).items() for node in nodes):
            continue
        text = ", ".join(f"{key}={value}" for key, value in chosen.items())
        what = f"{group_pods.one} is to run on a node with {text}, which no node has"
        evidence = f"looked at: {plural(len(nodes), 'node')}; a cluster autoscaler may add one"
        remedy = f"kubectl get nodes --show-labels\ncorrect nodeSelector in the file, then {seen.up}"
        check = Check("nodes", "warn", what, evidence, remedy)
        yield check if group_pods.wanted else unmade(check, group_pods)


def _labels(node: Json) -> dict[str, str]:
    return dict((node.get("metadata") or {}).get("labels") or {})


def _allocatable(node: Json) -> Amounts:
    found = (node.get("status") or {}).get("allocatable") or {}
    return {name: quantities.parse(value) for name, value in found.items()}


def _beyond(pods: Pods) -> Iterator[str]:
    for name, value in effective(pods.pod["spec"], "requests").items():
        if name in _PLAUSIBLE and value > _PLAUSIBLE[name]:
            yield f"{pods.one} asks for {shown(name, value)} of {name}"


def _smaller(seen: Observations, pods: list[Pods]) -> str:
    sides = dict.fromkeys(
        "head" if group_pods.group == HEAD else "worker" for group_pods in pods if group_pods.group != REDIS
    )
    return f"{seen.up} {' '.join(f'--{side}-cpu LESS --{side}-memory LESS' for side in sides)}"
