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
        rests = self.suspended or bool(self.spec.cluster_selector)
        return _derived(self.metadata, "RayJob", self.spec, suspended=rests)

    @property
    def suspended(self) -> bool:
        return self.spec.suspend

    def with_suspend(self, suspend: bool) -> RayJob:
        """The same job suspended, or not."""
        return self.model_copy(update={"spec": self.spec.model_copy(update={"suspend": suspend})})

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
        spec = self.spec.model_copy(update={"cluster": _unsuspended(cluster, self.suspended)})
        metadata = _metadata_of(cluster, self.metadata)
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
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations

    @property
    def job(self) -> RayJobSpec:
        """What runs at each tick."""
        return self.spec.job_template

    @property
    def suspended(self) -> bool:
        return self.spec.suspend

    @property
    def cluster(self) -> RayCluster:
        """The RayCluster of each tick; suspended while no tick comes."""
        return _derived(self.metadata, "RayCronJob", self.job, suspended=self.suspended)

    def with_suspend(self, suspend: bool) -> RayCronJob:
        """The same with or without new ticks; those that run go on."""
        return self.model_copy(update={"spec": self.spec.model_copy(update={"suspend": suspend})})

    def with_cluster(self, cluster: RayCluster) -> RayCronJob:
        """The same with another cluster for each tick: its spec, labels and annotations."""
        job = self.job.model_copy(update={"cluster": _unsuspended(cluster, self.suspended)})
        spec = self.spec.model_copy(update={"job_template": job})
        return self.model_copy(update={"metadata": _metadata_of(cluster, self.metadata), "spec": spec})

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""
        out: Json = self.model_dump(by_alias=True, exclude_unset=True)
        parts = {key: out[key] for key in ("metadata", "spec")}
        return {"apiVersion": self.api_version, "kind": self.kind, **parts}


def _unsuspended(cluster: RayCluster, suspended: bool) -> ClusterSpec:
    """The cluster's spec as it stands in a document that says itself whether it is suspended."""
    if not suspended:
        return cluster.spec
    fields = cluster.spec.model_dump(by_alias=True, exclude_unset=True)
    fields.pop("suspend", None)
    return ClusterSpec.model_validate(fields)


def _metadata_of(cluster: RayCluster, before: Metadata) -> Metadata:
    """A document's metadata with the labels and annotations of its cluster."""
    own = {key: value for key, value in cluster.metadata.labels.items() if key not in _DERIVED}
    changed: dict[str, object] = {}
    if own != before.labels:
        changed["labels"] = own
    if cluster.annotations != before.annotations:
        changed["annotations"] = cluster.annotations
    return before.model_copy(update=changed)


def _derived(metadata: Metadata, kind: str, spec: RayJobSpec, *, suspended: bool) -> RayCluster:
    """A job's RayCluster, to which KubeRay copies the job's labels and annotations and its origin."""
    given = spec.cluster or ClusterSpec.model_validate({"headGroupSpec": {"template": {}}})
    name = metadata.name or ""
    labels = {
        **metadata.labels,
        ORIGIN_NAME: name,
        ORIGIN_KIND: kind,
        MODE: spec.submission_mode,
    }
    body = metadata.model_copy(update={"name": name, "labels": labels, "generate_name": None})
    wanted = given.model_copy(update={"suspend": True}) if suspended else given
    return RayCluster(metadata=body, spec=wanted)
