"""One cluster with its facts: the questions every kind asks (names, versions, ports, token, metadata)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from raystead.base import labels, names
from raystead.manifests.facts import Facts

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = ["GCS_PORT", "TOKEN_DIR", "TOKEN_KEY", "TOKEN_MODE_SINCE", "Context", "ray_version"]

GCS_PORT = "6379"  # KubeRay's default; the built-in spec says 6380
TOKEN_DIR = "/etc/raystead/token"
TOKEN_KEY = "auth_token"  # KubeRay's key in its token Secret
TOKEN_MODE_SINCE = (2, 52)  # ray.md D
_VERSION = re.compile(r"(\d+)\.(\d+)")
_TAG = re.compile(r":(?:nightly-)?(\d+\.\d+)[^/]*$")


def ray_version(cluster: RayCluster) -> tuple[int, int] | None:
    """Major and minor version: `rayVersion`, else the head image's tag, else None (unknown)."""
    said = cluster.spec.ray_version
    if not said:
        tag = _TAG.search(str(cluster.spec.head.template.ray_container.get("image", "")).split("@")[0])
        said = tag.group(1) if tag else ""
    match = _VERSION.search(said)
    return (int(match.group(1)), int(match.group(2))) if match else None


@dataclass(frozen=True)
class Context:
    cluster: RayCluster
    facts: Facts

    @cached_property
    def names(self) -> names.Names:
        return names.Names(self.cluster.name, self.guide)

    @cached_property
    def guide(self) -> bool:
        return self.cluster.annotations.get(names.NAMES_ANNOTATION) == names.GUIDE

    @cached_property
    def namespace(self) -> str | None:
        return self.facts.namespace or self.cluster.metadata.namespace

    @cached_property
    def gcs_port(self) -> str:
        return self.cluster.spec.head.ray_start_params.get("port", GCS_PORT)

    @cached_property
    def head_service(self) -> str:
        own = (self.cluster.spec.head.head_service or {}).get("metadata") or {}
        return str(own.get("name") or self.names.head_service)

    @property
    def head_host(self) -> str:
        """The Service's DNS name without the cluster's domain, which a namespaced user does not know."""
        return f"{self.head_service}.{self.namespace}.svc" if self.namespace else self.head_service

    def since(self, major: int, minor: int) -> bool:
        """Ray is at least that version; an unknown version counts as new."""
        return (self.version or (99, 0)) >= (major, minor)

    @cached_property
    def version(self) -> tuple[int, int] | None:
        return ray_version(self.cluster)

    @property
    def token(self) -> bool:
        """Ray checks tokens in this cluster."""
        auth = self.cluster.spec.auth
        return self.since(*TOKEN_MODE_SINCE) and not (auth and auth.mode == "disabled")

    @property
    def token_secret(self) -> str:
        auth = self.cluster.spec.auth
        said = auth.secret_name if auth else None
        return said or self.facts.token_secret or self.names.token_secret

    @property
    def suspended(self) -> bool:
        return bool(self.cluster.spec.suspend)

    def metadata(
        self,
        name: str,
        extra: dict[str, str] | None = None,
        *,
        annotations: dict[str, str] | None = None,
        owned: bool = True,
    ) -> Json:
        """Metadata of an object of ours: namespace, our label, the anchor as owner."""
        out: Json = {"name": name}
        if self.namespace:
            out["namespace"] = self.namespace
        out["labels"] = {**(extra or {}), labels.OURS: self.cluster.name}
        if annotations:
            out["annotations"] = dict(annotations)
        if owned and self.facts.anchor_uid:
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": names.anchor(self.cluster.name)}
            out["ownerReferences"] = [{**owner, "uid": self.facts.anchor_uid, "blockOwnerDeletion": False}]
        return out
