"""The lease of a cluster that must not outlive its client: a Job that never has a pod (ADR 8).

The Job controller fails it at its deadline, the TTL controller then deletes it, and the garbage collector
takes what it owns: the anchor, and with it the cluster. No pod, no right and no program of ours is needed in
the cluster for that.
"""

from __future__ import annotations

from raystead.base import labels
from raystead.manifests.security import SMALL, bounded, harden
from raystead.spec.model import Json, RayCluster

__all__ = ["lease_job", "lease_name"]


def lease_name(cluster: str) -> str:
    return f"raystead-{cluster}-lease"


def lease_job(cluster: RayCluster, namespace: str, seconds: int) -> Json:
    """The Job; `seconds` after its creation it ends, unless `activeDeadlineSeconds` is raised before."""
    container = {
        "name": "never-started",
        "image": str(cluster.spec.head.template.ray_container.get("image", "")),
        "command": ["true"],
    }
    spec: Json = {
        "parallelism": 0,
        "backoffLimit": 0,
        "activeDeadlineSeconds": seconds,
        "ttlSecondsAfterFinished": 0,
        "template": {"spec": harden({"restartPolicy": "Never", "containers": [bounded(container, SMALL)]})},
    }
    metadata: Json = {
        "name": lease_name(cluster.name),
        "namespace": namespace,
        "labels": {labels.OURS: cluster.name},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
