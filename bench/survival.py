"""Head pod deleted by force: the guide's manifests against ours, in turn, on the test cluster.

    testcluster/enter .venv/bin/python bench/survival.py [--rounds 5] [--only guide|ours]

Three figures each round, in seconds from the deletion: every worker's raylet has reconnected (its own log
says so), a new driver on a worker gets an answer with the actor's state, and the marks on the way there.
Only the ratios mean something on a shared machine; both variants run in one session, one cluster at a time.
Exits 1 when a ratio misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "tests" / "data" / "guide" / "static-ray-cluster.yaml"
TARGETS = {"raylets": 0.25, "answer": 0.9}
HEAD, WORKERS = "app=ray-cluster-head", "app=ray-cluster-worker"
ACTOR = """
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init("auto", namespace="bench", log_to_driver=False)
@ray.remote(num_cpus=0)
class Counter:
    def __init__(self): self.n = 0
    def add(self):
        self.n += 1
        return self.n
mine = ray.get_runtime_context().get_node_id()
c = Counter.options(name="counter", lifetime="detached", scheduling_strategy=On(mine, soft=False)).remote()
print("count", ray.get([c.add.remote() for _ in range(100)])[-1])
"""
# In a worker's pod before the fault; Ray is imported already, each try is a process and a driver of its own.
ASK = """
import os, sys, time, ray
def ask():
    try:
        ray.init("auto", namespace="bench", log_to_driver=False)
        n = ray.get(ray.get_actor("counter").add.remote(), timeout=30)
        print("answer", n, time.time(), flush=True)
        os._exit(0 if n > 100 else 3)
    except BaseException:
        os._exit(1)
print("asks", flush=True)
sys.stdin.readline()
while True:
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        ask()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        break
    time.sleep(0.1)
