"""The rules of a RayCronJob: KubeRay's, and what clusters that native CronJobs make cannot have.

Each tick is a cluster of Indexed Jobs (docs/adr/0017-clusters-by-cronjobs.md): the driver runs beside its
head, the head ends with the driver, and nothing runs between two ticks.
"""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base import schedules
from raystead.base.names import GUIDE, NAMES_ANNOTATION
from raystead.spec.finding import SpecFinding
from raystead.spec.idle import IDLE_ANNOTATION
from raystead.spec.jobrules import name_problems, spec_problems
from raystead.spec.model import ClusterSpec, GroupSpec
from raystead.spec.rayjob import RayCronJob, RayJobSpec
from raystead.spec.yamlio import Path

__all__ = ["CONCURRENCY", "DEADLINE", "FAILED", "SUCCESSFUL", "cron_notes", "cron_problems"]

_Found = Iterator[tuple[Path, str, str]]
CONCURRENCY = "raystead.io/concurrency-policy"
DEADLINE = "raystead.io/starting-deadline-seconds"
SUCCESSFUL = "raystead.io/successful-jobs-history-limit"
FAILED = "raystead.io/failed-jobs-history-limit"
_NAME_MAX = 36
_JOB: Path = ("spec", "jobTemplate")
_CLUSTER: Path = (*_JOB, "rayClusterSpec")
_STORAGE, _FT = "raystead.io/storage", "ray.io/ft-enabled"
_SERVE = "ray.io/enable-serve-service"
_OVERWRITE = "ray.io/overwrite-container-cmd"
_ADDRESS = ("RAY_IP", "FQ_RAY_IP")
_GANG = ("kueue.x-k8s.io/", "ray.io/gang-scheduling-enabled")


def cron_problems(cron: RayCronJob) -> Iterator[SpecFinding]:
    """Every broken rule of a RayCronJob: where, what, what to write instead."""
    for found in (
        name_problems(cron.name, _NAME_MAX, cron.metadata.generate_name),
        _schedule(cron),
        _annotations(cron),
        spec_problems(cron.job, _JOB),
        _job(cron.job),
        _cluster(cron.job.cluster, cron.annotations) if cron.job.cluster else iter(()),
    ):
        yield from (SpecFinding(*one) for one in found)


def cron_notes(cron: RayCronJob) -> Iterator[SpecFinding]:
    """What has another effect than under KubeRay, or none."""
    job = cron.job
    if "submissionMode" in cron.given["spec"]["jobTemplate"] and job.submission_mode != "SidecarMode":
        what = "the driver's submitter runs in the head's pod of each tick, as in SidecarMode"
        yield SpecFinding((*_JOB, "submissionMode"), what, "")
    ends = "each tick's cluster ends with its driver"
    if job.ttl_seconds_after_finished:
        yield SpecFinding((*_JOB, "ttlSecondsAfterFinished"), f"{ends}, not later", "")
    elif not job.shutdown_after_job_finishes:
        yield SpecFinding((*_JOB, "shutdownAfterJobFinishes"), f"{ends}: it counts as true", "")
    if fields := schedules.every(cron.spec.schedule):
        what = f"head and workers share the minutes of the clock: it means {fields}"
        yield SpecFinding(("spec", "schedule"), what, "")


def _schedule(cron: RayCronJob) -> _Found:
    for what, instead in schedules.mistakes(cron.spec.schedule):
        yield ("spec", "schedule"), what, instead
    zone = cron.spec.time_zone
    if zone is not None and not zone.strip():
        yield ("spec", "timeZone"), "the time zone is empty", 'for example "Europe/Zurich"; or remove it'
    elif zone == "Local":
        yield ("spec", "timeZone"), "Kubernetes refuses Local", 'for example "Europe/Zurich"'


def _annotations(cron: RayCronJob) -> _Found:
    given = cron.annotations
    if given.get(NAMES_ANNOTATION) == GUIDE:
        yield _at(NAMES_ANNOTATION), "the guide's names are those of one cluster that stays", "remove it"
    if given.get(_STORAGE, "none") != "none" or given.get(_FT, "").lower() == "true":
        key = _STORAGE if given.get(_STORAGE, "none") != "none" else _FT
        yield _at(key), _NO_STATE, "remove it"
    if IDLE_ANNOTATION in given:
        yield _at(IDLE_ANNOTATION), "a tick's cluster ends with its driver", "remove it"
    if given.get(_SERVE, "").lower() == "true":
        yield _at(_SERVE), "a tick's cluster has no Service of Serve's", "remove it"
    for key in cron.metadata.labels:
        if key.startswith(_GANG):
            what = "pods of CronJobs are queued and scheduled one by one, not as a tick"
            yield ("metadata", "labels", key), what, "remove it"


