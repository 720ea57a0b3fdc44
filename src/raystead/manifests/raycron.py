"""A RayCronJob as native CronJobs: one per group, with one schedule, each making an Indexed Job at a tick.

The Jobs of a tick end with the scheduled minute (minutes since 1970), so a worker finds its head by the name
`NAME-head-MINUTE-0.NAME`, which a headless Service resolves. See docs/adr/0017-clusters-by-cronjobs.md.
"""

from __future__ import annotations

import hashlib
import json

from raystead.base import labels, schedules
from raystead.manifests.context import TOKEN_DIR, Context
from raystead.manifests.keepers import programs_name, token_env
from raystead.manifests.pods import head_template, worker_template
from raystead.manifests.probes import ready_once
from raystead.manifests.programs import FOLDER, program_files, program_volume, run_program
from raystead.manifests.rayjob import CONTAINER, SUBMITTER_SIZE, submission_body
from raystead.manifests.security import bounded, harden_as
from raystead.manifests.start import start_params
from raystead.spec.cronrules import CONCURRENCY, DEADLINE, FAILED, SUCCESSFUL
from raystead.spec.model import Json, WorkerGroup
from raystead.spec.rayjob import RayCronJob

__all__ = ["JOB_VARIABLE", "cron_objects", "due_seconds", "heads_service"]

JOB_VARIABLE = "RAYSTEAD_JOB"  # the name of the pod's Job, which ends with the tick
_JOB_LABEL = "job-name"  # of the Job controller; the longer form exists only since 1.27
_CRON_LABEL = "ray.io/cronjob-name"  # KubeRay's
_PROGRAMS, _RUN_VOLUME, _RUN = "raystead-programs", "raystead-run", "/run/raystead"
_RUNNING = f"{_RUN}/running"  # the driver's container makes it: the pod is Ready while the job runs
_DUE = 60  # seconds: a tick that could not be made by then is left out
_TEARDOWN = 30  # seconds that a head's workers may end later than it, and the next tick's begin
_SLACK = 15  # seconds, for clocks and for the way of a Job's pods
_GRACE = 90  # seconds after a deadline in which the driver's container stops the job and tells the outcome
_AGAIN = 2147483647  # a lost worker is made anew as often as it takes
_HOST_MAX, _CRON_MAX, _MINUTES = 63, 52, len("-29000000")
_ZONES_SINCE = (1, 25)
_IDENTITY = ("runAsUser", "runAsGroup", "runAsNonRoot")


def cron_objects(cron: RayCronJob, ctx: Context) -> list[Json]:
    """All objects but the policies: Service, programs, then the CronJobs, that of the head last.

    A head that comes without its workers would wait for them; workers without a head end.
    """
    groups = [group for group in ctx.cluster.spec.workers if group.wanted]
    return [
        _service(cron, ctx),
        _programs_config(cron, ctx),
        *(_worker_cron(cron, ctx, group) for group in groups),
        _head_cron(cron, ctx),
    ]


def heads_service(ctx: Context) -> str:
    """The name under which DNS has the heads of all ticks."""
    return f"{ctx.cluster.name}.{ctx.namespace}.svc" if ctx.namespace else ctx.cluster.name


def due_seconds(cron: RayCronJob) -> int:
    """Seconds after its minute in which a tick may still be made."""
    return int(cron.annotations.get(DEADLINE, _DUE))


