"""KubeRay's RayJob and RayCronJob as frozen values, and the RayCluster that each derives."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import yaml
from msgspec import field

from raystead.base.labels import ORIGIN_KIND, ORIGIN_NAME
from raystead.spec.model import ClusterSpec, Manifest, Model, PodTemplate, RayCluster, read
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
_FLOATS = ("entrypointNumCpus", "entrypointNumGpus")
Policy = Literal["DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"]


class _TextLoader(yaml.SafeLoader):
    """Dates are text, as in JSON, which Ray is sent, and under KubeRay."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as in yaml.SafeLoader
        letter: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class DeletionCondition(Model):
    job_status: Literal["SUCCEEDED", "FAILED"] | None = None
    job_deployment_status: Literal["Failed"] | None = None
    ttl_seconds: int = 0


class DeletionRule(Model):
    """What goes when; `condition` holds exactly one status."""

    policy: Policy
    condition: DeletionCondition


class LegacyPolicy(Model):
    policy: Policy | None = None


class DeletionStrategy(Model):
    on_success: LegacyPolicy | None = None
    on_failure: LegacyPolicy | None = None
    deletion_rules: list[DeletionRule] = field(default_factory=list)


class SubmitterConfig(Model):
    backoff_limit: int | None = None


class RayJobSpec(Model):
    """The spec of a RayJob, and the job template of a RayCronJob; times in seconds."""

    active_deadline_seconds: int | None = None
    backoff_limit: int = 0
    cluster: ClusterSpec | None = field(default=None, name="rayClusterSpec")
    submitter_pod_template: PodTemplate | None = None
    metadata: StringMap = field(default_factory=dict)
    cluster_selector: StringMap = field(default_factory=dict)
    submitter_config: SubmitterConfig | None = None
    managed_by: Literal["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"] | None = None
    deletion_strategy: DeletionStrategy | None = None
    entrypoint: str = ""
    runtime_env_yaml: str = field(default="", name="runtimeEnvYAML")
    job_id: str = ""
    submission_mode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"] = "K8sJobMode"
    entrypoint_resources: str = ""
    entrypoint_num_cpus: float = 0
    entrypoint_num_gpus: float = 0
    ttl_seconds_after_finished: int = 0
    pre_running_deadline_seconds: int | None = None
    shutdown_after_job_finishes: bool = False
    suspend: bool = False

    @property
    def runtime_env(self) -> object:
        """What `runtimeEnvYAML` holds; {} where that is empty, and no mapping only where the file is wrong.

        Raises:
            yaml.YAMLError: the text cannot be read.
        """
        found: object = yaml.load(self.runtime_env_yaml, _TextLoader)
        return {} if found is None else found


class RayJob(Manifest, kw_only=True):
    """One RayJob document (ray.io/v1 or v1alpha1)."""

    kind: Literal["RayJob"] = "RayJob"
    spec: RayJobSpec

    @cached_property
    def cluster(self) -> RayCluster:
        """Its RayCluster, with the RayJob's name, labels and annotations; suspended while the job is.

        Of a job on another cluster (`selected`) it is that one's head alone, and suspended: nothing is made.
        """
        rests = self.suspended or bool(self.spec.cluster_selector)
        return _derived(self, self.spec, self.given["spec"], suspended=rests)

    @property
    def suspended(self) -> bool:
        return self.spec.suspend

    def with_suspend(self, suspend: bool) -> RayJob:
        """The same job suspended, or not."""
        return self._with(suspend=suspend)

    @property
    def selected(self) -> str:
        """The cluster that it runs on, which is there already; "" where it has one of its own."""
        return self.spec.cluster_selector.get(SELECTOR, "")

    def on(self, cluster: RayCluster) -> RayJob:
        """The same job, with what its submitter has to know of the cluster that it runs on."""
        of = cluster.given["spec"]
        known = ("rayVersion", "headGroupSpec", "authOptions")
        return self._with(rayClusterSpec={key: of[key] for key in known if of.get(key) is not None})

    def with_cluster(self, cluster: RayCluster) -> RayJob:
        """The same job with another cluster: its spec, labels and annotations."""
        if self.selected:
            return self
        made = self._with(rayClusterSpec=_unsuspended(cluster, self.suspended))
        return read(RayJob, {**made.given, "metadata": _metadata_of(cluster, self)})

    def without_cluster(self) -> RayJob:
        """The same job without a cluster's spec."""
        spec = {key: value for key, value in self.given["spec"].items() if key != "rayClusterSpec"}
        return read(RayJob, {**self.given, "spec": spec})

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""
        out = super().document()
        out["spec"] = _with_floats(out["spec"])
        return out

    def _with(self, **spec: object) -> RayJob:
        return read(RayJob, {**self.given, "spec": {**self.given["spec"], **spec}})


