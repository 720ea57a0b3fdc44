"""Ends what its Job owns, on purpose only: it waits for one condition and exits with 0 when that holds.

Usage: `python -m incluster.keeper FILE`, FILE being the JSON of `Watch`. Its Job has
`ttlSecondsAfterFinished: 0`, so Kubernetes deletes it when this program ends well, and the garbage collector
takes what it owns. Killed, evicted or moved, the program starts anew and waits for the same condition: it
never ends the cluster because it was itself ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from .dashboard import TERMINAL, Dashboard, Refused, Unreachable
from .outcome import mark_name

_POLL = 3.0  # seconds between two looks, as KubeRay's operator
_POLL_JOB = 1.0  # the same, at a job: a cluster that has no more work to do holds its pods so long
_HURRY = 0.2  # the same, while Ray has ended the job and its submitter has yet to tell the outcome
_IN_HURRY = 30.0  # seconds
_SAY_EVERY = 600.0  # seconds between two lines of the log while nothing changes
_TERMINATION_LOG = "/dev/termination-log"
_KILLED = 143  # exit code for SIGTERM: the Job's podFailurePolicy begins anew
_LIVE_ACTORS = ("ALIVE", "PENDING_CREATION", "DEPENDENCIES_UNREADY", "RESTARTING")
_LIVE_GROUPS = ("PENDING", "PREPARED", "CREATED", "RESCHEDULING")
_INTERNAL = "_ray_internal"  # the names of Ray's own actors begin so


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
        ends: marks that it leaves for those whom it ends, so that they end without ceremony.
        abandoned: after so long without a word of the submitter since the job's end, Ray's own word counts.
        ended_by: after so long the job's deadlines have passed, whatever the submitter says; None is never.
        folder: of an idle cluster, where the keeper and whoever uses the cluster agree: who makes `over` in
            it first decides, and `used` tells when it was used last.
    """

    name: str
    address: str
    rules: list[tuple[str, float]]
    job_id: str = ""
    what: str = "the cluster"
    begun_by: float | None = None
    ended_by: float | None = None
    abandoned: float = 300.0
    ends: list[str] = field(default_factory=list)
    folder: str = "/tmp/raystead-keeper"


def say(text: str) -> None:
    print(f"{_instant(time.time())} {text}", flush=True)  # noqa: T201


