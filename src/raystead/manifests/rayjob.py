"""What a RayJob has beside its cluster: the submitter, the keepers that end things, and the programs of both.

Owner references form a tree: anchor, keeper of the cluster, keeper of the workers; what hangs on a keeper
goes when the keeper's Job ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from raystead.base import labels, names
from raystead.manifests.context import Context
from raystead.manifests.keepers import (
    PARTS,
    KeeperOrder,
    as_text,
    batch_job,
    keeper_jobs,
    programs_config,
    programs_of,
    token_env,
    under_workers_keeper,
    with_programs,
)
from raystead.manifests.probes import ready_once
from raystead.manifests.programs import run_program
from raystead.manifests.security import bounded, harden_as
from raystead.manifests.start import start_params
from raystead.spec.model import Json
from raystead.spec.rayjob import DeletionRule, RayJob, RayJobSpec

__all__ = [
    "CONTAINER",
    "SUBMITTER_SIZE",
    "job_objects",
    "keeper_rules",
    "submission_body",
    "submission_id",
]

CONTAINER = names.SUBMITTER
_RUNNING = "/tmp/raystead-job-is-running"  # the submitter makes it: its pod is Ready while the job runs
_DONE = "DeleteNone"
_PART = {"DeleteSelf": "self", "DeleteCluster": "cluster", "DeleteWorkers": "workers"}
_ROLES = {
    "self": ("head", "worker"),
    "cluster": ("head", "worker"),
    "workers": ("worker",),
}  # that end with it
_WORDS = {"self": "the RayJob", "cluster": "its cluster", "workers": "its workers"}
_POLICY_SINCE = (1, 26)  # before, a failed submitter is made again and follows the same ended job
_IGNORED: Json = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
_RETRIES = 6  # of a pod that was killed; who comes next follows the same job
_ABANDONED = 300.0  # seconds after the job's end without a word of its submitter
_GRACE = 90  # seconds after a deadline in which a submitter stops the job and tells the outcome
SUBMITTER_SIZE: Json = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"cpu": "500m", "memory": "256Mi"},
}


def job_objects(job: RayJob, ctx: Context, cluster: Sequence[Json]) -> list[Json]:
    """All objects of the RayJob; `cluster` are those of its cluster, which its keepers own."""
    own = ctx.of_anchor
    uid = ctx.facts.anchor_uid
    submitter = submitter_job(job, own, uid)
    found = keepers(job, own)
    order = {"order.json": as_text(_order(job, own, uid))}
    return [
        programs_config(own, found, _origin(job), order),
        *keeper_jobs(ctx, found, _origin(job), suspended=job.spec.suspend, files=programs_of(found, order)),
        *under_workers_keeper(ctx, cluster),
        *([submitter] if submitter else []),
    ]


def submission_id(job: RayJob, uid: str | None, resumed: int = 0) -> str:
    """The first submission's id: the file's, else the name and a part of the anchor's uid.

    A job that was resumed is a new run, so its id is another one.
    """
    if job.spec.job_id or not uid:
        return job.spec.job_id or job.name
    part = hashlib.sha256(f"{uid} {resumed}".encode()).hexdigest() if resumed else uid
    return f"{job.name}-{part[:5]}"


def keeper_rules(spec: RayJobSpec) -> dict[str, list[tuple[str, float]]]:
    """By part, the conditions that end it, each with its seconds; {} where nothing ever ends by itself."""
    out: dict[str, list[tuple[str, float]]] = {}
    strategy = spec.deletion_strategy
    for rule in strategy.deletion_rules if strategy else ():
        if rule.policy != _DONE:
            out.setdefault(_PART[rule.policy], []).append((_condition(rule), rule.condition.ttl_seconds))
    ttl = float(spec.ttl_seconds_after_finished)
    legacy = (("jobStatus=SUCCEEDED", "on_success"), ("jobStatus=FAILED", "on_failure"))
    decided = False
    for condition, key in legacy:
        one = getattr(strategy, key) if strategy else None
        if one is not None and one.policy is not None:
            decided = True
            if one.policy != _DONE:
                out.setdefault(_PART[one.policy], []).append((condition, ttl))
    if spec.shutdown_after_job_finishes and not decided:
        out.setdefault("cluster", []).append(("ended", ttl))
    return {part: out[part] for part in PARTS if part in out}


def _condition(rule: DeletionRule) -> str:
    if rule.condition.job_status:
        return f"jobStatus={rule.condition.job_status}"
    return f"jobDeploymentStatus={rule.condition.job_deployment_status}"


def _order(job: RayJob, ctx: Context, uid: str | None) -> Json:
    spec = job.spec
    return {
        "name": job.name,
        "address": dashboard_address(job, ctx),
        "job_id": submission_id(job, uid, ctx.choices.resumed),
        "body": submission_body(spec),
        "attempts": spec.backoff_limit + 1,
        "deadline": spec.active_deadline_seconds,
        "pre_running_deadline": spec.pre_running_deadline_seconds,
    }


def submission_body(spec: RayJobSpec) -> Json:
    """What `POST /api/jobs/` takes, without the submission's id."""
    body: Json = {
        "entrypoint": spec.entrypoint.strip(),
        "runtime_env": spec.runtime_env,
        "metadata": dict(spec.metadata),
    }
    if spec.entrypoint_num_cpus:
        body["entrypoint_num_cpus"] = spec.entrypoint_num_cpus
    if spec.entrypoint_num_gpus:
        body["entrypoint_num_gpus"] = spec.entrypoint_num_gpus
    if spec.entrypoint_resources:
        body["entrypoint_resources"] = json.loads(spec.entrypoint_resources)
    return body


