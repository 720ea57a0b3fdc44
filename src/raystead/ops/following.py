"""Following a job to its end: the job API is the truth, the log stream is best effort (design 12)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from raystead.errors import JobFailed, JobNotFound, RaysteadError, RayUnreachable
from raystead.rayapi.jobs import Job, JobClient

__all__ = ["PATIENCE", "Waiting", "exit_code", "follow", "patiently"]

PATIENCE = 900.0  # seconds without an answer of the job API before we give up (design 9)
_POLL = 0.3  # seconds between two questions while the job API does not answer
_TELL = 2.0  # seconds of silence that a restarted head is given before it is worth a line
_SMALL = 1 << 20  # characters up to which the whole output is fetched again to be sure of its end
_LAST_WORDS = 30.0  # seconds that a stream may be silent after the job's end before we close it
_BEGINNINGS = 3  # times that a job is begun anew whose node died before it ran
_END = (
    20.0  # seconds without a new character of an ended job's output: its worker is gone, and the end with it
)
T = TypeVar("T")
_EXIT_CODE = re.compile(r"exit code (\d+)")


@dataclass(frozen=True)
class Waiting:
    """Ray has not answered for a while: why, in words; None when it answers again."""

    why: RaysteadError | None


Tell = Callable[[Waiting], None]


def patiently(ask: Callable[[], T], tell: Tell, patience: float = PATIENCE) -> T:
    """The answer, asked for again while Ray does not answer at all.

    Raises:
        RayUnreachable: no answer for `patience` seconds.
    """
    begun = time.monotonic()
    told = False
    while True:
        try:
            answer = ask()
        except RayUnreachable as error:
            silent = time.monotonic() - begun
            if silent > patience:
                raise
            if not told and silent > _TELL:
                told = True
                tell(Waiting(error))
            time.sleep(_POLL)
            continue
        if told:
            tell(Waiting(None))
        return answer


def follow(
    client: JobClient,
    job_id: str,
    *,
    write: Callable[[str], None],
    tell: Tell,
    again: Callable[[], None] | None = None,
    patience: float = PATIENCE,
) -> Job:
    """Writes the job's output, each character once, until the job API says that it ended.

    Args:
        again: starts the job anew, where that is ours to do: Ray gives drivers to a node that died up to
            15 s ago (its health check), and fails the job when it learns of it. Nothing of it ran by then.

    Raises:
        RayUnreachable: no answer for `patience` seconds.
        JobFailed: the job was there and Ray has forgotten it.
    """
    output = _Output(client, job_id, write)
    seen, begun_anew = False, 0
    progress: float | None = None  # when the job had ended and a character came last
    while True:
        before = output.written
        whole = output.stream()
        try:
            job = patiently(lambda: client.get(job_id), tell, patience)
        except JobNotFound as error:
            if not seen:
                raise
            raise _forgotten(job_id) from error
        seen = True
        if again and begun_anew < _BEGINNINGS and _never_ran(job):
            begun_anew += 1
            tell(Waiting(JobFailed(f"the node that was to run {job_id} died before the job began")))
            again()
            output = _Output(client, job_id, write)
        elif job.ended:
            if progress is None or output.written > before:
                progress = time.monotonic()
            large = output.written > _SMALL
            if (whole and large) or (not large and output.rest()):
                return job
            if time.monotonic() - progress > _END:
                write("\n[raystead: the end of the output could not be read; the job has ended]\n")
                return job
        time.sleep(_POLL)


def _never_ran(job: Job) -> bool:
    """Whether Ray failed the job with certainty that nothing of it has run."""
    died = job.status == "FAILED" and job.error_type == "JOB_SUPERVISOR_ACTOR_DIED"
    return died and job.driver_node_id is None and "The actor never ran" in job.message


def exit_code(job: Job) -> int:
    """0 when it succeeded, the driver's own code when it left one, else 70."""
    if job.status == "SUCCEEDED":
        return 0
    if job.driver_exit_code:
        return job.driver_exit_code if 0 < job.driver_exit_code < 256 else 128 - job.driver_exit_code
    if job.status == "FAILED" and (match := _EXIT_CODE.search(job.message)):
        return int(match[1]) or JobFailed.exit_code
    return JobFailed.exit_code


class _Output:
    """What was written of a job's output. A stream begins at its first line whenever it is opened."""

    def __init__(self, client: JobClient, job_id: str, write: Callable[[str], None]) -> None:
        self.written = 0  # characters
        self._client, self._job_id, self._write = client, job_id, write

    def stream(self) -> bool:
        """Writes what comes; True when Ray ended the stream in good order."""
        position = 0
        ended_since: float | None = None
        try:
            for text in self._client.stream(self._job_id):
                if text:
                    self._take(text, position)
                    position += len(text)
                elif self._client.get(self._job_id).ended:
                    # Ray's own end of the stream comes seconds later; a small output is quicker asked for
                    now = time.monotonic()
                    ended_since = ended_since or now
                    if self.written <= _SMALL or now - ended_since > _LAST_WORDS:
                        return False
        except (RayUnreachable, JobNotFound):
            return False
        return True

    def rest(self) -> bool:
        """Writes what no stream brought; False when it cannot be had now."""
        try:
            self._take(self._client.logs(self._job_id), 0)
        except RaysteadError:
            return False
        return True

    def _take(self, text: str, position: int) -> None:
        fresh = text[max(0, self.written - position) :]
        if fresh:
            self._write(fresh)
            self.written += len(fresh)


def _forgotten(job_id: str) -> JobFailed:
    return JobFailed(
        f"the job {job_id} is lost: Ray has forgotten it",
        evidence="the head restarted and its GCS kept no state",
        remedy="raystead up --storage redis (or rocksdb), then submit it again",
    )