"""
# Times of log lines and of processes, seconds since the epoch.
MARKS = r"""
import glob, json, os, re, time
from datetime import datetime
def line(pattern, text):
    best = None
    for name in glob.glob("/tmp/ray/session_latest/logs/" + pattern):
        for l in open(name, errors="replace"):
            m = re.match(r"\[?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})", l)
            if m and text in l:
                best = datetime.strptime(m[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()
    return best
def age(pid):
    ticks = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[19])
    return float(open("/proc/uptime").read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
def process(word):
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        try:
            command, begun = open(f"/proc/{pid}/cmdline").read(), time.time() - age(pid)
        except OSError:
            continue
        if word in command:
            return begun
print("marks", json.dumps({
    "container": time.time() - age(1),
    "gcs process": process("gcs/gcs_server"),
    "gcs port": line("gcs_server.out", "server started, listening on port"),
    "raylet process": process("raylet/raylet"),
    "dashboard process": process("dashboard/dashboard.py"),
    "reconnected": line("raylet.out", "Finished fetching all job information"),
}))
"""


class Space:
    """A namespace with one variant's cluster."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.name = f"bench-{variant}-{uuid.uuid4().hex[:4]}"
        self._kubectl("create", "namespace", self.name, here=False)

    def __enter__(self) -> Space:
        return self

    def __exit__(self, *_: object) -> None:
        self._kubectl("delete", "namespace", self.name, "--wait=false", here=False)
        self._kubectl("delete", "pods", "--all", "--force", "--grace-period=0")  # not their 75 s of grace
        self._kubectl("delete", "namespace", self.name, "--ignore-not-found", here=False)

    def _kubectl(self, *words: str, here: bool = True, stdin: str | None = None) -> str:
        where = ["-n", self.name] if here else []
        done = subprocess.run(["kubectl", *where, *words], input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr}")
        return done.stdout

    def up(self) -> None:
        if self.variant == "ours":
            command = [str(Path(sys.executable).parent / "raystead"), "up", "-q", "-n", self.name]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        else:
            self._kubectl("apply", "-f", str(GUIDE))
            for name in ("redis", "deployment-ray-head", "deployment-ray-worker"):
                self._kubectl("rollout", "status", f"deployment/{name}", "--timeout=300s")
        while self.alive() < 3:
            time.sleep(1)

    def pods(self, selector: str) -> list[str]:
        items = json.loads(self._kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        return [p["metadata"]["name"] for p in items if not p["metadata"].get("deletionTimestamp")]

    def python(self, pod: str, program: str) -> str:
        return self._kubectl("exec", pod, "--", "python", "-c", program)

    def alive(self) -> int:
        program = (
            "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        )
        try:
            return int(self.python(self.pods(WORKERS)[0], program).split()[-1])
        except (SystemExit, IndexError):
            return 0

    def marks(self, pod: str) -> dict[str, float | None]:
        line = next(x for x in self.python(pod, MARKS).splitlines() if x.startswith("marks "))
        found: dict[str, float | None] = json.loads(line.removeprefix("marks "))
        return found


def measure(space: Space) -> dict[str, float]:
    """One loss of the head; seconds from the deletion, by mark."""
    worker = space.pods(WORKERS)[0]
    assert "count 100" in space.python(worker, ACTOR)
    command = ["kubectl", "-n", space.name, "exec", "-i", worker, "--", "python", "-c", ASK]
    asking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert asking.stdin
    assert asking.stdout
    assert "asks" in asking.stdout.readline()
    time.sleep(3)
    head = space.pods(HEAD)[0]
    begun = time.time()
    space._kubectl("delete", "pod", head, "--force", "--grace-period=0", "--wait=false")
    deleted = time.time() - begun
    time.sleep(1)  # the old head, dying, answers for a moment
    asking.stdin.write("\n")
    asking.stdin.flush()
    answer = asking.communicate(timeout=240)[0].split()
    out = {"delete returned": deleted, "answer": float(answer[-1]) - begun}
    raylets: list[float] = []
    while len(raylets) < 2:
        seen = [space.marks(pod)["reconnected"] or 0 for pod in space.pods(WORKERS)]
        raylets = [at - begun for at in seen if at > begun]
        if time.time() - begun > 240:
            raise SystemExit("the raylets did not reconnect within 240 s")
        time.sleep(1)
    out["raylets"] = max(raylets)
    for name, at in space.marks(space.pods(HEAD)[0]).items():
        if name != "reconnected" and at:
            out[name] = at - begun
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["guide", "ours"])
    asked = parser.parse_args()
    if "NETNS" not in os.environ and "KUBECONFIG" not in os.environ:
        raise SystemExit("run it inside: testcluster/enter .venv/bin/python bench/survival.py")
    variants = [asked.only] if asked.only else ["guide", "ours"]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for number in range(asked.rounds):
        for variant in variants:
            with Space(variant) as space:
                space.up()
                rows[variant].append(measure(space))
            latest = rows[variant][-1]
            told = "  ".join(
                f"{key} {value:.1f}" for key, value in sorted(latest.items(), key=lambda x: x[1])
            )
            print(f"{number + 1} {variant:<6} {told}", flush=True)
    medians = {
        v: {key: statistics.median(r[key] for r in rs if key in r) for key in rs[0]} for v, rs in rows.items()
    }
    print(f"\n{'median, s from the deletion':<30}" + "".join(f"{v:>9}" for v in variants))
    for key in sorted(medians[variants[-1]], key=lambda k: medians[variants[-1]][k]):
        print(f"{key:<30}" + "".join(f"{medians[v].get(key, float('nan')):>9.1f}" for v in variants))
    missed = 0
    if len(variants) == 2:
        for key, target in TARGETS.items():
            ratio = medians["ours"][key] / medians["guide"][key]
            missed += ratio > target
            print(
                f"{key}: ours / guide = {ratio:.2f}, target {target}{'' if ratio <= target else '  MISSED'}"
            )
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
