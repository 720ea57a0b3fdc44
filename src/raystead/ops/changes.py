"""What `scale`, `suspend` and `restart` share: who goes when groups shrink, and who really went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raystead.base import labels, names
from raystead.errors import RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection
from raystead.ops.events import Event, Note
from raystead.ops.idle import Idle, prefer
from raystead.ops.planning import Prepared
from raystead.plan import pods as reading

__all__ = ["Went", "pods_of", "prefer_idle", "shrinking", "went"]


@dataclass(frozen=True)
class Went:
    """A worker that ended because its group shrank; `was` is what Ray said of it just before."""

    group: str
    pod: str
    was: Idle | None


def shrinking(prepared: Prepared) -> dict[str, int]:
    """How many pods each worker group loses, for groups that keep some: where all go, none is chosen."""
    cluster = prepared.cluster
    name = names.Names(cluster.name, cluster.annotations.get(names.NAMES_ANNOTATION) == names.GUIDE)
    changes = {change.name: change for change in prepared.plan.mutating if change.kind == "Deployment"}
    out = {}
    for index, group in enumerate(cluster.spec.workers):
        change = changes.get(name.worker(group.name, index))
        if change and change.stops and group.wanted and not cluster.spec.suspend:
            out[group.name] = change.stops
    return out


def prefer_idle(prepared: Prepared, emit: Callable[[Event], None]) -> dict[str, Idle]:
    """Before an apply that shrinks groups: lets idle workers go first; what Ray said of each, by pod.

    Where Ray cannot be asked Kubernetes chooses, and a note says so.
    """
    shrink = shrinking(prepared)
    if not shrink:
        return {}
    try:
        return prefer(prepared.api, prepared.cluster.name, shrink)
    except RaysteadError as error:
        seen = f" ({error.evidence})" if error.evidence else ""
        emit(Note(f"Kubernetes chooses which workers end, not the idle ones: {error.what}{seen}"))
        return {}


def pods_of(api: Api, name: str) -> list[Json]:
    """The cluster's Ray workers that are not on their way out."""
    selector = f"{labels.OURS}={name},{labels.NODE_TYPE}=worker"
    return [p for p in api.list(collection(api.namespace, "Pod"), labels=selector) if not reading.deleted(p)]


def went(before: Sequence[Json], after: Sequence[Json], idle: Mapping[str, Idle]) -> list[Went]:
    """Workers of `before` that are not in `after`, which both are `pods_of`'s answers."""
    kept = {pod["metadata"]["uid"] for pod in after}
    return [
        Went(str(pod["metadata"]["labels"].get(labels.GROUP)), reading.name(pod), idle.get(reading.name(pod)))
        for pod in before
        if pod["metadata"]["uid"] not in kept
    ]
