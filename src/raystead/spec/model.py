"""KubeRay's RayCluster as frozen values: we model what we read, pod templates pass through untouched.

Field names are Python's; in JSON they are KubeRay's. CRD defaults (replicas 0, minReplicas 0, maxReplicas
2147483647, numOfHosts 1) are filled in here. Unknown fields outside templates are errors. Values are read
with `read`, and a document is changed by reading its changed JSON.
"""

from __future__ import annotations

import copy
from typing import Literal, TypeVar, dataclass_transform

from msgspec import Struct, ValidationError, field

from raystead.spec.template import (
    Json,
    ObjectMetaJson,
    PodSpecJson,
    Quantity,
    ServiceJson,
    StringMap,
    ValueFromJson,
    converted,
)

__all__ = ["Json"]

MAX_REPLICAS = 2147483647  # CRD default of maxReplicas
_OVERWRITE = "ray.io/overwrite-container-cmd"


def _is_true(text: str | None) -> bool:
    return (text or "").lower() == "true"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Model(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A frozen part of the spec that refuses fields it does not know."""


class Metadata(Model, forbid_unknown_fields=False):
    """Object metadata; what the server fills in is never used."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    labels: StringMap = field(default_factory=dict)
    annotations: StringMap = field(default_factory=dict)


class PodTemplate(Model):
    """A pod template: `spec` is Kubernetes' PodSpec as JSON, passed through."""

    metadata: ObjectMetaJson = field(default_factory=dict)
    spec: PodSpecJson = field(default_factory=dict)

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
    ray_start_params: StringMap = field(default_factory=dict)
    resources: dict[str, Quantity] = field(default_factory=dict)
    labels: StringMap = field(default_factory=dict)


class HeadGroup(GroupSpec):
    replicas: int | None = None  # of v1alpha1; it never had an effect
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", ""] | None = None
    head_service: ServiceJson | None = None
    enable_ingress: bool | None = None
    ingress_options: Json | None = None


class ScaleStrategy(Model):
    workers_to_delete: list[str] = field(default_factory=list)


class WorkerGroup(GroupSpec, kw_only=True):
    name: str = field(name="groupName")
    replicas: int = 0
    min_replicas: int = 0
    max_replicas: int = MAX_REPLICAS
    num_of_hosts: int = 1
    suspend: bool | None = None
    idle_timeout_seconds: int | None = None
    priority: int | None = None
    scale_strategy: ScaleStrategy = field(default_factory=ScaleStrategy)

    @property
    def wanted(self) -> int:
        """Pods wanted: replicas clamped to min and max, times the hosts of a replica; 0 when suspended."""
        if self.suspend:
            return 0
        return max(self.min_replicas, min(self.replicas, self.max_replicas)) * self.num_of_hosts


class RedisPassword(Model):
    value: str | None = None
    value_from: ValueFromJson | None = None


class GcsStorage(Model):
    """RocksDB's claim: an existing one (`claimName`) or a new one (size, class, modes)."""

    claim_name: str | None = None
    size: Quantity | None = None
    storage_class_name: str | None = None
    access_modes: list[str] = field(default_factory=list)
    sub_path: str | None = None
    deletion_policy: str | None = None


class GcsFaultTolerance(Model):
    backend: Literal["redis", "rocksdb"] | None = None
    redis_address: str | None = None
    redis_username: RedisPassword | None = None
    redis_password: RedisPassword | None = None
    external_storage_namespace: str | None = None
    storage: GcsStorage | None = None


class AuthOptions(Model):
    mode: Literal["token", "disabled"] | None = None
    secret_name: str | None = None
    enable_k8s_token_auth: bool | None = field(default=None, name="enableK8sTokenAuth")


class UpgradeStrategy(Model):
    type: str | None = None


class PolicyRules(Model):
    """Rules in addition to ours; each is Kubernetes' own, passed through."""

    ingress_rules: list[Json] = field(default_factory=list)
    egress_rules: list[Json] = field(default_factory=list)


class GroupPolicyRules(PolicyRules, kw_only=True):
    name: str = field(name="groupName")


class NetworkPolicyOptions(Model):
    mode: Literal["DenyAll", "DenyAllIngress", "DenyAllEgress"] | None = None
    head: PolicyRules | None = None
    worker: PolicyRules | None = None
    worker_groups: list[GroupPolicyRules] = field(default_factory=list)


class IdleTermination(Model):
    """When an idle cluster ends by itself; Suspend, KubeRay's default, keeps the spec and the state."""

    timeout_seconds: int
    policy: Literal["Suspend", "Delete"] = "Suspend"


class ClusterSpec(Model, kw_only=True):
    ray_version: str | None = None
    head: HeadGroup = field(name="headGroupSpec")
    workers: list[WorkerGroup] = field(default_factory=list, name="workerGroupSpecs")
    gcs_fault_tolerance: GcsFaultTolerance | None = field(default=None, name="gcsFaultToleranceOptions")
    auth: AuthOptions | None = field(default=None, name="authOptions")
    network_policy: NetworkPolicyOptions | None = None
    head_service_annotations: StringMap = field(default_factory=dict)
    suspend: bool | None = None
    upgrade_strategy: UpgradeStrategy | None = None
    managed_by: str | None = None
    enable_in_tree_autoscaling: bool | None = None
    autoscaler_options: Json | None = None
    tls_options: Json | None = None
    history_server_options: Json | None = None
    idle_termination_options: IdleTermination | None = None


class Manifest(Model, kw_only=True, dict=True):
    """One document of Ray's with the JSON that it was read from; the class is named after the kind."""

    api_version: Literal["ray.io/v1", "ray.io/v1alpha1"] = "ray.io/v1"
    metadata: Metadata
    status: Json | None = None  # `kubectl get -o yaml` prints it; never ours to set

    @property
    def given(self) -> Json:
        """The JSON that it was read from: not to be changed."""
        given: Json = vars(self)["given"]
        return given

    @property
    def name(self) -> str:
        return self.metadata.name or ""

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set, in the order in which it was set."""
        parts = {key: copy.deepcopy(self.given[key]) for key in ("metadata", "spec")}
        return {"apiVersion": self.api_version, "kind": type(self).__name__, **parts}


class RayCluster(Manifest, kw_only=True):
    """One RayCluster document (ray.io/v1 or v1alpha1)."""

    kind: Literal["RayCluster"] = "RayCluster"
    spec: ClusterSpec

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


M = TypeVar("M", bound=Struct)


def read(model: type[M], value: Json) -> M:
    """`value`, which is JSON, as a model.

    Raises:
        ShapeError: it does not follow the model; all its faults.
    """
    try:
        made = converted(model, value)
    except ValidationError as error:
        from raystead.spec.shape import ShapeError, faults

        raise ShapeError(faults(model, value), str(error)) from None
    if isinstance(made, Manifest):
        vars(made)["given"] = value  # a frozen value's one attribute that is no field, set where it is made
    return made
