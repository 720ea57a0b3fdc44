"""The JSON Schema of RayCluster files, for editors."""

from __future__ import annotations

from typing import Any

from msgspec.json import schema_components

from raystead.spec.model import RayCluster
from raystead.spec.template import Quantity, StringMap

_REF = "#/$defs/{name}"


def json_schema() -> dict[str, Any]:
    """By KubeRay's field names; what stands inside pod templates is left to Kubernetes' own schema."""
    shapes: list[Any] = []

    def kept(kind: Any) -> dict[str, Any]:
        if kind is Quantity:
            return {"type": ["string", "number"]}
        if kind is StringMap:
            return {"type": "object", "additionalProperties": {"type": "string"}}
        shapes.append(kind.shape)
        return {"$ref": _REF.format(name=kind.shape.__name__)}

    schema_components([RayCluster], schema_hook=kept)  # finds the shapes
    _, parts = schema_components([RayCluster, *shapes], schema_hook=kept, ref_template=_REF)
    return {
        **parts.pop(RayCluster.__name__),
        "title": "RayCluster (ray.io/v1), as raystead reads it",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": parts,
    }
