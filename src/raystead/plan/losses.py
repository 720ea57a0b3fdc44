"""What a restart or an end of an object's pods costs: how many pods, and which state dies with them."""

from __future__ import annotations

from typing import Any

from raystead.base import labels
from raystead.plan.model import Action
from raystead.spec.model import Json

__all__ = ["loses", "pods", "role", "state_place"]

_ANEW = "Ray starts anew on all nodes"
_EVERYTHING = "all actors, jobs and objects"
HEAD_WITHOUT_STORAGE = f"{_EVERYTHING}: the head keeps its state in its own pod (storage: none), {_ANEW}"
HEAD_WITH_STORAGE = "drivers that run on the head; actors and workers stay"
REDIS_WITHOUT_VOLUME = f"Redis' data, so {_EVERYTHING}: it is on no volume, {_ANEW}"
REDIS_WITH_VOLUME = (
    "drivers that run on the head: it restarts when Redis is away; Redis' data is on its volume"
)
WORKERS = "what runs on these pods: Ray retries tasks, actors come back if max_restarts allows"
HEAD, WORKER, REDIS = "head", "worker", "redis"


def role(item: Json) -> str:
    """`head`, `worker`, `redis` or empty: what the object's pods do."""
    kind, template = item.get("kind"), _template(item)
    said = str((template.get("metadata") or {}).get("labels", {}).get(labels.NODE_TYPE, ""))
    if kind == "StatefulSet" and not said:
        return REDIS
    return said if kind in ("Deployment", "StatefulSet") else ""


def pods(item: Json | None) -> int:
    """Pods there are: the status' count of a live object, else what its spec wants."""
    if item is None or item.get("kind") not in ("Deployment", "StatefulSet"):
        return 0
    if "status" in item:
        return int((item["status"] or {}).get("replicas") or 0)
    return wanted(item)


def wanted(item: Json) -> int:
    count = (item.get("spec") or {}).get("replicas")
    return 1 if count is None else int(count)


def state_place(item: Json) -> tuple[str, str]:
    """Where a head's Deployment keeps the GCS' state: the store in words and the part of it, "" for none."""
    spec = _template(item).get("spec") or {}
    ray: Json = next(iter(spec.get("containers") or []), {})
    env = {entry.get("name"): entry for entry in ray.get("env") or []}
    if _said(env.get("RAY_gcs_storage")) == "rocksdb":
        claim: Json = next((v for v in spec.get("volumes") or [] if v.get("name") == "gcs-storage"), {})
        name = (claim.get("persistentVolumeClaim") or {}).get("claimName", "")
        path = next(
            (m.get("subPath") for m in ray.get("volumeMounts") or [] if m.get("name") == "gcs-storage"), None
        )
        return f"RocksDB on the claim {name}", f"path {path}" if path else ""
    address = _said(env.get("RAY_REDIS_ADDRESS"))
    if not address:
        return "", ""
    prefix = _said(env.get("RAY_external_storage_namespace"))
    return f"Redis {address.rpartition('@')[2]}", f"namespace {prefix}" if prefix else ""


def loses(live: Json, after: Json | None, action: Action, *, restarts: int, stops: int) -> str:
    """The state that dies when the live object becomes `after` (None: it is deleted)."""
    what = role(live)
    if what == HEAD:
        return _head(live, after, restarts, stops)
    if restarts + stops == 0 and not (what == REDIS and action in (Action.REPLACE, Action.DELETE)):
        return ""
    if what == REDIS:
        kept = _has_claim(live) and (after is None or _has_claim(after))
        if after is None:
            return "" if kept else REDIS_WITHOUT_VOLUME
        if _has_claim(live) and not kept:
            return f"{_EVERYTHING}: the new Redis does not use the volume that holds them, {_ANEW}"
        return REDIS_WITH_VOLUME if kept else REDIS_WITHOUT_VOLUME
    return WORKERS if what == WORKER else ""


def _head(live: Json, after: Json | None, restarts: int, stops: int) -> str:
    old, part = state_place(live)
    new, new_part = state_place(after) if after is not None else (old, part)
    if old and (old, part) != (new, new_part):
        here, there = (part, new_part) if old == new else (old, new)
        place = f"look in {there or 'its own pod'}"
        return f"{_EVERYTHING}: their state is in {here or old}, the head will {place}; {_ANEW}"
    if not restarts + stops:
        return ""
    if not old:
        return HEAD_WITHOUT_STORAGE
    return HEAD_WITH_STORAGE if restarts else f"what runs; actors' state stays in {old}"


def _has_claim(item: Json) -> bool:
    return bool((item.get("spec") or {}).get("volumeClaimTemplates"))


def _template(item: Json) -> Json:
    template: Json = (item.get("spec") or {}).get("template") or {}
    return template


def _said(entry: Json | None) -> str:
    """The literal value of a variable, or the reference that gives it."""
    if entry is None:
        return ""
    value: Any = entry.get("value")
    return str(value) if value else str(entry.get("valueFrom") or "")
