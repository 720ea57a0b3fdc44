"""What `submit` and `job` share: the client of the meant cluster, following with Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from raystead.base.times import rounded
from raystead.cli.options import Where, place_of
from raystead.errors import INTERRUPTED, JobNotFound, OutputGone, RaysteadError, UsageError

if TYPE_CHECKING:
    from raystead.ops.drivers import Drivers
    from raystead.ops.following import Lost, NoOutput, Waiting
    from raystead.ops.jobs import Submitted, Submitting
    from raystead.ops.places import Place
    from raystead.rayapi.jobs import Job, JobClient
    from raystead.ui.plain import Reporter

_SECOND_INTERRUPT = 1.5  # seconds in which a second Ctrl-C means: stop the job
_ANSWER = 3.0  # seconds that Ray has, after Ctrl-C, to say whether it has the job


@dataclass(frozen=True)
class JobTarget:
    """The job API of the meant cluster and who looks after its drivers.

    Attributes:
        uid: tells clusters of one name apart.
        flags: what a hint needs to mean the same cluster, with a blank before it; "" when nothing was typed.
    """

    client: JobClient
    drivers: Drivers
    uid: str
    flags: str


@contextmanager
def target_of(
    name: str | None, where: Where, place: Place | None = None, *, uses: bool = False
) -> Iterator[JobTarget]:
    """The job API of the named (or only) cluster.

    Args:
        place: where it is known already.
        uses: it is for a new job.
    """
    from raystead.cli.retyped import place_flags

    with (place or place_of(where)).jobs(name, uses=uses) as jobs:
        jobs.client.late = _say_late
        yield JobTarget(jobs.client, jobs.drivers, jobs.uid, place_flags(name, where))


def _say_late(seconds: float) -> None:
    click.echo(f"Ray has not answered for {rounded(seconds)}; still waiting", err=True)


def patience(where: Where) -> float:
    """Seconds that Ray may be silent."""
    from raystead.ops.places import Namespace, ThisMachine

    return (ThisMachine if where.here else Namespace).patience


def say_waiting(reporter: Reporter, event: Waiting | Lost | NoOutput) -> None:
    """The head is away or back, the driver's pod is gone, or nothing was printed yet, for people."""
    from raystead.ops.following import Lost, NoOutput

    if isinstance(event, Lost):
        reporter.warn(event.text)
    elif isinstance(event, NoOutput):
        if event.runs:
            reporter.step("the job runs and has printed nothing yet")
        else:
            what = "resources or its runtime environment" if event.lacks else "its runtime environment"
            more = "; raystead status shows what is free" if event.lacks and event.first else ""
            reporter.step(f"the job waits for {what}, for {rounded(event.seconds)}{more}")
    elif event.why is None:
        reporter.warn("Ray answers again")
    elif event.seconds:
        reporter.warn(f"still trying, for {rounded(event.seconds)} now")
    else:
        seen = f" ({event.why.evidence})" if event.why.evidence else ""
        reporter.warn(f"{event.why.what}{seen}; still trying")


def follow_to_exit(
    target: JobTarget,
    job_id: str,
    reporter: Reporter,
    where: Where,
    again: Callable[[], None] | None = None,
) -> tuple[Job, float]:
    """Follows a job's output to its end: the job, and the seconds since the call; `again` as in `follow`."""
    from raystead.ops.following import follow
    from raystead.ops.kept import keeping

    begin = time.monotonic()
    with keeping(target.uid, job_id) as kept:

        def write(text: str) -> None:
            reporter.write(text)
            kept.write(text)

        job = follow(
            target.client,
            job_id,
            write=write,
            tell=lambda event: say_waiting(reporter, event),
            again=again,
            fate=target.drivers.fate,
            patience=patience(where),
        )
    return job, time.monotonic() - begin


@dataclass
class Followed:
    """The job that Ctrl-C detaches from, and the one that Ray was asked to start; None: there is none yet."""

    job_id: str | None = None
    asked: str | None = None

    def take(self, event: Submitting | Submitted) -> None:
        from raystead.ops.jobs import Submitted

        self.asked = event.id
        if isinstance(event, Submitted):
            self.job_id = event.id


@contextmanager
def saying_what_was_submitted(reporter: Reporter, line: str | None) -> Iterator[None]:
    """Ctrl-C in the block, before Ray was asked for a job, says so; `line` is what was typed."""
    try:
        yield
    except KeyboardInterrupt:
        reporter.line("interrupted; nothing was submitted")
        if line:
            reporter.hint(line)
        raise click.exceptions.Exit(INTERRUPTED) from None


