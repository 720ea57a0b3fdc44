"""What a RayJob has beside its cluster: the submitter, the keepers that end things, and the programs of both.

Owner references form a tree: anchor, keeper of the cluster, keeper of the workers; what hangs on a keeper
goes when the keeper's Job ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from raystead.base import labels, names
from raystead.manifests.context import TOKEN_DIR, TOKEN_KEY, Context
from raystead.manifests.programs import FOLDER, program_files, program_volume, run_program
from raystead.manifests.security import bounded, harden_as
from raystead.manifests.start import start_params
from raystead.manifests.storage import READ_ONLY_ALL
from raystead.spec.model import Json
from raystead.spec.rayjob import SELECTOR, DeletionRule, RayJob, RayJobSpec

__all__ = [
    "CONTAINER",
    "PARTS",
    "SUBMITTER_SIZE",
    "job_objects",
    "keeper_name",
    "keeper_reference",
    "keeper_rules",
    "programs_name",
    "submission_body",
    "submission_id",
    "token_env",
]

PARTS = ("self", "cluster", "workers")  # what a keeper may end; each holds those behind it
CONTAINER = "ray-job-submitter"  # KubeRay's name
_VOLUME = "raystead-programs"
_RUNNING = "/tmp/raystead-job-is-running"  # the submitter makes it: its pod is Ready while the job runs
_DONE = "DeleteNone"
_PART = {"DeleteSelf": "self", "DeleteCluster": "cluster", "DeleteWorkers": "workers"}
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
_KEEPER_SIZE: Json = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"cpu": "100m", "memory": "64Mi"},
}


def job_objects(job: RayJob, ctx: Context, cluster: Sequence[Json]) -> list[Json]:
    """All objects of the RayJob; `cluster` are those of its cluster, which its keepers own."""
    uid = ctx.facts.anchor_uid
    submitter = submitter_job(job, ctx, uid)
    return [
        programs_config(job, ctx, uid),
        *keeper_jobs(job, ctx),
        *under_keepers(cluster, job, ctx.facts.keepers),
        *([submitter] if submitter else []),
    ]


def programs_name(name: str) -> str:
    return f"raystead-{name}-programs"


def keeper_name(name: str, part: str) -> str:
    return f"raystead-{name}-{part}"


def submission_id(job: RayJob, uid: str | None) -> str:
    """The first submission's id: the file's, else the name and a part of the anchor's uid."""
    return job.spec.job_id or (f"{job.name}-{uid[:5]}" if uid else job.name)


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


def programs_config(job: RayJob, ctx: Context, uid: str | None) -> Json:
    """The ConfigMap with the programs and their orders; it holds nothing but what the file says openly."""
    data = program_files("submitter", "keeper")
    data["order.json"] = _text(_order(job, ctx, uid))
    for part, rules in keeper_rules(job.spec).items():
        data[f"keeper-{part}.json"] = _text(_watch(job, ctx, uid, part, rules))
    metadata = ctx.metadata(programs_name(job.name), _origin(job))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _order(job: RayJob, ctx: Context, uid: str | None) -> Json:
    spec = job.spec
    return {
        "name": job.name,
        "address": dashboard_address(job, ctx),
        "job_id": submission_id(job, uid),
        "body": submission_body(spec),
        "attempts": spec.backoff_limit + 1,
        "deadline": spec.active_deadline_seconds,
        "pre_running_deadline": spec.pre_running_deadline_seconds,
    }


def submission_body(spec: RayJobSpec) -> Json:
    """What `POST /api/jobs/` takes, without the submission's id."""
    body: Json = {"entrypoint": spec.entrypoint.strip(), "runtime_env": {}, "metadata": dict(spec.metadata)}
    if spec.runtime_env_yaml:
        body["runtime_env"] = yaml.safe_load(spec.runtime_env_yaml)
    if spec.entrypoint_num_cpus:
        body["entrypoint_num_cpus"] = spec.entrypoint_num_cpus
    if spec.entrypoint_num_gpus:
        body["entrypoint_num_gpus"] = spec.entrypoint_num_gpus
    if spec.entrypoint_resources:
        body["entrypoint_resources"] = json.loads(spec.entrypoint_resources)
    return body


def dashboard_address(job: RayJob, ctx: Context) -> str:
    """The dashboard by its Service's name: the job's own cluster, or the one that it selects."""
    chosen = job.spec.cluster_selector.get(SELECTOR)
    if chosen:
        return f"http://{names.Names(chosen, False).head_service}:8265"
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
        "job_id": submission_id(job, uid),
        "what": _WORDS[part],
        "begun_by": begun * attempts + _GRACE if begun else None,
        "ended_by": deadline * attempts + _GRACE if deadline else None,
        "abandoned": _ABANDONED if _tells_its_outcome(job) else 0.0,
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
    return _job(ctx, job.name, _origin(job) | {labels.ROLE: "submitter"}, spec)


