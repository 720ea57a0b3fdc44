"""Process 1 of a Ray container in a cluster that CronJobs make: it ends Ray when the tick is over.

Usage: `python3 -IS tick.py ORDER COMMAND…`, ORDER being the JSON of one of

- `{"role": "head"}`: runs the command until the driver's container leaves `ended` in the shared directory;
- `{"role": "worker", "head": "demo-head-$RAYSTEAD_TICK-0.demo", "port": 6379, …}`: waits for the head, runs
  the command, and ends it when the head is gone.

The pod's Job carries the scheduled minute in its name, which the command and all variables get as
RAYSTEAD_TICK. It stands alone: no import but the standard library's, so that it may be run by its path,
without a PYTHONPATH that Ray's processes would inherit.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

RUN = "/run/raystead"  # shared with the driver's container
TICK = "RAYSTEAD_TICK"
JOB = "RAYSTEAD_JOB"  # the variable with the name of the pod's Job
_POLL = 0.5  # seconds between two looks
_PROBE = 1.0  # seconds between two looks at the head
_PATIENCE = (
    60.0  # seconds without an answer until the head counts as gone: a busy node is silent for a while,
)
# and in its pod Ray may be started again
_UNKNOWN = 3  # looks in a row at which DNS does not know the head
_ALWAYS = "kubernetes.default.svc"  # a name that every cluster has
_WAIT = 900.0  # seconds for the head to come; as long as `raystead up` waits
_STARTS = 5  # of a head's Ray that has not yet taken the job: a busy node's first start may take too long
_PAUSE = 2.0  # seconds between them
_HEAD_STOP, _WORKER_STOP = 10.0, 3.0  # seconds for Ray to end; a worker without a head has nothing to finish


def say(text: str) -> None:
    print(f"raystead: {text}", file=sys.stderr, flush=True)  # noqa: T201


def tick_of(job: str) -> str:
    """The minutes since 1970 at which the Job was due, the end of its name."""
    return job.rpartition("-")[2]


class Child:
    """The command as a child of process 1, which reaps what others leave behind."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._pid = os.posix_spawnp(command[0], command, env)
        self.code: int | None = None
        self.told = False  # to end
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hand_on)

    def _hand_on(self, number: int, frame: object) -> None:
        self.send(number)

    def send(self, number: int) -> None:
        self.told = True
        if self.code is None:
            os.kill(self._pid, number)

    def running(self) -> bool:
        """Reaps; whether the command itself runs."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return self.code is None
            if pid == self._pid:
                self.code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def end(self, patience: float) -> None:
        self.send(signal.SIGTERM)
        until = time.monotonic() + patience
        while self.running() and time.monotonic() < until:
            time.sleep(0.1)
        self.send(signal.SIGKILL)


class Gcs:
    """Whether the head's GCS at `host` and `port` is there, asked by opening a connection."""

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._port, self._clock = host, port, clock
        self._address = ""  # of the last answer: the name goes with the pod
        self._silent: float | None = None  # since when there is no answer
        self._unknown = 0

    def answers(self) -> bool:
        """One look."""
        now = self._clock()
        try:
            with socket.create_connection((self._address or self._host, self._port), 1) as connection:
                self._address = connection.getpeername()[0]
        except OSError:
            self._silent = self._silent or now
            return False
        self._silent, self._unknown = None, 0
        return True

    def look(self) -> str:
        """Of a head that had answered: "there", "silent", or "gone" when it does not come back."""
        if self.answers():
            return "there"
        self._unknown = self._unknown + 1 if _unknown(self._host) else 0
        silent = self._clock() - (self._silent or self._clock())
        return "gone" if self._unknown >= _UNKNOWN or silent >= _PATIENCE else "silent"


def _unknown(host: str) -> bool:
    """DNS answers, and does not know the name: the pod has ended.

    Where names of the world are not resolved, an unknown name looks like a DNS that fails; then another name
    of the cluster tells the two apart.
    """
    return not _addresses(host) and bool(_addresses(_ALWAYS))


def run_head(command: list[str], env: dict[str, str], run: str = RUN) -> int:
    """Holds the lock by whose loss the driver's container sees that this one has died, for whatever cause."""
    ended = os.path.join(run, "ended")  # noqa: PTH118
    draft = os.path.join(run, "head.new")  # noqa: PTH118
    lock = os.open(draft, os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(draft, os.path.join(run, "head"))  # noqa: PTH104, PTH118 (it appears locked)
    for number in range(1, _STARTS + 1):
        child = Child(command, env)
        while child.running():
            if os.path.exists(ended):  # noqa: PTH110
                child.end(_HEAD_STOP)
                return 0
            time.sleep(_POLL)
        if child.told or number == _STARTS or os.path.exists(os.path.join(run, "submitted")):  # noqa: PTH110, PTH118
            break
        say(f"Ray ended with code {child.code} before it took the job: starting it again")
        time.sleep(_PAUSE)
    say(f"Ray ended with code {child.code} before the driver did")
    return child.code or 1


def run_worker(order: dict[str, Any], command: list[str], env: dict[str, str]) -> int:
    """0 when the head has gone or does not come, else the command's code: then its Job makes a new pod."""
    head = Gcs(order["head"], order["port"])
    if not _head_comes(order, head, int(env[TICK])):
        return 0
    child = Child(command, env)
    looked = time.monotonic()
    while child.running():
        now = time.monotonic()
        if now - looked >= _PROBE:
            looked = now
            if head.look() == "gone":
                say("the head has gone: this worker ends")
                child.end(_WORKER_STOP)
                return 0
        time.sleep(_POLL)
    while not child.told and (seen := head.look()) != "there":  # Ray may have seen it first
        if seen == "gone":
            say(f"the head has gone, Ray ended with code {child.code}")
            return 0
        time.sleep(_POLL)
    say(f"Ray ended with code {child.code} while the head was there")
    return child.code or 1


def _head_comes(order: dict[str, Any], head: Gcs, tick: int) -> bool:
    """Waits for the head's GCS.

    Where ticks may not overlap (`heads` is the name of all heads), a head of another tick that runs after
    this one's was due at the latest says that this tick has none: it was left out, its workers were not.
    """
    begun = told = time.monotonic()
    while not head.answers():
        now = time.monotonic()
        late = time.time() > tick * 60 + order.get("due", 0)
        if late and order.get("heads") and _other_heads(order["heads"], order["head"]):
            say("another tick's head runs, and this tick has none: this worker ends")
            return False
        if now - begun > _WAIT:
            say(f"no head came to {order['head']} within {_WAIT:.0f} s: this worker ends")
            return False
        if now - told >= 30:
            told = now
            say(f"waiting for the head at {order['head']} for {now - begun:.0f} s")
        time.sleep(_POLL)
    return True


def _other_heads(heads: str, own: str) -> bool:
    return bool(_addresses(heads) - _addresses(own)) and not _addresses(own)


def _addresses(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)}
    except OSError:
        return set()


def main(words: list[str]) -> int:
    tick = tick_of(os.environ[JOB])
    env = {key: value.replace(f"${TICK}", tick) for key, value in os.environ.items()}
    env[TICK] = tick
    order = json.loads(words[0])
    if order["role"] == "head":
        return run_head(words[1:], env)
    order = {**order, "head": order["head"].replace(f"${TICK}", tick)}
    return run_worker(order, words[1:], env)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
