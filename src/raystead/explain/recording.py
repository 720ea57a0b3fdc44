"""Snapshots as plain JSON and back: what a test records and what a bug report can hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from raystead.base import kinds
from raystead.explain.model import Snapshot
from raystead.manifests.facts import Facts
from raystead.manifests.living import Living
from raystead.spec.model import Json, RayCluster, read

__all__ = ["PARTS", "snapshot"]

PARTS = (*kinds.parts(), "ray_nodes")


def snapshot(saved: Json) -> Snapshot:
    """The snapshot of a recording; `logs` is a list of [pod, container, previous, text]."""
    cluster = saved.get("cluster")
    parts: dict[str, Any] = {p: None if saved.get(p) is None else tuple(saved[p]) for p in PARTS}
    return Snapshot(
        cluster=read(RayCluster, cluster) if cluster else None,
        namespace=saved["namespace"],
        name=saved["name"],
        now=datetime.fromisoformat(saved["now"]),
        namespace_object=saved.get("namespace_object"),
        logs={(pod, container, before): text for pod, container, before, text in saved.get("logs") or []},
        api_slow=saved.get("api_slow"),
        living=Living(**saved["living"]) if saved.get("living") else None,
        facts=Facts(**saved["facts"]) if saved.get("facts") else None,
        **parts,
    )
