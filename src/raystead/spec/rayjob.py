"""KubeRay's RayJob and RayCronJob as frozen values, and the RayCluster that each derives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from raystead.spec.model import ClusterSpec, Metadata, Model, PodTemplate, RayCluster
from raystead.spec.template import Json, StringMap

__all__ = [
    "ORIGIN_KIND",
    "ORIGIN_NAME",
    "SELECTOR",
    "DeletionRule",
    "RayCronJob",
    "RayJob",
    "RayJobSpec",
]

SELECTOR = "ray.io/cluster"  # the one key of clusterSelector that KubeRay reads
ORIGIN_NAME = "ray.io/originated-from-cr-name"
ORIGIN_KIND = "ray.io/originated-from-crd"
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
    def cluster(self) -> RayCluster | None:
        """Its RayCluster, with the RayJob's name, labels and annotations; None with a clusterSelector."""
        if self.spec.cluster is None:
            return None
        return derived(self.metadata, self.name, "RayJob", self.spec)

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
    def cluster(self) -> RayCluster | None:
        """The RayCluster of each tick, before its objects get names of their own."""
        if self.spec.job_template.cluster is None:
            return None
        return derived(self.metadata, self.name, "RayCronJob", self.spec.job_template)

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""
        out: Json = self.model_dump(by_alias=True, exclude_unset=True)
        parts = {key: out[key] for key in ("metadata", "spec")}
        return {"apiVersion": self.api_version, "kind": self.kind, **parts}


def derived(metadata: Metadata, name: str, kind: str, spec: RayJobSpec) -> RayCluster:
    """A job's RayCluster, to which KubeRay copies the job's labels and annotations and its origin."""
    assert spec.cluster is not None
    labels = {
        **metadata.labels,
        ORIGIN_NAME: name,
        ORIGIN_KIND: kind,
        "ray.io/job-submission-mode": spec.submission_mode,
    }
    body = metadata.model_copy(update={"name": name, "labels": labels, "generate_name": None})
    return RayCluster(metadata=body, spec=spec.cluster)
