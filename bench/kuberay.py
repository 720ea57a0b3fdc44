"""RayJobs, ticks and autoscaling next to KubeRay's operator, in turn, in one run on the test cluster (root).

`make cluster`, then `RAYSTEAD_BENCH_KUBERAY=… .venv/bin/python bench/kuberay.py`; bench/cluster.py says what
the variable names. The operator runs as a process of this machine, which knows no name of a Service: let the
program be a script that starts it with `--enable-leader-election=false --use-kubernetes-proxy=true`, else it
never learns of a job's end. Without the variable only raystead is measured. Both sides get the same file.
Only ratios mean something on a shared machine.
"""

# ruff: noqa: E402  # the helpers of the cluster tests are not a package

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / folder) for folder in ("kit", "cluster")]

import yaml
from cli import Cli
from cluster import Space, kuberay, line, space
from conftest import enter
from fleet import SELECTOR, TOLERATION, add_nodes, remove_nodes
from kube import Kube, until
from settings import setting

Json = dict[str, Any]
NODES = "ray.io/node-type"
INTERVAL = 5  # seconds between two looks of Ray's autoscaler
MANY = 1000  # workers
QUIET = 60  # seconds in which the requests of an idle steward are counted
IDLE = 15  # seconds after which Ray's autoscaler gives a worker back
WAIT = 300.0  # seconds
JOB = "from time import *; print('FIRST', time(), flush=True); sleep(5); print('LAST', time(), flush=True)"
TICKS = 3
DEMAND = """\
import json, sys, time, ray
ray.init(namespace="bench")
@ray.remote(num_cpus=1)
class Actor:
    def ready(self):
        return True
asked = time.time()
actors = [Actor.options(name=name, lifetime="detached").remote() for name in sys.argv[1:]]
ray.get([actor.ready.remote() for actor in actors], timeout=300)
print("SAID", json.dumps([asked, time.time()]))
"""
ALIVE = """\
import json, sys, time, ray
ray.init(namespace="bench")
@ray.remote(num_cpus=1)
class Actor:
    pass
there = {node["NodeID"] for node in ray.nodes()}
asked = time.time()
actor = Actor.remote()
while not [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in there]:
    time.sleep(0.05)
print("SAID", json.dumps([asked, time.time()]))
"""
WISH = """\
import os, sys, time
from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient
wish = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": int(sys.argv[1])}]
begun = time.time()
KubernetesHttpApiClient(os.environ["RAY_CLUSTER_NAMESPACE"]).patch("rayclusters/auto", wish)
print("SAID", begun)
"""
NO_DEMAND = """\
import sys, time, ray
ray.init(namespace="bench")
for name in sys.argv[1:]:
    ray.kill(ray.get_actor(name))
print("SAID", time.time())
"""


def group(memory: str) -> Json:
    size = {"requests": {"cpu": "200m", "memory": memory}, "limits": {"cpu": "1", "memory": memory}}
    return {
        "template": {
            "spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0", "resources": size}]}
        }
    }