def dashboard_address(job: RayJob, ctx: Context) -> str:
    """The dashboard by its Service's name: the job's own cluster, or the one that it selects."""
    if job.selected:
        usual = f"http://{names.Names(job.selected, False).head_service}:8265"
        return str(ctx.facts.selected.get("address") or usual)
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    return f"http://{ctx.head_host}:{params['dashboard-port']}"


def _watch(job: RayJob, ctx: Context, uid: str | None, part: str, rules: Sequence[tuple[str, float]]) -> Json:
    spec = job.spec
    attempts = spec.backoff_limit + 1
    deadline = spec.active_deadline_seconds
    begun = spec.pre_running_deadline_seconds or deadline
    return {
        "name": job.name,
        "address": dashboard_address(job, ctx),
        "rules": [list(rule) for rule in rules],
        "job_id": submission_id(job, uid, ctx.choices.resumed),
        "what": _WORDS[part],
        "begun_by": begun * attempts + _GRACE if begun else None,
        "ended_by": deadline * attempts + _GRACE if deadline else None,
        "abandoned": _ABANDONED if _tells_its_outcome(job) else 0.0,
        "ends": [names.end_mark(job.name, uid, role) for role in _ROLES[part]],
    }


def _tells_its_outcome(job: RayJob) -> bool:
    """Our submitter leaves marks for the keepers; another program, or a person, does not."""
    if job.spec.submission_mode == "InteractiveMode":
        return False
    containers = job.spec.submitter_pod_template.containers if job.spec.submitter_pod_template else []
    return not any(one.get("command") or one.get("args") for one in containers[:1])


def submitter_job(job: RayJob, ctx: Context, uid: str | None) -> Json | None:
    """The Job named like the RayJob, so that `kubectl logs job/NAME` shows the driver's output.

    None where a person submits (InteractiveMode).
    """
    if job.spec.submission_mode == "InteractiveMode":
        return None
    config = job.spec.submitter_config
    limit = config.backoff_limit if config and config.backoff_limit is not None else _RETRIES
    spec: Json = {
        "backoffLimit": limit,
        "suspend": job.spec.suspend,
        "template": _submitter_template(job, ctx, uid),
    }
    never = spec["template"]["spec"]["restartPolicy"] == "Never"  # the file may say otherwise
    if never and _number(ctx.facts.server_version) >= _POLICY_SINCE:
        spec["podFailurePolicy"] = {"rules": [_IGNORED, _failed(CONTAINER)]}
    return batch_job(ctx, job.name, _origin(job) | {labels.ROLE: "submitter"}, spec)


def _submitter_template(job: RayJob, ctx: Context, uid: str | None) -> Json:
    template_of_file = job.spec.submitter_pod_template
    given: Json = dict(template_of_file.spec) if template_of_file else {}
    head = ctx.cluster.spec.head.template
    containers = given.get("containers") or [{"image": head.ray_container.get("image", "")}]
    container: Json = {"name": CONTAINER, **containers[0]}
    own = bool(container.get("command") or container.get("args"))
    if not own:
        run = run_program("submitter", "order.json")
        container["command"] = run["command"]
        running = {"name": "RAYSTEAD_RUNNING_FILE", "value": _RUNNING}
        container["env"] = [*(container.get("env") or []), *run["env"], running]
        if "readinessProbe" not in container:
            container.setdefault("startupProbe", ready_once(["test", "-e", _RUNNING], 2))
    container["env"] = [*(container.get("env") or []), *_submission_env(job, ctx, uid)]
    container = bounded(container, SUBMITTER_SIZE)
    pod: Json = {"restartPolicy": "Never", **given, "containers": [container, *containers[1:]]}
    if not template_of_file:
        pull = head.spec.get("imagePullSecrets")
        pod |= {"imagePullSecrets": pull} if pull else {}
        pod["automountServiceAccountToken"] = False
    files = programs_of(keepers(job, ctx), {"order.json": ""})
    pod = harden_as(ctx.cluster, ctx.facts, with_programs(pod, ctx, files))
    metadata: Json = dict(template_of_file.metadata) if template_of_file else {}
    metadata["labels"] = {
        **labels.of_objects(job.annotations),
        **(metadata.get("labels") or {}),
        **_origin(job),
        labels.OURS: job.name,
        labels.ROLE: "submitter",
    }
    return {"metadata": metadata, "spec": pod}


def _submission_env(job: RayJob, ctx: Context, uid: str | None) -> list[Json]:
    """KubeRay's variables, on which light submitters of others rely."""
    address = dashboard_address(job, ctx).removeprefix("http://")
    return [
        {"name": "RAY_DASHBOARD_ADDRESS", "value": address},
        {"name": "RAY_JOB_SUBMISSION_ID", "value": submission_id(job, uid, ctx.choices.resumed)},
        *token_env(ctx),
    ]


def keepers(job: RayJob, ctx: Context) -> list[KeeperOrder]:
    """Those that the file asks for, the outermost first."""
    uid = ctx.facts.anchor_uid
    return [
        KeeperOrder(part, _watch(job, ctx, uid, part, rules))
        for part, rules in keeper_rules(job.spec).items()
    ]


def _failed(container: str) -> Json:
    """The Job ends at once with the driver's failure; only a pod that was killed or lost begins anew."""
    codes = {"containerName": container, "operator": "NotIn", "values": [0, *names.SUBMITTER_LOST]}
    return {"action": "FailJob", "onExitCodes": codes}


def _origin(job: RayJob) -> dict[str, str]:
    """KubeRay's labels of a submitter, by which a user's own policies find it."""
    return {labels.ORIGIN_NAME: job.name, labels.ORIGIN_KIND: "RayJob"}


def _number(version: str | None) -> tuple[int, int]:
    """The server's version; an unknown one counts as new."""
    major, _, minor = (version or "99.0").partition(".")
    return int(major), int(minor.rstrip("+"))
