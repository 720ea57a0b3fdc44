"""KubeRay's RayJob and RayCronJob as frozen values, and the RayCluster that each derives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from raystead.base.labels import ORIGIN_KIND, ORIGIN_NAME
from raystead.spec.model import ClusterSpec, Metadata, Model, PodTemplate, RayCluster
from raystead.spec.template import Json, StringMap

__all__ = [
    "SELECTOR",
    "DeletionRule",
    "RayCronJob",
    "RayJob",
    "RayJobSpec",
]

SELECTOR = "ray.io/cluster"  # the one key of clusterSelector that KubeRay reads
MODE = "ray.io/job-submission-mode"
_DERIVED = (ORIGIN_NAME, ORIGIN_KIND, MODE)
Policy = Literal["DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"]


class DeletionCondition(Model):
    job_status: Literal["SUCCEEDED", "FAILED"] | None = None
    job_deployment_status: Literal["Failed"] | None = None
    ttl_seconds: StrictInt = 0


class DeletionRule(Model):
    """What goes when; `condition` holds exactly one status."""

    policy: Policy
    condition: DeletionCondition


class LegacyPolicy(Model):
    policy: Policy | None = None


class DeletionStrategy(Model):
    on_success: LegacyPolicy | None = None
    on_failure: LegacyPolicy | None = None
    deletion_rules: list[DeletionRule] = Field(default_factory=list)


class SubmitterConfig(Model):
    backoff_limit: StrictInt | None = None


class RayJobSpec(Model):
    """The spec of a RayJob, and the job template of a RayCronJob; times in seconds."""

    active_deadline_seconds: StrictInt | None = None
    backoff_limit: StrictInt = 0
    cluster: ClusterSpec | None = Field(default=None, alias="rayClusterSpec")
    submitter_pod_template: PodTemplate | None = None
    metadata: StringMap = Field(default_factory=dict)
    cluster_selector: StringMap = Field(default_factory=dict)
    submitter_config: SubmitterConfig | None = None
    managed_by: Literal["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"] | None = None
    deletion_strategy: DeletionStrategy | None = None
    entrypoint: StrictStr = ""
    runtime_env_yaml: StrictStr = Field(default="", alias="runtimeEnvYAML")
    job_id: StrictStr = ""
    submission_mode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"] = "K8sJobMode"
    entrypoint_resources: StrictStr = ""
    entrypoint_num_cpus: float = 0
    entrypoint_num_gpus: float = 0
    ttl_seconds_after_finished: StrictInt = 0
    pre_running_deadline_seconds: StrictInt | None = None
    shutdown_after_job_finishes: StrictBool = False
    suspend: StrictBool = False


class RayJob(Model):
    """One RayJob document (ray.io/v1 or v1alpha1)."""

    api_version: Literal["ray.io/v1", "ray.io/v1alpha1"] = "ray.io/v1"
    kind: Literal["RayJob"] = "RayJob"
    metadata: Metadata
    spec: RayJobSpec
    status: Json | None = Field(default=None, exclude=True)

    @property
    def name(self) -> str:
        return self.metadata.name or ""

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations

    @property
    def cluster(self) -> RayCluster:
        """Its RayCluster, with the RayJob's name, labels and annotations; suspended while the job is.

        Of a job on another cluster (`selected`) it is that one's head alone, and suspended: nothing is made.
        """
        return derived(self.metadata, self.name, "RayJob", self.spec)

    @property
    def selected(self) -> str:
        """The cluster that it runs on, which is there already; "" where it has one of its own."""
        return self.spec.cluster_selector.get(SELECTOR, "")

    def on(self, cluster: RayCluster) -> RayJob:
        """The same job, with what its submitter has to know of the cluster that it runs on."""
        of = cluster.spec
        known = {"rayVersion": of.ray_version, "headGroupSpec": of.head, "authOptions": of.auth}
        spec = ClusterSpec.model_validate({key: value for key, value in known.items() if value is not None})
        return self.model_copy(update={"spec": self.spec.model_copy(update={"cluster": spec})})

    def with_cluster(self, cluster: RayCluster) -> RayJob:
        """The same job with another cluster: its spec, labels and annotations."""
        if self.selected:
            return self
        wanted = cluster.spec
        if self.spec.suspend:  # the job says so, not its cluster
            fields = wanted.model_dump(by_alias=True, exclude_unset=True)
            fields.pop("suspend", None)
            wanted = ClusterSpec.model_validate(fields)
        spec = self.spec.model_copy(update={"cluster": wanted})
        own = {key: value for key, value in cluster.metadata.labels.items() if key not in _DERIVED}
        changed: dict[str, object] = {}
        if own != self.metadata.labels:
            changed["labels"] = own
        if cluster.annotations != self.annotations:
            changed["annotations"] = cluster.annotations
        metadata = self.metadata.model_copy(update=changed)
        return self.model_copy(update={"metadata": metadata, "spec": spec})

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""
        out: Json = self.model_dump(by_alias=True, exclude_unset=True)
        parts = {key: out[key] for key in ("metadata", "spec")}
        return {"apiVersion": self.api_version, "kind": self.kind, **parts}


class CronSpec(Model):
    schedule: StrictStr
    time_zone: StrictStr | None = None
    suspend: StrictBool = False
    job_template: RayJobSpec


class RayCronJob(Model):
    """One RayCronJob document (ray.io/v1 or v1alpha1)."""

    api_version: Literal["ray.io/v1", "ray.io/v1alpha1"] = "ray.io/v1"
    kind: Literal["RayCronJob"] = "RayCronJob"
    metadata: Metadata
    spec: CronSpec
    status: Json | None = Field(default=None, exclude=True)

    @property
    def name(self) -> str:
        return self.metadata.name or ""

    @property
    def cluster(self) -> RayCluster:
        """The RayCluster of each tick, before its objects get names of their own."""
        return derived(self.metadata, self.name, "RayCronJob", self.spec.job_template)

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""
        out: Json = self.model_dump(by_alias=True, exclude_unset=True)
        parts = {key: out[key] for key in ("metadata", "spec")}
        return {"apiVersion": self.api_version, "kind": self.kind, **parts}


def derived(metadata: Metadata, name: str, kind: str, spec: RayJobSpec) -> RayCluster:
    """A job's RayCluster, to which KubeRay copies the job's labels and annotations and its origin."""
    given = spec.cluster or ClusterSpec.model_validate({"headGroupSpec": {"template": {}}})
    labels = {
        **metadata.labels,
        ORIGIN_NAME: name,
        ORIGIN_KIND: kind,
        MODE: spec.submission_mode,
    }
    body = metadata.model_copy(update={"name": name, "labels": labels, "generate_name": None})
    rests = spec.suspend or bool(spec.cluster_selector)
    wanted = given.model_copy(update={"suspend": True}) if rests else given
    return RayCluster(metadata=body, spec=wanted)
