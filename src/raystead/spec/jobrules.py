"""KubeRay's rules for RayJob, each a small function over the model; those of a RayCronJob's job among them.

(docs/facts/kuberay.md#jobs)"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator

import yaml

from raystead.base.rayversions import version_of
from raystead.spec.finding import SpecFinding
from raystead.spec.idle import IDLE_ANNOTATION
from raystead.spec.podshape import check
from raystead.spec.rayjob import SELECTOR, DeletionStrategy, RayJob, RayJobSpec
from raystead.spec.template import Json
from raystead.spec.yamlio import Path

__all__ = ["job_notes", "job_problems", "name_problems", "spec_problems", "template_findings"]

_Found = Iterator[tuple[Path, str, str]]
JOB_NAME_MAX = 47
_DNS1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")  # what goes later takes along what goes before
_METADATA_SINCE = (2, 6)
_KINDS = {int: "a number", float: "a number", bool: "true or false", dict: "a mapping", list: "a list"} | {
    type(None): "nothing"
}
_MOST = 2147483647  # int32, as KubeRay's CRD and the Job have them


def job_problems(job: RayJob) -> Iterator[SpecFinding]:
    """Every broken rule of a RayJob: where, what, what to write instead."""
    named = name_problems(job.name, JOB_NAME_MAX, job.metadata.generate_name)
    for found in (named, spec_problems(job.spec, ("spec",)), _idle(job)):
        yield from (SpecFinding(*finding) for finding in found)


def job_notes(spec: RayJobSpec, at: Path) -> Iterator[SpecFinding]:
    """What has another effect than under KubeRay, or none."""
    if spec.cluster is not None and spec.cluster_selector:
        yield SpecFinding((*at, "rayClusterSpec"), "no effect: clusterSelector names a cluster that is there")
    strategy = spec.deletion_strategy
    if strategy and (strategy.on_success or strategy.on_failure):
        path = (*at, "deletionStrategy")
        yield SpecFinding(path, "KubeRay's old form; it is read", "deletionRules says the same")
    problems, unknown = _submitter(spec, at)
    if not problems:
        yield from unknown
    here = {
        "HTTPMode": "a submitter in the namespace sends the request: there is no operator here",
        "SidecarMode": "the submitter has a pod of its own here; the head's loss fails the job all the same",
    }
    if spec.submission_mode in here:
        yield SpecFinding((*at, "submissionMode"), here[spec.submission_mode])


def name_problems(name: str, most: int, generated: str | None) -> _Found:
    """Where, what, what instead: of a document's name."""
    path: Path = ("metadata", "name")
    if not name:
        if generated:
            yield ("metadata", "generateName"), "a generated name cannot be found again", "give --name"
        else:
            yield ("metadata",), "it has no name", "add metadata.name or give --name"
    elif len(name) > most:
        yield path, f"the name has {len(name)} characters, {most} at most", "shorten it"
    elif not _DNS1035.match(name):
        yield path, f'"{name}" is not a valid name', "lower-case letters, digits and -, a letter first"


def spec_problems(spec: RayJobSpec, at: Path) -> _Found:
    """Where, what, what instead: of a job whose spec stands at `at`."""
    yield from _where_it_runs(spec, at)
    yield from _mode(spec, at)
    yield from _numbers(spec, at)
    yield from _texts(spec, at)
    for problem in _submitter(spec, at)[0]:
        yield problem.path, problem.what, problem.instead
    if spec.suspend and not spec.shutdown_after_job_finishes:
        yield (*at, "suspend"), "suspend needs shutdownAfterJobFinishes: true", "add it"
    if spec.deletion_strategy is not None:
        yield from _deletion(spec, spec.deletion_strategy, (*at, "deletionStrategy"))
    if spec.managed_by == "kueue.x-k8s.io/multikueue":
        yield (
            (*at, "managedBy"),
            "another controller, MultiKueue, is to run this job",
            "remove it to run it here",
        )


def template_findings(template: Json, place: Path) -> tuple[list[SpecFinding], list[SpecFinding]]:
    """Problems and notes of a submitter's pod template, which may leave out its containers."""
    spec = template.get("spec") or {}
    pod = {**spec, "containers": spec.get("containers") or []} if isinstance(spec, dict) else spec
    parts = ((template.get("metadata"), "ObjectMeta", "metadata"), (pod, "PodSpec", "spec"))
    found = [check(value, kind, (*place, key)) for value, kind, key in parts]
    return [finding for problems, _ in found for finding in problems], [
        finding for _, notes in found for finding in notes
    ]


