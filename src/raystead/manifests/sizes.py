"""Requests and limits of the file's containers: as the file has them.

What is missing is filled in only where a ResourceQuota or a LimitRange of the namespace would refuse the pod
without it; a limit that nobody demanded would end a worker at its first real task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from raystead.base import quantities
from raystead.spec.model import Json

__all__ = ["HEAD_SIZE", "SIDECAR_SIZE", "WORKER_SIZE", "demanded", "memory_of", "missing", "sized"]

HEAD_SIZE: Json = {"cpu": "1", "memory": "2Gi"}
WORKER_SIZE: Json = {"cpu": "1", "memory": "1Gi"}
SIDECAR_SIZE: Json = {"cpu": "500m", "memory": "512Mi"}


def sized(container: Json, default: Json, demanded: Collection[str]) -> Json:
    """The container with what is `demanded` ("limits.memory", "requests.cpu" …) and not in the file.

    A missing limit is the request, a missing request the limit (Kubernetes does the same with the latter
    when it makes the pod), and where both are missing `default`.
    """
    given: Json = container.get("resources") or {}
    requests: Json = dict(given.get("requests") or {})
    limits: Json = dict(given.get("limits") or {})
    for key in ("cpu", "memory"):
        if key not in limits and f"limits.{key}" in demanded:
            limits[key] = requests.get(key, default[key])
        if key not in requests and key in limits:
            requests[key] = limits[key]
        if key not in requests and f"requests.{key}" in demanded:
            requests[key] = default[key]
    sides = {"requests": requests, "limits": limits}
    resources = {**given, **{side: values for side, values in sides.items() if values}}
    return {**container, "resources": resources} if resources else container


def demanded(quotas: Sequence[Json], limitranges: Sequence[Json]) -> list[str]:
    """What every container of a long-running pod must say there, sorted: "limits.memory", "requests.cpu" …

    A quota wants each pod to say what it counts. A LimitRange for pods wants it where it bounds it; one for
    containers fills in its own defaults, in every pod, before anybody is refused.
    """
    wanted = set(_of_quotas(quotas))
    for rule in (rule for item in limitranges for rule in (item.get("spec") or {}).get("limits") or []):
        if rule.get("type") != "Pod":
            continue
        wanted |= {
            f"limits.{key}" for part in ("max", "maxLimitRequestRatio") for key in rule.get(part) or ()
        }
        wanted |= {
            f"requests.{key}" for part in ("min", "maxLimitRequestRatio") for key in rule.get(part) or ()
        }
    given = set(_defaults(limitranges))
    return sorted(one for one in wanted - given if one.partition(".")[2] in ("cpu", "memory"))


def _of_quotas(quotas: Sequence[Json]) -> Iterator[str]:
    for quota in quotas:
        spec: Json = quota.get("spec") or {}
        # these count pods with a deadline, pods without any size, or pods of a priority class
        if {"Terminating", "BestEffort"} & set(spec.get("scopes") or ()) or spec.get("scopeSelector"):
            continue
        for key in spec.get("hard") or {}:
            yield f"requests.{key}" if key in ("cpu", "memory") else key


def _defaults(limitranges: Sequence[Json]) -> Iterator[str]:
    for rule in (rule for item in limitranges for rule in (item.get("spec") or {}).get("limits") or []):
        if rule.get("type") == "Container":
            yield from (f"limits.{key}" for key in rule.get("default") or ())
            yield from (
                f"requests.{key}" for part in ("defaultRequest", "default") for key in rule.get(part) or ()
            )


def missing(container: Json) -> list[str]:
    """Of "CPU limit", "memory limit", "CPU request" and "memory request", what the container lacks."""
    resources: Json = container.get("resources") or {}
    limits: Json = resources.get("limits") or {}
    requests: Json = {**limits, **(resources.get("requests") or {})}
    names = {"cpu": "CPU", "memory": "memory"}
    out = [f"{name} request" for key, name in names.items() if key not in requests]
    return out + [f"{name} limit" for key, name in names.items() if key not in limits]


def memory_of(container: Json) -> str | None:
    """The memory limit, else the request, as it is written; None where neither is there or it is 0."""
    resources: Json = container.get("resources") or {}
    for side in ("limits", "requests"):
        value = (resources.get(side) or {}).get("memory")
        if value is not None and quantities.parse(value) != 0:
            return str(value)
    return None
