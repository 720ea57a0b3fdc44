"""Ends a pause: after refusals controllers and kubelets try again later; a change of the object wakes them.

What is changed is an annotation that nobody reads, so nothing restarts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from raystead.base.groups import GroupId
from raystead.base.ownership import owned
from raystead.errors import ApiError, Forbidden
from raystead.kube.api import Api, Json
from raystead.kube.paths import path_of
from raystead.live.events import Events
from raystead.live.makers import makers_of
from raystead.live.pods import Pod
from raystead.ops.living import live_objects, own_pods

__all__ = ["TRIED", "nudge", "nudge_pods", "refused_volume"]

TRIED = "raystead.io/tried-at"
_REFUSED = ("ReplicaSet", "StatefulSet")  # whose pods are refused
_MAKERS = ("Job", "Deployment", *_REFUSED)  # by which they are proved to be ours
_UNKNOWN = "no relationship found between node"  # the node authorizer's words


def nudge(api: Api, cluster: str, anchor_uid: str, groups: Iterable[GroupId]) -> None:
    """Lets the controllers that lack pods of these groups try now; without the right nothing happens.

    Only those that are proved to be the cluster's are touched: another team's may carry its label.
    """
    meant = set(groups)
    with contextlib.suppress(Forbidden, ApiError):
        there = [item for items in live_objects(api, cluster, _MAKERS).values() for item in items]
        ours = owned(there, cluster, [anchor_uid])
        for item in there:
            wanted = int((item.get("spec") or {}).get("replicas") or 0)
            short = int((item.get("status") or {}).get("replicas") or 0) < wanted
            refused = item["kind"] in _REFUSED and item["metadata"]["uid"] in ours
            if refused and short and {maker.id for maker in makers_of(item)} & meant:
                _touch(api, item["kind"], item)


def refused_volume(pods: Sequence[Json], events: Sequence[Json]) -> list[Json]:
    """The pods whose node was refused their claim: the API server had not seen them on it yet.

    The node's authorizer learns of a bound pod a moment after the kubelet. By the time that the event can be
    read it knows, and the kubelet's own next try would come 12 s later.
    """
    told = Events(events)
    waiting = [pod for pod in pods if not Pod.of(pod).ready]
    return [
        pod
        for pod in waiting
        if any(_UNKNOWN in event.message for event in told.about("Pod", pod, "FailedMount"))
    ]


def nudge_pods(api: Api, cluster: str, anchor_uid: str, pods: Sequence[Json]) -> None:
    """Lets the kubelets of those that are the cluster's try now; without the right nothing happens."""
    with contextlib.suppress(Forbidden, ApiError):
        for pod in own_pods(api, cluster, anchor_uid, pods):
            _touch(api, "Pod", pod)


def _touch(api: Api, kind: str, item: Json) -> None:
    """Changes an annotation of this very object: one that came under its name meanwhile is left alone."""
    metadata = item["metadata"]
    annotations = {TRIED: api.now().isoformat(timespec="seconds")}
    body = {"metadata": {"annotations": annotations}}
    api.patch(path_of(api.namespace, kind, metadata["name"]), body, uid=metadata["uid"])
