"""`rayStartParams`, and the group's `resources` and `labels` that stand for some of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from difflib import get_close_matches

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
# of `ray start` in Ray 2.9 to 2.60; another version may have more: only what is near one is a mistake
_PARAMS = (
    "address", "autoscaling-config", "block", "cgroup-path", "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port", "dashboard-grpc-port", "dashboard-host", "dashboard-port",
    "disable-usage-stats", "enable-object-reconstruction", "enable-resource-isolation", "gcs-server-port",
    "head", "include-dashboard", "include-log-monitor", "labels", "labels-file", "log-color", "log-style",
    "max-worker-port", "memory", "metrics-export-port", "min-worker-port", "no-monitor",
    "no-redirect-output", "node-ip-address", "node-manager-port", "node-name", "num-cpus", "num-gpus",
    "object-manager-port", "object-spilling-directory", "object-store-memory", "plasma-directory", "port",
    "proxy-server-url", "ray-client-server-port", "ray-debugger-external", "redis-password",
    "redis-shard-ports", "redis-username", "resources", "runtime-env-agent-port", "storage",
    "system-config", "system-reserved-cpu", "system-reserved-memory", "temp-dir", "tracing-startup-hook",
    "verbose", "worker-port-list",
)  # fmt: skip
_PARAM = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NEAR = 0.8  # of difflib; object-store-mem and num-cpu are nearer, a parameter of a newer Ray is seldom


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


def _names(cluster: RayCluster) -> Iterator[SpecFinding]:
    """`ray start` ends at once with "No such option"."""
    for at, group in groups(cluster):
        for param in group.ray_start_params:
            if param in _PARAMS:
                continue
            plain = param.lstrip("-").replace("_", "-").lower()
            if close := get_close_matches(plain, _PARAMS, n=1, cutoff=_NEAR):
                what = f'ray start has no parameter "{param}"'
                yield SpecFinding((*at, "rayStartParams", param), what, f"did you mean {close[0]}?")
            elif not _PARAM.fullmatch(param):
                what = f'"{param}" cannot be a parameter of ray start'
                yield SpecFinding((*at, "rayStartParams", param), what, "remove it")


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


RULES = (_resources, _labels, _names, _numbers, _json, _object_store)
