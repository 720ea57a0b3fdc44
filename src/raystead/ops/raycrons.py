"""RayCronJobs in a namespace: their ticks, and the output of a tick's driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from raystead.base import labels
from raystead.base.names import SUBMITTER
from raystead.base.ownership import owners_of
from raystead.errors import JobNotFound, OutputGone, UsageError, WrongState
from raystead.kube.api import Api, Json
from raystead.kube.logs import Source, read
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection
from raystead.live.pods import slim
from raystead.live.raycron import JOB_LABEL, CronState, Tick, cron_state
from raystead.live.rayjob import JobState
from raystead.ops.anchor import Anchor
from raystead.ops.rayjobs import followed

__all__ = ["Ticks", "ticks_of"]

_REST = 3.0  # seconds for the rest of its output, once it has ended


def ticks_of(api: Api, anchor: Anchor) -> Ticks:
    """The ticks of a RayCronJob.

    Raises:
        WrongState: it is another kind of cluster.
    """
    if not anchor.is_cron:
        kind = anchor.kept.get("kind") or "RayCluster"
        raise WrongState(f'"{anchor.name}" is a {kind}, and only a RayCronJob has ticks')
    return Ticks(api, anchor)


@dataclass(frozen=True)
class Ticks:
    """The ticks of one RayCronJob, whose Jobs are still there."""

    api: Api
    anchor: Anchor

    def state(self) -> CronState:
        """Its ticks as they are: three requests."""
        api, anchor = self.api, self.anchor
        ours = f"{labels.OURS}={anchor.name},{labels.NODE_TYPE}=head"

        def listed(kind: str) -> list[Json]:
            return api.list(collection(api.namespace, kind), labels=ours)

        crons, jobs, pods = parallel(listed, ("CronJob", "Job", "Pod"))
        crons = [cron for cron in crons if anchor.uid in owners_of(cron)]
        proved = {str(cron["metadata"]["uid"]) for cron in crons}
        jobs = [job for job in jobs if proved & owners_of(job)]
        job_id = str(anchor.kept["spec"]["jobTemplate"].get("jobId") or "")
        cron = crons[0] if crons else None
        return cron_state(cron, jobs, pods, name=anchor.name, job_id=job_id, now=api.now())

    def meant(self, typed: str | None) -> Tick:
        """The tick of that id, Job or minute, or with one that begins so; the newest when nothing was typed.

        Raises:
            JobNotFound: there is none.
            UsageError: several begin so.
        """
        seen = self.state()
        if not seen.ticks:
            coming = f"the next tick is due at {seen.next:%Y-%m-%d %H:%M} UTC" if seen.next else ""
            what = f'"{self.anchor.name}" has had no tick yet, or keeps none that has ended'
            raise JobNotFound(what, evidence=coming, remedy="raystead status")
        if typed is None:
            return seen.ticks[0]
        found = [tick for tick in seen.ticks if typed in _words(tick)]
        found = found or [t for t in seen.ticks if any(word.startswith(typed) for word in _words(t))]
        there = ", ".join(tick.id for tick in found or seen.ticks)
        if len(found) > 1:
            what = f'{len(found)} ticks begin with "{typed}"'
            raise UsageError(what, evidence=there, remedy="give more of it")
        if not found:
            what = f'there is no tick "{typed}"'
            raise JobNotFound(what, evidence=f"ticks: {there}", remedy="raystead job list")
        return found[0]

    def output(self, tick: Tick, write: Callable[[str], None]) -> None:
        """Writes what the tick's driver has written so far.

        Raises:
            OutputGone: its pod is gone, or has not begun.
        """
        api = self.api
        pods = api.list(collection(api.namespace, "Pod"), labels=f"{JOB_LABEL}={tick.job}", keep=slim)
        if not pods:
            what = f"the output of {tick.id} is gone with its pod"
            raise OutputGone(what, evidence=f"job/{tick.job} has no pod", remedy="raystead job list")
        metadata = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))["metadata"]
        for line in read(api, self.anchor.namespace, Source(metadata["name"], SUBMITTER, metadata["uid"])):
            write(line.text + "\n")

    def follow(self, tick: Tick, *, write: Callable[[str], None], tell: Callable[[str], None]) -> Tick:
        """Follows the tick's driver to its end: `write` gets its output, `tell` why it is not further yet.

        Raises:
            JobNotFound: its Job is gone: another tick replaced it, or somebody deleted it.
        """

        def look() -> JobState:
            return self.meant(tick.job).state

        selector = f"{JOB_LABEL}={tick.job}"
        return replace(tick, state=followed(self.api, selector, look, write=write, tell=tell, rest=_REST))


def _words(tick: Tick) -> tuple[str, ...]:
    return tick.id, tick.job, tick.job.rpartition("-")[2]
