"""Which pods of a cluster a verb means, and what they are called for people."""

from __future__ import annotations

from collections.abc import Sequence

from raystead.base import labels
from raystead.errors import ObjectNotFound, StateError, UsageError
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection
from raystead.ops.anchor import Anchor

__all__ = ["group_of", "named", "one_pod", "selector", "short_name"]

HEAD = "head"


def selector(cluster: str) -> str:
    """All pods of a cluster, Redis' included."""
    return f"{labels.OURS}={cluster}"


def group_of(pod: Json) -> str:
    """head, a worker group's name, or redis."""
    given = pod["metadata"].get("labels") or {}
    if given.get(labels.NODE_TYPE) == "head":
        return HEAD
    return str(given.get(labels.GROUP) or given.get("app") or "pod")


def short_name(pod: Json) -> str:
    """`head`, `worker/7wq2k`: a pod in a log's margin. The head is one, its next pod is still the head."""
    group = group_of(pod)
    return group if group == HEAD else f"{group}/{str(pod['metadata']['name']).rpartition('-')[2]}"


def named(pod: Json, what: str) -> bool:
    """Whether `what` means this pod: its group, its name, or its short name."""
    return what in (group_of(pod), pod["metadata"]["name"], short_name(pod))


def pods_of(api: Api, anchor: Anchor) -> list[Json]:
    return api.list(collection(api.namespace, "Pod"), labels=selector(anchor.name))


def one_pod(api: Api, anchor: Anchor, what: str) -> Json:
    """The running pod that `what` means (a group's newest).

    Raises:
        StateError: the cluster is suspended.
        ObjectNotFound: such pods are there, and none runs.
        UsageError: there is no such pod or group.
    """
    if anchor.suspended:
        raise StateError(f'"{anchor.name}" is suspended: nothing of it runs', remedy="raystead resume")
    pods = pods_of(api, anchor)
    meant = [pod for pod in pods if named(pod, what)]
    if not meant and what not in groups(anchor):
        raise unknown(what, anchor, pods)
    running = [
        pod
        for pod in meant
        if (pod.get("status") or {}).get("phase") == "Running"
        and not pod["metadata"].get("deletionTimestamp")
    ]
    if not running:
        states = ", ".join(
            f"{pod['metadata']['name']} {(pod.get('status') or {}).get('phase')}" for pod in meant
        )
        raise ObjectNotFound(
            f'no pod of "{what}" runs now', evidence=f"pods: {states or 'none'}", remedy="raystead explain"
        )
    return max(running, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def groups(anchor: Anchor) -> list[str]:
    return [HEAD, *anchor.groups]


def unknown(what: str, anchor: Anchor, pods: Sequence[Json]) -> UsageError:
    there = ", ".join(sorted({group_of(pod) for pod in pods} | set(groups(anchor))))
    names = ", ".join(sorted(pod["metadata"]["name"] for pod in pods)) or "none"
    return UsageError(
        f'"{anchor.name}" has no group and no pod "{what}"',
        evidence=f"groups: {there}; pods: {names}",
        remedy="raystead status -o wide",
    )
