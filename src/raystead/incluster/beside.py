"""The driver's container beside the head, in a cluster that CronJobs make: its exit code is the tick's.

Usage: `python -m incluster.beside FILE`, FILE being the JSON of a submitter's `Order`. It submits the
entrypoint to the head in the same pod, writes the driver's output to its own, and ends the head with it. A
head that dies is not started again, so its loss ends the job.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from typing import Any

from .dashboard import Dashboard
from .outcome import Outcome
from .submitter import Order, Submitter, tell
from .tick import JOB, RUN, tick_of

_ENDING = 15.0  # seconds for the head to end


class HeadGone(Exception):
    """The head's container has ended."""


class Neighbour:
    """The head's container, which holds a lock as long as it lives."""

    def __init__(self, run: str = RUN) -> None:
        self._run = run

    def gone(self) -> bool:
        """Whether it has begun and ended."""
        try:
            lock = os.open(os.path.join(self._run, "head"), os.O_RDONLY)  # noqa: PTH118
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(lock)
        return True

    def end(self, patience: float) -> None:
        """Lets it end, and waits for that."""
        self.leave("ended")
        until = time.monotonic() + patience
        while not self.gone() and time.monotonic() < until:
            time.sleep(0.1)

    def leave(self, mark: str) -> None:
        """Leaves a file that the head's process 1 looks for."""
        with contextlib.suppress(OSError), open(os.path.join(self._run, mark), "w"):  # noqa: PTH118, PTH123
            pass


class HeadDashboard(Dashboard):
    """Says before the first submission that from now on the head is needed as it is."""

    def __init__(self, address: str, head: Neighbour) -> None:
        super().__init__(address)
        self._head = head

    def submit(self, body: dict[str, Any]) -> None:
        self._head.leave("submitted")
        super().submit(body)


def run(order: Order, head: Neighbour) -> Outcome:
    """From the head's start to the job's end, or the head's."""

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if head.gone():
            raise HeadGone

    try:
        return Submitter(order, HeadDashboard(order.address, head), sleep=sleep).run()
    except HeadGone:
        why = "the head ended before the job did, and a tick's head is not started again"
        return Outcome(order.job_id, "FAILED", "Failed", "AppFailed", why, failed=1, endTime=time.time())


def main(path: str) -> int:
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        order = Order(**json.load(stream))
    job = os.environ.get(JOB, "")
    order.job_id = order.job_id or f"{order.name}-{tick_of(job)}"
    head = Neighbour()
    outcome = run(order, head)
    tell(outcome)
    head.end(_ENDING)
    return outcome.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