def _instant(moment: float) -> str:
    """As Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


@dataclass
class Keeper:
    """Waits until a condition has held for its time; `clock` is monotonic."""

    watch: Watch
    dashboard: Dashboard
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    read: Callable[[], Watch] | None = None  # what to watch may change while we do

    def __post_init__(self) -> None:
        self._begun = self.clock()
        self._since: dict[str, tuple[float, str]] = {}  # since when each condition holds, and why
        self._idle_at = 0.0  # the same moment of idleness by the wall clock
        self._said, self._spoken = "", self._begun
        self._trace: tuple[float, float] | None = None  # of the last use: a job's end, somebody's hold
        self._looks = 0
        self._over: float | None = None  # since when Ray has no job of ours that runs

    def run(self) -> str:
        """Why the end has come, a sentence; comes back only when it has."""
        while True:
            if self.read is not None:
                self.watch = self.read()
            self._looks += 1
            holds, left = "", _POLL
            for condition, seconds in self.watch.rules:
                true, why = self._look(condition)
                if not true:
                    self._since.pop(condition, None)
                    holds = holds or why
                    continue
                if condition not in self._since:
                    self._since[condition] = (self.clock(), self._begins(condition, why))
                since, why = self._since[condition]
                rest = seconds - (self.clock() - since)
                if rest <= 0 and (condition != "idle" or self._decided()):
                    self._leave_marks()
                    return f"{why}; {self.watch.what} ends as agreed, after {seconds:.0f} s"
                idle = condition == "idle"
                when = f"at {_instant(self._idle_at + seconds)}" if idle else f"after {seconds:.0f} s"
                holds, left = f"{why}; {self.watch.what} ends {when}", min(left, rest)
            self._tell(holds)
            self.sleep(max(_HURRY, min(left, self._pause())))

    def _pause(self) -> float:
        """Seconds until the next look, unless a condition is to be met before."""
        if any(condition == "idle" for condition, _ in self.watch.rules):
            return _POLL
        if self._over is None:
            return _POLL_JOB
        return _POLL if self._since or self.clock() - self._over >= _IN_HURRY else _HURRY

    def _leave_marks(self) -> None:
        for mark in self.watch.ends:
            with contextlib.suppress(Unreachable, Refused):
                self.dashboard.mark(mark)

    def _begins(self, condition: str, why: str) -> str:
        if condition != "idle":
            return why
        self._idle_at = time.time()
        return f"idle since {_instant(self._idle_at)}"

    def _decided(self) -> bool:
        """Whether the end of an idle cluster is ours to bring: nobody uses it at the very last look.

        Who makes the folder first decides. What stays of ours tells those who come later that they are late.
        """
        over = os.path.join(self.watch.folder, "over")  # noqa: PTH118
        try:
            os.makedirs(self.watch.folder, exist_ok=True)  # noqa: PTH103
            os.mkdir(over)  # noqa: PTH102
        except FileExistsError:
            return False
        if self._look("idle")[0] and "idle" in self._since:
            return True
        self._since.pop("idle", None)
        os.rmdir(over)  # noqa: PTH106
        return False

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
        jobs = [job for job in self.dashboard.jobs() if _of(job, self.watch.job_id)]
        runs = any(str(job.get("status")) not in TERMINAL for job in jobs)
        if runs or not jobs:
            self._over = None
        elif self._over is None:
            self._over = self.clock()
        # A deadline may be told of a job that could not be stopped; else no outcome comes before the end.
        asks = not runs or self._looks % 10 == 0
        if asks and self.dashboard.marked(mark_name(self.watch.job_id, condition)):
            return True, f"RayJob {self.watch.name}: {condition}"
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
        """Whether nothing runs: no job, no driver or client, no actor, no placement group.

        A live actor counts, at work or not: only it knows what it holds in memory.
        """
        jobs = self.dashboard.jobs()
        self._count_anew((max([float(job.get("end_time") or 0) for job in jobs], default=0.0), self._used()))
        for job in jobs:
            if str(job.get("status")) in TERMINAL:
                continue
            kind = "job" if job.get("submission_id") else "driver or client"
            name = job.get("submission_id") or job.get("job_id")
            return False, f"busy: {kind} {name} is {job.get('status')}"
        for actor in self.dashboard.state("actors"):
            if actor.get("state") in _LIVE_ACTORS and not str(actor.get("name") or "").startswith(_INTERNAL):
                name = actor.get("name") or actor.get("class_name") or actor.get("actor_id")
                return False, f"busy: actor {name} is {actor.get('state')}"
        for group in self.dashboard.state("placement_groups"):
            if group.get("state") in _LIVE_GROUPS:
                return (
                    False,
                    f"busy: placement group {group.get('placement_group_id')} is {group.get('state')}",
                )
        return True, "idle"

    def _count_anew(self, trace: tuple[float, float]) -> None:
        """A job that came and went between two looks, and a hold, were uses as well."""
        if self._trace is not None and trace != self._trace:
            self._since.pop("idle", None)
        self._trace = trace

    def _used(self) -> float:
        try:
            return os.stat(os.path.join(self.watch.folder, "used")).st_mtime  # noqa: PTH116, PTH118
        except OSError:
            return 0.0


def _of(job: dict[str, Any], job_id: str) -> bool:
    """Whether it is an attempt of ours: the id, or the id with "-2", "-3" …"""
    found = str(job.get("submission_id") or "")
    rest = found[len(job_id) :]
    return found.startswith(job_id) and (not rest or (rest.startswith("-") and rest[1:].isdigit()))


def _killed(number: int, frame: FrameType | None) -> None:
    say("ended from outside; whoever comes next waits for the same")
    sys.exit(_KILLED)


def read(path: str) -> Watch:
    """What to watch; the kubelet renews the file some time after its ConfigMap was changed."""
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        return Watch(**json.load(stream))


def main(path: str) -> int:
    watch = read(path)
    signal.signal(signal.SIGTERM, _killed)
    why = Keeper(watch, Dashboard(watch.address), read=lambda: read(path)).run()
    say(why)
    with contextlib.suppress(OSError), open(_TERMINATION_LOG, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(why[:4000])
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(status)  # with a tenth of a CPU, Python's own tidying up takes a while
