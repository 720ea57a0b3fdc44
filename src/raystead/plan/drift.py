"""Who changed the cluster's objects by hand: read from their managedFields, so it costs no request.

The server notes for every field who wrote it last. A field of a spec that somebody other than us wrote is
drift: the next `up` would put it back, and names him.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raystead.spec.model import Json

__all__ = ["drift_of", "missing"]

_OURS = "raystead"
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kubelet", "k3s", "cloud-controller-manager")
_PARTS = ("f:spec", "f:data")
_SHOWN = 3  # fields named of one object


def drift_of(objects: Sequence[Json]) -> tuple[str, ...]:
    """A sentence for each object and manager: what he changed, when."""
    out = []
    for item in objects:
        for entry in item["metadata"].get("managedFields") or ():
            manager = str(entry.get("manager", ""))
            if manager == _OURS or manager in _CONTROLLERS or entry.get("subresource") == "status":
                continue
            fields = [p for part in _PARTS for p in _leaves(entry.get("fieldsV1", {}).get(part), part[2:])]
            if fields:
                more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
                name = f"{item['kind']}/{item['metadata']['name']}"
                when = entry.get("time", "an unknown time")
                out.append(f"{name}: {', '.join(fields[:_SHOWN])}{more} changed by {manager} at {when}")
    return tuple(out)


def missing(wanted: Sequence[Json], live: Sequence[Json]) -> tuple[str, ...]:
    """Objects of the applied spec that are not there."""
    there = {(item["kind"], item["metadata"]["name"]) for item in live}
    return tuple(
        f"{item['kind']}/{item['metadata']['name']} is missing"
        for item in wanted
        if (item["kind"], item["metadata"]["name"]) not in there
    )


def _leaves(tree: Json | None, path: str) -> Iterator[str]:
    for key, inner in (tree or {}).items():
        if key == ".":
            continue
        step = _step(key)
        here = f"{path}{step}" if step.startswith("[") else f"{path}.{step}"
        if isinstance(inner, dict) and any(k != "." for k in inner):
            yield from _leaves(inner, here)
        else:
            yield here


def _step(key: str) -> str:
    """ "f:replicas" -> "replicas"; 'k:{"name":"ray-head"}' -> "[ray-head]"."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return rest
    words = rest.strip('{}"').split(":")
    return f"[{words[-1].strip(chr(34))}]"