@contextmanager
def detaching(target: JobTarget, reporter: Reporter, *, may_stop: bool = False) -> Iterator[Followed]:
    """Ctrl-C in the block detaches from its job (exit 130), from the moment that the job is known.

    With `may_stop` a second one within 1.5 s stops the job first: only who has started a job may stop it that
    way, a reader never does. While Ray is asked to start it, Ray is asked once more whether it has.
    """
    followed = Followed()
    with _Interrupts() as interrupts:
        try:
            yield followed
        except KeyboardInterrupt:
            if followed.job_id is None and followed.asked is None:
                raise
            if followed.job_id is None and not _began(target, followed, reporter):
                raise
            assert followed.job_id is not None
            _detached(target, followed.job_id, reporter, interrupts, may_stop=may_stop)
            sys.exit(INTERRUPTED)


def _began(target: JobTarget, followed: Followed, reporter: Reporter) -> bool:
    """Whether Ray has the job that it was asked for; it is then the one that is followed.

    Raises:
        click.exceptions.Exit: nobody knows, which is said.
    """
    known: list[bool] = []

    def ask() -> None:
        """The request may still be on its way: only a later "no" is one."""
        until = time.monotonic() + _ANSWER / 2
        with contextlib.suppress(RaysteadError):
            while True:
                try:
                    target.client.get(followed.asked or "")
                    return known.append(True)
                except JobNotFound:
                    if time.monotonic() > until:
                        return known.append(False)
                time.sleep(0.2)

    asking = threading.Thread(target=ask, name="began", daemon=True)
    asking.start()
    asking.join(_ANSWER)
    if not known:
        reporter.line(
            f"interrupted while Ray was asked to start {followed.asked}, and it does not say whether it has; "
            f"raystead job status{target.flags} {followed.asked} tells"
        )
        raise click.exceptions.Exit(INTERRUPTED)
    if known[0]:
        followed.job_id = followed.asked
    return known[0]


def _detached(
    target: JobTarget, job_id: str, reporter: Reporter, interrupts: _Interrupts, *, may_stop: bool
) -> None:
    """What Ctrl-C leaves on the screen; the offer to stop the job goes when it no longer stands."""
    stays = f"detached, the job goes on; raystead job logs{target.flags} {job_id} -f"
    if may_stop:
        with reporter.passing(f"Ctrl-C again within {_SECOND_INTERRUPT} s stops the job"):
            stop = interrupts.another(_SECOND_INTERRUPT)
        if stop:
            target.client.stop(job_id)
            reporter.line(f"stopped {job_id}")
            return
    reporter.line(stays)


def say_output(target: JobTarget, job: Job, reporter: Reporter) -> None:
    """A job's output so far, from Ray or from what was kept here.

    Raises:
        OutputGone: the worker that had it is gone, and nobody followed the job from here.
    """
    from raystead.ops import kept
    from raystead.ops.drivers import output_of

    try:
        reporter.write(output_of(target.client, target.drivers, job))
    except OutputGone as error:
        found = kept.read(target.uid, job.id)
        if found is None:
            raise
        text, whole = found
        what = "what this machine kept of it" if whole else "the last 4 MiB, which this machine kept"
        reporter.warn(f"{error.what}; this is {what}")
        reporter.write(text)


def meant(client: JobClient, typed: str | None) -> Job:
    """The job of that id or with ids that begin so; the one that started last when nothing was typed.

    Raises:
        JobNotFound: there is none.
        UsageError: several begin so.
    """
    from raystead.ops.jobs import newest_first

    if typed is not None:
        try:
            return client.get(typed)
        except JobNotFound:
            pass
    jobs = newest_first(client.list())
    if typed is None:
        if not jobs:
            raise JobNotFound("there are no jobs yet", remedy="raystead submit -- python train.py")
        return jobs[0]
    found = [job for job in jobs if job.id.startswith(typed) or job.id.startswith(f"raysubmit_{typed}")]
    if len(found) > 1:
        raise UsageError(
            f'{len(found)} jobs begin with "{typed}"',
            evidence=", ".join(job.id for job in found[:10]),
            remedy="give more of it",
        )
    if not found:
        there = ", ".join(job.id for job in jobs[:10]) or "none"
        raise JobNotFound(f'there is no job "{typed}"', evidence=f"jobs: {there}", remedy="raystead job list")
    return found[0]


class _Interrupts:
    """Ctrl-C: the first one is raised, a later one is remembered, whatever is being done at that moment."""

    def __enter__(self) -> _Interrupts:
        self._count = 0
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        # who was interrupted is leaving: another Ctrl-C on the way out must not end it with a traceback
        signal.signal(signal.SIGINT, signal.SIG_IGN if self._count else self._before)

    def _note(self, *_: object) -> None:
        self._count += 1
        if self._count == 1:
            raise KeyboardInterrupt

    def another(self, seconds: float) -> bool:
        """Whether a second one has come, or comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while self._count < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._count > 1
