"""`restart`: a stamp in the anchor's facts, which the pod template carries as an annotation.

It is no part of the spec: an unchanged `up`, with the user's file or without, finds nothing to do and
restarts nobody again. A group whose template changes loses its stamp: its pods are new anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import asdict

from raystead.base import labels
from raystead.base.groups import HEAD, GroupId, named, worker
from raystead.errors import UsageError, WrongState
from raystead.spec.model import GroupSpec, RayCluster

__all__ = ["groups_named", "stamp", "stamps"]

_COUNTS = {"replicas", "min_replicas", "max_replicas", "suspend", "scale_strategy", "idle_timeout_seconds"}


def groups_named(cluster: RayCluster, words: Sequence[str]) -> list[GroupId]:
    """The groups that the words mean; all worker groups when none is named.

    Raises:
        UsageError: there is no such group, or no worker group at all.
        WrongState: it is a RayCronJob's.
    """
    if cluster.metadata.labels.get(labels.ORIGIN_KIND) == "RayCronJob":
        what = f'"{cluster.name}" is a RayCronJob: its pods are new at each tick'
        raise WrongState(what, remedy="raystead status")
    workers = [worker(group.name) for group in cluster.spec.workers]
    for word in words:
        if named(word) not in (HEAD, *workers):
            raise UsageError(
                f'"{cluster.name}" has no group "{word}"',
                evidence=f"its groups: {', '.join(map(str, (HEAD, *workers)))}",
                remedy="raystead restart, or one of these",
            )
    if not words and not workers:
        raise UsageError(f'"{cluster.name}" has no worker group', remedy="raystead restart head")
    return [*map(named, words)] or workers


def stamp() -> str:
    """Now, as Kubernetes writes times, to the microsecond: of two restarts within one second each is one."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stamps(
    kept: Mapping[str, str], applied: RayCluster, wanted: RayCluster, restart: Mapping[GroupId, str]
) -> dict[str, str]:
    """The stamps to render: the kept ones of groups whose pods stay as they are, and new ones."""
    old, new = _templates(applied), _templates(wanted)
    return {
        **{name: when for name, when in kept.items() if new.get(name) == old.get(name)},
        **{str(group): when for group, when in restart.items()},
    }


def _templates(cluster: RayCluster) -> dict[str, dict[str, object]]:
    groups: list[tuple[GroupId, GroupSpec]] = [(HEAD, cluster.spec.head)]
    groups += [(worker(group.name), group) for group in cluster.spec.workers]
    return {str(one): _without_counts(group) for one, group in groups}


def _without_counts(group: GroupSpec) -> dict[str, object]:
    return {key: value for key, value in asdict(group).items() if key not in _COUNTS}
