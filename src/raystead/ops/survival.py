"""The job by which `verify` proves that a cluster survives: its program, its record, what that shows. Pure.

Its driver and its actor write down each call; the record is the job's own output, read when the head is back.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PROGRAM", "Beat", "FaultOutcome", "beats_in", "driver_in", "judge"]

_MARK = "raystead-verify "
PROGRAM = """
import json, os, signal, threading, time, ray
from ray.util import list_named_actors as named
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init(namespace="raystead-verify", log_to_driver=False)
name = os.environ["RAYSTEAD_VERIFY"]

@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Counter:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n

@ray.remote(num_cpus=0)
def square(i):
    return i * i

mine = ray.get_runtime_context().get_node_id()
nodes = [n["NodeID"] for n in ray.nodes() if n["Alive"] and "node:__internal_head__" not in n["Resources"]]
other = next((n for n in nodes if n != mine), mine)
counter = Counter.options(name=name, lifetime="detached", scheduling_strategy=On(other, soft=True)).remote()

def end(*_):
    # kill() only sends; Ray's stop of a job waits 3 s before it kills
    until, counted = time.monotonic() + 2.5, {"name": name, "namespace": "raystead-verify"}
    while time.monotonic() < until and counted in named(all_namespaces=True):
        ray.kill(counter)
        time.sleep(0.1)
    os._exit(0)

signal.signal(signal.SIGTERM, end)

def timed(key, call):
    begun, value, error = time.monotonic(), None, ""
    try:
        value = call()
    except Exception as problem:
        error = type(problem).__name__ + ": " + str(problem).split(chr(10))[0][:200]
    line = {key: value, "s": round(time.monotonic() - begun, 2), "error": error}
    print("raystead-verify", json.dumps(line), flush=True)

def find():
    while True:
        timed("found", lambda: bool(ray.get_actor(name)))
        time.sleep(0.5)

def beat():
    n = ray.get(counter.add.remote(), timeout=300)
    if ray.get(square.remote(n), timeout=300) != n * n:
        raise ValueError("a task answered wrongly")
    return n

where = {"driver": os.environ.get("RAY_CLOUD_INSTANCE_ID", "")}
print("raystead-verify", json.dumps(where), flush=True)
threading.Thread(target=find, daemon=True).start()
while True:
    timed("n", beat)
    time.sleep(0.5)
"""


@dataclass(frozen=True)
class Beat:
    """One call of the actor and one task; `n` is the actor's counter, None when it failed."""

    n: int | None
    seconds: float
    error: str


@dataclass(frozen=True)
class FaultOutcome:
    """One fault and what came of it.

    Attributes:
        away: seconds until the lost pod had a ready successor and all nodes were alive in Ray again.
        slowest: seconds of the slowest call of the actor and a task in that time.
        before, after: the actor's counter.
        restarted: pods that restarted and should not have.
        lost: sentences; empty when all survived.
    """

    fault: str
    pod: str
    away: float
    slowest: float
    beats: int
    before: int
    after: int
    restarted: tuple[str, ...]
    lost: tuple[str, ...]


def beats_in(log: str) -> list[Beat]:
    """The beats in the job's output; failed searches for the actor count as failed beats."""
    return [
        Beat(beat.get("n"), float(beat["s"]), str(beat["error"]))
        for beat in _lines(log)
        if {"s", "error"} <= beat.keys() and ("n" in beat or beat["error"])
    ]


def driver_in(log: str) -> str:
    """The pod where the job's driver runs; "" where the record does not say it yet."""
    return next((str(line["driver"]) for line in _lines(log) if "driver" in line), "")


def _lines(log: str) -> Iterator[dict[str, Any]]:
    """What the job told behind its mark; a line that was cut off, or that others wrote into, is left out."""
    for line in log.splitlines():
        if line.startswith(_MARK):
            with contextlib.suppress(ValueError):
                beat = json.loads(line.removeprefix(_MARK))
                if isinstance(beat, dict):
                    yield beat


def judge(
    fault: str,
    pod: str,
    away: float,
    beats: Sequence[Beat],
    seen: int,
    restarted: tuple[str, ...],
    ended: str = "",
) -> FaultOutcome:
    """What was lost. `seen`: beats before the fault; `ended`: the job's status if it did not go on.

    A lost worker takes the state of its actors along, and Ray makes them again: that is not a loss here.
    """
    before, during = beats[:seen], beats[seen:]
    numbers = [b.n for b in before if b.n is not None], [b.n for b in during if b.n is not None]
    first, last = (numbers[0][-1] if numbers[0] else 0), (numbers[1][-1] if numbers[1] else 0)
    lost = []
    if ended:
        lost.append(f"the job ended: {ended}")
    errors = [b.error for b in during if b.error]
    if errors:
        lost.append(f"{len(errors)} of {len(during)} calls failed: {errors[0]}")
    if not numbers[1]:
        lost.append("the actor never answered again")
    elif fault != "worker" and last <= first:
        lost.append(f"the actor's counter went back from {first} to {last}")
    if restarted:
        lost.append(f"restarted: {', '.join(restarted)}")
    slowest = max((b.seconds for b in during), default=0.0)
    return FaultOutcome(fault, pod, away, slowest, len(during), first, last, restarted, tuple(lost))
