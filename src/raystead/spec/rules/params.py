"""`rayStartParams`, and the group's `resources` and `labels` that stand for some of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from raystead.base.labels import is_label
from raystead.base.quantities import parse
from raystead.spec.finding import SpecFinding, groups, whole
from raystead.spec.model import GroupSpec, RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_EXCLUDED_BY_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")
_COUNTS = ("num-cpus", "num-gpus", "memory", "object-store-memory")
_BYTES = ("memory", "object-store-memory")
_SERVICE_PORTS = ("port", "dashboard-port", "ray-client-server-port", "metrics-export-port")
_JSON = ("resources", "system-config")


def _resources(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for param in _EXCLUDED_BY_RESOURCES:
            if group.resources and group.ray_start_params.get(param):
                what = f"{param} cannot be set together with the group's resources"
                yield SpecFinding(
                    (*at, "rayStartParams", param), what, "move it to resources, or remove those"
                )


def _labels(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for key, value in group.labels.items():
            if not is_label(key, value):
                what = f'"{key}: {value}" is not a valid label'
                yield SpecFinding(
                    (*at, "labels", key), what, "letters, digits, - _ . and 63 characters at most"
                )
        if "labels" in group.ray_start_params:
            what = "labels cannot be set in rayStartParams"
            yield SpecFinding((*at, "rayStartParams", "labels"), what, "write them in the group's labels")


def _numbers(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for param, value in group.ray_start_params.items():
            path = (*at, "rayStartParams", param)
            if param in _COUNTS and "$" not in value and whole(value.strip("'\"")) is None:
                yield SpecFinding(path, f'"{value}" is not a whole number', _as_number(param, value))
            # The head's Service and the network policies need the number, not a shell's variable.
            served = group is cluster.spec.head and param in _SERVICE_PORTS
            if served and not 0 < (whole(value) or 0) < 65536:
                yield SpecFinding(path, f'"{value}" is not a valid port', "a number from 1 to 65535")


def _as_number(param: str, value: str) -> str:
    """4Gi as the bytes that Ray wants, or an example."""
    if param not in _BYTES:
        return "for example 4"
    try:
        size = parse(value)
    except ValueError:
        size = parse("4Gi")
    return f"Ray takes bytes: '{int(size)}'" if size > 1 else "Ray takes bytes: '4294967296'"


def _json(cluster: RayCluster) -> Iterator[SpecFinding]:
    """A shell reads the value before Ray does: JSON needs quotes of its own."""
    for at, group in groups(cluster):
        for param in _JSON:
            value = group.ray_start_params.get(param)
            if value is None or "$" in value or "`" in value:
                continue
            path = (*at, "rayStartParams", param)
            if (plain := _parsed(value)) is not None:
                yield SpecFinding(
                    path, "the shell takes the quotes of this JSON away", f"write {_quoted(plain)}"
                )
                continue
            try:
                words = shlex.split(value)
            except ValueError:
                words = []
            if len(words) != 1 or _parsed(words[0]) is None:
                yield SpecFinding(path, f'"{value}" is not a JSON object', 'for example \'"{\\"a\\": 1}"\'')


def _parsed(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _quoted(value: dict[str, object]) -> str:
    """The object as a YAML scalar whose text the shell reads as that JSON."""
    inner = json.dumps(value)
    if "'" in inner:
        return json.dumps(shlex.quote(inner))
    return "'" + json.dumps(inner).replace("'", "''") + "'"


def _object_store(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        size, limit = whole(group.ray_start_params.get("object-store-memory", "")), _memory_limit(group)
        if size is not None and limit is not None and 0 < parse(limit) < size:
            path: Path = (*at, "rayStartParams", "object-store-memory")
            what = f"the object store is larger than the container's memory limit of {limit}"
            yield SpecFinding(
                path, what, "lower it (30% of the limit is Ray's default) or raise limits.memory"
            )


def _memory_limit(group: GroupSpec) -> str | int | float | None:
    limits = (group.template.ray_container.get("resources") or {}).get("limits") or {}
    value: str | int | float | None = limits.get("memory")
    return value


RULES = (_resources, _labels, _numbers, _json, _object_store)
