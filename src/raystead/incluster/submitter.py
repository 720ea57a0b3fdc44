"""Submits a RayJob's entrypoint once, writes its output to our own, ends with its outcome.

Usage: `python -m incluster.submitter FILE`, FILE being the JSON of `Order`. The job API is the only truth,
the output is best effort and is taken up again after breaks and losses of the head. Whoever comes after a
killed submitter follows the same job: which attempts there were stands in Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from .dashboard import TERMINAL, Dashboard, Refused, Unreachable
from .outcome import Outcome, leave_marks

_POLL = 1.0  # seconds between two tries to reach the head
_LOOK = 0.5  # seconds between two looks at the status: what waits for the job's end holds its pods so long
_SAY_EVERY = 30.0  # seconds between two sentences about a wait
_LAST_OUTPUT = 10.0  # seconds for the rest of the output after the job's end
_STOP_PATIENCE = 30.0  # seconds for a stopped job to end
_LOST_AFTER = 5.0  # seconds that a job has to be unknown to a healthy head before it counts as lost
_MARK_TRIES = 30  # seconds in which the outcome is told to the keepers
_FORGOTTEN = "Ray does not know the job any more: the head was lost, and the cluster keeps no state"
_NOT_TAKEN_AFTER = (
    60.0  # seconds in which Ray may fail to take a job, without saying that the job is at fault
)
# What the Job's podFailurePolicy does not count as a failure: the container did not start (128), was killed
# (137, 143), or was lost by its runtime (255).
_KILLED = (128, 137, 143, 255)
_THEIR_FAULT = re.compile(r"status code 4\d\d")  # of the head's agent, in a traceback of the dashboard
_TERMINATION_LOG = "/dev/termination-log"


@dataclass
class Order:
    """What to submit.

    Attributes:
        name: the RayJob's name.
        address: the dashboard's, "http://HOST:PORT".
        job_id: the submission's id; attempts after the first add "-2", "-3" …
        body: what `POST /api/jobs/` takes, without the id.
        attempts: backoffLimit + 1.
        deadline: activeDeadlineSeconds, counted for each attempt as KubeRay does; None is none.
        pre_running_deadline: seconds until the job has to be running; None is none.
    """

    name: str
    address: str
    job_id: str
    body: dict[str, Any]
    attempts: int = 1
    deadline: float | None = None
    pre_running_deadline: float | None = None

    def attempt_id(self, number: int) -> str:
        return self.job_id if number == 1 else f"{self.job_id}-{number}"


def say(text: str) -> None:
    """On stderr: stdout is the driver's."""
    print(f"raystead: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _write(block: bytes) -> None:
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


@dataclass
class Submitter:
    """One run from the head's start to the outcome; `write` takes the driver's output."""

    order: Order
    dashboard: Dashboard
    write: Callable[[bytes], None] = _write
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _begun: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun = self.clock()

    def run(self) -> Outcome:
        number, failed = 1, 0
        while True:
            outcome = self._attempt(number)
            outcome.failed = failed + (outcome.jobDeploymentStatus == "Failed")
            failed = outcome.failed
            outcome.succeeded = int(outcome.jobStatus == "SUCCEEDED")
            again = outcome.jobDeploymentStatus == "Failed" and outcome.reason != "DeadlineExceeded"
            if not again or number >= self.order.attempts:
                return outcome
            number += 1
            why = outcome.message or outcome.reason
            say(f"attempt {number - 1} of {self.order.attempts} failed ({why}); trying again")

    def _attempt(self, number: int) -> Outcome:
        self._begun = self.clock()
        job_id = self.order.attempt_id(number)
        job = self._reach(job_id)
        if isinstance(job, Outcome):
            return job
        if job is None:
            try:
                self._until_answered(
                    lambda: self.dashboard.submit({**self.order.body, "submission_id": job_id}),
                    _NOT_TAKEN_AFTER,
                )
            except Refused as refused:
                why = last_line(refused.text)
                return self._failed(job_id, "", "SubmissionFailed", f"Ray did not take the job: {why}")
            except _TooLate:
                return self._late(job_id, None)
            say(f"job {job_id} submitted")
        else:
            say(f"job {job_id} is there already: following it")
        return self._follow(job_id)

    def _reach(self, job_id: str) -> Any:
        """The job as Ray has it, None where Ray has none, an Outcome where time is over."""
        try:
            self._until_answered(self._served)
            return self._until_answered(lambda: self.dashboard.job(job_id))
        except _TooLate:
            return self._late(job_id, None)
        except Refused as refused:
            return self._failed(job_id, "", "SubmissionFailed", f"Ray refused: {last_line(refused.text)}")

    def _served(self) -> None:
        if not self.dashboard.healthy():
            raise Unreachable("the GCS does not serve yet")

    def _until_answered(self, ask: Callable[[], Any], refused_after: float | None = None) -> Any:
        """Asks until there is an answer; says every half minute why there is none.

        A head that is busy or only starting fails with HTTP 5xx too. That is a no only where it says that the
        request was at fault, or where it says why for `refused_after` seconds.

        Raises:
            Refused: the dashboard answered and said no.
            _TooLate: a deadline has passed.
        """
        said: float | None = None
        begun = self.clock()
        while True:
            try:
                return ask()
            except Refused as refused:
                said_why = "Traceback" in refused.text or "Error" in refused.text
                long = refused_after is not None and self.clock() - begun >= refused_after
                if refused.status < 500 or _THEIR_FAULT.search(refused.text) or (said_why and long):
                    raise
                why = f"HTTP {refused.status}: {last_line(refused.text)}"
            except Unreachable as error:
                why = str(error)
            if self._over():
                raise _TooLate(why)
            if said is None or self.clock() - said >= _SAY_EVERY:
                said = self.clock()
                say(f"still trying to reach {self.order.address}: {why}")
            self.sleep(_POLL)

    def _over(self, running: bool = False) -> str:
        """The reason that time is over, "" while it is not."""
        spent = self.clock() - self._begun
        if self.order.deadline is not None and spent >= self.order.deadline:
            return "DeadlineExceeded"
        early = self.order.pre_running_deadline
        if not running and early is not None and spent >= early:
            return "PreRunningDeadlineExceeded"
        return ""

    def _follow(self, job_id: str) -> Outcome:
        output = _DriverOutput(self.dashboard, job_id, self.write)
        output.start()
        unknown_since: float | None = None
        away_since: float | None = None
        job: dict[str, Any] = {}
        said = self.clock()
        try:
            while True:
                try:
                    found = self.dashboard.job(job_id)
                    away_since = None
                except (Unreachable, Refused) as error:
                    found, unknown_since = job, None
                    away_since = away_since or self.clock()
                    if self.clock() - said >= _SAY_EVERY:
                        said = self.clock()
                        away = self.clock() - away_since
                        say(f"no answer of the head for {away:.0f} s, still trying: {last_line(str(error))}")
                if found is None:
                    unknown_since = unknown_since or self.clock()
                    if self.clock() - unknown_since >= _LOST_AFTER:
                        return self._failed(job_id, "FAILED", "AppFailed", _FORGOTTEN)
                else:
                    unknown_since, job = None, found
                    if job.get("status") == "RUNNING":
                        _show_running()
                    if job.get("status") in TERMINAL:
                        return self._ended(job_id, job)
                if self._over(running=job.get("status") == "RUNNING"):
                    return self._late(job_id, job)
                self.sleep(_LOOK)
        finally:
            output.finish(_LAST_OUTPUT)

    def _ended(self, job_id: str, job: dict[str, Any]) -> Outcome:
        status = str(job["status"])
        failed = status == "FAILED"
        return Outcome(
            jobId=job_id,
            jobStatus=status,
            jobDeploymentStatus="Failed" if failed else "Complete",
            reason="AppFailed" if failed else "",
            message=headline(str(job.get("message") or "")),
            startTime=_seconds(job.get("start_time")),
            endTime=_seconds(job.get("end_time")) or time.time(),
            exitCode=job.get("driver_exit_code"),
        )

    def _late(self, job_id: str, job: dict[str, Any] | None) -> Outcome:
        """A deadline has passed: the job is stopped first, then the outcome is told."""
        reason = self._over(running=bool(job and job.get("status") == "RUNNING")) or "DeadlineExceeded"
        limit = self.order.deadline if reason == "DeadlineExceeded" else self.order.pre_running_deadline
        status = str(job.get("status") or "") if job else ""
        if job:
            say(f"the deadline of {limit:.0f} s has passed: stopping job {job_id}")
            ended = self._stop(job_id)
            job, status = (ended, str(ended["status"])) if ended else (job, status)
        outcome = self._failed(
            job_id, status, reason, f"not done within {limit:.0f} s" if limit else "not done in time"
        )
        outcome.startTime = _seconds(job.get("start_time")) if job else None
        return outcome

    def _stop(self, job_id: str) -> dict[str, Any] | None:
        until = self.clock() + _STOP_PATIENCE
        with contextlib.suppress(Unreachable, Refused):
            self.dashboard.stop(job_id)
        while self.clock() < until:
            with contextlib.suppress(Unreachable, Refused):
                job = self.dashboard.job(job_id)
                if job and job.get("status") in TERMINAL:
                    return job
            self.sleep(_POLL)
        return None

    def _failed(self, job_id: str, status: str, reason: str, message: str) -> Outcome:
        return Outcome(job_id, status, "Failed", reason, message, endTime=time.time())


class _TooLate(Exception):
    """A deadline has passed while the dashboard was not reached."""


class _DriverOutput(threading.Thread):
    """Copies the driver's output; what was copied already is left out after a break."""

    def __init__(self, dashboard: Dashboard, job_id: str, write: Callable[[bytes], None]) -> None:
        super().__init__(name="output", daemon=True)
        self._dashboard, self._job_id, self._write = dashboard, job_id, write
        self._copied = 0
        self._ended = threading.Event()  # the job has
        self._done = threading.Event()  # nothing more is to be copied
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(Unreachable):
                seen = 0
                for block in self._dashboard.follow(self._job_id):
                    if self._done.is_set():
                        return
                    seen = self._take(block, seen)
            self._ended.wait(_POLL)

    def _take(self, block: bytes, seen: int) -> int:
        with self._lock:
            new = block[max(0, self._copied - seen) :]
            if new:
                self._write(new)
                self._copied += len(new)
        return seen + len(block)

    def finish(self, patience: float) -> None:
        """The rest of the output, if Ray still gives it within `patience` seconds."""
        self._ended.set()
        with contextlib.suppress(Unreachable, Refused):
            whole = self._dashboard.output(self._job_id).encode()
            self._take(whole, 0)
            self._done.set()
            return
        self.join(patience)
        self._done.set()


def _show_running() -> None:
    """Makes the file that the pod's readiness probe looks for."""
    path = os.environ.get("RAYSTEAD_RUNNING_FILE")
    if path:
        with contextlib.suppress(OSError), open(path, "a"):  # noqa: PTH123
            pass


def headline(message: str) -> str:
    """Ray's message about an ended job without the output that it repeats, in one line."""
    text = message.split(", last available logs")[0].strip()
    return text if "\n" not in text else last_line(text)


def last_line(text: str) -> str:
    """What a refusal says at its end, where Ray's tracebacks have the reason."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:500] if lines else "no reason was given"


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, (int, float)) and milliseconds else None


def tell(outcome: Outcome) -> None:
    """The outcome in the pod's termination message and at the log's end."""
    with contextlib.suppress(OSError), open(_TERMINATION_LOG, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(outcome.text())
    tail = f": {outcome.message}" if outcome.message and outcome.code else ""
    say(f"job {outcome.jobId} {outcome.jobStatus or outcome.reason}{tail}")


def _killed(number: int, frame: FrameType | None) -> None:
    """At once: whoever comes next follows the same job, and does not come before this one has ended."""
    say("ended from outside; whoever comes next follows the same job")
    os._exit(128 + number)


def main(path: str) -> int:
    signal.signal(signal.SIGTERM, _killed)
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        order = Order(**json.load(stream))
    submitter = Submitter(order, Dashboard(order.address))
    outcome = submitter.run()
    for _ in range(_MARK_TRIES):
        try:
            leave_marks(submitter.dashboard, order.job_id, outcome)
            break
        except (Unreachable, Refused):
            time.sleep(1.0)
    tell(outcome)
    return exit_code(outcome)


def exit_code(outcome: Outcome) -> int:
    """The outcome's, but 1 for those by which the Job takes the submitter itself for killed or lost.

    It would begin another one for an ended job. The outcome has the driver's own.
    """
    return 1 if outcome.code in _KILLED else outcome.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
