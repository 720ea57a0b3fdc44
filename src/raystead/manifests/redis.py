"""Redis of our own: ConfigMap, Service and a StatefulSet whose data is on a volume."""

from __future__ import annotations

from decimal import Decimal

from raystead.base import labels, quantities
from raystead.base.groups import REDIS
from raystead.base.names import STORAGE_NAMESPACE_ANNOTATION
from raystead.errors import SpecError
from raystead.manifests import scripts
from raystead.manifests.context import RESTARTED, Context
from raystead.manifests.probes import ready_once
from raystead.manifests.queues import pod_metadata, redis_labels, scheduler
from raystead.manifests.security import harden
from raystead.manifests.storage import (
    PASSWORD_DIR,
    PASSWORD_FILE,
    PASSWORD_KEY,
    password_volume,
    storage_kind,
)
from raystead.spec.model import Json

__all__ = ["REDIS_IMAGE_ANNOTATION", "REDIS_USER_ANNOTATION", "redis_objects", "redis_pod"]

REDIS_IMAGE_ANNOTATION = "raystead.io/redis-image"
REDIS_MEMORY_ANNOTATION = "raystead.io/redis-memory"
REDIS_CPU_ANNOTATION = "raystead.io/redis-cpu"
REDIS_USER_ANNOTATION = "raystead.io/redis-user"  # a number, or `none` where the cluster gives user ids
DEFAULT_IMAGE = "redis:7.0.15"
DEFAULT_USER = "999"  # `redis` of the official image, which else starts as root and is refused
VOLUME = "1Gi"
_CONFIG_DIR = "/usr/local/etc/redis"
_RUN_DIR = "/run/redis"
# A working directory of 90 MiB takes Redis to 193 MB (docs/facts/ray.md#state).
_SIZE: Json = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
_CONFIG = """\
dir /data
port 6379
appendonly yes
protected-mode yes
maxmemory {maxmemory}
maxmemory-policy noeviction
"""
# Full, Redis refuses to write and loses nothing; the rest of the limit is for buffers and for the pages that
# change while it rewrites its file.
_DATA_SHARE = Decimal("0.625")


def redis_objects(ctx: Context) -> list[Json]:
    """ConfigMap, Service, StatefulSet; nothing when the cluster has no Redis of its own."""
    if storage_kind(ctx.cluster) != "redis":
        return []
    return [_config(ctx), _service(ctx), _stateful_set(ctx)]


