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
_ABANDONED = 300.0  # seconds after the job's end without a word of the submitter: it is gone for good
_TERMINATION_LOG = "/dev/termination-log"
_KILLED = 143  # exit code for SIGTERM: the Job's podFailurePolicy begins anew
_IDLE_ACTORS = ("ALIVE", "PENDING_CREATION", "DEPENDENCIES_UNREADY", "RESTARTING")


@dataclass
class Watch:
    """What to wait for.

    Attributes:
        name: the RayJob's or cluster's name.
        address: the dashboard's, "http://HOST:PORT".
        condition: "idle", or what of a RayJob has to be true: "ended", "jobStatus=SUCCEEDED",
            "jobDeploymentStatus=Failed" …
        seconds: how long after the job's end, or for how long the cluster has to be idle.
        job_id: of the RayJob's first submission.
        what: what ends, in words, for the log and the termination message.
    """

    name: str
    address: str
    condition: str
    seconds: float
    job_id: str = ""
    what: str = "the cluster"


def say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)  # noqa: T201


@dataclass
class Keeper:
    """Waits for one condition; `clock` is monotonic."""

    watch: Watch
    dashboard: Dashboard
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> str:
        """Why the end has come, a sentence; comes back only when the condition holds."""
        since: float | None = None  # since when the condition holds
        said, spoken = "", self.clock()
        while True:
            try:
                state, why = self._idle() if self.watch.condition == "idle" else self._ended()
            except (Unreachable, Refused) as error:
                # An outage is no evidence. A job that has ended stays ended; idleness is counted anew.
                state, why = (
                    (since is not None and self.watch.condition != "idle"),
                    f"the head does not answer: {error}",
                )
            if not state:
                since = None
            elif since is None:
                since = self.clock()
            spent = 0.0 if since is None else self.clock() - since
            if since is not None and spent >= self.watch.seconds:
                return f"{why}; {self.watch.what} ends as agreed, after {self.watch.seconds:.0f} s"
            if why != said or self.clock() - spoken >= _SAY_EVERY:
                said, spoken = why, self.clock()
                left = f"; {self.watch.what} ends in {self.watch.seconds - spent:.0f} s" if state else ""
                say(f"{why}{left}")
            self.sleep(min(_POLL, max(0.2, self.watch.seconds - spent)) if state else _POLL)

    def _ended(self) -> tuple[bool, str]:
        """Whether the RayJob has ended so that the condition is true."""
        if self.dashboard.marked(mark_name(self.watch.name, self.watch.condition)):
            return True, f"RayJob {self.watch.name}: {self.watch.condition}"
        if self.watch.condition.startswith("jobDeploymentStatus="):
            return False, "the job has not ended so"
        jobs = [job for job in self.dashboard.jobs() if _of(job, self.watch.job_id)]
        if not jobs:
            return False, "the job was not submitted yet"
        last = max(jobs, key=lambda job: float(job.get("start_time") or 0))
        status = str(last.get("status"))
        if status not in TERMINAL:
            return False, f"job {last.get('submission_id')} is {status}"
        # The submitter tells the end; where it is gone for good, Ray's own word counts after five minutes.
        ended = float(last.get("end_time") or 0) / 1000
        if self.watch.condition in ("ended", f"jobStatus={status}") and 0 < ended < time.time() - _ABANDONED:
            return True, f"job {last.get('submission_id')} is {status}, and nothing came after it"
        return False, f"job {last.get('submission_id')} is {status}"

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
