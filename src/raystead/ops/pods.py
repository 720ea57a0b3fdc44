"""Which pods of a cluster a verb means, and what they are called for people."""

from __future__ import annotations

from collections.abc import Sequence

from raystead.base import labels
from raystead.base.groups import HEAD, GroupId, worker
from raystead.base.groups import named as word
from raystead.errors import ObjectNotFound, UsageError
from raystead.kube.api import Api, Json
from raystead.kube.logs import containers_of
from raystead.kube.paths import collection
from raystead.live.pods import Pod
from raystead.ops.anchor import Anchor
from raystead.ops.suspending import refuse_rest

__all__ = ["group_of", "named", "one_pod", "selector", "short_name"]


def selector(cluster: str) -> str:
    """All pods of a cluster, Redis' included."""
    return f"{labels.OURS}={cluster}"


def group_of(pod: Json) -> GroupId:
    return Pod.of(pod).group


def short_name(pod: Json) -> str:
    """`head`, `small/7wq2k`: a pod in a log's margin. The head is one, its next pod is still the head."""
    group = group_of(pod)
    return str(group) if group == HEAD else f"{group}/{str(pod['metadata']['name']).rpartition('-')[2]}"


def named(pod: Json, what: str) -> bool:
    """Whether `what` means this pod: its group (`small`, `worker/small`), its name, or its short name."""
    return word(what) == group_of(pod) or what in (pod["metadata"]["name"], short_name(pod))


def pods_of(api: Api, anchor: Anchor) -> list[Json]:
    return api.list(collection(api.namespace, "Pod"), labels=selector(anchor.name))


def one_pod(api: Api, anchor: Anchor, what: str) -> Json:
    """The running pod that `what` means (a group's newest).

    Raises:
        WrongState: the cluster is suspended.
        ObjectNotFound: such pods are there, and none runs.
        UsageError: there is no such pod or group.
    """
    refuse_rest(anchor)
    pods = pods_of(api, anchor)
    meant = [pod for pod in pods if named(pod, what)]
    if not meant and word(what) not in groups(anchor):
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


def default_container(pod: Json) -> str | None:
    """The container that is meant: the one of kubectl's annotation, else the first, as Ray's is."""
    given = pod["metadata"].get("annotations") or {}
    return given.get("kubectl.kubernetes.io/default-container") or containers_of(pod)[0]


def groups(anchor: Anchor) -> list[GroupId]:
    return [HEAD, *map(worker, anchor.groups)]


def unknown(what: str, anchor: Anchor, pods: Sequence[Json]) -> UsageError:
    there = ", ".join(sorted({str(group_of(pod)) for pod in pods} | set(map(str, groups(anchor)))))
    names = ", ".join(sorted(pod["metadata"]["name"] for pod in pods)) or "none"
    return UsageError(
        f'"{anchor.name}" has no group and no pod "{what}"',
        evidence=f"groups: {there}; pods: {names}",
        remedy="raystead status -o wide",
    )