def _service(cron: RayCronJob, ctx: Context) -> Json:
    selector = labels.selector(cron.name, None, guide=False)
    spec: Json = {"clusterIP": "None", "publishNotReadyAddresses": True}
    spec["selector"] = {**selector, labels.OURS: cron.name}
    metadata = ctx.metadata(cron.name, _origin(cron))
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _programs_config(cron: RayCronJob, ctx: Context) -> Json:
    data = {**program_files("beside"), "order.json": json.dumps(_order(cron, ctx), sort_keys=True, indent=1)}
    metadata = ctx.metadata(programs_name(cron.name), _origin(cron))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _order(cron: RayCronJob, ctx: Context) -> Json:
    """What the driver's container submits; without an id of the file's, each tick has its own."""
    job = cron.job
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    return {
        "name": cron.name,
        "address": f"http://127.0.0.1:{params['dashboard-port']}",
        "job_id": job.job_id,
        "body": submission_body(job),
        "attempts": job.backoff_limit + 1,
        "deadline": job.active_deadline_seconds,
        "pre_running_deadline": job.pre_running_deadline_seconds,
    }


def _head_cron(cron: RayCronJob, ctx: Context) -> Json:
    template = _ticking(cron, head_template(ctx), {"role": "head"})
    pod = template["spec"]
    ray, driver = pod["containers"][0], _driver(ctx, pod)
    ray["volumeMounts"] = [*(ray.get("volumeMounts") or []), _mount(_RUN_VOLUME, _RUN)]
    pod["containers"] = [ray, driver]
    pod["volumes"].append({"name": _RUN_VOLUME, "emptyDir": {}})
    pod["volumes"].append(program_volume(_PROGRAMS, programs_name(cron.name), _data("beside", "order.json")))
    annotations = template["metadata"].setdefault("annotations", {})
    annotations.setdefault("kubectl.kubernetes.io/default-container", CONTAINER)
    deadline = cron.job.active_deadline_seconds
    job: Json = {"backoffLimit": 0}  # a retry is a new submission to the same head
    if deadline:
        job["activeDeadlineSeconds"] = deadline * (cron.job.backoff_limit + 1) + _GRACE
    name = _cron_name(ctx.names.head, 1)
    return _cron_job(cron, ctx, name, None, 1, job, template, due_seconds(cron))


def _worker_cron(cron: RayCronJob, ctx: Context, group: WorkerGroup) -> Json:
    order: Json = {"role": "worker", "head": ctx.head_host, "port": int(ctx.gcs_port)}
    if cron.annotations.get(CONCURRENCY) == "Forbid":  # its head may have been left out
        order |= {"heads": heads_service(ctx), "due": due_seconds(cron) + _SLACK}
    template = _ticking(cron, worker_template(ctx, group), order)
    template["spec"]["volumes"].append(program_volume(_PROGRAMS, programs_name(cron.name), _data("tick")))
    count = group.wanted
    name = _cron_name(ctx.names.worker(group.name, 0), count)
    due = due_seconds(cron) + _TEARDOWN
    return _cron_job(cron, ctx, name, group.name, count, {"backoffLimit": _AGAIN}, template, due)


def _ticking(cron: RayCronJob, template: Json, order: Json) -> Json:
    """The template for an Indexed Job: Ray under a process that knows its tick and when it is over."""
    pod = {key: value for key, value in template["spec"].items() if key != "hostname"}
    pod |= {"restartPolicy": "Never", "subdomain": cron.name}
    pod.setdefault("automountServiceAccountToken", False)
    ray, *others = pod["containers"]
    guard = ["python3", "-IS", f"{FOLDER}/incluster/tick.py", json.dumps(order, sort_keys=True)]
    ray = {**ray, "command": [*guard, *(ray.get("command") or [])]}
    ray["env"] = [*(ray.get("env") or []), _job_variable()]
    ray["volumeMounts"] = [*(ray.get("volumeMounts") or []), _mount(_PROGRAMS, FOLDER, read_only=True)]
    pod |= {"containers": [ray, *others], "volumes": list(pod.get("volumes") or [])}
    return {**template, "spec": pod}


