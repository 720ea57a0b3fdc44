"""Small Kubernetes objects of a cluster "demo" for explain's tables; what Kubernetes would write, and no more."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from msgspec.structs import replace

from raystead.explain.model import Finding, Snapshot
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NAME, SPACE = "demo", "team"


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def spec(storage: str = "none", workers: int = 2, **head: Any) -> RayCluster:
    template = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0"}]}}
    group = {"groupName": "worker", "replicas": workers, "rayStartParams": {}, "template": template}
    return read(
        RayCluster,
        {
            "metadata": {"name": NAME, "annotations": {"raystead.io/storage": storage}},
            "spec": {
                "rayVersion": "2.60.0",
                "headGroupSpec": {"rayStartParams": {}, "template": template, **head},
                "workerGroupSpecs": [group],
            },
        },
    )


def labels(group: str) -> dict[str, str]:
    if group == "redis":
        return {"app": "redis", "raystead.io/cluster": NAME}
    kind = "head" if group == "head" else "worker"
    return {
        "ray.io/cluster": NAME,
        "ray.io/node-type": kind,
        "ray.io/group": "headgroup" if kind == "head" else group,
        "raystead.io/cluster": NAME,
    }


def owner(group: str, wanted: int, *, metadata: Json | None = None, **status: Any) -> Json:
    """A Deployment or StatefulSet, settled 1 h ago."""
    return {
        "metadata": {
            "name": f"{NAME}-{group}", "creationTimestamp": ago(3600), "generation": 1, "labels": labels(group),
            **(metadata or {}),
        },
        "spec": {"replicas": wanted, "template": {"metadata": {"labels": labels(group)}}},
        "status": {"observedGeneration": 1, **status},
    }  # fmt: skip


def pod(
    group: str,
    name: str = "",
    *,
    ready: bool = False,
    age: float = 60,
    ready_age: float | None = None,
    status: Json | None = None,
    container: Json | None = None,
    spec: Json | None = None,
    metadata: Json | None = None,
) -> Json:
    """A pod `age` seconds old whose Ready condition is `ready_age` seconds old; running on a node unless told."""
    name = name or f"{NAME}-{group}-1"
    state: Json = {"running": {"startedAt": ago(age - 2)}}
    own: Json = {"name": "ray", "ready": ready, "restartCount": 0, "state": state, **(container or {})}
    since = ready_age if ready_age is not None else (age - 10 if ready else age)
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(age)},
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ago(since)},
    ]
    return {
        "metadata": {
            "name": name, "uid": name, "labels": labels(group), "creationTimestamp": ago(age), **(metadata or {}),
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                {
                    "name": "ray", "image": "rayproject/ray:2.60.0",
                    "resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
                }
            ],
            **(spec or {}),
        },
        "status": {
            "phase": "Running", "podIP": f"10.1.{crc32(name.encode()) % 256}.{crc32(name.encode()) // 256 % 256}", "conditions": conditions,
            "containerStatuses": [own], **(status or {}),
        },
    }  # fmt: skip


def pending(group: str, message: str, *, reason: str = "Unschedulable", age: float = 30, **more: Any) -> Json:
    """A pod that the scheduler could not place."""
    out = pod(group, age=age, status={"phase": "Pending", "containerStatuses": []}, **more)
    out["spec"].pop("nodeName")
    out["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": ago(age),
        }
    ]
    return out


def waiting(group: str, reason: str, message: str = "", **more: Any) -> Json:
    """A pod whose container waits."""
    state = {"state": {"waiting": {"reason": reason, "message": message}}}
    return pod(group, container={**state, **more.pop("container", {})}, **more)


def crashed(
    group: str, code: int, reason: str = "Error", *, seconds: float = 5, restarts: int = 3, **more: Any
) -> Json:
    """A pod in CrashLoopBackOff whose last run ended `seconds` ago."""
    last = {"exitCode": code, "reason": reason, "startedAt": ago(seconds + 20), "finishedAt": ago(seconds)}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    container = {"state": state, "lastState": {"terminated": last}, "restartCount": restarts}
    return pod(group, container=container, **more)


def event(kind: str, thing: Json, reason: str, message: str, *, seconds: float = 5, count: int = 1) -> Json:
    about = {"kind": kind, "name": thing["metadata"]["name"], "uid": thing["metadata"].get("uid", "")}
    return {
        "involvedObject": about, "reason": reason, "message": message, "count": count,
        "firstTimestamp": ago(seconds + count), "lastTimestamp": ago(seconds),
    }  # fmt: skip


def replicaset(group: str, wanted: int, made: int, message: str = "") -> Json:
    failure = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
         "lastTransitionTime": ago(20)}
    ]  # fmt: skip
    out = owner(group, wanted, replicas=made, conditions=failure if message else [])
    out["metadata"] |= {"name": f"{NAME}-{group}-abc", "uid": f"rs-{group}"}
    return out


def claim(phase: str, storage_class: str | None = "fast", age: float = 90) -> Json:
    spec = {"storageClassName": storage_class} if storage_class else {}
    metadata = {"name": "data-demo-redis-0", "uid": "c", "creationTimestamp": ago(age)}
    return {"metadata": metadata, "spec": {**spec, "volumeName": "pv-1"}, "status": {"phase": phase}}


def services(*names: str) -> tuple[Json, ...]:
    ports = {"demo-redis": 6379, "demo-head-svc": 6379}
    return tuple({"metadata": {"name": n}, "spec": {"ports": [{"port": ports[n]}]}} for n in names)


def ray_node(pod: Json, state: str = "ALIVE", message: str = "") -> Json:
    return {"raylet": {"nodeManagerAddress": pod["status"]["podIP"], "state": state, "stateMessage": message}}


def healthy(workers: int = 2, storage: str = "redis") -> Snapshot:
    """A cluster that has run for an hour."""
    names = [f"{NAME}-worker-{i}" for i in range(workers)]
    pods = [pod("head", ready=True, age=3600), *(pod("worker", n, ready=True, age=3600) for n in names)]
    sets = []
    if storage == "redis":
        pods.insert(0, pod("redis", ready=True, age=3600))
        sets = [owner("redis", 1)]
    return Snapshot(
        cluster=spec(storage, workers),
        namespace=SPACE,
        name=NAME,
        now=NOW,
        pods=tuple(pods),
        events=(),
        replicasets=(replicaset("head", 1, 1), replicaset("worker", workers, workers)),
        deployments=(owner("head", 1), owner("worker", workers)),
        statefulsets=tuple(sets),
        claims=(),
        quotas=(),
        limitranges=(),
        services=services("demo-redis", "demo-head-svc"),
        policies=(),
        ray_nodes=tuple(ray_node(p) for p in pods if "redis" not in p["metadata"]["name"]),
        logs={},
    )


def with_pods(group: str, *pods: Json, **more: Any) -> Snapshot:
    """The healthy cluster, the pods of one group replaced; how many that group wants stays."""
    base = healthy(storage=more.pop("storage", "redis"))
    rest = tuple(p for p in base.pods or () if p["metadata"]["labels"] != labels(group))
    all_pods = (*rest, *pods)
    alive = tuple(ray_node(p) for p in all_pods if p["status"]["conditions"][-1]["status"] == "True")
    return replace(base, **{"pods": all_pods, "ray_nodes": alive, **more})


def causes(found: tuple[Finding, ...]) -> list[tuple[str, str | None]]:
    return [(f.cause, str(f.group) if f.group else None) for f in found]
