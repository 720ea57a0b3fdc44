"""Ends what its Job owns, on purpose only: it waits for one condition and exits with 0 when that holds.

Usage: `python -m incluster.keeper FILE`, FILE being the JSON of `Watch`. Its Job has
`ttlSecondsAfterFinished: 0`, so Kubernetes deletes it when this program ends well, and the garbage collector
takes what it owns. Killed, evicted or moved, the program starts anew and waits for the same condition: it
never ends the cluster because it was itself ended.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from .dashboard import TERMINAL, Dashboard, Refused, Unreachable
from .outcome import mark_name

_POLL = 3.0  # seconds between two looks, as KubeRay's operator
_SAY_EVERY = 600.0  # seconds between two lines of the log while nothing changes
_TERMINATION_LOG = "/dev/termination-log"
_KILLED = 143  # exit code for SIGTERM: the Job's podFailurePolicy begins anew
_IDLE_ACTORS = ("ALIVE", "PENDING_CREATION", "DEPENDENCIES_UNREADY", "RESTARTING")


@dataclass
class Watch:
    """What to wait for; times in seconds.

    Attributes:
        name: the RayJob's or cluster's name.
        address: the dashboard's, "http://HOST:PORT".
        rules: conditions, each with how long it has to hold: "idle", or what has to be true of a RayJob:
            "ended", "jobStatus=SUCCEEDED", "jobDeploymentStatus=Failed" … The first that has held for its
            time ends it.
        job_id: of the RayJob's first submission.
        what: what ends, in words, for the log and the termination message.
        begun_by: after so long without a job the submitter has given up; None is never.
        abandoned: after so long without a word of the submitter since the job's end, Ray's own word counts.
        ended_by: after so long the job's deadlines have passed, whatever the submitter says; None is never.
    """

    name: str
    address: str
    rules: list[tuple[str, float]]
    job_id: str = ""
    what: str = "the cluster"
    begun_by: float | None = None
    ended_by: float | None = None
    abandoned: float = 300.0


def say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)  # noqa: T201


@dataclass
class Keeper:
    """Waits until a condition has held for its time; `clock` is monotonic."""

    watch: Watch
    dashboard: Dashboard
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._begun = self.clock()
        self._since: dict[str, tuple[float, str]] = {}  # since when each condition holds, and why
        self._said, self._spoken = "", self._begun

    def run(self) -> str:
        """Why the end has come, a sentence; comes back only when it has."""
        while True:
            holds, left = "", _POLL
            for condition, seconds in self.watch.rules:
                true, why = self._look(condition)
                if not true:
                    self._since.pop(condition, None)
                    holds = holds or why
                    continue
                since, why = self._since.setdefault(condition, (self.clock(), why))
                rest = seconds - (self.clock() - since)
                if rest <= 0:
                    return f"{why}; {self.watch.what} ends as agreed, after {seconds:.0f} s"
                holds, left = f"{why}; {self.watch.what} ends after {seconds:.0f} s", min(left, rest)
            self._tell(holds)
            self.sleep(max(0.2, left))

    def _tell(self, text: str) -> None:
        if text != self._said or self.clock() - self._spoken >= _SAY_EVERY:
            self._said, self._spoken = text, self.clock()
            say(text)

    def _look(self, condition: str) -> tuple[bool, str]:
        try:
            return self._idle() if condition == "idle" else self._ended(condition)
        except (Unreachable, Refused) as error:
            # An outage is no evidence. A job that has ended stays ended; idleness is counted anew.
            why = f"the head does not answer: {error}"
            if condition != "idle" and condition in self._since:
                return True, why
            if condition == "idle" or condition.endswith("SUCCEEDED"):
                return False, why
            return self._given_up("", why)

    def _given_up(self, status: str, why: str) -> tuple[bool, str]:
        """A job that did not come, or did not end, when all its deadlines are long over."""
        spent = self.clock() - self._begun
        limits = [self.watch.ended_by] if status else [self.watch.begun_by, self.watch.ended_by]
        over = [limit for limit in limits if limit is not None and spent >= limit]
        return bool(over), f"{why}; its deadlines have passed" if over else why

    def _ended(self, condition: str) -> tuple[bool, str]:
        """Whether the RayJob has ended so that the condition is true."""
        if self.dashboard.marked(mark_name(self.watch.name, condition)):
            return True, f"RayJob {self.watch.name}: {condition}"
        jobs = [job for job in self.dashboard.jobs() if _of(job, self.watch.job_id)]
        if not jobs:
            why = "the job was not submitted yet"
            return (False, why) if condition.startswith("jobStatus=") else self._given_up("", why)
        last = max(jobs, key=lambda job: float(job.get("start_time") or 0))
        status = str(last.get("status"))
        why = f"job {last.get('submission_id')} is {status}"
        if status not in TERMINAL:
            return (False, why) if condition == "jobStatus=SUCCEEDED" else self._given_up(status, why)
        met = {
            "ended",
            f"jobStatus={status}",
            *(["jobDeploymentStatus=Failed"] if status == "FAILED" else []),
        }
        ended = float(last.get("end_time") or 0) / 1000
        if condition in met and 0 < ended < time.time() - self.watch.abandoned:
            return True, f"{why}, and nothing came after it"
        return False, why

    def _idle(self) -> tuple[bool, str]:
        """Whether nothing runs: no job, no driver or client, no actor, no placement group."""
        for job in self.dashboard.jobs():
            if str(job.get("status")) in TERMINAL:
                continue
            kind = "job" if job.get("submission_id") else "driver or client"
            return (
                False,
                f"busy: {kind} {job.get('submission_id') or job.get('job_id')} is {job.get('status')}",
            )
        actors = self.dashboard.state("actors")
        for actor in actors:
            if actor.get("state") in _IDLE_ACTORS and not str(actor.get("name") or "").startswith(
                "_ray_internal"
            ):
                return (
                    False,
                    f"busy: actor {actor.get('class_name') or actor.get('actor_id')} is {actor.get('state')}",
                )
        groups = self.dashboard.state("placement_groups")
        for group in groups:
            if group.get("state") in ("PENDING", "PREPARED", "CREATED", "RESCHEDULING"):
                return (
                    False,
                    f"busy: placement group {group.get('placement_group_id')} is {group.get('state')}",
                )
        return True, "idle"


def _of(job: dict[str, Any], job_id: str) -> bool:
    """Whether it is an attempt of ours: the id, or the id with "-2", "-3" …"""
    found = str(job.get("submission_id") or "")
    rest = found[len(job_id) :]
    return found.startswith(job_id) and (not rest or (rest.startswith("-") and rest[1:].isdigit()))


def _killed(number: int, frame: FrameType | None) -> None:
    say("ended from outside; whoever comes next waits for the same")
    sys.exit(_KILLED)


def main(path: str) -> int:
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        watch = Watch(**json.load(stream))
    signal.signal(signal.SIGTERM, _killed)
    why = Keeper(watch, Dashboard(watch.address)).run()
    say(why)
    with contextlib.suppress(OSError), open(_TERMINATION_LOG, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(why[:4000])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
