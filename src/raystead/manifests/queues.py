"""Queues and gangs: what Kueue, KAI, Volcano, YuniKorn and the scheduler plugins read on pods.

KubeRay's operator copies it from the RayCluster; here it stands on every pod of the cluster, Redis' too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from raystead.base import labels, quantities
from raystead.manifests.context import Context
from raystead.spec.model import GroupSpec, Json, RayCluster

__all__ = [
    "REDIS_LABELS_ANNOTATION",
    "asked_schedulers",
    "notes",
    "pod_metadata",
    "redis_labels",
    "scheduler",
]

REDIS_LABELS_ANNOTATION = "raystead.io/redis-labels"  # KEY=VALUE,KEY=VALUE: where --label reaches Redis
_OF_SCHEDULERS = (
    "kai.scheduler/",
    "kueue.x-k8s.io/",
    "scheduling.k8s.io/",
    "scheduling.volcano.sh/",
    "scheduling.x-k8s.io/",
    "volcano.sh/",
    "yunikorn.apache.org/",
)
_GANG = "ray.io/gang-scheduling-enabled"
_SCHEDULER = "ray.io/scheduler-name"
_OF_RAY = (_GANG, _SCHEDULER, "ray.io/priority-class-name")
_KUEUE, _KAI = "kueue.x-k8s.io/queue-name", "kai.scheduler/queue"
_VOLCANO_QUEUE = "volcano.sh/queue-name"
_APP, _QUEUE = "yunikorn.apache.org/app-id", "yunikorn.apache.org/queue"
_TASK_GROUP, _TASK_GROUPS = "yunikorn.apache.org/task-group-name", "yunikorn.apache.org/task-groups"
_REDIS_GROUP = "redis"


def asked_schedulers(cluster: RayCluster) -> list[str]:
    """The schedulers by whose names pods would have to go: `volcano`, `kai-scheduler`, `yunikorn`."""
    labels = cluster.metadata.labels
    asked = [labels[_SCHEDULER]] if labels.get(_SCHEDULER) else []
    if _VOLCANO_QUEUE in labels:
        asked.append("volcano")
    if _KAI in labels:
        asked.append("kai-scheduler")
    if _APP in labels or _QUEUE in labels:
        asked.append("yunikorn")
    return list(dict.fromkeys(asked))


def scheduler(ctx: Context) -> str | None:
    """The scheduler that the labels ask for and that the cluster is known to have; None: leave it."""
    return next((name for name in asked_schedulers(ctx.cluster) if name in ctx.facts.schedulers), None)


def pod_metadata(ctx: Context, group: str, redis: Json | None) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations that the pods of `group` (`headgroup`, a worker group, `redis`) carry.

    `redis`: the pod spec of our own Redis, which counts in the gang.
    """
    labels = ctx.cluster.metadata.labels
    out = dict(_chosen(labels))
    annotations = dict(_chosen(ctx.cluster.annotations))
    if labels.get(_APP):
        out["applicationId"] = labels[_APP]
    if labels.get(_QUEUE):
        out["queue"] = labels[_QUEUE]
    if "volcano" in asked_schedulers(ctx.cluster):
        annotations.setdefault("volcano.sh/task-spec", group)
        if labels.get(_VOLCANO_QUEUE):  # of a pod without a PodGroup Volcano reads the annotation
            annotations.setdefault("scheduling.volcano.sh/queue-name", labels[_VOLCANO_QUEUE])
    if _GANG in labels and "yunikorn" in asked_schedulers(ctx.cluster):
        annotations.setdefault(_TASK_GROUPS, _task_groups(ctx, redis))
        annotations[_TASK_GROUP] = group
    return out, annotations


def redis_labels(ctx: Context) -> dict[str, str]:
    """The labels that `--label` gave all pods."""
    text = ctx.cluster.annotations.get(REDIS_LABELS_ANNOTATION, "")
    pairs = (part.strip().partition("=") for part in text.split(",") if part.strip())
    return {key: value for key, _, value in pairs if key not in (*labels.FIXED, "app")}


def notes(ctx: Context) -> Iterator[str]:
    """What of it has no effect here, or only where something is installed."""
    labels, asked = ctx.cluster.metadata.labels, asked_schedulers(ctx.cluster)
    if _KUEUE in labels:
        yield f"{_KUEUE} is set on every pod: it works where Kueue's integration of plain pods is on"
    for name in asked:
        groups = [ctx.cluster.spec.head, *ctx.cluster.spec.workers]
        named = [group.template.spec.get("schedulerName") for group in groups]
        if name not in ctx.facts.schedulers and not all(named):
            yield (
                f"the labels of {name} are set on every pod, schedulerName is left to the templates: nothing "
                f"shows that {name} is installed here; write schedulerName: {name} there if it is"
            )
    if _GANG in labels and "yunikorn" not in asked:
        yield f"{_GANG}: no PodGroup is made, so pods are scheduled one by one"


def _chosen(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in labels.items():
        if key.startswith(_OF_SCHEDULERS) or key in _OF_RAY:
            yield key, value


def _task_groups(ctx: Context, redis: Json | None) -> str:
    """YuniKorn's gang: one entry per group, with what one of its pods asks for."""
    spec = ctx.cluster.spec
    out = [_task_group("headgroup", 1, spec.head)]
    out += [_task_group(g.name, g.min_replicas * g.num_of_hosts, g) for g in spec.workers]
    if redis is not None:
        entry = {"name": _REDIS_GROUP, "minMember": 1, "minResource": _resources(redis["containers"])}
        out.append({**entry, **_place(redis)})
    return json.dumps(out, separators=(",", ":"))


def _task_group(name: str, members: int, group: GroupSpec) -> Json:
    spec = group.template.spec
    resources = _resources(group.template.containers)
    return {"name": name, "minMember": members, "minResource": resources, **_place(spec)}


def _place(spec: Json) -> Json:
    keys = ("nodeSelector", "tolerations", "affinity")
    return {key: spec[key] for key in keys if spec.get(key)}


def _resources(containers: Iterable[Json]) -> dict[str, str]:
    """What they ask for together: requests, else limits."""
    total: dict[str, Decimal] = {}
    for container in containers:
        resources: Json = container.get("resources") or {}
        for key, value in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            total[key] = total.get(key, Decimal(0)) + quantities.parse(value)
    return {key: _text(value) for key, value in sorted(total.items())}


def _text(value: Decimal) -> str:
    whole = value == value.to_integral_value()
    return str(int(value)) if whole else f"{int((value * 1000).to_integral_value())}m"
