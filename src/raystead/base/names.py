"""Names of Kubernetes objects: KubeRay's clipping rules, and the two sets of names a cluster may carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = [
    "GUIDE",
    "KEPT_ANNOTATION",
    "KUBERAY",
    "NAMES_ANNOTATION",
    "STORAGE_NAMESPACE_ANNOTATION",
    "SUBMITTER",
    "SUBMITTER_LOST",
    "Names",
    "anchor",
    "check_label",
    "check_name",
    "end_mark",
    "keeper",
    "reference",
]

NAMES_ANNOTATION = "raystead.io/names"
STORAGE_NAMESPACE_ANNOTATION = "raystead.io/storage-namespace"  # on the claim that holds the state
KEPT_ANNOTATION = (
    "raystead.io/kept"  # on a claim that `down --keep-data` left: its own uid, which no copy has
)
GUIDE = "guide"
KUBERAY = "kuberay"
SUBMITTER = "ray-job-submitter"  # the container that holds a job's output; KubeRay's name
# Its exit codes that say nothing of the job, and after which its Job begins another pod: the container did
# not start (128), was killed (137, 143), or was lost by its runtime (255). No submitter of ours ends so.
SUBMITTER_LOST = (128, 137, 143, 255)
_NAME_MAX = 50  # KubeRay leaves room for the suffix of a generated name
_LABEL_MAX = 63  # Kubernetes' limit of a label value


def check_name(name: str) -> str:
    """KubeRay's CheckName: the last 50 characters, a leading digit or punctuation becomes `r`."""
    kept = name[-_NAME_MAX:]
    return "r" + kept[1:] if kept and not kept[0].isalpha() else kept


def check_label(value: str) -> str:
    """KubeRay's CheckLabel: the last 63 characters, a leading punctuation becomes `r`."""
    kept = value[-_LABEL_MAX:]
    return "r" + kept[1:] if kept and not kept[0].isalnum() else kept


def anchor(cluster: str) -> str:
    """The ConfigMap that owns everything of the cluster: deleting it deletes the cluster."""
    return f"raystead-{cluster}"


def keeper(cluster: str, part: str) -> str:
    """The Job that ends a part of the cluster: `self` (all of it), `cluster` or `workers`."""
    return f"raystead-{cluster}-{part}"


def end_mark(cluster: str, anchor_uid: str | None, role: str) -> str:
    """The mark in the GCS by which a keeper tells the pods of a role, "head" or "worker", that they end."""
    return f"raystead-{cluster}-{(anchor_uid or '')[:8]}-ends-{role}"


def reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """An owner reference to an object of ours, a ConfigMap or a Job."""
    version = "batch/v1" if kind == "Job" else "v1"
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": False}


class Names(NamedTuple):
    """Every object name of one cluster, in the guide's set or in KubeRay's."""

    cluster: str
    guide: bool

    @classmethod
    def of(cls, cluster: str, annotations: Mapping[str, str]) -> Names:
        """Those of a cluster whose RayCluster has these annotations: the one place that chooses the set."""
        return cls(cluster, annotations.get(NAMES_ANNOTATION) == GUIDE)

    @property
    def head(self) -> str:
        return "deployment-ray-head" if self.guide else f"{self.cluster}-head"

    @property
    def head_service(self) -> str:
        return "service-ray-cluster" if self.guide else f"{self.cluster}-head-svc"

    @property
    def serve_service(self) -> str:
        return f"{self.cluster}-serve-svc"

    @property
    def headless_service(self) -> str:
        return f"{self.cluster}-headless"

    @property
    def redis(self) -> str:
        """Clipped: a StatefulSet's name with its revision's hash is a label value (63 at most)."""
        return "redis" if self.guide else check_name(f"{self.cluster}-redis")

    @property
    def redis_config(self) -> str:
        return "redis-config" if self.guide else f"{self.cluster}-redis-config"

    @property
    def gcs_claim(self) -> str:
        return f"{self.cluster}-gcs-pvc"

    @property
    def token_secret(self) -> str:
        return check_name(self.cluster)

    @property
    def redis_secret(self) -> str:
        return f"raystead-{self.cluster}-redis"

    def worker(self, group: str, index: int) -> str:
        """The Deployment of the group; the guide knows one group, others get their name as a suffix."""
        if not self.guide:
            return f"{self.cluster}-{group}-worker".lower()
        return "deployment-ray-worker" if index == 0 else f"deployment-ray-worker-{group}".lower()
