"""What of a RayJob or RayCronJob is not in its objects, for scripts/samples. The file is the measure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

__all__ = ["lost_of_job"]

Json = dict[str, Any]
_ORDERED = {  # what the submitter is told: the file's field, its place in the order, and what absence means
    "backoffLimit": ("attempts", 0),
    "activeDeadlineSeconds": ("deadline", None),
    "preRunningDeadlineSeconds": ("pre_running_deadline", None),
}
_BODY = {"entrypointNumCpus": "entrypoint_num_cpus", "entrypointNumGpus": "entrypoint_num_gpus"}
_PARTS = {"DeleteSelf": "self", "DeleteCluster": "cluster", "DeleteWorkers": "workers"}
_CRON = {"schedule", "timeZone", "suspend", "jobTemplate"}
_COMPARED = {
    "entrypoint", "runtimeEnvYAML", "metadata", "jobId", "entrypointResources", "submitterPodTemplate",
    "submitterConfig", "suspend", "deletionStrategy", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "rayClusterSpec", "clusterSelector", "submissionMode", *_ORDERED, *_BODY,
}  # fmt: skip


def lost_of_job(document: Json, name: str, objects: Sequence[Json]) -> Iterator[str]:
    """What of the document's own fields is not in the objects; its cluster is compared like any other."""
    cron = document["kind"] == "RayCronJob"
    spec: Json = document["spec"]["jobTemplate"] if cron else document["spec"]
    programs = _only(objects, "ConfigMap", f"raystead-{name}-programs")["data"]
    yield from (f"{field}: compared with nothing" for field in spec.keys() - _COMPARED)
    yield from _order(spec, json.loads(programs["order.json"]))
    if cron:
        yield from _cron(document["spec"], objects)
    else:
        yield from _keepers(spec, programs)
        yield from _submitter(spec, name, objects)


def _order(spec: Json, order: Json) -> Iterator[str]:
    body = order["body"]
    resources = json.loads(spec.get("entrypointResources") or "{}")
    wanted = {
        "entrypoint": (str(spec.get("entrypoint") or "").strip(), body["entrypoint"]),
        "runtimeEnvYAML": (yaml.safe_load(spec.get("runtimeEnvYAML") or "{}"), body["runtime_env"]),
        "metadata": (spec.get("metadata") or {}, body["metadata"]),
        "entrypointResources": (resources, body.get("entrypoint_resources", {})),
        **{field: (spec.get(field) or 0, body.get(key, 0)) for field, key in _BODY.items()},
        **{field: (spec.get(field, none), order[key]) for field, (key, none) in _ORDERED.items()},
    }
    wanted["backoffLimit"] = (wanted["backoffLimit"][0], order["attempts"] - 1)
    if spec.get("jobId"):
        wanted["jobId"] = (spec["jobId"], order["job_id"])
    yield from (field for field, (said, made) in wanted.items() if said != made)


def _keepers(spec: Json, programs: Json) -> Iterator[str]:
    wanted: dict[str, list[tuple[str, float]]] = {}
    ttl = spec.get("ttlSecondsAfterFinished", 0)
    strategy = spec.get("deletionStrategy") or {}
    for rule in strategy.get("deletionRules") or []:
        condition = dict(rule["condition"])
        seconds = condition.pop("ttlSeconds", 0)
        ((field, status),) = condition.items()
        if rule["policy"] in _PARTS:
            wanted.setdefault(_PARTS[rule["policy"]], []).append((f"{field}={status}", seconds))
    for key, status in (("onSuccess", "SUCCEEDED"), ("onFailure", "FAILED")):
        if (policy := (strategy.get(key) or {}).get("policy")) in _PARTS:
            wanted.setdefault(_PARTS[policy], []).append((f"jobStatus={status}", ttl))
    if spec.get("shutdownAfterJobFinishes") and "onSuccess" not in strategy:
        wanted["cluster"] = [("ended", ttl)]
    made = {
        name[len("keeper-") : -len(".json")]: [tuple(rule) for rule in json.loads(text)["rules"]]
        for name, text in programs.items()
        if name.startswith("keeper-")
    }
    if wanted != made:
        yield f"what ends and when: {wanted}, not {made}"


def _submitter(spec: Json, name: str, objects: Sequence[Json]) -> Iterator[str]:
    interactive = spec.get("submissionMode") == "InteractiveMode"
    jobs = [o for o in objects if o["kind"] == "Job" and o["metadata"]["name"] == name]
    if len(jobs) != (not interactive):
        yield "the submitter"
    for job in jobs:
        given = spec.get("submitterPodTemplate") or {}
        yield from (f"submitter: {what}" for what in _missing(given, job["spec"]["template"]))
        limit = (spec.get("submitterConfig") or {}).get("backoffLimit")
        if limit is not None and job["spec"]["backoffLimit"] != limit:
            yield "submitterConfig.backoffLimit"
        if bool(spec.get("suspend")) != bool(job["spec"].get("suspend")):
            yield "suspend"


def _cron(spec: Json, objects: Sequence[Json]) -> Iterator[str]:
    yield from (f"{field}: compared with nothing" for field in spec.keys() - _CRON)
    for job in (o["spec"] for o in objects if o["kind"] == "CronJob"):
        if job["schedule"] != spec["schedule"]:  # @every is written otherwise; no sample has it
            yield "schedule"
        if spec.get("timeZone") and job["timeZone"] != spec["timeZone"]:
            yield "timeZone"
        if bool(spec.get("suspend")) != job["suspend"]:
            yield "suspend"


def _missing(said: Any, made: Any, path: str = "") -> Iterator[str]:
    """Paths of what is said and not made, which may have more; the items of a list are compared in order."""
    if isinstance(said, dict) and isinstance(made, dict):
        for key, value in said.items():
            yield from _missing(value, made.get(key), f"{path}.{key}")
    elif isinstance(said, list) and isinstance(made, list) and len(made) >= len(said):
        for index, value in enumerate(said):
            yield from _missing(value, made[index], f"{path}[{index}]")
    elif said != made:
        yield path.lstrip(".")


def _only(objects: Sequence[Json], kind: str, name: str) -> Json:
    (found,) = (o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)
    return found
