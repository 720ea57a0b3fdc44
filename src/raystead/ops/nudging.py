"""Ends a pause: after refusals controllers and kubelets try again later; a change of the object wakes them.

What is changed is an annotation that nobody reads, so nothing restarts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from raystead.base import labels
from raystead.base.groups import GroupId
from raystead.errors import ApiError, Forbidden
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.events import Events
from raystead.live.makers import makers_of
from raystead.live.pods import Pod

__all__ = ["TRIED", "nudge", "nudge_pod", "refused_volume"]

TRIED = "raystead.io/tried-at"
_UNKNOWN = "no relationship found between node"  # the node authorizer's words


def nudge(api: Api, cluster: str, groups: Iterable[GroupId]) -> None:
    """Lets the controllers that lack pods of these groups try now; without the right nothing happens."""
    meant, body = set(groups), _tried(api)
    for kind in ("ReplicaSet", "StatefulSet"):
        with contextlib.suppress(Forbidden, ApiError):
            found = api.list(collection(api.namespace, kind), labels=f"{labels.OURS}={cluster}")
            for item in found:
                wanted = int((item.get("spec") or {}).get("replicas") or 0)
                short = int((item.get("status") or {}).get("replicas") or 0) < wanted
                if short and {maker.id for maker in makers_of({**item, "kind": kind})} & meant:
                    api.patch(path_of(api.namespace, kind, item["metadata"]["name"]), body)


def refused_volume(pods: Sequence[Json], events: Sequence[Json]) -> list[str]:
    """Names of the pods whose node was refused their claim: the API server had not seen them on it yet.

    The node's authorizer learns of a bound pod a moment after the kubelet. By the time that the event can be
    read it knows, and the kubelet's own next try would come 12 s later.
    """
    told = Events(events)
    waiting = [pod for pod in pods if not Pod.of(pod).ready]
    return [
        pod["metadata"]["name"]
        for pod in waiting
        if any(_UNKNOWN in event.message for event in told.about("Pod", pod, "FailedMount"))
    ]


def nudge_pod(api: Api, name: str) -> None:
    """Lets the kubelet try the pod's volumes now; without the right nothing happens."""
    with contextlib.suppress(Forbidden, ApiError):
        api.patch(path_of(api.namespace, "Pod", name), _tried(api))


def _tried(api: Api) -> Json:
    return {"metadata": {"annotations": {TRIED: api.now().isoformat(timespec="seconds")}}}