def _submitter(spec: RayJobSpec, at: Path) -> tuple[list[SpecFinding], list[SpecFinding]]:
    template = spec.submitter_pod_template
    if template is None:
        return [], []
    given = {"metadata": template.metadata, "spec": template.spec}
    return template_findings(given, (*at, "submitterPodTemplate"))


def _idle(job: RayJob) -> _Found:
    what, instead = "a RayJob's cluster ends as the RayJob says", "shutdownAfterJobFinishes: true"
    if job.spec.cluster and job.spec.cluster.idle_termination_options:
        yield ("spec", "rayClusterSpec", "idleTerminationOptions"), what, instead
    if IDLE_ANNOTATION in job.annotations:
        yield ("metadata", "annotations", IDLE_ANNOTATION), what, instead


def _where_it_runs(spec: RayJobSpec, at: Path) -> _Found:
    selector = (*at, "clusterSelector")
    if spec.cluster is None and not spec.cluster_selector:
        yield at, "there is neither rayClusterSpec nor clusterSelector", "add one of them"
        return
    if not spec.cluster_selector:
        return
    if not spec.cluster_selector.get(SELECTOR):
        yield selector, f"only {SELECTOR} is looked at, and it is not there", f"{SELECTOR}: NAME"
    if spec.suspend:
        yield (
            (*at, "suspend"),
            "a job on somebody else's cluster cannot be suspended",
            "remove suspend or clusterSelector",
        )
    if spec.backoff_limit > 0:
        yield (*at, "backoffLimit"), "a job on somebody else's cluster is not tried again", "remove it"
    if spec.submission_mode == "SidecarMode":
        yield (
            (*at, "submissionMode"),
            "SidecarMode needs a head of its own, not clusterSelector",
            "use K8sJobMode",
        )
    if spec.shutdown_after_job_finishes:
        yield (*at, "shutdownAfterJobFinishes"), "somebody else's cluster is never deleted", "remove it"


def _mode(spec: RayJobSpec, at: Path) -> _Found:
    if spec.submission_mode == "InteractiveMode" and spec.backoff_limit > 0:
        yield (*at, "backoffLimit"), "InteractiveMode submits nothing, so nothing is tried again", "remove it"
    if spec.submission_mode != "SidecarMode":
        return
    if spec.submitter_pod_template is not None:
        yield (*at, "submitterPodTemplate"), "SidecarMode has no submitter pod", "remove it"
    if spec.submitter_config is not None:
        yield (*at, "submitterConfig"), "SidecarMode has no submitter pod", "remove it"
    policy = spec.cluster.head.template.spec.get("restartPolicy") if spec.cluster else None
    if policy not in (None, "Never"):
        path = (*at, "rayClusterSpec", "headGroupSpec", "template", "spec", "restartPolicy")
        yield path, f"SidecarMode needs restartPolicy Never, not {policy}", "Never, or remove it"


def _numbers(spec: RayJobSpec, at: Path) -> _Found:
    for key, value, least in (
        ("activeDeadlineSeconds", spec.active_deadline_seconds, 1),
        ("preRunningDeadlineSeconds", spec.pre_running_deadline_seconds, 1),
        ("backoffLimit", spec.backoff_limit, 0),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished, 0),
        ("entrypointNumCpus", spec.entrypoint_num_cpus, 0),
        ("entrypointNumGpus", spec.entrypoint_num_gpus, 0),
    ):
        if value is not None and value < least:
            yield (*at, key), f"expected {least} or more, got {value:g}", ""
        elif isinstance(value, int) and value > _MOST:
            yield (*at, key), f"expected {_MOST} at most, got {value}", ""
    tries = spec.submitter_config.backoff_limit if spec.submitter_config else None
    if tries is not None and not 0 <= tries <= _MOST:
        yield (*at, "submitterConfig", "backoffLimit"), f"expected 0 to {_MOST}, got {tries}", ""
    if spec.ttl_seconds_after_finished > 0 and not spec.shutdown_after_job_finishes:
        path = (*at, "ttlSecondsAfterFinished")
        yield path, "it has an effect only with shutdownAfterJobFinishes: true", "add that, or remove this"


def _texts(spec: RayJobSpec, at: Path) -> _Found:
    yield from _runtime_env(spec, (*at, "runtimeEnvYAML"))
    if spec.entrypoint_resources:
        path = (*at, "entrypointResources")
        try:
            found = json.loads(spec.entrypoint_resources)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(_amount(v) for v in found.values()):
            yield path, "expected JSON with a number per resource", """for example: '{"accelerator": 1}'"""
    version = version_of(spec.cluster.ray_version) if spec.cluster else None
    if spec.metadata and version is not None and version < _METADATA_SINCE:
        yield (*at, "metadata"), "a job's metadata needs Ray 2.6", "raise rayVersion or remove metadata"


