"""Amounts of CPU, memory and devices: units that are not meant, and what Kubernetes does not allow."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from raystead.base.quantities import parse, suffix_of
from raystead.spec.finding import SpecFinding, groups
from raystead.spec.model import GroupSpec, Json, RayCluster
from raystead.spec.rules.pods import containers_of
from raystead.spec.yamlio import Path

__all__ = ["NOTES", "RULES"]

_MIB = 2**20
_RAY_FLOOR = 256 * _MIB  # a raylet with its agents takes about 200 MiB before it runs anything
_KNOWN = ("cpu", "memory", "ephemeral-storage")
_MEANT = {
    "cpus": "cpu",
    "cores": "cpu",
    "mem": "memory",
    "ram": "memory",
    "storage": "ephemeral-storage",
    "ephemeral": "ephemeral-storage",
    "gpu": "nvidia.com/gpu",
    "gpus": "nvidia.com/gpu",
    "tpu": "google.com/tpu",
}


def _bytes(cluster: RayCluster) -> Iterator[SpecFinding]:
    """500m of memory is half a byte; a limit of 4 is four bytes."""
    for path, value, limit in _sizes(cluster):
        if (instead := _instead(value, limit)) is not None:
            unit = "thousandths of a byte" if suffix_of(value) == "m" else "less than a mebibyte"
            yield SpecFinding(path, f"{value} is {unit}", instead)
    text = cluster.annotations.get("raystead.io/redis-memory")
    if text and _valid(text) and (instead := _instead(text, True)) is not None:
        path = ("metadata", "annotations", "raystead.io/redis-memory")
        yield SpecFinding(path, f"{text} is less than a mebibyte", instead)


def _instead(value: str | int | float, limit: bool) -> str | None:
    """What was meant by a size below a mebibyte; None for a size that can be meant."""
    size, suffix = parse(value), suffix_of(value)
    if not 0 < size < _MIB or (suffix not in ("m", "u", "n") and not limit):
        return None
    number = str(value).strip().removesuffix(suffix) if suffix else str(value)
    unit = "Gi" if not suffix and size <= 16 else "Mi"
    return f"did you mean {number}{unit}?"


def _sizes(cluster: RayCluster) -> Iterator[tuple[Path, str | int | float, bool]]:
    """Everything that counts bytes: its path, its value, and whether it is a limit."""
    for at, group in groups(cluster):
        for key, value in group.resources.items():
            if key.lower() == "memory":
                yield (*at, "resources", key), value, True
        for path, container in containers_of(at, group):
            for side, key, value in _given(container):
                if key in ("memory", "ephemeral-storage") or key.startswith("hugepages-"):
                    yield (*path, "resources", side, key), value, side == "limits"
        pod: Path = (*at, "template", "spec")
        for side in ("requests", "limits"):
            amounts = _inside(group.template.spec, "resources", side)
            for key, value in amounts.items() if isinstance(amounts, dict) else ():
                if key == "memory" and _valid(value):
                    yield (*pod, "resources", side, key), value, side == "limits"
        for i, volume in enumerate(group.template.spec.get("volumes") or []):
            yield from _volume_sizes((*pod, "volumes", i), volume)
    options = cluster.spec.gcs_fault_tolerance
    if options and options.storage and options.storage.size is not None:
        yield ("spec", "gcsFaultToleranceOptions", "storage", "size"), options.storage.size, True


def _volume_sizes(at: Path, volume: Json) -> Iterator[tuple[Path, str | int | float, bool]]:
    limit = _inside(volume, "emptyDir", "sizeLimit")
    if _valid(limit):
        yield (*at, "emptyDir", "sizeLimit"), limit, True
    claim = ("ephemeral", "volumeClaimTemplate", "spec", "resources", "requests", "storage")
    size = _inside(volume, *claim)
    if _valid(size):
        yield (*at, *claim), size, True


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _given(container: Json) -> Iterator[tuple[str, str, str | int | float]]:
    """Each amount of a container: requests or limits, of what, how much."""
    resources = container.get("resources") or {}
    for side in ("requests", "limits"):
        for key, value in (resources.get(side) or {}).items():
            if _valid(value):
                yield side, key, value


def _valid(value: Any) -> bool:
    try:
        parse(value if isinstance(value, str | int | float) else "")
    except ValueError:
        return False
    return True


def _over_limits(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            resources = container.get("resources") or {}
            limits = resources.get("limits") or {}
            for key, value in (resources.get("requests") or {}).items():
                limit, place = limits.get(key), (*path, "resources", "requests", key)
                if limit is None or not (_valid(value) and _valid(limit)) or _is_device(key):
                    continue
                if parse(value) > parse(limit):
                    what = f"the request for {key}, {value}, is over its limit, {limit}"
                    other = (*path, "resources", "limits", key)
                    yield SpecFinding(place, what, "lower it, or raise the limit", other)


def _is_device(key: str) -> bool:
    """An extended resource or huge pages: never overcommitted."""
    domain, slash, _ = key.partition("/")
    return key.startswith("hugepages-") or (bool(slash) and not domain.endswith("kubernetes.io"))


def _devices(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            resources = container.get("resources") or {}
            limits = resources.get("limits") or {}
            for side, key, value in _given(container):
                place = (*path, "resources", side, key)
                if "/" not in key and not key.startswith("hugepages-") and key not in _KNOWN:
                    close = get_close_matches(key.lower(), _KNOWN, n=1)
                    meant = _MEANT.get(key.lower()) or (close[0] if close else f"example.com/{key}")
                    yield SpecFinding(place, f"Kubernetes has no resource {key}", f"did you mean {meant}?")
                elif not _is_device(key):
                    continue
                elif side == "requests" and key not in limits:
                    what = f"{key} is requested without a limit, which Kubernetes refuses"
                    yield SpecFinding(place, what, f'write limits: {{{key}: "{value}"}}')
                elif side == "requests" and _valid(limits[key]) and parse(value) != parse(limits[key]):
                    what = f"{key} has a request of {value} and a limit of {limits[key]}: they must be equal"
                    yield SpecFinding(place, what, "keep the limit", (*path, "resources", "limits", key))
                elif "/" in key and parse(value) != parse(value).to_integral_value():
                    yield SpecFinding(
                        place, f"{key} is counted in whole numbers, not {value}", "for example 1"
                    )


def _small(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Ray starts in less than 256Mi and is killed by its first job."""
    for at, group in groups(cluster):
        found = _memory(group)
        if found and _MIB <= found[1] < _RAY_FLOOR:
            side, _, value = found
            path = (*at, "template", "spec", "containers", 0, "resources", side, "memory")
            yield SpecFinding(path, f"{value} is little memory for Ray", f"did you mean {_larger(value)}?")


def _memory(group: GroupSpec) -> tuple[str, Decimal, str | int | float] | None:
    given = {side: value for side, key, value in _given(group.template.ray_container) if key == "memory"}
    side = next((s for s in ("limits", "requests") if s in given), None)
    return (side, parse(given[side]), given[side]) if side else None


def _larger(value: str | int | float) -> str:
    """4Mi -> 4Gi; what is larger is a number of mebibytes that somebody chose: 4Gi as an example."""
    number = str(value).strip().removesuffix(suffix_of(value))
    return f"{number}Gi" if suffix_of(value) in ("Mi", "M") and parse(number) <= 64 else "4Gi"


RULES = (_bytes, _over_limits, _devices)
NOTES = (_small,)
