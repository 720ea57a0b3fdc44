"""What a restart or an end of an object's pods costs: how many pods, and which state dies with them."""

from __future__ import annotations

from typing import Any

from raystead.base.groups import Role
from raystead.live.maker import Cost, Maker
from raystead.plan.model import Action
from raystead.spec.model import Json

__all__ = ["loses", "state_place"]

_ANEW = "Ray restarts on all nodes"
_EVERYTHING = "all actors, jobs and objects"
HEAD_WITHOUT_STORAGE = f"{_EVERYTHING}: the head keeps its state in its own pod (storage: none), {_ANEW}"
HEAD_WITH_STORAGE = "drivers that run on the head; actors and workers stay"
REDIS_WITHOUT_VOLUME = f"Redis' data, so {_EVERYTHING}: it is on no volume, {_ANEW}"
REDIS_WITH_VOLUME = (
    "drivers that run on the head: it restarts when Redis is away; Redis' data is on its volume"
)
WORKERS = "what runs on these pods: Ray retries tasks, actors come back if max_restarts allows"


def state_place(template: Json) -> tuple[str, str]:
    """Where a head's pods keep the GCS' state: the store in words and the part of it, "" for none."""
    spec = template.get("spec") or {}
    ray: Json = next(iter(spec.get("containers") or []), {})
    env = {entry.get("name"): entry for entry in ray.get("env") or []}
    if _value(env.get("RAY_gcs_storage")) == "rocksdb":
        claim: Json = next((v for v in spec.get("volumes") or [] if v.get("name") == "gcs-storage"), {})
        name = (claim.get("persistentVolumeClaim") or {}).get("claimName", "")
        path = next(
            (m.get("subPath") for m in ray.get("volumeMounts") or [] if m.get("name") == "gcs-storage"), None
        )
        return f"RocksDB on the claim {name}", f"path {path}" if path else ""
    address = _value(env.get("RAY_REDIS_ADDRESS"))
    if not address:
        return "", ""
    prefix = _value(env.get("RAY_external_storage_namespace"))
    return f"Redis {address.rpartition('@')[2]}", f"namespace {prefix}" if prefix else ""


def loses(live: Maker, after: Maker | None, action: Action, cost: Cost) -> str:
    """The state that dies when the live maker becomes `after` (None: it is deleted)."""
    role = live.id.role
    if role is Role.HEAD:
        return _head(live, after, cost)
    if cost == Cost() and not (role is Role.REDIS and action in (Action.REPLACE, Action.DELETE)):
        return ""
    if role is Role.WORKER:
        return WORKERS
    kept = live.on_volume and (after is None or after.on_volume)
    if after is None:
        return "" if kept else REDIS_WITHOUT_VOLUME
    if live.on_volume and not kept:
        return f"{_EVERYTHING}: the new Redis does not use the volume that holds them, {_ANEW}"
    return REDIS_WITH_VOLUME if kept else REDIS_WITHOUT_VOLUME


def _head(live: Maker, after: Maker | None, cost: Cost) -> str:
    old, part = state_place(live.template)
    new, new_part = state_place(after.template) if after is not None else (old, part)
    if old and (old, part) != (new, new_part):
        here, there = (part, new_part) if old == new else (old, new)
        place = f"look in {there or 'its own pod'}"
        return f"{_EVERYTHING}: their state is in {here or old}, the head will {place}; {_ANEW}"
    if cost == Cost():
        return ""
    if not old:
        return HEAD_WITHOUT_STORAGE
    return HEAD_WITH_STORAGE if cost.restarts else f"what runs; actors' state stays in {old}"


def _value(entry: Json | None) -> str:
    """The literal value of a variable, or the reference that gives it."""
    if entry is None:
        return ""
    value: Any = entry.get("value")
    return str(value) if value else str(entry.get("valueFrom") or "")
