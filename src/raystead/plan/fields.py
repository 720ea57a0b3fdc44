"""Differences of two objects, field by field, with secrets masked.

Lists whose items have names (containers, env, ports, volumes …) are compared by name, as the server merges
them; other lists of objects by position; lists of plain values as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from raystead.base.secrets import HIDDEN
from raystead.plan.masking import masked
from raystead.plan.model import FieldChange
from raystead.spec.model import Json

__all__ = ["HIDDEN", "differences", "secret_differences", "secret_keys"]

# Written by the server or by controllers; no user's wish is in them.
_SERVERS = {
    ("metadata", "managedFields"),
    ("metadata", "resourceVersion"),
    ("metadata", "generation"),
    ("metadata", "uid"),
    ("metadata", "selfLink"),
    ("metadata", "annotations", "deployment.kubernetes.io/revision"),
    ("status",),
}
_ANYWHERE = {"creationTimestamp"}
# What tells the items of a list apart, by the list's name; else `name`.
_KEYS: dict[str, tuple[str, ...]] = {
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "volumeClaimTemplates": ("metadata", "name"),
}
_ABSENT = object()
_Found = tuple[tuple[str, ...], Any, Any]


def differences(before: Json, after: Json, *, reveal: bool = False) -> tuple[FieldChange, ...]:
    """Every field in which two versions of one object differ, without what only the server writes.

    `reveal`: the values that may be secrets too.
    """
    found = tuple(_mapping((), _bare(before), _bare(after)))
    return tuple(FieldChange(_text(path), *pair) if reveal else _hidden(path, *pair) for path, *pair in found)


def secret_differences(before: Json, after: Json) -> tuple[FieldChange, ...]:
    """As `differences` of two versions of a Secret, whose values are never shown."""
    old, new = before.get("data") or {}, after.get("data") or {}
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    shown = [
        FieldChange(f"data.{k}", HIDDEN if k in old else None, HIDDEN if k in new else None) for k in keys
    ]
    bare = [{k: v for k, v in item.items() if k not in ("data", "stringData")} for item in (before, after)]
    return (*differences(*bare), *shown)


def secret_keys(secret: Json) -> set[str]:
    """Names of a Secret's keys; its values are never looked at."""
    return set(secret.get("data") or {}) | set(secret.get("stringData") or {})


def _bare(item: Json, path: tuple[str, ...] = ()) -> Json:
    out: Json = {}
    for key, value in item.items():
        here = (*path, key)
        if here in _SERVERS or key in _ANYWHERE or value is None:
            continue
        out[key] = _bare(value, here) if isinstance(value, dict) else value
    if path == ("metadata",) and out.get("annotations") == {}:
        del out["annotations"]  # held nothing but the server's
    return out


def _mapping(path: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[_Found]:
    for key in [*before, *(k for k in after if k not in before)]:
        if key in _ANYWHERE:
            continue
        yield from _value((*path, key), before.get(key, _ABSENT), after.get(key, _ABSENT))


def _value(path: tuple[str, ...], before: Any, after: Any) -> Iterator[_Found]:
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _mapping(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list(path, before, after)
    else:
        yield _change(path, before, after)


def _list(path: tuple[str, ...], before: list[Any], after: list[Any]) -> Iterator[_Found]:
    if not all(isinstance(item, dict) for item in [*before, *after]):
        yield _change(path, before, after)
        return
    old, new = _by_key(path[-1], before), _by_key(path[-1], after)
    if old is None or new is None:
        for index in range(max(len(before), len(after))):
            pair = [side[index] if index < len(side) else _ABSENT for side in (before, after)]
            yield from _value(_item(path, str(index)), *pair)
        return
    changes = [
        change
        for key in [*old, *(k for k in new if k not in old)]
        for change in _value(_item(path, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    ]
    if not changes:  # the order alone: it makes a new pod template all the same
        changes = [(path, list(old), list(new))]
    yield from changes


def _by_key(name: str, items: list[Json]) -> dict[str, Json] | None:
    """Items by what names them; None where one has no name or two have the same."""
    out: dict[str, Json] = {}
    for item in items:
        key: Any = item
        for part in _KEYS.get(name, ("name",)):
            key = key.get(part) if isinstance(key, dict) else None
        if not isinstance(key, str) or key in out:
            return None
        out[key] = item
    return out


def _item(path: tuple[str, ...], key: str) -> tuple[str, ...]:
    return (*path[:-1], f"{path[-1]}[{key}]")


def _text(path: tuple[str, ...]) -> str:
    """Dots between parts; a part that holds dots itself (an annotation) stands in brackets."""
    out = ""
    for part in path:
        if re.match(r"[\w$-]+(\[.*\])?$", part):
            out += f".{part}" if out else part
        else:
            out += f"[{part}]"
    return out


def _change(path: tuple[str, ...], before: Any, after: Any) -> _Found:
    return path, None if before is _ABSENT else before, None if after is _ABSENT else after


def _hidden(path: tuple[str, ...], before: Any, after: Any) -> FieldChange:
    return FieldChange(_text(path), masked(path, before), masked(path, after))