def _driver(ctx: Context, pod: Json) -> Json:
    """The container beside the head's Ray that submits the entrypoint; its exit code is the tick's."""
    ray = pod["containers"][0]
    run = run_program("beside", "order.json")
    container: Json = {"name": CONTAINER, "image": ray.get("image", "")}
    if pull := ray.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull
    container["command"] = run["command"]
    running = {"name": "RAYSTEAD_RUNNING_FILE", "value": _RUNNING}
    container["env"] = [*run["env"], running, _job_variable(), *token_env(ctx)]
    container["startupProbe"] = ready_once(["test", "-e", _RUNNING], 2)
    mounts = [_mount(_PROGRAMS, FOLDER, read_only=True), _mount(_RUN_VOLUME, _RUN)]
    if ctx.token:
        mounts.append(_mount("ray-token", TOKEN_DIR, read_only=True))
    container["volumeMounts"] = mounts
    identity = ray.get("securityContext") or {}
    if own := {key: identity[key] for key in _IDENTITY if key in identity}:
        container["securityContext"] = own
    return _hardened(ctx, pod, bounded(container, SUBMITTER_SIZE))


def _hardened(ctx: Context, pod: Json, container: Json) -> Json:
    """The container as it would be hardened alone, what a pod of its own would say said by itself."""
    context = pod.get("securityContext") or {}
    alone = {"containers": [container]} | ({"securityContext": context} if context else {})
    made = harden_as(ctx.cluster, ctx.facts, alone)
    (out,) = made["containers"]
    added = {key: value for key, value in (made.get("securityContext") or {}).items() if key not in context}
    return {**out, "securityContext": {**added, **(out.get("securityContext") or {})}} if added else out


def _cron_job(
    cron: RayCronJob,
    ctx: Context,
    name: str,
    group: str | None,
    count: int,
    job: Json,
    template: Json,
    due: int,
) -> Json:
    selector = labels.selector(cron.name, group, guide=False)
    spec: Json = {"schedule": schedules.every(cron.spec.schedule) or cron.spec.schedule}
    if zone := cron.spec.time_zone or ("Etc/UTC" if _zones(ctx.facts.server_version) else ""):
        spec["timeZone"] = zone
    spec |= {
        "suspend": cron.suspended,
        "concurrencyPolicy": cron.annotations.get(CONCURRENCY, "Allow"),
        "startingDeadlineSeconds": due,
        "successfulJobsHistoryLimit": int(cron.annotations.get(SUCCESSFUL, 3)),  # Kubernetes' own defaults
        "failedJobsHistoryLimit": int(cron.annotations.get(FAILED, 1)),
    }
    own = {**_origin(cron), **selector, labels.OURS: cron.name}
    indexed = {"completionMode": "Indexed", "completions": count, "parallelism": count}
    spec["jobTemplate"] = {"metadata": {"labels": own}, "spec": {**indexed, **job, "template": template}}
    metadata = ctx.metadata(name, {**_origin(cron), **selector})
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


def _cron_name(name: str, pods: int) -> str:
    """The name where its Jobs' hosts (`NAME-MINUTES-INDEX`) have room, else its beginning and a hash."""
    most = min(_CRON_MAX, _HOST_MAX - _MINUTES - len(f"-{pods - 1}"))
    if len(name) <= most:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: most - len(mark) - 1].rstrip('-')}-{mark}"


def _origin(cron: RayCronJob) -> dict[str, str]:
    return {labels.ORIGIN_NAME: cron.name, labels.ORIGIN_KIND: "RayCronJob", _CRON_LABEL: cron.name}


def _data(program: str, *more: str) -> dict[str, str]:
    return {**program_files(program), **dict.fromkeys(more, "")}


def _job_variable() -> Json:
    return {
        "name": JOB_VARIABLE,
        "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{_JOB_LABEL}']"}},
    }


def _mount(name: str, path: str, *, read_only: bool = False) -> Json:
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _zones(version: str | None) -> bool:
    """The server knows `timeZone`; an unknown version counts as new."""
    major, _, minor = (version or "99.0").partition(".")
    return (int(major), int(minor.rstrip("+"))) >= _ZONES_SINCE
