"""RayJobs in a namespace: their keepers, their submitter, and how they ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from raystead.base import labels
from raystead.base.names import SUBMITTER
from raystead.errors import ApiError, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.rayjob import JobState, job_state
from raystead.ops.anchor import Anchor
from raystead.spec.documents import RayDocument

__all__ = ["follow", "followed", "refusals", "state", "stop"]

_JOB_LABEL = "job-name"  # of the Job controller; the longer form exists only since 1.27
_LOOK = 2.0  # seconds between two looks at the submitter's Job
_REST = 5.0  # seconds for the rest of its output, once it has ended


def refusals(api: Api, wish: RayDocument, anchor: Anchor | None) -> Iterator[str]:
    """What of the wish cannot be had because of what is there already."""
    if anchor is None:
        return
    if anchor.document.kind == wish.kind == "RayJob" and (now := state(api, wish.name)).over:
        again = f"raystead down {wish.name}, then raystead up -f FILE, runs it again"
        yield f"RayJob {wish.name} has ended ({now.job_status or now.reason}): {again}"
        return
    if anchor.document.kind != wish.kind:
        there = f"{anchor.name} is a {anchor.document.kind}, not a {wish.kind}"
        yield f"{there}: give another name, or end it first (raystead down {anchor.name})"
    elif wish.kind == "RayJob" and _fixed(wish) != _fixed(anchor.document):
        again = f"raystead down {wish.name}, then raystead up again, runs the new one"
        yield f"RayJob {wish.name} has begun, and a job that has begun is not changed ({again})"


def _fixed(document: RayDocument) -> Json:
    """The RayJob's own fields, without what may change while it runs: its cluster, and whether it rests."""
    spec: Json = document.document()["spec"]
    return {key: value for key, value in spec.items() if key not in ("suspend", "rayClusterSpec")}


def state(api: Api, name: str) -> JobState:
    """The RayJob's submitter as it is: one or two requests, three where it has no pod."""
    job: Json | None = None
    with contextlib.suppress(ObjectNotFound):
        job = api.get(path_of(api.namespace, "Job", name))
    if job is None:
        return job_state(None, [])
    pods = api.list(collection(api.namespace, "Pod"), labels=f"{_JOB_LABEL}={name}")
    events: list[Json] = []
    if not pods and not job["spec"].get("suspend"):
        about = f"involvedObject.uid={job['metadata']['uid']}"
        with contextlib.suppress(ApiError):
            events = api.list(collection(api.namespace, "Event"), fields=about)
    return job_state(job, pods, events)


def follow(
    api: Api, anchor: Anchor, *, write: Callable[[str], None], tell: Callable[[str], None]
) -> JobState:
    """Follows the RayJob to its end: `write` gets its submitter's output, `tell` why it is not further yet.

    Raises:
        ObjectNotFound: the submitter's Job was deleted.
    """

    def look() -> JobState:
        api.get(path_of(api.namespace, "Job", anchor.name))
        return state(api, anchor.name)

    selector = f"{labels.OURS}={anchor.name},{labels.ROLE}=submitter"
    return followed(api, selector, look, write=write, tell=tell)


def followed(
    api: Api,
    selector: str,
    look: Callable[[], JobState],
    *,
    write: Callable[[str], None],
    tell: Callable[[str], None],
    rest: float = _REST,
) -> JobState:
    """Writes the output of the job's pods until `look` says that it is over, and what still comes then.

    Args:
        selector: of the pods; each has a container of KubeRay's name for it.
        tell: gets why it is not further yet, each reason once.
        rest: seconds in which the end of the output may still come.
    """
    from raystead.kube.logs import Follow, Line

    told, looked, over = "", 0.0, None
    with Follow(api, api.namespace, selector, wanted=lambda pod: [SUBMITTER]) as logs:
        while True:
            for item in logs.next(0.5):
                if isinstance(item, Line):
                    write(item.text + "\n")
            now = time.monotonic()
            if over is not None:
                if now - looked > rest:
                    return over
                continue
            if now - looked < _LOOK:
                continue
            looked = now
            seen = look()
            if seen.message and seen.message != told and not seen.over:
                told = seen.message
                tell(told)
            over = seen if seen.over else None


def stop(api: Api, anchor: Anchor) -> str:
    """Asks Ray to stop the RayJob's job; a sentence where that was not possible, "" otherwise."""
    from raystead.errors import JobNotFound, RaysteadError
    from raystead.ops.jobs import job_client

    seen = state(api, anchor.name)
    if seen.over or not seen.id or not seen.pod:
        return ""
    try:
        with job_client(api, _where_it_runs(api, anchor)) as client:
            for job in client.list():
                if job.id.startswith(seen.id) and not job.ended:
                    client.stop(job.id)
    except JobNotFound:
        return ""
    except RaysteadError as error:
        return f"the job was not stopped first: {error.what}"
    return ""


def _where_it_runs(api: Api, anchor: Anchor) -> Anchor:
    """The cluster's anchor: the RayJob's own, or that of the cluster that it selects."""
    from raystead.ops.clusters import anchor_of

    name = str(anchor.facts.selected.get("name") or "")
    return anchor_of(api, name) if name else anchor
