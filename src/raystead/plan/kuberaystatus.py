"""The status that KubeRay's operator would write, computed from live objects (RayClusterStatus of ray.io/v1).

Same keys, live truth: `state` is `ready` only while everything is, and `RayClusterProvisioned` falls again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from raystead.base import quantities
from raystead.base.groups import HEAD
from raystead.base.times import instant
from raystead.live.groups import Group
from raystead.live.pods import Pod
from raystead.live.reading import dig, name
from raystead.spec.model import MAX_REPLICAS, Json, RayCluster

__all__ = ["LiveCluster", "kuberay_status"]

_TPU = "google.com/tpu"
_DECIMAL = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))


class LiveCluster(Struct, frozen=True):
    """What was seen: the head first in `groups`; `pods_left` are all pods but those that ended."""

    groups: Sequence[Group]
    all_ready: bool
    suspended: bool
    pods_left: int
    since: datetime | None
    born: datetime
    head: Pod | None
    service: Json | None


def kuberay_status(cluster: RayCluster, live: LiveCluster, now: datetime) -> Json:
    """`status` of a RayCluster, keys as KubeRay spells them; what is unknown is left out."""
    groups = cluster.spec.workers
    out: Json = {}
    state = "ready" if live.all_ready else "suspended" if live.suspended and not live.pods_left else ""
    if state:
        out["state"] = state
        if live.since:
            out["stateTransitionTimes"] = {state: instant(live.since)}
    out["desiredWorkerReplicas"] = 0 if live.suspended else sum(g.wanted for g in groups)
    out["availableWorkerReplicas"] = sum(group.running for group in live.groups if group.id.is_worker)
    out["readyWorkerReplicas"] = sum(group.ready for group in live.groups if group.id.is_worker)
    out["minWorkerReplicas"] = sum(g.min_replicas * g.num_of_hosts for g in groups)
    out["maxWorkerReplicas"] = min(MAX_REPLICAS, sum(g.max_replicas * g.num_of_hosts for g in groups))
    out.update(_desired(cluster, live.suspended))
    out["endpoints"] = _endpoints(live.service)
    out["head"] = _head(live)
    out["conditions"] = _conditions(live, now)
    out["lastUpdateTime"] = instant(now)
    out["observedGeneration"] = sum(
        int(dig(group.maker.json, "status", "observedGeneration") or 0) for group in live.groups
    )
    return out


def _desired(cluster: RayCluster, suspended: bool) -> Json:
    """CPU, memory, GPUs and TPUs of all pods that are wanted; limits before requests, as KubeRay counts."""
    total: dict[str, Decimal] = {}
    binary = False
    counted = [(cluster.spec.head.template.containers, 0 if suspended else 1)]
    counted += [(g.template.containers, 0 if suspended else g.wanted) for g in cluster.spec.workers]
    for containers, number in counted:
        for container in containers:
            resources = container.get("resources") or {}
            sizes: Mapping[str, str] = {
                **(resources.get("requests") or {}),
                **(resources.get("limits") or {}),
            }
            binary = binary or str(sizes.get("memory", "")).endswith("i")
            for key, size in sizes.items():
                total[key] = total.get(key, Decimal(0)) + quantities.parse(size) * number
    gpus = sum((value for key, value in total.items() if key.endswith("gpu")), Decimal(0))
    memory = int(total.get("memory", Decimal(0)))
    return {
        "desiredCPU": quantities.millis(total.get("cpu", Decimal(0))),
        "desiredMemory": quantities.binary(memory) if binary else _decimal(memory),
        "desiredGPU": str(int(gpus)),
        "desiredTPU": str(int(total.get(_TPU, Decimal(0)))),
    }


def _decimal(value: int) -> str:
    for suffix, unit in _DECIMAL:
        if value and value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)


def _endpoints(service: Json | None) -> dict[str, str]:
    ports = ((service or {}).get("spec") or {}).get("ports") or ()
    return {str(x.get("name") or x["port"]): str(x.get("nodePort") or x["port"]) for x in ports}


def _head(live: LiveCluster) -> Json:
    out: Json = {}
    if live.head is not None:
        out["podName"] = live.head.name
        out["podIP"] = live.head.ip
    if live.service is not None:
        ip = (live.service.get("spec") or {}).get("clusterIP") or ""
        # of a headless Service KubeRay reports the head pod's address
        out["serviceIP"] = out.get("podIP", "") if ip == "None" else ip
        out["serviceName"] = name(live.service)
    return out


def _conditions(live: LiveCluster, now: datetime) -> list[Json]:
    out = [_head_ready(live, now), _provisioned(live, now)]
    failure = _failure(live, now)
    if failure:
        out.append(failure)
    going = live.suspended and live.pods_left > 0
    gone = live.suspended and not live.pods_left
    moment = now if live.suspended else live.born  # nobody records when a suspension began
    out.append(_condition("RayClusterSuspending", going, "RayClusterSuspending", "", moment))
    out.append(_condition("RayClusterSuspended", gone, "RayClusterSuspended", "", moment))
    return out


def _head_ready(live: LiveCluster, now: datetime) -> Json:
    if live.head is None:
        return _condition("HeadPodReady", False, "HeadPodNotFound", "Head Pod not found", now)
    entry = live.head.condition("Ready")
    is_ready = entry.get("status") == "True"
    reason = "HeadPodRunningAndReady" if is_ready else str(entry.get("reason") or "Unknown")
    message = str(entry.get("message") or "")
    if reason == "ContainersNotReady":
        reason, message = _not_ready(live.head, message)
    moment = entry.get("lastTransitionTime")
    return {**_condition("HeadPodReady", is_ready, reason, message, now), **_at(moment)}


def _not_ready(head: Pod, message: str) -> tuple[str, str]:
    """The first container that waits or ended tells why."""
    for status in head.status.get("containerStatuses") or ():
        state = status.get("state") or {}
        why = state.get("waiting") or state.get("terminated")
        if why and not status.get("ready"):
            detail = f"{status.get('name')}: {why['message']}" if why.get("message") else message
            return str(why.get("reason") or "ContainersNotReady"), detail
    return "ContainersNotReady", message


def _provisioned(live: LiveCluster, now: datetime) -> Json:
    if live.all_ready:
        text = "All Ray Pods are ready"
        moment = live.since or now
        return _condition("RayClusterProvisioned", True, "AllPodRunningAndReadyFirstTime", text, moment)
    text = "RayCluster has been suspended" if live.suspended else "RayCluster Pods are being provisioned"
    return _condition("RayClusterProvisioned", False, "RayClusterPodsProvisioning", text, now)


def _failure(live: LiveCluster, now: datetime) -> Json | None:
    """Pods that the API server refused: quota, admission."""
    for group in live.groups:
        if refusal := group.refusal():
            which = "Head" if group.id == HEAD else "Worker"
            made = _condition("ReplicaFailure", True, f"FailedCreate{which}Pod", refusal.message, now)
            return {**made, "lastTransitionTime": instant(refusal.since or now)}
    return None


def _condition(kind: str, status: bool, reason: str, message: str, moment: datetime) -> Json:
    return {
        "type": kind,
        "status": "True" if status else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": instant(moment),
    }


def _at(moment: object) -> Json:
    return {"lastTransitionTime": moment} if moment else {}
