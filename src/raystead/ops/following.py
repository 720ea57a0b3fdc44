"""Following a job to its end: the job API is the truth, the log stream is best effort."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from raystead.errors import JobFailed, JobNotFound, RaysteadError, RayUnreachable
from raystead.rayapi.jobs import Job, JobClient

__all__ = [
    "PATIENCE",
    "Fate",
    "JobOutcome",
    "Lost",
    "NoOutput",
    "Waiting",
    "exit_code",
    "follow",
    "outcome",
    "patiently",
]

PATIENCE = 900.0  # seconds without an answer of the job API before we give up
_POLL = 0.3  # seconds between two questions while the job API does not answer
_STUCK = 120.0  # seconds without an answer while we know a reason that does not pass by itself
_RARELY = 2.0  # seconds between two questions whether a job that prints now and then has ended, at most
_TELL_AGAIN = 4.5  # nobody waits five in silence
_BEFORE = 4.0  # seconds without any output after which that is told; the next chance comes within a second
_TELL = 2.0  # seconds of silence that a restarted head is given before it is worth a line
_SMALL = 1 << 20  # characters up to which the whole output is fetched again to be sure of its end
_LAST_WORDS = 30.0  # seconds that a stream may be silent after the job's end before we close it
_LAST_WORD = 4.0  # seconds in which Ray may say how a job ended whose driver is gone; it may need 60
_LOST = "DRIVER_LOST"  # our own error type, for a job of which Ray has not noticed it yet
_BEGINNINGS = 3  # times that a job is started again whose node died before it ran
_END = (
    20.0  # seconds without a new character of an ended job's output: its worker is gone, and the end with it
)
T = TypeVar("T")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_EXIT_CODE = re.compile(r"exit code (\d+)")
_OUTPUT_AGAIN = re.compile(r",? *last available logs")
_NODE_DIED = {"JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_START_FAILURE"}


@dataclass(frozen=True)
class Waiting:
    """Ray has not answered for a while: why, in words; None when it answers again.

    Attributes:
        seconds: for how long, where the reason is still that of the last time; 0 where it is new.
    """

    why: RaysteadError | None
    seconds: float = 0.0


@dataclass(frozen=True)
class Lost:
    """What became of the place where a job's driver runs; `gone`: the driver has died with it."""

    text: str
    gone: bool


@dataclass(frozen=True)
class NoOutput:
    """A job has printed nothing yet.

    Attributes:
        runs: its driver runs; else it waits for its runtime environment.
        lacks: or for resources, as Ray tells it.
        seconds: for how long it was followed.
        first: nothing was said of it before.
    """

    runs: bool
    lacks: bool
    seconds: float
    first: bool


Tell = Callable[[Waiting | Lost | NoOutput], None]
Fate = Callable[[Job], Lost | None]


def patiently(ask: Callable[[], T], tell: Tell, patience: float = PATIENCE) -> T:
    """The answer, asked for again while Ray does not answer at all.

    Each new reason is told, and every few seconds that it still holds.

    Raises:
        RayUnreachable: no answer for `patience` seconds, or for two minutes with a known cause.
    """
    begun = time.monotonic()
    told: str | None = None
    told_at = begun
    while True:
        try:
            answer = ask()
        except RayUnreachable as error:
            silent = time.monotonic() - begun
            if silent > (min(patience, _STUCK) if error.stuck else patience):
                raise
            reason = _NUMBER.sub("", error.what)  # "for 40 s" is no new one
            new = told is None or (error.stuck and reason != told)
            if silent > _TELL and (new or time.monotonic() - told_at > _TELL_AGAIN):
                told, told_at = reason if new else told, time.monotonic()
                tell(Waiting(error, 0.0 if new else silent))
            time.sleep(_POLL)
            continue
        if told is not None:
            tell(Waiting(None))
        return answer


def _unknown_fate(job: Job) -> Lost | None:
    """Nobody looks at the driver's node."""
    return None


def follow(
    client: JobClient,
    job_id: str,
    *,
    write: Callable[[str], None],
    tell: Tell,
    again: Callable[[], None] | None = None,
    fate: Fate = _unknown_fate,
    patience: float = PATIENCE,
) -> Job:
    """Writes the job's output, each character once, until the job API says that it ended.

    Args:
        fate: looks at the pod or node of the driver; what it says is told once, and the output of a driver
            that is gone is not waited for. Ray may need a minute to notice; the job is FAILED for us before.
        again: starts the job again, where that is ours to do: Ray gives drivers to a node that died up to
            15 s ago (its health check), and fails the job when it learns of it. Nothing of it ran by then.

    Raises:
        RayUnreachable: no answer for `patience` seconds.
        JobFailed: the job was there and Ray has forgotten it.
    """
    look = _Look(fate, tell)
    silence = _Silence(tell)
    output = _Output(client, job_id, write, look, silence)
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
            look = _Look(fate, tell)
            output = _Output(client, job_id, write, look, silence)
        elif job.ended:
            if progress is None or output.written > before:
                progress = time.monotonic()
            large = output.written > _SMALL
            if (whole and large) or (not large and output.rest()):
                return look.named(job)
            if look(job) or time.monotonic() - progress > _END:
                write("\n[raystead: the end of the output could not be read; the job has ended]\n")
                return look.named(job)
        else:
            silence(job, output.written)
            if look(job) and look.since > _LAST_WORD:
                return look.named(replace(job, status="FAILED", end_time=time.time()))
            if not whole and output.written == before and before <= _SMALL:
                output.rest()  # a stream that breaks at the same place each time: bytes that are not text
        time.sleep(_POLL)


