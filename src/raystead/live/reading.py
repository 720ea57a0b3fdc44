"""Values out of Kubernetes' JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from raystead.base.times import when

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["changed", "condition", "created", "dig", "first_sentence", "meta", "name", "touches"]


def dig(value: Any, *path: str) -> Any:
    """The value under nested keys, or None where one is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def meta(item: Json | None, key: str) -> str:
    return str(dig(item, "metadata", key) or "")


def name(item: Json) -> str:
    return str(item["metadata"]["name"])


def created(item: Json) -> datetime | None:
    return when(dig(item, "metadata", "creationTimestamp"))


def condition(item: Json | None, kind: str) -> Json:
    """The condition of that type, {} where there is none."""
    for entry in dig(item, "status", "conditions") or ():
        if entry.get("type") == kind:
            return dict(entry)
    return {}


def changed(item: Json) -> datetime | None:
    """When somebody last changed what an object wants (its status apart)."""
    fields = dig(item, "metadata", "managedFields") or []
    times = [when(f.get("time")) for f in fields if f.get("subresource") != "status"]
    return max((t for t in times if t), default=None) or created(item)


def first_sentence(message: object) -> str:
    """The first sentence of Kubernetes' words; the scheduler's second is on preemption."""
    return " ".join(str(message or "no reason given").split(". ")[0].split()).rstrip(".")


def touches(path: str, others: Sequence[str]) -> bool:
    """The field is one of the others, lies within one or contains one."""
    return any(_within(path, other) or _within(other, path) for other in others)


def _within(inner: str, outer: str) -> bool:
    return inner == outer or (inner.startswith(outer) and inner[len(outer)] in ".[")
