"""Which workers go when a group shrinks: those that Ray calls idle, the longest idle first.

A Deployment chooses its victims itself; `controller.kubernetes.io/pod-deletion-cost` is the one thing it
listens to. Only victims are annotated, so a later choice meets no old costs. The head's container asks Ray.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from raystead.base import labels
from raystead.base.groups import GroupId
from raystead.errors import ApiError, Conflict, ObjectNotFound
from raystead.kube import execs
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.nodeidle import ASK_IDLE, NodeIdle, read_idle
from raystead.live.pods import Pod, pods_of
from raystead.ops.living import own_pods
from raystead.ops.ray import head_of

__all__ = ["COST", "idle_times", "prefer", "victims"]

COST = "controller.kubernetes.io/pod-deletion-cost"
_VICTIM = "-1000"


def idle_times(api: Api, pods: Sequence[Json]) -> dict[str, NodeIdle]:
    """By pod name, as Ray's GCS tells it at this moment.

    Raises:
        RaysteadError: no head runs, or it cannot be asked.
    """
    head = head_of(pods)
    if head is None:
        raise ApiError("no head runs that could be asked")
    target = execs.Target(api.namespace, Pod.of(head).name, head["spec"]["containers"][0]["name"])
    done = execs.run(api, target, ["python3", "-c", ASK_IDLE])
    if done.code:
        last = done.err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise ApiError("Ray's idle times cannot be asked for", evidence=last[0])
    try:
        return read_idle(done.out)
    except ValueError:
        raise ApiError("Ray's idle times cannot be read", evidence=repr(done.out[-200:])) from None


def victims(pods: Sequence[Pod], count: int, idle: Mapping[str, NodeIdle]) -> list[Pod]:
    """The `count` pods of one group whose end costs least: not ready, unknown to Ray, idle, little used."""

    def cost(pod: Pod) -> tuple[bool, float, float, str]:
        known = idle.get(pod.name, NodeIdle(float("inf"), 0.0))
        return (pod.ready, -known.seconds, known.cpus, pod.name)

    return sorted((pod for pod in pods if not pod.deleted), key=cost)[:count]


def prefer(api: Api, cluster: str, anchor_uid: str, shrink: Mapping[GroupId, int]) -> dict[str, NodeIdle]:
    """Makes the controller take the idle ones: `shrink` is how many pods each group loses.

    Returns:
        What the nodes did at that moment, by pod.

    Raises:
        RaysteadError: Ray could not be asked; nothing is annotated.
    """
    found = api.list(collection(api.namespace, "Pod"), labels=f"{labels.OURS}={cluster}")
    found = own_pods(api, cluster, anchor_uid, found)
    idle, pods = idle_times(api, found), pods_of(found)
    for group, count in shrink.items():
        mine = [pod for pod in pods if pod.group == group]
        chosen = {pod.name for pod in victims(mine, count, idle)}
        for pod in mine:
            has = COST in pod.annotations
            if pod.name in chosen or has:
                _annotate(api, pod, _VICTIM if pod.name in chosen else None)
    return idle


def _annotate(api: Api, pod: Pod, cost: str | None) -> None:
    metadata = {"annotations": {COST: cost}}
    with contextlib.suppress(ObjectNotFound, Conflict):  # it has gone meanwhile: so much the better
        api.patch(path_of(api.namespace, "Pod", pod.name), {"metadata": metadata}, uid=pod.uid)
