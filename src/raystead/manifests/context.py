"""One cluster, its facts and choices: questions every kind asks (names, versions, ports, token, metadata)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from raystead.base import labels, names
from raystead.base.rayversions import dotted, tag_version, version_of
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.spec.idle import idle_end

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = [
    "GCS_PORT",
    "RESTARTED",
    "TICK",
    "TOKEN_DIR",
    "TOKEN_KEY",
    "TOKEN_MODE_SINCE",
    "Context",
    "image_version",
    "ray_version",
    "stated_version",
]

GCS_PORT = "6379"  # KubeRay's default; the built-in spec says 6380
TICK = "$RAYSTEAD_TICK"  # stands for the scheduled minute; incluster.tick puts it in
RESTARTED = "raystead.io/restarted-at"
TOKEN_DIR = "/etc/raystead/token"
TOKEN_KEY = "auth_token"  # KubeRay's key in its token Secret
TOKEN_MODE_SINCE = (2, 52)  # docs/facts/ray.md#tokens
_AUTH_MODE = "RAY_AUTH_MODE"


def stated_version(cluster: RayCluster) -> tuple[int, int] | None:
    """Major and minor version of `rayVersion`; None where it is missing or no number."""
    return version_of(cluster.spec.ray_version)


def image_version(cluster: RayCluster) -> tuple[int, int] | None:
    return tag_version(str(cluster.spec.head.template.ray_container.get("image") or ""))


def ray_version(cluster: RayCluster) -> tuple[int, int] | None:
    """Major and minor version of what runs: the head image's tag, else `rayVersion`, else None (unknown).

    People forget `rayVersion` when they change the image, and KubeRay never compares the two.
    """
    return image_version(cluster) or stated_version(cluster)


@dataclass(frozen=True)
class Context:
    cluster: RayCluster
    facts: Facts
    choices: Choices = NO_CHOICES

    @cached_property
    def names(self) -> names.Names:
        return names.Names.of(self.cluster.name, self.cluster.annotations)

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
        """The head's DNS name without the cluster's domain, which a namespaced user does not know."""
        return f"{self.head_name}.{self.namespace}.svc" if self.namespace else self.head_name

    @property
    def head_name(self) -> str:
        """The head's Service; of a RayCronJob, the head's pod of the same tick."""
        if self.ticking:
            return f"{self.names.head}-{TICK}-0.{self.cluster.name}"
        return self.head_service

    def since(self, major: int, minor: int) -> bool:
        """Ray is at least that version; an unknown version counts as new."""
        return (self.version or (99, 0)) >= (major, minor)

    @cached_property
    def version(self) -> tuple[int, int] | None:
        return ray_version(self.cluster)

    @property
    def token(self) -> bool:
        """Ray checks tokens in this cluster."""
        return self.no_token is None

    @cached_property
    def no_token(self) -> str | None:
        """Why Ray checks no token, a clause; None where it does.

        The variable RAY_AUTH_MODE of the head goes before `authOptions`, as in Ray itself.
        """
        env = self.cluster.spec.head.template.ray_container.get("env") or []
        mode = next((str(e.get("value") or "").lower() for e in env if e.get("name") == _AUTH_MODE), "")
        auth = self.cluster.spec.auth
        if mode == "disabled":
            return f"{_AUTH_MODE} is disabled in the head's env"
        if auth and auth.mode == "disabled" and mode != "token":
            return "authOptions.mode is disabled"
        if self.version and self.version < TOKEN_MODE_SINCE:
            source = "the head's image" if image_version(self.cluster) else "rayVersion"
            return f"{source} is Ray {dotted(self.version)}, tokens came with {dotted(TOKEN_MODE_SINCE)}"
        return None

    @property
    def token_secret(self) -> str:
        auth = self.cluster.spec.auth
        secret = auth.secret_name if auth else None
        return secret or self.facts.token_secret or self.names.token_secret

    @property
    def asked_over_http(self) -> bool:
        """Programs of ours outside the Ray pods ask its dashboard: a RayJob's, an idle cluster's keeper."""
        return self.of_job or idle_end(self.cluster) is not None

    @property
    def of_job(self) -> bool:
        """A RayJob's cluster."""
        return self.cluster.metadata.labels.get(labels.ORIGIN_KIND) == "RayJob"

    @property
    def ticking(self) -> bool:
        """CronJobs make its pods, those of each tick anew."""
        return self.cluster.metadata.labels.get(labels.ORIGIN_KIND) == "RayCronJob"

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
        """Metadata of an object of ours: namespace, our label, its owner."""
        out: Json = {"name": name}
        if self.namespace:
            out["namespace"] = self.namespace
        asked = labels.of_objects(self.cluster.annotations)
        out["labels"] = {**asked, **(extra or {}), labels.OURS: self.cluster.name}
        if annotations:
            out["annotations"] = dict(annotations)
        if owned and (owner := self.owner):
            out["ownerReferences"] = [owner]
        return out

    @property
    def owner(self) -> Json | None:
        """What takes the cluster's objects along: the keeper that ends the cluster, else the anchor.

        None where no anchor is known (an offline `render`).
        """
        if not self.facts.anchor_uid:
            return None
        if uid := self.facts.keepers.get("cluster"):
            return names.reference("Job", names.keeper(self.cluster.name, "cluster"), uid)
        return names.reference("ConfigMap", names.anchor(self.cluster.name), self.facts.anchor_uid)

    @property
    def of_anchor(self) -> Context:
        """The same cluster; what it renders belongs to the anchor, whatever ends the cluster."""
        return replace(self, facts=replace(self.facts, keepers={}))
