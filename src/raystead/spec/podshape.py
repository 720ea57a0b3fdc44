"""Kubernetes' own objects inside a spec against the table of their fields: typos, wrong types, entries twice.

A field that the table does not know is a mistake where a known one is near; else it may be newer than the
table, and the API server decides.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import Struct

from raystead.base import quantities
from raystead.spec.finding import SpecFinding
from raystead.spec.foreign import VARIABLE, has_variable
from raystead.spec.podfields import TABLE
from raystead.spec.problems import NEAR, given, odd_letter
from raystead.spec.yamlio import Path

__all__ = ["Shape", "check", "misshapen"]

_FIELD = re.compile(r"^(?P<name>[^=]+)=(?P<type>\[[^\]]*\]|\{[^}]*\}|\w+)(?P<keys>[\w,]*)(?P<required>!?)$")
_SCALARS: dict[str, tuple[str, tuple[type, ...]]] = {
    "s": ("a string", (str,)),
    "i": ("a whole number", (int,)),
    "b": ("true or false", (bool,)),
    "n": ("a number", (int, float)),
    "x": ("a whole number or a string", (int, str)),
}
_DEFAULTS = {"protocol": "TCP"}
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_PROFILES = ("RuntimeDefault", "Localhost", "Unconfined")
_CHOICES: dict[
    tuple[str, str], tuple[str, ...]
] = {  # words that a field may have; a newer server may have more
    ("AppArmorProfile", "type"): _PROFILES,
    ("AutoscalerOptions", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("AutoscalerOptions", "upscalingMode"): ("Default", "Aggressive", "Conservative"),
    ("AutoscalerOptions", "version"): ("v1", "v2"),
    ("Container", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("Container", "terminationMessagePolicy"): ("File", "FallbackToLogsOnError"),
    ("EmptyDirVolumeSource", "medium"): ("Memory", "HugePages", ""),
    ("LabelSelectorRequirement", "operator"): _OPERATORS,
    ("NodeSelectorRequirement", "operator"): _OPERATORS,
    ("PodSpec", "dnsPolicy"): ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    ("PodSpec", "preemptionPolicy"): ("Never", "PreemptLowerPriority"),
    ("PodSpec", "restartPolicy"): ("Always", "OnFailure", "Never"),
    ("SeccompProfile", "type"): _PROFILES,
    ("ServiceSpec", "externalTrafficPolicy"): ("Cluster", "Local"),
    ("ServiceSpec", "sessionAffinity"): ("None", "ClientIP"),
    ("ServiceSpec", "type"): ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    ("Toleration", "effect"): ("NoSchedule", "PreferNoSchedule", "NoExecute", ""),
    ("Toleration", "operator"): ("Exists", "Equal", "Lt", "Gt", ""),
    ("TopologySpreadConstraint", "whenUnsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
}
_ELSEWHERE = ("PodSpec", "Container", "ObjectMeta")  # where a misplaced field is looked for
_OF_KUBERAY = """
AutoscalerOptions: args=[s] command=[s] env=[EnvVar]name envFrom=[EnvFromSource] idleTimeoutSeconds=i image=s
  imagePullPolicy=s resources=ResourceRequirements securityContext=SecurityContext upscalingMode=s version=s
  volumeMounts=[VolumeMount]mountPath
"""
_KUBERAYS = ("AutoscalerOptions",)  # no API server decides about these
_MISSHAPEN = re.compile("expected a(?:n entry| list| mapping),|.*, got a (?:list|mapping)$")
_PLACES = {"PodSpec": "the pod's spec", "Container": "a container", "ObjectMeta": "the template's metadata"}


class Shape(Struct, frozen=True):
    """What the table says of a field: its type, the keys of its list's entries, whether it is required."""

    type: str
    keys: tuple[str, ...] = ()
    required: bool = False


@cache
def _types() -> dict[str, dict[str, Shape]]:
    types: dict[str, dict[str, Shape]] = {}
    for line in f"{TABLE}{_OF_KUBERAY.lstrip()}".replace("\n  ", " ").splitlines():
        name, _, words = line.partition(": ")
        types[name] = {}
        for word in words.split():
            match = _FIELD.match(word)
            assert match, word
            keys = tuple(filter(None, match["keys"].split(",")))
            types[name][match["name"]] = Shape(match["type"], keys, bool(match["required"]))
    return types


def check(value: Any, type_name: str, path: Path) -> tuple[list[SpecFinding], list[SpecFinding]]:
    """Problems and notes of `value`, which is to be a `type_name` of the table ("PodTemplateSpec")."""
    findings = list(_checked(value, Shape(type_name), path))
    return [f for sure, f in findings if sure], [f for sure, f in findings if not sure]


def misshapen(finding: SpecFinding) -> bool:
    """A list or mapping stands where a text or number is to be, or the other way round."""
    return bool(_MISSHAPEN.match(finding.what))