_NO_STATE = "a tick ends with its head, so there is nobody for whom state would be kept"


def _at(annotation: str) -> Path:
    return ("metadata", "annotations", annotation)


def _job(job: RayJobSpec) -> _Found:
    if job.submission_mode == "InteractiveMode":
        yield (*_JOB, "submissionMode"), "nobody is there to submit at a tick", "SidecarMode"
    if job.cluster_selector:
        what = "a tick makes a cluster of its own, at the head of which the driver runs"
        yield (*_JOB, "clusterSelector"), what, "remove it, and add rayClusterSpec"
    if job.suspend:
        yield (*_JOB, "suspend"), "a tick cannot wait to be resumed", "spec.suspend: no ticks come"
    if job.submission_mode != "SidecarMode":  # there KubeRay refuses them too
        for key, value in (
            ("submitterPodTemplate", job.submitter_pod_template),
            ("submitterConfig", job.submitter_config),
        ):
            if value is not None:
                yield (*_JOB, key), "there is no submitter pod: the driver runs beside the head", "remove it"
    if job.deletion_strategy is not None:
        what = "a tick's cluster ends with its driver, and how many ended ticks stay is a number"
        yield (*_JOB, "deletionStrategy"), what, f"annotations {SUCCESSFUL}, {FAILED}"


def _cluster(cluster: ClusterSpec, annotations: dict[str, str]) -> _Found:
    if cluster.gcs_fault_tolerance is not None:
        yield (*_CLUSTER, "gcsFaultToleranceOptions"), _NO_STATE, "remove it"
    if cluster.enable_in_tree_autoscaling:
        path = (*_CLUSTER, "enableInTreeAutoscaling")
        yield path, "a Job's pods are a fixed number, so a tick's cluster is not autoscaled", "remove it"
    if cluster.idle_termination_options is not None:
        what = "a tick's cluster ends with its driver"
        yield (*_CLUSTER, "idleTerminationOptions"), what, "remove it"
    head: Path = (*_CLUSTER, "headGroupSpec")
    for key, value in (
        ("serviceType", cluster.head.service_type),
        ("headService", cluster.head.head_service),
    ):
        if value not in (None, "", "ClusterIP"):
            what = "heads of several ticks may run at once: each has a name, none a Service of its own"
            yield (*head, key), what, "remove it"
    yield from _pod(cluster.head, head, annotations)
    for i, group in enumerate(cluster.workers):
        at: Path = (*_CLUSTER, "workerGroupSpecs", i)
        yield from _pod(group, at, annotations)
        if group.num_of_hosts > 1:
            yield (*at, "numOfHosts"), "a tick's workers are single hosts", "1, with more replicas"


def _pod(group: GroupSpec, at: Path, annotations: dict[str, str]) -> _Found:
    pod, spec = (*at, "template", "spec"), group.template.spec
    for i in range(1, len(group.template.containers)):
        what = "a second container keeps its pod from ending"
        yield (*pod, "containers", i), what, "an init container with restartPolicy: Always"
    ray = group.template.ray_container
    own = [
        given.get(_OVERWRITE, "") for given in (annotations, group.template.metadata.get("annotations") or {})
    ]
    starts = "true" in map(str.lower, map(str, own)) or "ray start" in " ".join(
        map(str, ray.get("args") or [])
    )
    if starts and not ray.get("command"):
        what = "the container starts Ray itself, and only with a command can it be ended"
        yield (*pod, "containers", 0, "args"), what, 'command: ["/bin/bash", "-c", "--"]'
    for i, one in enumerate(spec.get("initContainers") or []):
        if any(name in str(one.get(key) or "") for name in _ADDRESS for key in ("command", "args")):
            what = "init containers do not know where a tick's head is"
            yield (*pod, "initContainers", i), what, "read it from the pod's hostname"
    policy = spec.get("restartPolicy")
    if policy not in (None, "Never", "Always"):
        yield (*pod, "restartPolicy"), f"a Job makes new pods and restarts none, got {policy}", "remove it"
