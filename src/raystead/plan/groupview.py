"""Pods by group: which count, which of them Ray counts as alive, and what they use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from raystead.base.times import ago
from raystead.live.groups import Group
from raystead.live.notes import PodNote, pod_note, summary
from raystead.live.pods import Pod
from raystead.plan.raynodes import NodeIndex, RayNode

__all__ = ["GroupView", "NodeView", "group_view"]


@dataclass(frozen=True)
class NodeView:
    """One pod on machine `host`. `alive` is Ray's word, None when it could not be asked; memory in bytes."""

    pod: str
    group: str
    host: str
    node_ip: str
    phase: str
    ready: bool
    alive: bool | None
    cpu_used: float | None
    cpu_total: float | None
    mem_used: float | None
    mem_total: float | None
    restarts: int
    note: str


@dataclass(frozen=True)
class GroupView:
    """One group's pods of the present version, those being deleted left out; None is unknown.

    CPUs and GPUs are Ray's logical ones, memory is what the pods really use (bytes), over all alive nodes.
    """

    name: str
    wanted: int
    running: int
    ready: int
    alive: int | None
    cpu_used: float | None
    cpu_total: float | None
    memory_used: float | None
    memory_total: float | None
    gpu_used: float | None
    gpu_total: float | None
    note: str


def group_view(
    group: Group, index: NodeIndex | None, now: datetime
) -> tuple[GroupView, tuple[NodeView, ...]]:
    """The group's line, then one line per pod: the present ones, then those on their way out."""
    counted = {id(pod) for pod in group.current}
    nodes: list[NodeView] = []
    notes: list[PodNote] = []
    found: list[RayNode] = []
    for pod in group.standing:
        node, note = _find(index, pod), pod_note(pod, now)
        alive = None if index is None else node is not None
        if id(pod) in counted:
            if node is not None:
                found.append(node)
            note = note or _of_ray(pod, node, alive)
        elif pod.live:
            note = PodNote("of an older version")
        if note is not None:
            notes.append(note)
        nodes.append(_node(str(group.id), pod, node, alive, note, now))
    # without a running pod there is no node to ask Ray about
    told = index is not None or not group.running
    view = GroupView(
        name=str(group.id),
        wanted=group.wanted.target,
        running=group.running,
        ready=group.ready,
        alive=len(found) if told else None,
        cpu_used=_sum([n.cpu_used for n in found], told),
        cpu_total=_sum([n.cpu_total for n in found], told),
        memory_used=_sum([n.mem_used for n in found], told),
        memory_total=_sum([n.mem_total for n in found], told),
        gpu_used=_sum([n.gpu_used for n in found], told),
        gpu_total=_sum([n.gpu_total for n in found], told),
        note="; ".join(part for part in (_refused(group), summary(notes, now)) if part),
    )
    return view, tuple(nodes)


def _find(index: NodeIndex | None, pod: Pod) -> RayNode | None:
    """The pod's alive node: its container runs, and Ray counts that very raylet as alive."""
    since = pod.ray.running_since
    if index is None or since is None or not pod.running:
        return None
    node = index.find(pod.name, pod.ip, since)
    return node if node is not None and node.alive else None


def _of_ray(pod: Pod, node: RayNode | None, alive: bool | None) -> PodNote | None:
    if node is not None and node.draining:
        return PodNote("draining")
    return PodNote("ready, not alive in Ray") if alive is False and pod.ready else None


def _node(
    group: str, pod: Pod, node: RayNode | None, alive: bool | None, note: PodNote | None, now: datetime
) -> NodeView:
    since = "" if note is None or note.at is None else f", {ago(note.at, now)}"
    return NodeView(
        pod=pod.name,
        group=group,
        host=pod.node,
        node_ip=pod.ip,
        phase=pod.phase or "Unknown",
        ready=pod.ready,
        alive=alive,
        cpu_used=node.cpu_used if node else None,
        cpu_total=node.cpu_total if node else None,
        mem_used=node.mem_used if node else None,
        mem_total=node.mem_total if node else None,
        restarts=pod.ray.restarts,
        note=f"{note.text}{since}" if note else "",
    )


def _sum(values: Sequence[float | None], told: bool) -> float | None:
    """The sum; unknown when Ray was not asked or when one node's value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if told and len(known) == len(values) else None


def _refused(group: Group) -> str:
    """Pods that the API server refused to create: quota, admission."""
    refusal = group.refusal()
    if refusal is None:
        return ""
    missing = max(1, refusal.wanted - len(group.current))
    message = " ".join(refusal.message.split())
    return f"{missing} pod{'s' if missing > 1 else ''} refused: {message.split(' is forbidden: ')[-1]}"
