"""RayJobs in a namespace: their keepers, their submitter, and how they ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from raystead.base.ownership import owners_of
from raystead.errors import ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.rayjob import JobState, job_state
from raystead.manifests.rayjob import PARTS, keeper_name
from raystead.ops.anchor import Anchor
from raystead.spec.documents import RayDocument
from raystead.spec.rayjob import RayJob

__all__ = ["keepers", "refusals", "state"]

_JOB_LABEL = "batch.kubernetes.io/job-name"


def keepers(api: Api, name: str, anchor: Anchor | None) -> dict[str, str]:
    """The uids of the RayJob's keepers that are there, by the part that each ends."""
    found: dict[str, str] = {}
    if anchor is None:
        return found
    proved = {anchor.uid}
    for part in PARTS:
        with contextlib.suppress(ObjectNotFound):
            job = api.get(path_of(api.namespace, "Job", keeper_name(name, part)))
            if owners_of(job) & proved and not job["metadata"].get("deletionTimestamp"):
                found[part] = str(job["metadata"]["uid"])
                proved.add(found[part])
    return found


def refusals(wish: RayDocument, anchor: Anchor | None) -> Iterator[str]:
    """What of the wish cannot be had because of what is there already."""
    if anchor is None:
        return
    if anchor.document.kind != wish.kind:
        there = f"{anchor.name} is a {anchor.document.kind}, not a {wish.kind}"
        yield f"{there}: give another name, or end it first (raystead down {anchor.name})"
    elif isinstance(wish, RayJob) and _fixed(wish) != _fixed(anchor.document):
        again = f"raystead down {wish.name}, then raystead up again, runs the new one"
        yield f"RayJob {wish.name} has begun, and a job that has begun is not changed ({again})"


def _fixed(document: RayDocument) -> Json:
    """The RayJob's own fields, without what may change while it runs: its cluster, and whether it rests."""
    spec: Json = document.document()["spec"]
    return {key: value for key, value in spec.items() if key not in ("suspend", "rayClusterSpec")}


def state(api: Api, name: str) -> JobState:
    """The RayJob's submitter as it is: one or two requests."""
    job: Json | None = None
    with contextlib.suppress(ObjectNotFound):
        job = api.get(path_of(api.namespace, "Job", name))
    pods = api.list(collection(api.namespace, "Pod"), labels=f"{_JOB_LABEL}={name}") if job else []
    return job_state(job, pods)