def document(kind: str, name: str, spec: Json) -> str:
    return yaml.safe_dump({"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})


def job() -> Json:
    """A job of five seconds on a head and a worker, whose cluster ends with it."""
    worker = {"groupName": "small", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, **group("1536Mi")}
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": group("1536Mi"), "workerGroupSpecs": [worker]}
    spec = {
        "entrypoint": f'python -c "{JOB}"',
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 0,
    }
    return {**spec, "rayClusterSpec": cluster}


def autoscaled(version: str, most: int = 3, idle: int = IDLE, **pod: Any) -> str:
    """A head of no CPU and a group of 0 to `most` workers of one; `pod` is added to the workers' pod spec."""
    small = {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    worker = {"groupName": "small", "replicas": 0, "minReplicas": 0, "maxReplicas": most, **group("1Gi")}
    worker["template"]["spec"] |= pod
    options = {"version": version, "idleTimeoutSeconds": idle, "resources": small}
    head = {"rayStartParams": {"num-cpus": "0"}, **group("2Gi")}
    spec = {"rayVersion": "2.60.0", "enableInTreeAutoscaling": True, "autoscalerOptions": options}
    return document("RayCluster", "auto", {**spec, "headGroupSpec": head, "workerGroupSpecs": [worker]})


@dataclass(frozen=True)
class Side:
    """A namespace and how a file is applied in it: by raystead or for KubeRay's operator."""

    name: str
    kube: Kube
    apply: Callable[[str], None]
    there: Space | None = None

    def pods(self, role: str) -> list[Json]:
        """Pods of a role that are not on their way out."""
        found = self.kube.items("pods", "-l", f"{NODES}={role}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self) -> bool:
        """The head is."""
        conditions = [c for pod in self.pods("head") for c in pod["status"].get("conditions") or []]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def gone(self) -> bool:
        return not self.kube.items("pods", "-l", NODES)

    def head(self, program: str, *words: str, container: str = "ray") -> str:
        """What a program in the head said after the word SAID."""
        (pod,) = self.pods("head")
        command = ("exec", pod["metadata"]["name"], "-c", container, "--", "python", "-c", program, *words)
        return self.kube.out(*command, timeout=WAIT).rpartition("SAID ")[2].strip()


@contextlib.contextmanager
def ours(admin: Kube, rights: str) -> Iterator[Side]:
    with space(admin, rights=rights) as there:

        def apply(text: str) -> None:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(text)
                file.flush()
                there.run("up", "-f", file.name, "--wait=false")

        yield Side("raystead", there.user, apply, there)


@contextlib.contextmanager
def theirs(operator: Kube) -> Iterator[Side]:
    name = f"bench-{uuid.uuid4().hex[:6]}"
    operator.run("create", "namespace", name)
    here = operator.at(name)
    try:
        yield Side("KubeRay", here, here.apply)
    finally:
        operator.run("delete", "namespace", name, timeout=300)


def told(log: str, word: str) -> list[float]:
    """The times after a word in a driver's output."""
    return [float(row.split()[1]) for row in log.splitlines() if row.startswith(word)]


def one_job(side: Side, memory: dict[str, float]) -> tuple[float, float]:
    """Seconds from the file to the driver's first line, and from its last to no pod of the cluster."""
    begun = time.time()
    side.apply(document("RayJob", "train", job()))

    def log() -> str:
        return side.kube.run("logs", "job/train", check=False).stdout

    until(lambda: "FIRST" in log(), WAIT, f"{side.name}: the first line", every=0.2)
    first = time.time() - begun
    for role in ("submitter", "keeper"):
        for pod in side.kube.items("pods", "-l", f"raystead.io/role={role}"):
            status = side.kube.exec(pod["metadata"]["name"], "cat", "/proc/1/status")
            (peak,) = (row.split()[1] for row in status.splitlines() if row.startswith("VmHWM"))
            memory[role] = max(memory.get(role, 0.0), int(peak) / 1024)
    last = until(lambda: told(log(), "LAST"), WAIT, "its end", every=0.2)
    until(side.gone, WAIT, f"{side.name}: the cluster is gone", every=0.2)
    return first, time.time() - last[0]


def jobs(admin: Kube, rounds: int, operator: Kube | None) -> None:
    taken: dict[str, list[tuple[float, float]]] = {}
    memory: dict[str, float] = {}
    asked: list[str] = []
    for _ in range(rounds):
        with ours(admin, "edit") as side:
            assert side.there is not None
            side.there.audit.mark()
            taken.setdefault(side.name, []).append(one_job(side, memory))
            asked += [str(r) for r in side.there.audit.of_pods(side.kube.namespace)]
        if operator:
            with theirs(operator) as side:
                taken.setdefault(side.name, []).append(one_job(side, {}))
    for name, rows in taken.items():
        first, gone = zip(*rows, strict=True)
        line(f"{name}: RayJob's file to the first line, s", f"{statistics.median(first):.1f}", "")
        line(
            f"{name}: last line to no pod left, s",
            f"{statistics.median(gone):.1f}",
            "≤ 5" * (name == "raystead"),
        )
        print("   all: " + "  ".join(f"{a:.1f}/{b:.1f}" for a, b in rows))
    if operator:
        mine, other = (statistics.median(row[0] for row in taken[name]) for name in ("raystead", "KubeRay"))
        line("   first line, ratio", f"{mine / other:.2f}", "≤ 0.90")
    for role, peak in memory.items():
        line(f"peak memory of the {role}, MB", f"{peak:.0f}", "≤ 40")
    line("requests to the API server by pods of ours", str(len(asked)), "0")


def cron(admin: Kube) -> None:
    """Seconds from the minute of a tick to the driver's first line, as the driver's own clock says.

    A cluster's own start is that of a RayJob with the same cluster, in the same namespace before the ticks.
    """
    with ours(admin, "edit") as side:
        own, _ = one_job(side, {})
        assert side.there
        side.there.run("down", "train", "--yes")
        side.apply(document("RayCronJob", "beat", {"schedule": "* * * * *", "jobTemplate": job()}))
        cli = Cli(side.kube)

        def ended() -> list[Json]:
            ticks: list[Json] = json.loads(cli("job", "list", "-o", "json").stdout)
            return [tick for tick in ticks if tick["jobDeploymentStatus"] in ("Complete", "Failed")]

        until(lambda: len(ended()) >= TICKS, TICKS * 60 + WAIT, f"{TICKS} ticks", every=1)
        taken = []
        for tick in ended():
            (first,) = told(cli("job", "logs", tick["jobId"]).stdout, "FIRST")
            taken.append(first - datetime.fromisoformat(tick["scheduled"]).timestamp())
        line("raystead: a RayJob's file to the first line, s", f"{own:.1f}", "")
        line("   cron tick to the first line, s", f"{statistics.median(taken):.1f}", f"≤ {own + 5:.1f}")
        print("   all: " + "  ".join(f"{value:.1f}" for value in taken))


def one_demand(side: Side, *names: str) -> tuple[float, float, float]:
    """Seconds from demand to the last pod made, to all actors answering, and from none to no worker."""
    asked, answered = json.loads(side.head(DEMAND, *names))
    made = [datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) for pod in side.pods("worker")]
    killed = float(side.head(NO_DEMAND, *names))
    until(lambda: not side.pods("worker"), WAIT, f"{side.name}: the idle workers are gone", every=0.2)
    return max(made).timestamp() - asked, answered - asked, time.time() - killed


def scaling(admin: Kube, rounds: int, version: str, operator: Kube | None) -> None:
    taken: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(ours(admin, "admin"))]
        if operator:
            sides.append(stack.enter_context(theirs(operator)))
        for side in sides:
            side.apply(autoscaled(version))
        for side in sides:
            until(side.ready, WAIT, f"{side.name}: its head is ready")
        for number in range(rounds):
            for side in sides:
                for count in (1, 2):
                    names = [f"actor-{number}-{count}-{i}" for i in range(count)]
                    taken.setdefault((side.name, count), []).append(one_demand(side, *names))
    medians = {}
    for (name, count), rows in taken.items():
        made, answered, gone = (statistics.median(column) for column in zip(*rows, strict=True))
        medians[name, count] = answered
        line(f"{name}, {version}: demand of {count} to the last pod made, s", f"{made:.1f}", "")
        line("   to all answering, s", f"{answered:.1f}", "")
        line(f"   none to no worker, s (time-out {IDLE})", f"{gone:.1f}", f"≤ {IDLE + 10}")
        print("   all: " + "  ".join("/".join(f"{value:.1f}" for value in row) for row in rows))
    if operator:
        ratio = medians["raystead", 2] / medians["KubeRay", 2]
        line(f"   two actors answering, {version}, ratio", f"{ratio:.2f}", "≤ 0.65")


@dataclass(frozen=True)
class Log:
    """The API server's audit log from where it stood when this was made; times are seconds since 1970."""

    path: Path
    offset: int

    def times(self, namespace: str, verb: str, resource: str) -> list[tuple[float, float]]:
        """When each granted request came and was answered, in order."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            events = [json.loads(row) for row in stream if f'"{namespace}"'.encode() in row]
        return sorted(
            (_seconds(event["requestReceivedTimestamp"]), _seconds(event["stageTimestamp"]))
            for event in events
            if event["verb"] == verb
            and (event["objectRef"]["resource"], event["objectRef"].get("subresource")) == (resource, None)
            and event.get("responseStatus", {}).get("code", 500) < 300
            and event["stage"] == "ResponseComplete"
        )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def audit() -> Log:
    path = Path(setting("$RUN/log/audit.json"))
    return Log(path, path.stat().st_size)


def alive(admin: Kube, rounds: int) -> None:
    """Seconds from demand to the pod that is made for it, and from there to its node alive in Ray."""
    rows = []
    with ours(admin, "admin") as side:
        side.apply(autoscaled("v2", idle=3))
        until(side.ready, WAIT, "its head is ready")
        for number in range(rounds):
            log = audit()
            asked, came = json.loads(side.head(ALIVE, f"actor-{number}"))
            ((_, made),) = log.times(side.kube.namespace, "create", "pods")
            rows.append((made - asked, came - made))
            until(lambda: not side.gone() and not side.pods("worker"), WAIT, "no worker is left", every=0.2)
    made, own = (statistics.median(column) for column in zip(*rows, strict=True))
    line(f"raystead, v2: demand to the new node alive, median of {rounds}, s", f"{made + own:.1f}", "")
    line("   the pod's own start, s", f"{own:.1f}", "")
    line(f"   beyond it, s (the autoscaler looks every {INTERVAL})", f"{made:.1f}", f"≤ {INTERVAL + 2}")
    print("   all: " + "  ".join("/".join(f"{value:.1f}" for value in row) for row in rows))


def thousand(admin: Kube, operator: Kube | None) -> None:
    """From no worker to a thousand, on kwok's nodes, which only say that they run.

    Ray's autoscaler asks for ten at a time while no raylet comes, so its request is made here by its client.
    """
    running = {}
    with contextlib.ExitStack() as stack:
        stack.callback(remove_nodes, admin)
        add_nodes(admin, MANY // 100 + 1)
        opened = [ours(admin, "admin")]
        if operator:
            opened.append(theirs(operator))
        for one in opened:
            with one as side:
                running[side.name] = one_thousand(side)
    if operator:
        ratio = running["raystead"] / running["KubeRay"]
        line("   all Running, ratio", f"{ratio:.2f}", "≤ 1.1")


def one_thousand(side: Side) -> float:
    """Seconds from the request until a thousand pods run; prints the steward's part, memory and requests."""
    side.apply(autoscaled("v2", MANY, nodeSelector=SELECTOR, tolerations=[TOLERATION]))
    until(side.ready, WAIT, f"{side.name}: its head is ready")
    before = 0.0
    if side.there:
        time.sleep(10)
        before = steward_memory(side)
        side.there.audit.mark()
        time.sleep(QUIET)
        asked = len(side.there.audit.of_pods(side.kube.namespace))
        line("raystead: the idle steward's requests, a second", f"{asked / QUIET:.2f}", "≤ 0.2")
    log = audit()
    begun = float(side.head(WISH, str(MANY), container="autoscaler"))
    names = ("get", "pods", "-l", f"{NODES}=worker", "--field-selector=status.phase=Running", "-o", "name")
    until(lambda: len(side.kube.out(*names).splitlines()) >= MANY, WAIT, f"{side.name}: all run", every=0.5)
    took = time.time() - begun
    made = [row for row in log.times(side.kube.namespace, "create", "pods") if row[0] > begun]
    assert len(made) == MANY, f"{side.name}: {len(made)} pods were made"
    line(f"{side.name}: {MANY} replicas asked for, to all Running, s", f"{took:.1f}", "")
    target = "≤ 8" if side.there else ""
    line("   to the last pod made, s", f"{max(row[1] for row in made) - begun:.1f}", target)
    if side.there:
        time.sleep(5)
        line("   the steward's memory with none, with all, MB",
             f"{before:.0f}, {steward_memory(side):.0f}", "≤ 40, ≤ 60")  # fmt: skip
    return took


def steward_memory(side: Side) -> float:
    (pod,) = side.pods("head")
    program = "print(open('/proc/1/status').read())"
    status = side.kube.out(
        "exec", pod["metadata"]["name"], "-c", "steward", "--", "python", "-c", program, timeout=WAIT
    )
    (kib,) = (row.split()[1] for row in status.splitlines() if row.startswith("VmRSS"))
    return int(kib) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["jobs", "cron", "v1", "v2", "alive", "thousand"])
    given = parser.parse_args()
    admin = Kube(Path(setting("$(binary kubectl)")), Path(setting("$PKI/admin.conf")))
    enter(setting("$NETNS"))
    line("", "measured", "target")
    with kuberay(admin) as operator:
        if given.only in (None, "jobs"):
            jobs(admin, given.rounds, operator)
        if given.only in (None, "cron"):
            cron(admin)
        for version in ("v2", "v1"):
            if given.only in (None, version):
                scaling(admin, given.rounds, version, operator)
        if given.only in (None, "alive"):
            alive(admin, 2 * given.rounds)
        if given.only in (None, "thousand"):
            thousand(admin, operator)


if __name__ == "__main__":
    main()
