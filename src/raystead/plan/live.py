"""Pods by group: which count, which of them Ray counts as alive, and what they use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from raystead.base import labels
from raystead.base.times import ago
from raystead.plan import pods as p
from raystead.plan.raynodes import NodeIndex, RayNode

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = ["GroupPods", "GroupView", "NodeView", "group_pods", "group_view", "image_version"]

_QUOTED = re.compile(r'"([^"]+)"')
_TAG = re.compile(r":(?:nightly-)?(\d+\.\d+(?:\.\w+)?)[^/]*$")


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


@dataclass(frozen=True)
class GroupPods:
    """A group with its Deployment and all its pods; `current` are those that count."""

    name: str
    wanted: int
    deployment: Json | None
    pods: tuple[Json, ...]
    current: tuple[Json, ...]

    @property
    def newest(self) -> Json | None:
        return max(self.current, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)

    @property
    def template_container(self) -> Json | None:
        """The Ray container as the Deployment has it."""
        if self.deployment is None:
            return None
        containers = self.deployment["spec"]["template"]["spec"].get("containers") or [{}]
        return dict(containers[0])


def group_pods(
    cluster: RayCluster, deployments: Sequence[Json], pods: Sequence[Json]
) -> tuple[GroupPods, ...]:
    """Head first, then the spec's groups in their order; pods that are no Ray nodes are left out."""
    by_group: dict[str, list[Json]] = {}
    for pod in pods:
        group = (pod["metadata"].get("labels") or {}).get(labels.GROUP)
        if group is not None:
            by_group.setdefault(group, []).append(pod)
    owners = {_group(deployment): deployment for deployment in deployments}
    suspended = bool(cluster.spec.suspend)
    wanted = [("head", labels.HEAD_GROUP, 1)] + [(g.name, g.name, g.wanted) for g in cluster.spec.workers]
    out = []
    for name, label, number in wanted:
        own, deployment = tuple(by_group.get(label, ())), owners.get(label)
        current = _current(deployment, own)
        out.append(GroupPods(name, 0 if suspended else number, deployment, own, current))
    return tuple(out)


def group_view(
    group: GroupPods, index: NodeIndex | None, now: datetime
) -> tuple[GroupView, tuple[NodeView, ...]]:
    """The group's line, and a line a pod: the present ones, then those on their way out."""
    counted = {id(pod) for pod in group.current}
    nodes: list[NodeView] = []
    notes: list[p.Note] = []
    found: list[RayNode] = []
    for pod in group.pods:
        node, note = _find(index, pod), p.pod_note(pod, now)
        alive = None if index is None else node is not None
        if id(pod) in counted:
            if node is not None:
                found.append(node)
            note = note or _of_ray(pod, node, alive)
        elif not p.deleted(pod) and not p.over(pod):
            note = p.Note("of an older version")
        if note is not None:
            notes.append(note)
        nodes.append(_node(group.name, pod, node, alive, note, now))
    # without a running pod there is no node to ask Ray about
    told = index is not None or not any(map(p.running, group.current))
    view = GroupView(
        name=group.name,
        wanted=group.wanted,
        running=sum(1 for pod in group.current if p.running(pod)),
        ready=sum(1 for pod in group.current if p.ready(pod)),
        alive=len(found) if told else None,
        cpu_used=_sum([n.cpu_used for n in found], told),
        cpu_total=_sum([n.cpu_total for n in found], told),
        memory_used=_sum([n.mem_used for n in found], told),
        memory_total=_sum([n.mem_total for n in found], told),
        gpu_used=_sum([n.gpu_used for n in found], told),
        gpu_total=_sum([n.gpu_total for n in found], told),
        note="; ".join(part for part in (_refused(group), p.summary(notes, now)) if part),
    )
    return view, tuple(nodes)


def image_version(image: str) -> str:
    """Ray's version as the image's tag tells it, "" where it does not."""
    match = _TAG.search(image.split("@")[0])
    return match.group(1) if match else ""


def _group(deployment: Json) -> str | None:
    found = (deployment["spec"]["template"]["metadata"].get("labels") or {}).get(labels.GROUP)
    return None if found is None else str(found)


def _current(deployment: Json | None, pods: Sequence[Json]) -> tuple[Json, ...]:
    """Pods of the Deployment's present ReplicaSet that are not on their way out.

    The Progressing condition names that ReplicaSet; without one (a bare pod, a new Deployment) all count.
    """
    staying = [pod for pod in pods if not p.deleted(pod) and not p.over(pod)]
    message = p.condition(deployment, "Progressing").get("message") if deployment else None
    match = _QUOTED.search(str(message or ""))
    if match is None:
        return tuple(staying)
    return tuple(pod for pod in staying if match.group(1) in _owners(pod))


def _owners(pod: Json) -> list[str]:
    return [str(ref.get("name")) for ref in pod["metadata"].get("ownerReferences") or ()]


def _find(index: NodeIndex | None, pod: Json) -> RayNode | None:
    """The pod's alive node: its container runs, and Ray counts that very raylet as alive."""
    since = p.started(pod)
    if index is None or since is None or not p.running(pod):
        return None
    node = index.find(p.name(pod), str((pod.get("status") or {}).get("podIP") or ""), since)
    return node if node is not None and node.alive else None


def _of_ray(pod: Json, node: RayNode | None, alive: bool | None) -> p.Note | None:
    if node is not None and node.draining:
        return p.Note("draining")
    return p.Note("ready, not alive in Ray") if alive is False and p.ready(pod) else None


def _node(
    group: str, pod: Json, node: RayNode | None, alive: bool | None, note: p.Note | None, now: datetime
) -> NodeView:
    status = pod.get("status") or {}
    since = "" if note is None or note.at is None else f", {ago(note.at, now)}"
    return NodeView(
        pod=p.name(pod),
        group=group,
        host=str((pod.get("spec") or {}).get("nodeName") or ""),
        node_ip=str(status.get("podIP") or ""),
        phase=str(status.get("phase") or "Unknown"),
        ready=p.ready(pod),
        alive=alive,
        cpu_used=node.cpu_used if node else None,
        cpu_total=node.cpu_total if node else None,
        mem_used=node.mem_used if node else None,
        mem_total=node.mem_total if node else None,
        restarts=int(p.ray_state(pod).get("restartCount") or 0),
        note=f"{note.text}{since}" if note else "",
    )


def _sum(values: Sequence[float | None], told: bool) -> float | None:
    """The sum; unknown when Ray was not asked or when one node's value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if told and len(known) == len(values) else None


def _refused(group: GroupPods) -> str:
    """Pods that the API server refused to create: quota, admission."""
    entry = p.condition(group.deployment, "ReplicaFailure") if group.deployment else {}
    if group.deployment is None or entry.get("status") != "True":
        return ""
    missing = max(1, int(group.deployment["spec"].get("replicas", 1)) - len(group.current))
    message = " ".join(str(entry.get("message") or "").split())
    return f"{missing} pod{'s' if missing > 1 else ''} refused: {message.split(' is forbidden: ')[-1]}"
