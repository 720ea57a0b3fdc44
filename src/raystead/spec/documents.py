"""The documents that a cluster may come from: RayCluster, RayJob and RayCronJob, later RayService.

Each derives its cluster. To accept another kind: its name in `ACCEPTED`, its model (a `RayDocument`) in
`parsed`, and in `cluster_json` where its cluster stands. `load` reads it then, and the anchor keeps it whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = ["ACCEPTED", "CLUSTER_AT", "LATER", "RayDocument", "cluster_json", "parsed"]

ACCEPTED = ("RayCluster", "RayJob", "RayCronJob")
LATER = tuple(kind for kind in ("RayJob", "RayService", "RayCronJob") if kind not in ACCEPTED)
CLUSTER_AT = {  # where the cluster's spec stands in a document that holds one
    "RayJob": ("spec", "rayClusterSpec"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}


class RayDocument(Protocol):
    """What raystead asks of a document, whatever its kind."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def annotations(self) -> dict[str, str]: ...

    @property
    def cluster(self) -> RayCluster:
        """The cluster that it asks for; a RayCluster is its own."""

    def with_cluster(self, cluster: RayCluster) -> RayDocument:
        """The same with another spec of its cluster."""

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""


def cluster_json(value: Any) -> Json:
    """The RayCluster in a document, both as JSON: a few of its fields are read without importing the models.

    Raises:
        ValueError: it is not a document of a kind that is accepted.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in ACCEPTED:
        raise ValueError(f"{kind} is not supported by this version" if kind else "it is not a document")
    if kind == "RayCluster":
        cluster: Json = value
        return cluster
    metadata, spec = value["metadata"], value["spec"]
    for key in CLUSTER_AT[kind][1:]:
        spec = spec.get(key)
    selects = kind == "RayJob" and value["spec"].get("clusterSelector")
    if spec is None and selects:
        spec = {"headGroupSpec": {"template": {}}}
    if value["spec"].get("suspend") or selects:
        spec = {**spec, "suspend": True}
    return {"apiVersion": value["apiVersion"], "kind": "RayCluster", "metadata": metadata, "spec": spec}


def parsed(value: Json) -> RayDocument:
    """The document in its JSON.

    Raises:
        ValueError: it is of a kind that is not accepted, or does not follow its model.
    """
    from raystead.spec.model import RayCluster, read

    if value.get("kind") == "RayJob":
        from raystead.spec.rayjob import RayJob

        return read(RayJob, value)
    if value.get("kind") == "RayCronJob":
        from raystead.spec.rayjob import RayCronJob

        return read(RayCronJob, value)
    return read(RayCluster, cluster_json(value))