def _never_ran(job: Job) -> bool:
    """Whether Ray failed the job with certainty that nothing of it has run."""
    died = job.status == "FAILED" and job.error_type == "JOB_SUPERVISOR_ACTOR_DIED"
    return died and job.driver_node_id is None and "The actor never ran" in job.message


class _Look:
    """Looks at the driver's place now and then; tells each new thing once; True when the driver is gone."""

    def __init__(self, fate: Fate, tell: Tell) -> None:
        self._fate, self._tell = fate, tell
        self._told: set[str] = set()
        self._gone: tuple[str, float] | None = None

    def named(self, job: Job) -> Job:
        """The ended job with what became of its driver, where that is known: Ray says it more vaguely."""
        if self._gone is None or job.status != "FAILED" or job.driver_exit_code is not None:
            return job
        return replace(job, error_type=_LOST, message=self._gone[0])

    @property
    def since(self) -> float:
        """Seconds since we know that the driver is gone; 0 while it is not."""
        return time.monotonic() - self._gone[1] if self._gone else 0.0

    def __call__(self, job: Job) -> bool:
        if self._gone is not None:
            return True
        try:
            found = self._fate(job)
        except RaysteadError:
            return False  # who cannot be asked now is asked again
        if found is None:
            return False
        if found.text not in self._told:
            self._told.add(found.text)
            self._tell(found)
        if found.gone:
            self._gone = found.text, time.monotonic()
        return found.gone


class _Silence:
    """Says why a job has printed nothing yet: again and again while it waits, once when it runs."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._begun = self._told = time.monotonic()
        self._runs = False

    def __call__(self, job: Job, written: int) -> None:
        now = time.monotonic()
        if written or job.ended or self._runs or now - self._told < _BEFORE:
            return
        first = self._told == self._begun
        self._told, self._runs = now, job.status == "RUNNING"
        self._tell(NoOutput(self._runs, "resources" in job.message, now - self._begun, first))


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended: `why` in a few words, "" if it succeeded; `more`: what Ray adds to its output."""

    why: str
    more: str = ""


def outcome(job: Job) -> JobOutcome:
    """Why the job ended as it did, without the output that was shown already."""
    if job.status == "SUCCEEDED":
        return JobOutcome("")
    message = _OUTPUT_AGAIN.split(job.message, maxsplit=1)[0].strip()
    code = job.driver_exit_code
    if code is None and (match := _EXIT_CODE.search(message)):
        code = int(match[1])
    if code is not None and code < 0:
        return JobOutcome(f"killed by {_signal(-code)}")
    if code:
        return JobOutcome(
            f"exit code {code}" + (f", killed by {_signal(code - 128)}" if _signalled(code) else "")
        )
    if job.status == "STOPPED":
        return JobOutcome("somebody stopped it")
    if job.error_type == _LOST:
        return JobOutcome(message)
    if job.error_type in _NODE_DIED or "supervisor actor" in message:
        return JobOutcome(_supervisor(message))
    first, _, rest = message.partition("\n")
    return JobOutcome(first[:300].rstrip(":. "), rest.strip())


def _supervisor(message: str) -> str:
    """Ray's words about the process next to the driver, whose end is the job's."""
    if "actor never ran" in message:
        return "its node died before it began"
    if "OutOfMemory" in message or "memory pressure" in message:
        return "Ray stopped it because its node was short of memory"
    if "node has died" in message or "node was terminated" in message or "node died" in message:
        return "the node that ran it is gone"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return f"a process next to it died ({lines[0][:200]})" if lines else "a process next to it died"


def _signalled(code: int) -> bool:
    return 128 < code < 128 + 32 and not _signal(code - 128).startswith("signal ")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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

    def __init__(
        self,
        client: JobClient,
        job_id: str,
        write: Callable[[str], None],
        look: Callable[[Job], bool],
        silence: _Silence,
    ) -> None:
        self.written = 0  # characters
        self._client, self._job_id, self._write, self._look = client, job_id, write, look
        self._silence = silence

    def stream(self) -> bool:
        """Writes what comes; True when Ray ended the stream in good order."""
        position = 0
        ended_since: float | None = None
        begun = asked = time.monotonic()
        try:
            for text in self._client.stream(self._job_id):
                if text:
                    self._take(text, position)
                    position += len(text)
                    continue
                now = time.monotonic()
                if now - asked < min(_RARELY, (now - begun) / 10):
                    continue
                asked = now
                job = self._client.get(self._job_id)
                self._silence(job, self.written)
                if job.ended:
                    # Ray's own end of the stream comes seconds later; a small output is quicker asked for
                    ended_since = ended_since or now
                    if self.written <= _SMALL or now - ended_since > _LAST_WORDS:
                        return False
                elif self._look(job):
                    return False  # nobody will end this stream
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
