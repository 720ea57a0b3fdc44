"""The shape of a RayCluster document: nulls, and the model's own errors in the words of a message."""

from __future__ import annotations

import copy
import difflib
import types
from collections.abc import Iterable, Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from raystead.spec.finding import SpecFinding
from raystead.spec.model import ClusterSpec, HeadGroup, Json, PodTemplate, RayCluster, WorkerGroup
from raystead.spec.problems import given
from raystead.spec.yamlio import Path

__all__ = ["explained", "value_at", "without_faults", "without_nulls"]

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_OWNERS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("spec", ClusterSpec),
    ("spec.workerGroupSpecs[]", WorkerGroup),
    ("spec.headGroupSpec", HeadGroup),
    ("a group's template", PodTemplate),
)


def without_nulls(value: Any) -> Any:
    """A field that is null is absent, as the API server reads it; nulls in lists stay."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def value_at(value: Any, path: Path) -> Any:
    """What stands at `path`, or None."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def without_faults(value: Json, faults: Iterable[SpecFinding]) -> Json:
    """The document without the fields that are wrong by themselves."""
    value = copy.deepcopy(value)
    for fault in faults:
        if not fault.path:
            continue
        *parents, last = fault.path
        part = value_at(value, tuple(parents))
        if isinstance(part, dict):
            part.pop(last, None)
    return value


def explained(error: ValidationError, document: type[BaseModel] = RayCluster) -> Iterator[SpecFinding]:
    """The errors of a document's model as findings."""
    for item in error.errors():
        path: Path = tuple(item["loc"])
        yield SpecFinding(path, *_words(item, path, document))


def _words(item: Any, path: Path, document: type[BaseModel]) -> tuple[str, str]:
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        return "there is no such field here", _meant(path, document)
    if kind == "missing":
        return "this field is missing", "add it"
    if kind in _EXPECTED:
        quotes = kind == "string_type" and isinstance(value, bool | int | float)
        return f"expected {_EXPECTED[kind]}, got {given(value)}", "write it in quotes" if quotes else ""
    if kind == "literal_error":
        shown = f'"{value}"' if isinstance(value, str) else given(value)
        return f"{shown} is not one of {item['ctx']['expected']}", ""
    if kind == "value_error":
        return str(item["ctx"]["error"]), ""
    return f"{item['msg'][:1].lower()}{item['msg'][1:]}, not {given(value)}", ""


def _meant(path: Path, document: type[BaseModel]) -> str:
    """For a field that does not exist: the near one that does, or the place where it belongs."""
    name = str(path[-1])
    here = _fields(_model_at(path[:-1], document))
    same = [field for field in here if field.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, here, n=1)
    if close:
        return f"did you mean {close[0]}?"
    for place, model in _OWNERS:
        if name in _fields(model):
            return f"{name} belongs in {place}: check the indentation"
    return "remove it, or report it if KubeRay has it"


def _fields(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(path: Path, document: type[BaseModel]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = document
    for key in path:
        if isinstance(key, int):
            continue
        fields = model.model_fields.values() if model else ()
        field = next((f for f in fields if f.alias == key), None)
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in `X`, `X | None`, `list[X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, list):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None
