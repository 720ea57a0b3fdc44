"""Changes of a pod's JSON: entries of its lists, claims that it mounts, and what its sidecars ask for."""

from __future__ import annotations

from decimal import Decimal

from raystead.base.quantities import parse
from raystead.spec.model import Json
from raystead.spec.shape import value_at

__all__ = ["add", "mount_claim", "sidecars"]


def add(part: Json, key: str, entry: Json, *, unique: str | None = None) -> None:
    """Appends `entry` to a list unless it is there; one with the same `unique` field gives way."""
    kept = [
        e for e in part.get(key) or [] if e != entry and (unique is None or e.get(unique) != entry[unique])
    ]
    part[key] = [*kept, entry]


def mount_claim(pod: Json, ray: Json, claim: str, path: str) -> None:
    """A claim has one volume, whose name is free, and a path one mount."""
    volumes = list(pod.get("volumes") or [])
    names = [v["name"] for v in volumes if value_at(v, ("persistentVolumeClaim", "claimName")) == claim]
    if names:
        name = str(names[0])
    else:
        taken = {v["name"] for v in volumes}
        name = next(free for i in range(len(taken) + 1) if (free := f"mount-{i}") not in taken)
        pod["volumes"] = [*volumes, {"name": name, "persistentVolumeClaim": {"claimName": claim}}]
    add(ray, "volumeMounts", {"name": name, "mountPath": path}, unique="mountPath")


def sidecars(group: Json) -> tuple[Decimal, Decimal]:
    """CPU and memory that the containers other than Ray's ask for."""
    total = {"cpu": Decimal(0), "memory": Decimal(0)}
    for container in (group["template"].get("spec", {}).get("containers") or [])[1:]:
        resources = container.get("resources") or {}
        for key in total:
            asked = (resources.get("requests") or {}).get(key, (resources.get("limits") or {}).get(key, 0))
            total[key] += parse(asked)
    return total["cpu"], total["memory"]
