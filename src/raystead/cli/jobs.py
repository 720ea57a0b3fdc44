"""What `submit` and `job` share: the client of the meant cluster, following with Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raystead.cli.options import Where, door
from raystead.errors import INTERRUPTED

if TYPE_CHECKING:
    from raystead.ops.following import Waiting
    from raystead.rayapi.jobs import Job, JobClient
    from raystead.ui.plain import Reporter

_SECOND_INTERRUPT = 1.5  # seconds in which a second Ctrl-C means: stop the job
_LOCAL_PATIENCE = 120.0  # seconds; a local head is back in ten or never


@contextmanager
def client_for(name: str | None, where: Where) -> Iterator[JobClient]:
    """A client of the job API of the named (or only) cluster."""
    if where.here:
        from raystead.ops.clusters import local_place
        from raystead.rayapi.jobs import JobClient

        place = local_place(name)
        with JobClient(place.status().dashboard, place.token()) as client:
            yield client
        return
    from raystead.ops.clusters import anchor_of
    from raystead.ops.jobs import job_client

    api = door(where)
    with job_client(api, anchor_of(api, name)) as client:
        yield client


def patience(where: Where) -> float:
    """Seconds that Ray may be silent: a head may need a new node and its image there."""
    from raystead.ops.following import PATIENCE

    return _LOCAL_PATIENCE if where.here else PATIENCE


def say_waiting(reporter: Reporter, event: Waiting) -> None:
    """The head is away or back, for people."""
    if event.why is None:
        reporter.warn("Ray answers again")
    else:
        seen = f" ({event.why.evidence})" if event.why.evidence else ""
        reporter.warn(f"{event.why.what}{seen}; trying on")


def follow_to_exit(
    client: JobClient,
    job_id: str,
    reporter: Reporter,
    where: Where,
    again: Callable[[], None] | None = None,
) -> tuple[Job, float]:
    """Follows a job's output to its end: the job, and the seconds since the call; `again` as in `follow`.

    Ctrl-C detaches (exit 130); a second one within 1.5 s stops the job first.
    """
    from raystead.ops.following import follow

    begin = time.monotonic()
    with _Interrupts() as interrupts:
        try:
            job = follow(
                client,
                job_id,
                write=reporter.write,
                tell=lambda event: say_waiting(reporter, event),
                again=again,
                patience=patience(where),
            )
        except KeyboardInterrupt:
            reporter.line(f"detached; raystead job logs {job_id} -f   (Ctrl-C again stops the job)")
            if interrupts.another(_SECOND_INTERRUPT):
                client.stop(job_id)
                reporter.line(f"stopped {job_id}")
            sys.exit(INTERRUPTED)
    return job, time.monotonic() - begin


class _Interrupts:
    """Ctrl-C: the first one is raised, a later one is remembered, whatever is being done at that moment."""

    def __enter__(self) -> _Interrupts:
        self._count = 0
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

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
