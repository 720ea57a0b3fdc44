"""What must survive: an actor with a state on one worker, a job that uses it from another, and its record.

The record is a file in the driver's pod, so that it says what happened while the head was away.
"""

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cli import Cli
from kube import Kube, until

PATIENCE = 300.0  # seconds; how long things may take is another question than whether they happen
HEAD, WORKERS = "app=ray-cluster-head", "app=ray-cluster-worker"
PULSE = """
import os, time, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init(namespace="survivor")

@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n

@ray.remote(num_cpus=0, max_retries=0)
def square(i):
    return i * i

mine = ray.get_runtime_context().get_node_id()
workers = [n["NodeID"] for n in ray.nodes() if n["Alive"] and "node:__internal_head__" not in n["Resources"]]
other = next(n for n in workers if n != mine)
counter = Counter.options(
    name="counter", lifetime="detached", get_if_exists=True, scheduling_strategy=On(other, soft=False)
).remote()
record = open("/tmp/record", "a")
while True:
    begun, n, error = time.time(), None, ""
    try:
        n = ray.get(counter.add.remote(), timeout=60)
        for node in (mine, other):
            done = ray.get(square.options(scheduling_strategy=On(node, soft=False)).remote(n), timeout=60)
            assert done == n * n, done
    except Exception as problem:
        error = repr(problem)[:300]
    record.write(repr((begun, time.time(), n, error)) + "\\n")
    record.flush()
    time.sleep(0.3)
"""
# A new driver asks the actor: that needs the head, to find it by its name.
ASK = """
import ray
ray.init(namespace="survivor", log_to_driver=False)
print("answer", ray.get(ray.get_actor("counter").add.remote(), timeout=60))
"""


@dataclass(frozen=True)
class Beat:
    begun: float
    ended: float
    n: int | None
    error: str


@dataclass
class Survivor:
    """The cluster of one user with the pulse running on it."""

    user: Kube
    raystead: Cli
    pulse: str = ""  # id of the job
    driver: str = ""  # pod where it runs

    def start(self) -> None:
        self.pulse = self.submit(PULSE)
        self.driver = str(until(self._driver, 60, "the pulse beats"))
        until(lambda: self.beats(), 60, "the actor answers")

    def submit(self, program: str, *more: str) -> str:
        return self.raystead("submit", "--no-wait", "-q", *more, "--", "python", "-c", program).stdout.strip()

    def job(self, job: str) -> Any:
        return json.loads(self.raystead("job", "status", job, "-o", "json").stdout)

    def _driver(self) -> str | None:
        for pod in self.user.items("pods", "-l", WORKERS):
            name = str(pod["metadata"]["name"])
            if not self.user.run("exec", name, "--", "test", "-s", "/tmp/record", check=False).returncode:
                return name
        return None

    def beats(self, since: float = 0) -> list[Beat]:
        import ast

        lines = self.user.exec(self.driver, "cat", "/tmp/record").splitlines()
        return [beat for line in lines if (beat := Beat(*ast.literal_eval(line))).begun >= since]

    def pods(self, selector: str) -> list[Any]:
        return [
            p for p in self.user.items("pods", "-l", selector) if not p["metadata"].get("deletionTimestamp")
        ]

    def head(self) -> str:
        return str(self.pods(HEAD)[0]["metadata"]["name"])

    def lives(self, selector: str) -> dict[str, tuple[str, int]]:
        """Pods with their container's id and restarts: equal before and after means that nothing restarted."""
        return lives_of(self.pods(selector))

    def ready(self, selector: str, other_than: dict[str, tuple[str, int]] | None = None) -> bool:
        """All pods are ready; `other_than`: and none of them is one of those lives.

        Of one listing: a life that ends between two would be ready in the first and new in the second.
        """
        pods = self.pods(selector)
        if other_than and set(lives_of(pods).values()) & set(other_than.values()):
            return False
        return bool(pods) and all(
            any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions") or [])
            for p in pods
        )

    def answer(self) -> int:
        """What the actor says to a new driver."""
        words = self.user.exec(self.driver, "python", "-c", ASK, timeout=90).split()
        return int(words[words.index("answer") + 1])

    def nodes(self) -> int:
        """Nodes alive in Ray, as `raystead status` tells."""
        status = json.loads(self.raystead("status", "-o", "json", code=None).stdout or "{}")
        return sum(group["alive"] or 0 for group in status.get("raystead", {}).get("groups", []))

    def unhurt(self, since: float) -> list[Beat]:
        """The beats since then; asserts that none failed and that the counter only grew by what was asked."""
        beats = self.beats(since)
        assert len(beats) > 3, "the pulse stands still"
        failed = [b for b in beats if b.error]
        assert not failed, f"{len(failed)} of {len(beats)} beats failed: {failed[0].error}"
        numbers = [b.n for b in self.beats() if b.n is not None]
        assert all(a < b for a, b in pairwise(numbers)), "the counter went back"
        return beats


def lives_of(pods: list[Any]) -> dict[str, tuple[str, int]]:
    """By name, the container's id and restarts."""
    out = {}
    for pod in pods:
        status = (pod["status"].get("containerStatuses") or [{}])[0]
        out[pod["metadata"]["name"]] = (status.get("containerID", ""), int(status.get("restartCount", 0)))
    return out


def longest(beats: list[Beat]) -> float:
    """Seconds of the slowest beat."""
    return max(b.ended - b.begun for b in beats)


def wait_moment(seconds: float) -> float:
    """Lets the pulse beat; the time it was before."""
    now = time.time()
    time.sleep(seconds)
    return now
