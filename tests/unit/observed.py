"""Recordings of a real cluster (Kubernetes 1.36, Ray 2.60), trimmed to what is read, as arguments of `observe`."""

import copy
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from raystead.base.times import when
from raystead.plan.observed import ClusterView, observe
from raystead.plan.raynodes import ray_nodes
from raystead.spec.edits import suspended
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster

FOLDER = Path(__file__).resolve().parents[1] / "data" / "observed"
RECORDINGS = sorted(path.stem for path in FOLDER.glob("*.json"))


def recording(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def built_in(*, suspend: bool = False) -> RayCluster:
    """The built-in spec, which is what was recorded."""
    return suspended(build(Flags()), suspend)


def view(data: dict[str, Any], **changes: Any) -> ClusterView:
    """The view of a recording; `changes` replace arguments."""
    data = copy.deepcopy(data)
    metadata = {
        "name": "raystead-ray-cluster",
        "namespace": "obs-status",
        "uid": "6d1c",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-24T07:24:57Z",
    }
    arguments: dict[str, Any] = {
        "cluster": built_in(),
        "anchor": {"metadata": metadata},
        "ray_nodes": None if data["ray"] is None else ray_nodes(data["ray"]),
        "now": moment(data),
        **{
            key: data[key]
            for key in ("deployments", "statefulsets", "services", "pods", "claims", "policies", "events")
        },
    }
    return observe(**{**arguments, **changes})


def moment(data: dict[str, Any]) -> datetime:
    found = when(data["now"])
    assert found is not None
    return found
