"""Who changed the cluster's objects by hand: read from their managedFields, so it costs no request.

The server notes for every field who wrote it. A field of ours that somebody other than us wrote, with another
value than the spec's, is drift: the next `up` would put it back, and names the writer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from raystead.spec.model import Json

__all__ = ["CONTROLLERS", "drift_of", "missing"]

_OURS = "raystead"
CONTROLLERS = (
    *("kube-controller-manager", "kube-scheduler", "kubelet", "k3s", "cloud-controller-manager"),
    "raystead-steward",
)
_PARTS = ("spec", "data")
_SHOWN = 3  # fields named of one object
_ABSENT = object()


def drift_of(objects: Sequence[Json], wanted: Sequence[Json]) -> tuple[str, ...]:
    """A sentence for each object and manager: what it changed, and when. `wanted` is what we would apply."""
    ours = {(item["kind"], item["metadata"]["name"]): item for item in wanted}
    out = []
    for item in objects:
        rendered = ours.get((item["kind"], item["metadata"]["name"])) or {}
        for entry in item["metadata"].get("managedFields") or ():
            manager = str(entry.get("manager", ""))
            if manager == _OURS or manager in CONTROLLERS or entry.get("subresource") == "status":
                continue
            tree = entry.get("fieldsV1") or {}
            fields = [
                "".join(map(_shown, keys)).lstrip(".")
                for part in _PARTS
                for keys in _leaves(tree.get(f"f:{part}"), (f"f:{part}",))
                if _value(item, keys) != _value(rendered, keys)
            ]
            if fields:
                more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
                name = f"{item['kind']}/{item['metadata']['name']}"
                at = f" at {entry['time']}" if entry.get("time") else ""
                out.append(f"{name}: {', '.join(fields[:_SHOWN])}{more} changed by {manager}{at}")
    return tuple(out)


def missing(wanted: Sequence[Json], live: Sequence[Json]) -> tuple[str, ...]:
    """Objects of the applied spec that are not there."""
    there = {(item["kind"], item["metadata"]["name"]) for item in live}
    return tuple(
        f"{item['kind']}/{item['metadata']['name']} is missing"
        for item in wanted
        if (item["kind"], item["metadata"]["name"]) not in there
    )


def _leaves(tree: Json | None, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of the fields, each step as the server writes it: `f:replicas`, `k:{"name":"ray-head"}`."""
    for key, inner in (tree or {}).items():
        if key == ".":
            continue
        if isinstance(inner, dict) and any(k != "." for k in inner):
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key)


def _value(item: Any, path: Sequence[str]) -> Any:
    """What stands there; a list's items are found by their keys or their value."""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            item = item.get(rest, _ABSENT) if isinstance(item, dict) else _ABSENT
            continue
        sought = json.loads(rest)
        found = item if isinstance(item, list) else []
        item = next((x for x in found if x == sought or (kind == "k" and _has(x, sought))), _ABSENT)
    return item


def _has(item: Any, keys: Json) -> bool:
    return isinstance(item, dict) and all(item.get(key) == value for key, value in keys.items())


def _shown(step: str) -> str:
    """`f:replicas` is `.replicas`, `k:{"name":"ray-head"}` is `[ray-head]`."""
    kind, _, rest = step.partition(":")
    if kind == "f":
        return f".{rest}"
    sought = json.loads(rest)
    return f"[{','.join(map(str, sought.values())) if isinstance(sought, dict) else sought}]"