def _submitter_template(job: RayJob, ctx: Context, uid: str | None) -> Json:
    said = job.spec.submitter_pod_template
    given: Json = dict(said.spec) if said else {}
    head = ctx.cluster.spec.head.template
    containers = given.get("containers") or [{"image": head.ray_container.get("image", "")}]
    container: Json = {"name": CONTAINER, **containers[0]}
    own = bool(container.get("command") or container.get("args"))
    if not own:
        run = run_program("submitter", "order.json")
        container["command"] = run["command"]
        running = {"name": "RAYSTEAD_RUNNING_FILE", "value": _RUNNING}
        container["env"] = [*(container.get("env") or []), *run["env"], running]
        probe = {"exec": {"command": ["test", "-e", _RUNNING]}, "periodSeconds": 2}
        container.setdefault("readinessProbe", probe)
    container["env"] = [*(container.get("env") or []), *_submission_env(job, ctx, uid)]
    container = bounded(container, SUBMITTER_SIZE)
    pod: Json = {"restartPolicy": "Never", **given, "containers": [container, *containers[1:]]}
    if not said:
        pull = head.spec.get("imagePullSecrets")
        pod |= {"imagePullSecrets": pull} if pull else {}
        pod["automountServiceAccountToken"] = False
    pod = harden_as(ctx.cluster, ctx.facts, _with_volumes(pod, ctx, job))
    metadata: Json = dict(said.metadata) if said else {}
    metadata["labels"] = {
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
        {"name": "RAY_JOB_SUBMISSION_ID", "value": submission_id(job, uid)},
        *token_env(ctx),
    ]


def token_env(ctx: Context) -> list[Json]:
    """Where a program of ours finds the token, of which only the file's name stands here."""
    if not ctx.token:
        return []
    path = f"{TOKEN_DIR}/{TOKEN_KEY}"
    return [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN_PATH", "value": path}]


def _with_volumes(pod: Json, ctx: Context, job: RayJob) -> Json:
    """The pod with the programs and the token in its first container."""
    data = {**program_files("submitter", "keeper"), "order.json": ""}
    data |= {f"keeper-{part}.json": "" for part in keeper_rules(job.spec)}
    volumes = [program_volume(_VOLUME, programs_name(job.name), data)]
    mounts = [{"name": _VOLUME, "mountPath": FOLDER, "readOnly": True}]
    if ctx.token:
        items = [{"key": TOKEN_KEY, "path": TOKEN_KEY}]
        secret = {"secretName": ctx.token_secret, "items": items, "defaultMode": READ_ONLY_ALL}
        volumes.append({"name": "ray-token", "secret": secret})
        mounts.append({"name": "ray-token", "mountPath": TOKEN_DIR, "readOnly": True})
    first, *rest = pod["containers"]
    first = {**first, "volumeMounts": [*(first.get("volumeMounts") or []), *mounts]}
    return {**pod, "containers": [first, *rest], "volumes": [*(pod.get("volumes") or []), *volumes]}


def keeper_jobs(job: RayJob, ctx: Context) -> list[Json]:
    """One Job per part that ends by itself, the outermost first: each has to be there before what it owns."""
    out = []
    for part in keeper_rules(job.spec):
        run = run_program("keeper", f"keeper-{part}.json")
        container = {
            "name": "keeper",
            "image": ctx.cluster.spec.head.template.ray_container.get("image", ""),
            **run,
        }
        container["env"] = [*container["env"], *token_env(ctx)]
        pod: Json = {"restartPolicy": "Never", "automountServiceAccountToken": False}
        if pull := ctx.cluster.spec.head.template.spec.get("imagePullSecrets"):
            pod["imagePullSecrets"] = pull
        pod["containers"] = [bounded(container, _KEEPER_SIZE)]
        pod = _with_volumes(pod, ctx, job)
        metadata = {"labels": {**_origin(job), labels.OURS: job.name, labels.ROLE: "keeper"}}
        template = {"metadata": metadata, "spec": harden_as(ctx.cluster, ctx.facts, pod)}
        # A keeper that was killed, evicted or lost with its node begins anew, as often as it takes.
        spec = {"backoffLimit": 2147483647, "ttlSecondsAfterFinished": 0, "template": template}
        made = _job(ctx, keeper_name(job.name, part), _origin(job) | {labels.ROLE: "keeper"}, spec)
        out += under_keepers([made], job, ctx.facts.keepers) if part == "workers" else [made]
    return out


def under_keepers(objects: Sequence[Json], job: RayJob, uids: Mapping[str, str]) -> list[Json]:
    """The cluster's objects with the owner that ends them; `uids` are those of the keepers that are there.

    Objects that carry no owner reference (an offline `render`) get none.
    """
    out = []
    for item in objects:
        worker = (item.get("spec") or {}).get("template", {}).get("metadata", {}).get("labels", {})
        is_worker = worker.get(labels.NODE_TYPE) == "worker"
        part = next((p for p in (("workers", "cluster") if is_worker else ("cluster",)) if p in uids), None)
        if part and item["metadata"].get("ownerReferences"):
            owner = keeper_reference(job.name, part, uids[part])
            item = {**item, "metadata": {**item["metadata"], "ownerReferences": [owner]}}
        out.append(item)
    return out


def keeper_reference(name: str, part: str, uid: str) -> Json:
    """An owner reference to a keeper's Job."""
    found: Json = {"apiVersion": "batch/v1", "kind": "Job", "name": keeper_name(name, part), "uid": uid}
    return {**found, "blockOwnerDeletion": False}


def _failed(container: str) -> Json:
    """The Job ends at once with the driver's failure; only a killed pod (137, 143) begins anew."""
    codes = {"containerName": container, "operator": "NotIn", "values": [0, 137, 143]}
    return {"action": "FailJob", "onExitCodes": codes}


def _origin(job: RayJob) -> dict[str, str]:
    """KubeRay's labels of a submitter, by which a user's own policies find it."""
    return {labels.ORIGIN_NAME: job.name, labels.ORIGIN_KIND: "RayJob"}


def _job(ctx: Context, name: str, extra: dict[str, str], spec: Json) -> Json:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": ctx.metadata(name, extra), "spec": spec}


def _number(version: str | None) -> tuple[int, int]:
    """The server's version; an unknown one counts as new."""
    major, _, minor = (version or "99.0").partition(".")
    return int(major), int(minor.rstrip("+"))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=1)