class CronSpec(Model, kw_only=True):
    schedule: str
    time_zone: str | None = None
    suspend: bool = False
    job_template: RayJobSpec


class RayCronJob(Manifest, kw_only=True):
    """One RayCronJob document (ray.io/v1 or v1alpha1)."""

    kind: Literal["RayCronJob"] = "RayCronJob"
    spec: CronSpec

    @property
    def job(self) -> RayJobSpec:
        """What runs at each tick."""
        return self.spec.job_template

    @property
    def suspended(self) -> bool:
        return self.spec.suspend

    @cached_property
    def cluster(self) -> RayCluster:
        """The RayCluster of each tick; suspended while no tick comes."""
        return _derived(self, self.job, self.given["spec"]["jobTemplate"], suspended=self.suspended)

    def with_suspend(self, suspend: bool) -> RayCronJob:
        """The same with or without new ticks; those that run go on."""
        return read(RayCronJob, {**self.given, "spec": {**self.given["spec"], "suspend": suspend}})

    def with_cluster(self, cluster: RayCluster) -> RayCronJob:
        """The same with another cluster for each tick: its spec, labels and annotations."""
        spec = self.given["spec"]
        job = {**spec["jobTemplate"], "rayClusterSpec": _unsuspended(cluster, self.suspended)}
        changed = {"metadata": _metadata_of(cluster, self), "spec": {**spec, "jobTemplate": job}}
        return read(RayCronJob, {**self.given, **changed})

    def document(self) -> Json:
        """As KubeRay's YAML would say it: only what was set."""
        out = super().document()
        out["spec"]["jobTemplate"] = _with_floats(out["spec"]["jobTemplate"])
        return out


def _with_floats(job: Json) -> Json:
    """A job's JSON as anchors have always had it: 2 written for a float would be a change of the anchor."""
    return {**job, **{key: float(job[key]) for key in _FLOATS if job.get(key) is not None}}


def _unsuspended(cluster: RayCluster, suspended: bool) -> Json:
    """The cluster's spec as it stands in a document that says itself whether it is suspended."""
    spec: Json = cluster.given["spec"]
    return {key: value for key, value in spec.items() if key != "suspend" or not suspended}


def _metadata_of(cluster: RayCluster, job: Manifest) -> Json:
    """A document's metadata with the labels and annotations of its cluster."""
    out: Json = dict(job.given["metadata"])
    own = {key: value for key, value in cluster.metadata.labels.items() if key not in _DERIVED}
    if own != job.metadata.labels:
        out["labels"] = own
    if cluster.annotations != job.annotations:
        out["annotations"] = cluster.annotations
    return out


def _derived(job: Manifest, spec: RayJobSpec, given: Json, *, suspended: bool) -> RayCluster:
    """A job's RayCluster, to which KubeRay copies the job's labels and annotations and its origin."""
    wanted = given.get("rayClusterSpec") or {"headGroupSpec": {"template": {}}}
    metadata = {key: value for key, value in job.given["metadata"].items() if key != "generateName"}
    metadata["name"] = job.name
    metadata["labels"] = {
        **job.metadata.labels,
        ORIGIN_NAME: job.name,
        ORIGIN_KIND: type(job).__name__,
        MODE: spec.submission_mode,
    }
    suspend = {"suspend": True} if suspended else {}
    return read(RayCluster, {"metadata": metadata, "spec": {**wanted, **suspend}})
