"""What `scale`, `suspend` and `restart` share: who goes when groups shrink, and who really went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raystead.base import labels
from raystead.base.groups import GroupId
from raystead.errors import RaysteadError
from raystead.kube.api import Api
from raystead.kube.paths import collection
from raystead.live.makers import makers_of
from raystead.live.nodeidle import NodeIdle
from raystead.live.pods import Pod, pods_of
from raystead.ops.events import Event, Note
from raystead.ops.idle import idle_times, prefer, victims
from raystead.ops.planning import Prepared
from raystead.plan.make import key_of
from raystead.plan.model import Key

__all__ = ["Went", "idle_groups", "prefer_idle", "shrinking", "went", "workers_of"]


@dataclass(frozen=True)
class Went:
    """A worker that ended because its group shrank; `was` is what Ray said of it just before."""

    group: GroupId
    pod: str
    was: NodeIdle | None


def shrinking(prepared: Prepared) -> dict[GroupId, int]:
    """How many pods each worker group loses, for groups that keep some: where all go, none is chosen."""
    changes = {change.key: change for change in prepared.plan.mutating}
    out = {}
    for item in prepared.objects:
        change = changes.get(key_of(item))
        for maker in makers_of(item):
            if change and change.stops and maker.id.is_worker and maker.counts and maker.asked:
                out[maker.id] = change.stops
    return out


def prefer_idle(prepared: Prepared, emit: Callable[[Event], None]) -> dict[str, NodeIdle]:
    """Before an apply that shrinks groups: lets idle workers go first; what Ray said of each, by pod.

    Where Ray cannot be asked Kubernetes chooses, and a note says so.
    """
    shrink = shrinking(prepared)
    if not shrink or prepared.anchor is None:
        return {}
    try:
        return prefer(prepared.api, prepared.cluster.name, prepared.anchor.uid, shrink)
    except RaysteadError as error:
        seen = f" ({error.evidence})" if error.evidence else ""
        emit(Note(f"Kubernetes chooses which workers end, and does not prefer idle ones: {error.what}{seen}"))
        return {}


def idle_groups(prepared: Prepared) -> set[Key]:
    """Objects whose pods only stop, and of which Ray says that they do nothing: nothing is lost with them.

    Empty where Ray cannot be asked.
    """
    changes = {c.key: c for c in prepared.plan.mutating if c.loses and c.stops and not c.restarts}
    groups = {
        key_of(item): maker.id
        for item in prepared.objects
        for maker in makers_of(item)
        if key_of(item) in changes and maker.id.is_worker
    }
    if not groups:
        return set()
    try:
        selector = f"{labels.OURS}={prepared.cluster.name}"
        found = prepared.api.list(collection(prepared.api.namespace, "Pod"), labels=selector)
        idle, pods = idle_times(prepared.api, found), pods_of(found)
    except RaysteadError:
        return set()
    out = set()
    for key, group in groups.items():
        chosen = victims([pod for pod in pods if pod.group == group], changes[key].stops, idle)
        if all(not pod.ready or ((node := idle.get(pod.name)) and not node.busy) for pod in chosen):
            out.add(key)
    return out


def workers_of(api: Api, name: str) -> list[Pod]:
    """The cluster's Ray workers that are not on their way out."""
    selector = f"{labels.OURS}={name},{labels.NODE_TYPE}=worker"
    found = api.list(collection(api.namespace, "Pod"), labels=selector)
    return [pod for pod in pods_of(found) if not pod.deleted]


def went(before: Sequence[Pod], after: Sequence[Pod], idle: Mapping[str, NodeIdle]) -> list[Went]:
    """Workers of `before` that are not in `after`, which both are `workers_of`'s answers."""
    kept = {pod.uid for pod in after}
    return [Went(pod.group, pod.name, idle.get(pod.name)) for pod in before if pod.uid not in kept]