def _config(ctx: Context) -> Json:
    metadata = ctx.metadata(ctx.names.redis_config, {"app": "redis"})
    maxmemory = int(quantities.parse(_size(ctx)["limits"]["memory"]) * _DATA_SHARE)
    data = {"redis.conf": _CONFIG.format(maxmemory=maxmemory)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _size(ctx: Context) -> Json:
    """Requests and limits; memory and CPU that the user names are both."""
    named = {"memory": REDIS_MEMORY_ANNOTATION, "cpu": REDIS_CPU_ANNOTATION}
    more = {what: value for what, one in named.items() if (value := ctx.cluster.annotations.get(one))}
    return {side: {**values, **more} for side, values in _SIZE.items()}


def _service(ctx: Context) -> Json:
    spec: Json = {"type": "ClusterIP"}
    spec["ports"] = [{"name": "redis", "protocol": "TCP", "port": 6379, "targetPort": 6379}]
    spec["selector"] = labels.redis_labels(ctx.cluster.name)
    metadata = ctx.metadata(ctx.names.redis, {"app": "redis"})
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _stateful_set(ctx: Context) -> Json:
    # Immutable, and harmless as it is: a StatefulSet takes only pods of its own name. Another selector would
    # replace the Redis of a running cluster.
    selector = {"app": "redis"} if ctx.guide else labels.redis_labels(ctx.cluster.name)
    on_volume = _on_volume(ctx)
    pod = redis_pod(ctx)
    queues, annotations = pod_metadata(ctx, "redis", pod)
    found = {**redis_labels(ctx), **queues, **selector, labels.OURS: ctx.cluster.name}
    described: Json = {"labels": found, **({"annotations": annotations} if annotations else {})}
    template: Json = {"metadata": _restarted(ctx, described), "spec": pod}
    spec: Json = {
        "replicas": 0 if ctx.suspended and on_volume else 1,
        "revisionHistoryLimit": 2,
        "serviceName": ctx.names.redis,
        "selector": {"matchLabels": selector},
        "template": template,
    }
    if on_volume:
        spec["volumeClaimTemplates"] = [_claim(ctx, selector)]
    metadata = ctx.metadata(ctx.names.redis, {"app": "redis"})
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def _restarted(ctx: Context, metadata: Json) -> Json:
    """With the time of the last restart, if there was one: another time, another pod."""
    when = ctx.choices.restarted.get(str(REDIS))
    annotations: Json = metadata.get("annotations") or {}
    return {**metadata, "annotations": {**annotations, RESTARTED: when}} if when else metadata


def _claim(ctx: Context, selector: dict[str, str]) -> Json:
    metadata: Json = {"name": "data", "labels": {**selector, labels.OURS: ctx.cluster.name}}
    if ctx.facts.storage_namespace:
        metadata["annotations"] = {STORAGE_NAMESPACE_ANNOTATION: ctx.facts.storage_namespace}
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": VOLUME}}}
    if ctx.facts.storage_class is not None:
        spec["storageClassName"] = ctx.facts.storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _on_volume(ctx: Context) -> bool:
    return ctx.facts.has_default_storage or ctx.facts.storage_class is not None


def redis_pod(ctx: Context) -> Json:
    """The spec of Redis' pod."""
    secret = {"name": ctx.facts.redis_secret or ctx.names.redis_secret, "key": PASSWORD_KEY}
    volumes: list[Json] = [
        {"name": "config", "configMap": {"name": ctx.names.redis_config}},
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        password_volume(secret),
    ]
    if not _on_volume(ctx):
        volumes.append({"name": "data", "emptyDir": {}})
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _user(ctx),
        "terminationGracePeriodSeconds": 30,
        "containers": [_container(ctx)],
        "volumes": volumes,
    }
    head = ctx.cluster.spec.head.template.spec
    for key in (
        "imagePullSecrets",
        "nodeSelector",
        "priorityClassName",
        "schedulerName",
        "tolerations",
    ):  # where and how the cluster's pods may run
        if head.get(key):
            spec[key] = head[key]
    if name := scheduler(ctx):
        spec.setdefault("schedulerName", name)
    return harden(spec)


def _user(ctx: Context) -> Json:
    default = "none" if ctx.facts.gives_user_ids else DEFAULT_USER
    user = ctx.cluster.annotations.get(REDIS_USER_ANNOTATION, default)
    if user == "none":
        return {}
    if not user.isdigit():
        raise SpecError(
            f'The annotation {REDIS_USER_ANNOTATION} is "{user}", which is not a user id.',
            remedy="Write a number, or none where the cluster itself gives user ids (OpenShift).",
        )
    return {"runAsUser": int(user), "runAsGroup": int(user), "fsGroup": int(user)}


def _probes(ctx: Context) -> Json:
    ping = scripts.redis_cli(PASSWORD_FILE)
    alive: Json = {
        "exec": {"command": ["sh", "-c", ping]},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }
    # Redis that loads a large file answers, but not with PONG (no grep: small images).
    started = ready_once(["sh", "-c", f'test "$({ping})" = PONG'], 1)
    if ctx.facts.filled:
        ready = {**started, "periodSeconds": 2, "failureThreshold": 3}
        return {"livenessProbe": {**alive, "initialDelaySeconds": 30}, "readinessProbe": ready}
    return {"livenessProbe": alive, "startupProbe": started}


def _container(ctx: Context) -> Json:
    start = scripts.redis_start(f"{_CONFIG_DIR}/redis.conf", PASSWORD_FILE, f"{_RUN_DIR}/redis.conf")
    return {
        "name": "redis",
        "image": ctx.cluster.annotations.get(REDIS_IMAGE_ANNOTATION, DEFAULT_IMAGE),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-ec"],
        "args": [start],
        "ports": [{"name": "redis", "containerPort": 6379}],
        "resources": _size(ctx),
        **_probes(ctx),
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True},
            {"name": "redis-password", "mountPath": PASSWORD_DIR, "readOnly": True},
            {"name": "run", "mountPath": _RUN_DIR},
            {"name": "data", "mountPath": "/data"},
        ],
    }
