"""KubeRay's RayCluster as frozen values: we model what we read, pod templates pass through untouched.

Field names are Python's; the aliases are KubeRay's. CRD defaults (replicas 0, minReplicas 0, maxReplicas
2147483647, numOfHosts 1) are filled in here. Unknown fields outside templates are errors (`extra="forbid"`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic.alias_generators import to_camel

from raystead.spec.template import (
    Json,
    ObjectMetaJson,
    PodSpecJson,
    Quantity,
    ServiceJson,
    StringMap,
    ValueFromJson,
)

__all__ = ["Json"]

MAX_REPLICAS = 2147483647  # CRD default of maxReplicas
_OVERWRITE = "ray.io/overwrite-container-cmd"


def _is_true(text: str | None) -> bool:
    return (text or "").lower() == "true"


class Model(BaseModel):
    """A frozen part of the spec that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, defer_build=True)


class Metadata(Model):
    """Object metadata; what the server fills in is kept but never used."""

    model_config = ConfigDict(frozen=True, extra="allow", alias_generator=to_camel, defer_build=True)
    name: StrictStr | None = None
    generate_name: StrictStr | None = None
    namespace: StrictStr | None = None
    labels: StringMap = Field(default_factory=dict)
    annotations: StringMap = Field(default_factory=dict)


class PodTemplate(Model):
    """A pod template: `spec` is Kubernetes' PodSpec as JSON, passed through."""

    metadata: ObjectMetaJson = Field(default_factory=dict)
    spec: PodSpecJson = Field(default_factory=dict)

    @property
    def containers(self) -> list[Json]:
        return list(self.spec.get("containers") or [])

    @property
    def ray_container(self) -> Json:
        """container[0], always the Ray container; {} where there is none."""
        containers = self.containers
        return containers[0] if containers else {}


class GroupSpec(Model):
    """What head and worker groups have in common."""

    template: PodTemplate
    ray_start_params: StringMap = Field(default_factory=dict)
    resources: dict[StrictStr, Quantity] = Field(default_factory=dict)
    labels: StringMap = Field(default_factory=dict)


class HeadGroup(GroupSpec):
    replicas: StrictInt | None = None  # of v1alpha1; it never had an effect
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", ""] | None = None
    head_service: ServiceJson | None = None
    enable_ingress: StrictBool | None = None
    ingress_options: Json | None = None


class ScaleStrategy(Model):
    workers_to_delete: list[StrictStr] = Field(default_factory=list)


class WorkerGroup(GroupSpec):
    name: StrictStr = Field(alias="groupName")
    replicas: StrictInt = 0
    min_replicas: StrictInt = 0
    max_replicas: StrictInt = MAX_REPLICAS
    num_of_hosts: StrictInt = 1
    suspend: StrictBool | None = None
    idle_timeout_seconds: StrictInt | None = None
    priority: StrictInt | None = None
    scale_strategy: ScaleStrategy = Field(default_factory=ScaleStrategy)

    @property
    def wanted(self) -> int:
        """Pods wanted: replicas clamped to min and max, times the hosts of a replica; 0 when suspended."""
        if self.suspend:
            return 0
        return max(self.min_replicas, min(self.replicas, self.max_replicas)) * self.num_of_hosts


class RedisPassword(Model):
    value: StrictStr | None = None
    value_from: ValueFromJson | None = None


class GcsStorage(Model):
    """RocksDB's claim: an existing one (`claimName`) or a new one (size, class, modes)."""

    claim_name: StrictStr | None = None
    size: Quantity | None = None
    storage_class_name: StrictStr | None = None
    access_modes: list[StrictStr] = Field(default_factory=list)
    sub_path: StrictStr | None = None
    deletion_policy: StrictStr | None = None


class GcsFaultTolerance(Model):
    backend: Literal["redis", "rocksdb"] | None = None
    redis_address: StrictStr | None = None
    redis_username: RedisPassword | None = None
    redis_password: RedisPassword | None = None
    external_storage_namespace: StrictStr | None = None
    storage: GcsStorage | None = None


class AuthOptions(Model):
    mode: Literal["token", "disabled"] | None = None
    secret_name: StrictStr | None = None
    enable_k8s_token_auth: StrictBool | None = Field(default=None, alias="enableK8sTokenAuth")


class UpgradeStrategy(Model):
    type: StrictStr | None = None


class PolicyRules(Model):
    """Rules in addition to ours; each is Kubernetes' own, passed through."""

    ingress_rules: list[Json] = Field(default_factory=list)
    egress_rules: list[Json] = Field(default_factory=list)


class GroupPolicyRules(PolicyRules):
    name: StrictStr = Field(alias="groupName")


class NetworkPolicyOptions(Model):
    mode: Literal["DenyAll", "DenyAllIngress", "DenyAllEgress"] | None = None
    head: PolicyRules | None = None
    worker: PolicyRules | None = None
    worker_groups: list[GroupPolicyRules] = Field(default_factory=list)


class IdleTermination(Model):
    """When an idle cluster ends by itself; Suspend, KubeRay's default, keeps the spec and the state."""

    timeout_seconds: StrictInt
    policy: Literal["Suspend", "Delete"] = "Suspend"


class ClusterSpec(Model):
    ray_version: StrictStr | None = None
    head: HeadGroup = Field(alias="headGroupSpec")
    workers: list[WorkerGroup] = Field(default_factory=list, alias="workerGroupSpecs")
    gcs_fault_tolerance: GcsFaultTolerance | None = Field(default=None, alias="gcsFaultToleranceOptions")
    auth: AuthOptions | None = Field(default=None, alias="authOptions")
    network_policy: NetworkPolicyOptions | None = None
    head_service_annotations: StringMap = Field(default_factory=dict)
    suspend: StrictBool | None = None
    upgrade_strategy: UpgradeStrategy | None = None
    managed_by: StrictStr | None = None
    enable_in_tree_autoscaling: StrictBool | None = None
    autoscaler_options: Json | None = None
    tls_options: Json | None = None
    history_server_options: Json | None = None
    idle_termination_options: IdleTermination | None = None


class RayCluster(Model):
    """One RayCluster document (ray.io/v1 or v1alpha1)."""

    api_version: Literal["ray.io/v1", "ray.io/v1alpha1"] = "ray.io/v1"
    kind: Literal["RayCluster"] = "RayCluster"
    metadata: Metadata
    spec: ClusterSpec
    status: Json | None = Field(
        default=None, exclude=True
    )  # `kubectl get -o yaml` prints it; never ours to set

    @property
    def name(self) -> str:
        return self.metadata.name or ""

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations

    @property
    def cluster(self) -> RayCluster:
        """The cluster of this document: itself."""
        return self

    @property
    def ft_enabled(self) -> bool:
        """The annotation `ray.io/ft-enabled` is true, in any letter case: KubeRay's old form."""
        return _is_true(self.annotations.get("ray.io/ft-enabled"))

    def overwrites_command(self, group: GroupSpec) -> bool:
        """The container's own command starts Ray: `ray.io/overwrite-container-cmd` on the cluster, or on the
        template of the group alone, is true in any letter case."""
        own = (group.template.metadata.get("annotations") or {}).get(_OVERWRITE)
        return _is_true(self.annotations.get(_OVERWRITE)) or _is_true(own)

    def with_cluster(self, cluster: RayCluster) -> RayCluster:
        """The document with another cluster: that one."""
        return cluster

    def document(self) -> Json:
        """The spec as KubeRay's YAML would say it: only what was set."""
        out: Json = self.model_dump(by_alias=True, exclude_unset=True)
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            **{k: out[k] for k in ("metadata", "spec")},
        }
