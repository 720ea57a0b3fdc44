"""A RayCronJob's ticks, read from its CronJobs, Jobs and head pods. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from raystead.base.schedules import schedule_of, zone_of
from raystead.base.times import instant, when
from raystead.live.rayjob import JobState, job_state
from raystead.live.reading import dig, meta
from raystead.spec.model import Json

__all__ = ["JOB_LABEL", "CronState", "Tick", "cron_state", "minute_of"]

JOB_LABEL = "job-name"  # of the Job controller; the longer form exists only since 1.27


@dataclass(frozen=True)
class Tick:
    """One tick: its Job is the head's.

    Attributes:
        id: the Job's submission, `nightly-29928523`, unless the file gives another.
        at: when it was due.
        job: the head's Job's name.
        state: of the driver, in KubeRay's words.
    """

    id: str
    at: datetime
    job: str
    state: JobState

    @property
    def word(self) -> str:
        """SUCCEEDED, FAILED, RUNNING …: Ray's word, where there is none KubeRay's."""
        return self.state.job_status or self.state.deployment_status

    @property
    def why(self) -> str:
        """Why it failed, or is not further yet; "" where all is well."""
        if self.state.deployment_status == "Complete":
            return ""
        return ": ".join(part for part in (self.state.reason, self.state.message) if part)


@dataclass(frozen=True)
class CronState:
    """How a RayCronJob is.

    Attributes:
        schedule: five fields, as its CronJobs have them; zone: the name of its time zone.
        next: when the next tick is due; None while it is suspended, or where it cannot be told.
        last: when the last one was made.
        ticks: those whose Jobs are still there, the newest first.
    """

    schedule: str
    zone: str
    suspended: bool
    last: datetime | None
    next: datetime | None
    ticks: tuple[Tick, ...] = ()

    @property
    def running(self) -> tuple[Tick, ...]:
        return tuple(tick for tick in self.ticks if not tick.state.over)

    def json(self) -> Json:
        """KubeRay's lastScheduleTime, and what KubeRay does not have."""
        return {
            "schedule": self.schedule,
            "timeZone": self.zone,
            "suspend": self.suspended,
            "lastScheduleTime": _text(self.last),
            "nextScheduleTime": _text(self.next),
            "ticks": [{"scheduled": _text(t.at), "job": t.job, **t.state.kuberay()} for t in self.ticks],
        }


def minute_of(job: str) -> datetime | None:
    """When the Job was due, which its name ends with; None: it is no tick's."""
    minutes = job.rpartition("-")[2]
    return datetime.fromtimestamp(int(minutes) * 60, UTC) if minutes.isascii() and minutes.isdigit() else None


def cron_state(
    cronjob: Json | None, jobs: Sequence[Json], pods: Sequence[Json], *, name: str, job_id: str, now: datetime
) -> CronState:
    """The state that the head's CronJob, its Jobs and their pods tell.

    Args:
        cronjob: None: it is not there, or may not be read.
        name: of the RayCronJob; job_id: the submission's id that its file gives, else "".
        now: with its zone.
    """
    spec = (cronjob or {}).get("spec") or {}
    suspended, zone = bool(spec.get("suspend")), str(spec.get("timeZone") or "")
    known = zone_of(zone)
    coming = None
    if spec.get("schedule") and not suspended and known is not None:
        coming = schedule_of(spec["schedule"]).after(now, known)
    ticks = [tick for job in jobs if (tick := _tick(job, pods, name, job_id))]
    ticks.sort(key=lambda tick: tick.at, reverse=True)
    last = when(dig(cronjob, "status", "lastScheduleTime"))
    return CronState(str(spec.get("schedule") or ""), zone or "UTC", suspended, last, coming, tuple(ticks))


def _tick(job: Json, pods: Sequence[Json], name: str, job_id: str) -> Tick | None:
    found = meta(job, "name")
    at = minute_of(found)
    if at is None:
        return None
    mine = [pod for pod in pods if (dig(pod, "metadata", "labels") or {}).get(JOB_LABEL) == found]
    state = job_state(job, mine)
    own = state.id or job_id or f"{name}-{found.rpartition('-')[2]}"
    return Tick(own, at, found, replace(state, id=own))


def _text(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None
