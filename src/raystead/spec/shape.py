"""The shape of a document: nulls, and all its faults against a model, in the words of a message."""

from __future__ import annotations

import copy
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Struct, ValidationError
from msgspec.structs import fields

from raystead.spec.finding import SpecFinding
from raystead.spec.foreign import VARIABLE, has_variable
from raystead.spec.model import ClusterSpec, HeadGroup, Json, PodTemplate, WorkerGroup
from raystead.spec.problems import NEAR, given, odd_letter
from raystead.spec.template import KeptPart, Quantity, converted
from raystead.spec.yamlio import Path, dotted

__all__ = [
    "ShapeError",
    "faults",
    "value_at",
    "with_whole_numbers",
    "without_faults",
    "without_nulls",
    "without_what_holds",
]

_EXPECTED = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
}
UNQUOTED = {  # what is of the type once its quotes are gone
    int: re.compile(r"-?[0-9]{1,18}"),
    float: re.compile(r"-?[0-9]{1,18}(\.[0-9]+)?"),
    bool: re.compile("true|false"),
}
_NO_FIELD = "there is no such field here"
_DID_YOU_MEAN = re.compile(r"did you mean (\w+)\?")
_OWNERS: tuple[tuple[str, type[Struct]], ...] = (
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
    """The document without the fields that are wrong by themselves.

    A misspelt scalar stands where it was meant, so that what is around it can be looked at too.
    """
    value = copy.deepcopy(value)
    for fault in faults:
        if not fault.path:
            continue
        *parents, last = fault.path
        part = value_at(value, tuple(parents))
        if isinstance(part, dict):
            was = part.pop(last, None)
            misspelt = fault.what.startswith(_NO_FIELD) and _DID_YOU_MEAN.fullmatch(fault.instead)
            if (meant := misspelt) and isinstance(was, str | int | float):
                part.setdefault(meant[1], was)
    return value


def without_what_holds(value: Json, faults: Iterable[SpecFinding]) -> Json:
    """The document without the nearest list or mapping around each fault that is a field by itself.

    Where a list of volumes goes, what mounts them goes too: it is not to be told as missing.
    """
    value = copy.deepcopy(value)
    for fault in faults:
        path = fault.path[:-1]
        while path and isinstance(path[-1], int):
            path = path[:-1]
        parent = value_at(value, path[:-1])
        if path and isinstance(parent, dict):
            parent.pop(path[-1], None)
            if path[-1] == "volumes":
                for side in ("containers", "initContainers"):
                    for container in parent.get(side) or []:
                        if isinstance(container, dict):
                            container.pop("volumeMounts", None)
    return value


class ShapeError(ValueError):
    """JSON that does not follow its model, with all its faults."""

    def __init__(self, found: Iterable[SpecFinding], otherwise: str) -> None:
        self.faults = tuple(found) or (SpecFinding((), otherwise),)
        super().__init__("; ".join(f"{dotted(fault.path)}: {fault.what}" for fault in self.faults))


def faults(kind: Any, value: Any, path: Path = ()) -> Iterator[SpecFinding]:
    """Every place where `value` is no `kind`; msgspec itself names the first one only."""
    if value is not None and get_origin(kind) in (Union, types.UnionType):
        kind = get_args(kind)[0]  # X | None
    if kind is not Quantity and KeptPart in getattr(kind, "__mro__", ()):  # dict is registered as one
        kind, value = kind.shape, {} if value is None else value
    inner = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        yield from _fields_at_fault(kind, value, path)
    elif get_origin(kind) is list and isinstance(value, list):
        for i, item in enumerate(value):
            yield from faults(inner[0], item, (*path, i))
    elif get_origin(kind) is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from faults(inner[1], item, (*path, key))
    else:
        try:
            converted(kind, value)
        except ValidationError as error:
            yield SpecFinding(path, *_words(kind, value, str(error)))


def _fields_at_fault(model: type[Struct], value: Json, path: Path) -> Iterator[SpecFinding]:
    known = {field.encode_name: field for field in fields(model)}
    strict = model.__struct_config__.forbid_unknown_fields
    for name, field in known.items():
        if name in value:
            yield from faults(field.type, value[name], (*path, name))
        elif field.required:
            yield _missing(name, [key for key in value if key not in known], path, strict=strict)
    if strict:
        for name in [name for name in value if name not in known]:
            what = f"{_NO_FIELD}{odd_letter(str(name))}"
            yield SpecFinding((*path, name), what, _meant(str(name), [*known]))


def _missing(name: str, unknown: list[Any], path: Path, *, strict: bool) -> SpecFinding:
    """A field that is missing, or the one that is there and was to be it."""
    if not strict:  # else each unknown field is told by itself
        import difflib

        if close := difflib.get_close_matches(name, map(str, unknown), n=1, cutoff=NEAR):
            what = f"{_NO_FIELD}{odd_letter(close[0])}"
            return SpecFinding((*path, close[0]), what, f"did you mean {name}?")
    return SpecFinding((*path, name), "this field is missing", "add it")


def _words(kind: Any, value: Any, message: str) -> tuple[str, str]:
    """What is wrong with a value that is no `kind`, and what to write instead."""
    if get_origin(kind) is Literal:
        choices = [str(one) for one in get_args(kind) if one != ""]
        shown = f'"{value}"' if isinstance(value, str) else given(value)
        meant = [one for one in choices if isinstance(value, str) and one.lower() == value.lower()]
        instead = f"did you mean {meant[0]}?" if meant else ""
        return f"{shown} is not one of {', '.join(choices)}", instead
    kind, limits = (kind.__origin__, kind.__metadata__) if get_origin(kind) is Annotated else (kind, ())
    if limits and type(value) is kind:
        low = value < limits[0].ge
        bound = f"at least {limits[0].ge}" if low else f"at most {limits[0].le}"
        return f"expected {bound}, got {given(value)}", ""
    if kind is Quantity:
        return message, ""
    expected = _EXPECTED.get(get_origin(kind) or kind, "a mapping")
    return f"expected {expected}, got {given(value)}", _instead(kind, value)


def _instead(kind: Any, value: Any) -> str:
    """What to write in the place of a scalar of another type."""
    if kind is str and isinstance(value, bool | int | float):
        return "write it in quotes"
    if not isinstance(value, str) or kind not in (int, float, bool):
        return ""
    if has_variable(value):
        return VARIABLE
    return "write it without quotes" if UNQUOTED[kind].fullmatch(value) else ""


def with_whole_numbers(kind: Any, value: Any) -> Any:
    """The same, with 1.0 and 1e6 as whole numbers where the model wants such, as the API server reads JSON.

    Helm writes large numbers that way. Amounts, which may be fractions, stay as they were written.
    """
    if value is not None and get_origin(kind) in (Union, types.UnionType):
        kind = get_args(kind)[0]  # X | None
    kind = kind.__origin__ if get_origin(kind) is Annotated else kind
    if kind is not Quantity and KeptPart in getattr(kind, "__mro__", ()):
        kind = kind.shape
    if kind is int:
        return int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        known = {field.encode_name: field.type for field in fields(kind)}
        return {k: with_whole_numbers(known[k], v) if k in known else v for k, v in value.items()}
    if get_origin(kind) is list and isinstance(value, list):
        return [with_whole_numbers(get_args(kind)[0], item) for item in value]
    return value


def _meant(name: str, here: list[str]) -> str:
    """For a field that does not exist: the near one that does, or the place where it belongs."""
    import difflib  # 2 ms, for what is right most of the time

    same = [field for field in here if field.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, here, n=1)
    if close:
        return f"did you mean {close[0]}?"
    for place, model in _OWNERS:
        if name in (field.encode_name for field in fields(model)):
            return f"{name} belongs in {place}: check the indentation"
    return "remove it, or report it if KubeRay has it"
