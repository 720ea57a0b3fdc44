"""What a namespace may demand of a cluster, and whether that would change any of its objects. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from raystead.base import labels
from raystead.base.kinds import pod_template
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.spec.model import Json, RayCluster

__all__ = ["PlainObjects"]


class PlainObjects:
    """A cluster's objects in a namespace that demands nothing, rendered once for all these questions."""

    def __init__(self, cluster: RayCluster, facts: Facts) -> None:
        self._cluster = cluster
        self._facts = replace(facts, isolated=False, restricted=False, demanded=())
        self._objects = manifests(cluster, self._facts)

    def changed_by(self, **facts: Any) -> bool:
        """Whether these facts, by their names in `Facts`, would change an object."""
        return manifests(self._cluster, replace(self._facts, **facts)) != self._objects

    def isolated_by(self, policies: Sequence[Json]) -> list[str]:
        """Names of the NetworkPolicies not ours that restrict the egress of the cluster's pods.

        Ours has the cluster's label and an owner; without an owner, as `render` prints it, it has a name of
        ours: a copy under another name is somebody else's and restricts.
        """
        own = {item["metadata"]["name"] for item in self._objects if item["kind"] == "NetworkPolicy"}
        templates = map(pod_template, self._objects)
        pods = [template["metadata"]["labels"] for template in templates if template is not None]
        found = []
        for policy in policies:
            metadata, spec = policy["metadata"], policy["spec"]
            known = bool(metadata.get("ownerReferences")) or metadata["name"] in own
            ours = known and (metadata.get("labels") or {}).get(labels.OURS) == self._cluster.name
            types = spec.get("policyTypes") or (["Egress"] if spec.get("egress") else [])
            selects = any(labels.matches(spec.get("podSelector") or {}, pod) for pod in pods)
            if not ours and "Egress" in types and selects:
                found.append(str(metadata["name"]))
        return found