def _runtime_env(spec: RayJobSpec, path: Path) -> _Found:
    """Ray is sent it as JSON, and fails the job over an env_vars that holds anything but strings."""
    try:
        value = spec.runtime_env
        json.dumps(value, allow_nan=False)
    except yaml.YAMLError as error:
        problem = str(getattr(error, "problem", None) or "it cannot be read")
        yield path, f"the text is not valid YAML: {problem}", ""
        return
    except (TypeError, ValueError) as error:
        yield path, f"the text holds what JSON does not know, and Ray is sent JSON: {error}", ""
        return
    if not isinstance(value, dict):
        yield path, "expected a mapping in the text", "for example: env_vars: {KEY: value}"
        return
    variables = value.get("env_vars")
    for key, content in variables.items() if isinstance(variables, dict) else ():
        if not isinstance(content, str):
            kind = _KINDS.get(type(content), "something else")  # its value may be a secret
            what = f"env_vars: {key}: expected a string, got {kind}"
            yield path, what, "write it in quotes"


def _deletion(spec: RayJobSpec, strategy: DeletionStrategy, at: Path) -> _Found:
    rules = strategy.deletion_rules
    legacy = [policy for policy in (strategy.on_success, strategy.on_failure) if policy is not None]
    if not rules and not legacy:
        yield at, "it holds no rule", "add deletionRules, or remove it"
    if rules and legacy:
        yield at, "deletionRules and onSuccess/onFailure exclude each other", "keep deletionRules"
    if legacy and (len(legacy) == 1 or any(policy.policy is None for policy in legacy)):
        yield at, "onSuccess and onFailure are both needed, each with a policy", "add what is missing"
    if rules and spec.shutdown_after_job_finishes:
        yield at, "deletionRules and shutdownAfterJobFinishes exclude each other", "keep deletionRules"
    autoscaling = bool(spec.cluster and spec.cluster.enable_in_tree_autoscaling)
    for policy, path in _policies(strategy, at):
        if policy == "DeleteWorkers" and autoscaling:
            yield (
                path,
                "DeleteWorkers does not go with the autoscaler, which creates them again",
                "DeleteCluster",
            )
        if policy in ("DeleteWorkers", "DeleteCluster") and spec.cluster_selector:
            yield path, "somebody else's cluster is never deleted", "DeleteSelf or DeleteNone"
        if policy == "DeleteNone" and not rules and spec.shutdown_after_job_finishes:
            yield path, "DeleteNone and shutdownAfterJobFinishes contradict each other", "keep one of them"
    yield from _conditions(strategy, at)


def _policies(strategy: DeletionStrategy, at: Path) -> Iterator[tuple[str | None, Path]]:
    for i, rule in enumerate(strategy.deletion_rules):
        yield rule.policy, (*at, "deletionRules", i, "policy")
    for key, policy in (("onSuccess", strategy.on_success), ("onFailure", strategy.on_failure)):
        if policy is not None:
            yield policy.policy, (*at, key, "policy")


def _conditions(strategy: DeletionStrategy, at: Path) -> _Found:
    seen: dict[tuple[str, str], int] = {}
    for i, rule in enumerate(strategy.deletion_rules):
        path = (*at, "deletionRules", i, "condition")
        given = [s for s in (rule.condition.job_status, rule.condition.job_deployment_status) if s]
        if len(given) != 1:
            yield path, "exactly one of jobStatus and jobDeploymentStatus is needed", "one rule per status"
            continue
        if rule.condition.ttl_seconds < 0:
            yield (*path, "ttlSeconds"), f"expected 0 or more, got {rule.condition.ttl_seconds}", ""
        status = "jobStatus" if rule.condition.job_status else "jobDeploymentStatus"
        key = (f"{status} {given[0]}", rule.policy)
        if key in seen:
            yield path, f"a second rule for {rule.policy} at {key[0]}", "remove one of them"
        seen[key] = rule.condition.ttl_seconds
    for status in sorted({status for status, _ in seen}):
        times = [(policy, seen[status, policy]) for policy in _ORDER if (status, policy) in seen]
        for (before, early), (after, late) in itertools.pairwise(times):
            if early > late:
                what = f"at {status}, {after} comes after {late} s and {before} after {early} s"
                yield (*at, "deletionRules"), what, f"{after} has to be the later one"


def _amount(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < math.inf  # type: ignore[operator]
