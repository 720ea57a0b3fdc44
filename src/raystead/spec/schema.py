"""The JSON Schema of RayCluster files, for editors."""

from __future__ import annotations

from typing import Any

from raystead.spec.model import RayCluster


def json_schema() -> dict[str, Any]:
    """By KubeRay's field names; what stands inside pod templates is left to Kubernetes' own schema."""
    schema = RayCluster.model_json_schema(by_alias=True, mode="validation")
    schema["title"] = "RayCluster (ray.io/v1), as raystead reads it"
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
