"""Fields of a pod template of which Kubernetes takes exactly one, and the modes of files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raystead.spec.finding import SpecFinding, groups
from raystead.spec.model import Json, RayCluster
from raystead.spec.rules.pods import containers_of
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
_ASKING = ("exec", "httpGet", "tcpSocket", "grpc")
_ACTING = ("exec", "httpGet", "tcpSocket", "sleep")
_SOURCES = ("configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef")
_MODES = ("mode", "defaultMode")
_MOST = 0o777


def _variables(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            for i, entry in enumerate(container.get("env") or []):
                source, place = entry.get("valueFrom"), (*path, "env", i)
                if source is None:
                    continue
                if entry.get("value"):
                    what = f"{entry.get('name')} has a value and a valueFrom"
                    yield SpecFinding((*place, "valueFrom"), what, "keep one", (*place, "value"))
                elif isinstance(source, dict) and len(given := _set(source, source)) != 1:
                    yield _not_one((*place, "valueFrom"), "a source", given, _SOURCES)


def _volumes(cluster: RayCluster) -> Iterator[SpecFinding]:
    """One without a source is an emptyDir."""
    for at, group in groups(cluster):
        for i, volume in enumerate(group.template.spec.get("volumes") or []):
            if len(given := _set(volume, (name for name in volume if name != "name"))) > 1:
                path = (*at, "template", "spec", "volumes", i)
                what = f"the volume {volume.get('name')} has {len(given)} sources: {', '.join(given)}"
                yield SpecFinding(path, what, "keep one")


def _handlers(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            hooks = container.get("lifecycle") or {}
            parts = [((*path, name), container.get(name), _ASKING) for name in _PROBES]
            parts += [((*path, "lifecycle", name), hooks.get(name), _ACTING) for name in _HOOKS]
            for place, part, handlers in parts:
                if isinstance(part, dict) and part and len(given := _set(part, handlers)) != 1:
                    yield _not_one(place, "a handler", given, handlers)


def _modes(cluster: RayCluster) -> Iterator[SpecFinding]:
    """644 is the number 0o1204 to YAML; 0644 was meant."""
    for at, group in groups(cluster):
        path = (*at, "template", "spec", "volumes")
        for place, mode in _each_mode(group.template.spec.get("volumes") or [], path):
            if not 0 <= mode <= _MOST:
                digits = str(mode)
                octal = len(digits) == 3 and set(digits) <= set("01234567")
                instead = f"did you mean 0{digits}?" if octal else "for example 0644"
                what = f"{mode} is no mode of a file, which is a number from 0 to 0777 in octal digits"
                yield SpecFinding(place, what, instead)


def _each_mode(value: Any, path: Path) -> Iterator[tuple[Path, int]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if key in _MODES and isinstance(inner, int) and not isinstance(inner, bool):
            yield (*path, key), inner
        elif isinstance(inner, dict | list):
            yield from _each_mode(inner, (*path, key))


def _set(part: Json, names: Any) -> list[str]:
    return [name for name in names if part.get(name) is not None]


def _not_one(place: Path, what: str, given: list[str], names: tuple[str, ...]) -> SpecFinding:
    if given:
        return SpecFinding(place, f"{what} is one of these: {', '.join(given)}", "keep one")
    return SpecFinding(place, f"this has no {what.removeprefix('a ')}", f"one of {', '.join(names)}")


RULES = (_variables, _volumes, _handlers, _modes)
