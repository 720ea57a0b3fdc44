"""`restart`: a stamp in the anchor's facts, which the pod template carries as an annotation.

It is no part of the spec: an unchanged `up`, with the user's file or without, finds nothing to do and
restarts nobody again. A group whose template changes loses its stamp: its pods are new anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from raystead.base import labels
from raystead.errors import UsageError
from raystead.spec.model import Group, RayCluster

__all__ = ["groups_named", "stamp", "stamps"]

_COUNTS = {"replicas", "min_replicas", "max_replicas", "suspend", "scale_strategy", "idle_timeout_seconds"}


def groups_named(cluster: RayCluster, words: Sequence[str]) -> list[str]:
    """Groups by their `ray.io/group`: those named, `head` is the head; all workers when none is named.

    Raises:
        UsageError: there is no such group, or no worker group at all.
    """
    workers = [group.name for group in cluster.spec.workers]
    there = {"head": labels.HEAD_GROUP, **{name: name for name in workers}}
    for word in words:
        if word not in there:
            raise UsageError(
                f'"{cluster.name}" has no group "{word}"',
                evidence=f"its groups: {', '.join(there)}",
                remedy="raystead restart, or one of these",
            )
    if not words and not workers:
        raise UsageError(f'"{cluster.name}" has no worker group', remedy="raystead restart head")
    return [there[word] for word in words or workers]


def stamp() -> str:
    """Now, to the second, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamps(
    kept: Mapping[str, str], applied: RayCluster, wanted: RayCluster, restart: Mapping[str, str]
) -> dict[str, str]:
    """The stamps to render: the kept ones of groups whose pods stay as they are, and new ones."""
    old, new = _templates(applied), _templates(wanted)
    return {
        **{name: when for name, when in kept.items() if name in new and new[name] == old.get(name)},
        **restart,
    }


def _templates(cluster: RayCluster) -> dict[str, dict[str, object]]:
    groups: list[tuple[str, Group]] = [(labels.HEAD_GROUP, cluster.spec.head)]
    groups += [(group.name, group) for group in cluster.spec.workers]
    return {name: group.model_dump(exclude=_COUNTS) for name, group in groups}
