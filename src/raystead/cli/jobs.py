"""What `submit` and `job` share: the client of the meant cluster, following with Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

from raystead.errors import INTERRUPTED

if TYPE_CHECKING:
    from raystead.rayapi.jobs import Job, JobClient
    from raystead.ui.plain import Reporter

_SECOND_INTERRUPT = 1.5  # seconds in which a second Ctrl-C means: stop the job


def client_for(name: str | None) -> JobClient:
    """A client of the job API of the named (or only) cluster."""
    from raystead.ops.clusters import local_place
    from raystead.rayapi.jobs import JobClient

    place = local_place(name)
    return JobClient(place.status().dashboard, place.token())


def follow_to_exit(client: JobClient, job_id: str, reporter: Reporter) -> tuple[Job, float]:
    """Follows a job's output to its end: the job, and the seconds since the call.

    Ctrl-C detaches (exit 130); a second one within 1.5 s stops the job first.
    """
    from raystead.ops.jobs import follow

    begin = time.monotonic()
    try:
        return follow(client, job_id, emit=lambda event: None, write=reporter.write), time.monotonic() - begin
    except KeyboardInterrupt:
        reporter.line(f"detached; raystead job logs {job_id} -f   (Ctrl-C again stops the job)")
        try:
            time.sleep(_SECOND_INTERRUPT if reporter.tty else 0.5)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            client.stop(job_id)
            reporter.line(f"stopped {job_id}")
        sys.exit(INTERRUPTED)