def _checked(value: Any, shape: Shape, path: Path) -> Iterator[tuple[bool, SpecFinding]]:
    if value is None or shape.type == "o":
        return
    if shape.type in _SCALARS:
        yield from _scalar(value, shape.type, path)
    elif shape.type == "q":
        try:
            quantities.parse(value if isinstance(value, str | int | float) else "")
        except ValueError as error:
            yield True, SpecFinding(path, str(error))
    elif shape.type.startswith("["):
        yield from _list(value, shape, path)
    elif shape.type.startswith("{"):
        if not isinstance(value, dict):
            yield True, SpecFinding(path, f"expected a mapping, got {given(value)}")
            return
        for key, inner in value.items():
            yield from _checked(inner, Shape(shape.type[1:-1]), (*path, key))
    elif not isinstance(value, dict):
        yield True, SpecFinding(path, f"expected a mapping, got {given(value)}")
    else:
        yield from _mapping(value, shape.type, path)


def _scalar(value: Any, what: str, path: Path) -> Iterator[tuple[bool, SpecFinding]]:
    words, types = _SCALARS[what]
    if what in "ix" and isinstance(value, int | float) and abs(value) >= 2**63:
        yield True, SpecFinding(path, f"{given(value)} is larger than any that Kubernetes takes")
        return
    whole = isinstance(value, float) and value.is_integer() and what in "ix"
    if (isinstance(value, types) and (bool in types or not isinstance(value, bool))) or whole:
        return
    instead = ""
    if what == "s" and isinstance(value, bool | int | float):
        instead = "write it in quotes"
    elif isinstance(value, str) and what in "ibn" and has_variable(value):
        instead = VARIABLE
    elif isinstance(value, str) and what in "ib" and re.match(r"^(-?[0-9]{1,18}|true|false)$", value):
        instead = "write it without quotes"
    yield True, SpecFinding(path, f"expected {words}, got {given(value)}", instead)


def _list(value: Any, shape: Shape, path: Path) -> Iterator[tuple[bool, SpecFinding]]:
    if not isinstance(value, list):
        yield True, SpecFinding(path, f"expected a list, got {given(value)}")
        return
    seen: dict[tuple[Any, ...], int] = {}
    for i, item in enumerate(value):
        at = (*path, i)
        if item is None:
            yield True, SpecFinding(at, "expected an entry, got nothing", "remove the empty entry")
            continue
        yield from _checked(item, Shape(shape.type[1:-1]), at)
        if not (shape.keys and isinstance(item, dict)):
            continue
        key = tuple(item.get(k, _DEFAULTS.get(k)) for k in shape.keys)
        if not all(isinstance(part, str | int) for part in key):
            continue  # missing, or of a wrong type: told already
        if key in seen:
            shown = "/".join(map(str, key))
            what = f"{shape.keys[0]} {shown} appears twice"
            yield True, SpecFinding((*at, shape.keys[0]), what, "keep one", (*path, seen[key], shape.keys[0]))
        seen.setdefault(key, i)


def _mapping(value: dict[str, Any], type_name: str, path: Path) -> Iterator[tuple[bool, SpecFinding]]:
    fields = _types()[type_name]
    meant: set[str] = set()  # by the slips that are told
    for key, inner in value.items():
        if key in fields:
            yield from _checked(inner, fields[key], (*path, key))
            yield from _chosen(inner, (type_name, key), (*path, key))
        elif inner is not None:
            sure, slip = _unknown(key, type_name, (*path, key))
            meant.add(slip.instead)
            yield sure, slip
    for key, shape in fields.items():
        if shape.required and value.get(key) is None and f"did you mean {key}?" not in meant:
            yield True, SpecFinding(path, f"{key} is missing", "add it")


def _chosen(value: Any, field: tuple[str, str], path: Path) -> Iterator[tuple[bool, SpecFinding]]:
    """A word that the server refuses, where one that it takes is near."""
    choices = _CHOICES.get(field, ())
    if not choices or not isinstance(value, str) or value in choices:
        return
    words = {word.lower(): word for word in choices}
    close = difflib.get_close_matches(value.lower(), words, n=1, cutoff=NEAR)
    what = f'"{value}" is not one of {", ".join(filter(None, choices))}'
    if close:
        yield True, SpecFinding(path, what, f"did you mean {words[close[0]]}?")
    elif field[0] in _KUBERAYS:
        yield True, SpecFinding(path, what)
    else:
        yield False, SpecFinding(path, f"{what}, as far as raystead knows", "the API server decides")


def _unknown(key: str, type_name: str, path: Path) -> tuple[bool, SpecFinding]:
    fields = _types()[type_name]
    same = [f for f in fields if f.lower() == key.lower()]
    close = same or difflib.get_close_matches(key, fields, n=1, cutoff=NEAR)
    what = f"there is no such field here{odd_letter(key)}"
    if close:
        return True, SpecFinding(path, what, f"did you mean {close[0]}?")
    for other in _ELSEWHERE:
        if other != type_name and key in _types()[other]:
            return True, SpecFinding(path, what, f"{key} belongs in {_PLACES[other]}: check the indentation")
    if type_name in _KUBERAYS:
        return True, SpecFinding(path, what, "remove it, or report it if KubeRay has it")
    what = "this field is not known to raystead; the API server decides"
    return False, SpecFinding(path, what, "remove it if the server refuses it")
