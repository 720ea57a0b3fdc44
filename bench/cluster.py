"""The table of what `up`, `status` and `list` cost on the test cluster: `make cluster`, then this (root).

`up` is compared with `kubectl apply` of the guide's manifests, in turn, in one run, both until three nodes
are alive in Ray; only the ratio means something on a shared machine. Requests are counted in the API
server's audit log. A thousand workers and a hundred clusters cost nothing: kwok's nodes only say that they
run.

Where RAYSTEAD_BENCH_KUBERAY names KubeRay's operator (a program, which runs on the test cluster meanwhile)
or the kubeconfig of a cluster where it runs already, KubeRay takes its turn too. Its CRDs must be there.
"""

# ruff: noqa: E402  # the helpers of the cluster tests are not a package

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / folder) for folder in ("kit", "cluster")]

import yaml
from audit import Audit
from cli import RAYSTEAD, Cli
from conftest import enter
from cost import Cost, cost_of
from fixtures import USERS, user_in
from fleet import SELECTOR, TOLERATION, add_nodes, remove_nodes
from kube import Kube, until
from settings import setting

from raystead.errors import RaysteadError
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.forward import Forward
from raystead.ops.planning import prepare, wanted
from raystead.ops.up import apply
from raystead.rayapi.nodes import NodesClient
from raystead.spec.flags import Flags

GUIDE = HERE.parent / "tests" / "data" / "guide" / "static-ray-cluster.yaml"
ALIVE_WITHIN = 300.0  # seconds
MANY = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: {name}, annotations: {{raystead.io/storage: none}}}}
spec:
  rayVersion: 2.60.0
  headGroupSpec: {{template: {{spec: {spec}}}}}
  workerGroupSpecs:
  - {{groupName: many, replicas: {replicas}, template: {{spec: {spec}}}}}
"""


@dataclass(frozen=True)
class Space:
    """A namespace of its own, a user in it, and what they asked the API server."""

    admin: Kube
    user: Kube
    audit: Audit

    def run(self, *words: str, codes: Sequence[int] = (0,)) -> Cost:
        """One command line as the user; it must end with one of the codes."""
        cost = cost_of([RAYSTEAD, *words], Cli(self.user).env)
        if cost.code not in codes:
            raise SystemExit(f"raystead {' '.join(words)} ended with {cost.code}:\n{cost.stderr}")
        peaks[words[0]] = max(peaks.get(words[0], 0.0), cost.memory)
        return cost

    def requests(self, *words: str) -> tuple[Cost, int, int]:
        """The same, with all requests and those that change something."""
        self.audit.mark()
        cost = self.run(*words)
        seen = self.audit.none_refused(self.user.user)
        return cost, len(seen), sum(r.mutates for r in seen)


peaks: dict[str, float] = {}  # verb -> MB


@contextlib.contextmanager
def space(admin: Kube, *, pods: int | None = None, rights: str = "edit") -> Iterator[Space]:
    name = f"bench-{uuid.uuid4().hex[:6]}"
    admin.run("create", "namespace", name)
    here = admin.at(name)
    if pods is not None:
        here.run("create", "quota", "few", f"--hard=pods={pods}")
    with tempfile.TemporaryDirectory() as folder:
        user = user_in(admin, here, rights, Path(folder))
        try:
            yield Space(here, user, Audit(Path(setting("$RUN/log/audit.json"))))
        finally:
            admin.at(USERS).run("delete", "serviceaccount", f"{name}-{rights}")
            admin.run("delete", "namespace", name, "--wait=false")
            here.run("delete", "pods", "--all", "--force", "--grace-period=0", check=False)
            admin.run("delete", "namespace", name, "--ignore-not-found", timeout=300)


def api_of(user: Kube) -> Api:
    return Api(load(kubeconfig=str(user.kubeconfig), namespace=user.namespace))


def guides(admin: Kube) -> float:
    """Seconds from `kubectl apply` of the guide's manifests to three nodes alive."""
    with space(admin) as there:
        begun = time.monotonic()
        there.user.run("apply", "-f", str(GUIDE))
        api = api_of(there.user)

        def head() -> str:
            pods = there.user.items("pods", "-l", "app=ray-cluster-head")
            return str(pods[0]["metadata"]["name"]) if pods else "none-yet"

        with Forward(api, there.user.namespace, head, 8265) as forward:
            client = NodesClient(forward.url, None)
            while alive(client) < 3:
                if time.monotonic() - begun > ALIVE_WITHIN:
                    raise SystemExit("the guide's manifests did not become three nodes")
                time.sleep(0.25)
            client.close()
        return time.monotonic() - begun


def alive(client: NodesClient) -> int:
    try:
        summary = client.nodes()["summary"]
    except RaysteadError:
        return 0
    return sum(node["raylet"].get("state") == "ALIVE" for node in summary)


@contextlib.contextmanager
def kuberay(admin: Kube) -> Iterator[Kube | None]:
    """The administrator of the cluster where KubeRay's operator runs, if there is one."""
    named = os.environ.get("RAYSTEAD_BENCH_KUBERAY", "")
    if not named:
        yield None
        return
    if not Path(named).is_file():
        raise SystemExit(f"RAYSTEAD_BENCH_KUBERAY is {named}, and there is no such file")
    runs = os.access(named, os.X_OK)
    there = admin if runs else Kube(admin.kubectl, Path(named))
    if there.run("get", "crd", "rayclusters.ray.io", check=False).returncode:
        raise SystemExit("the cluster that RAYSTEAD_BENCH_KUBERAY names has no CRD rayclusters.ray.io")
    if not runs:
        yield there
        return
    env = {**os.environ, "KUBECONFIG": str(there.kubeconfig)}
    operator = subprocess.Popen([named], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield there
    finally:
        operator.terminate()
        operator.wait(30)


def kuberays(there: Kube, spec: str) -> float:
    """Seconds from `kubectl apply` of the same RayCluster to three pods of Ray's that are ready."""
    name = f"bench-{uuid.uuid4().hex[:6]}"
    there.run("create", "namespace", name)
    here = there.at(name)
    try:
        begun = time.monotonic()
        here.apply(spec)

        def ready() -> bool:
            pods = here.items("pods", "-l", "ray.io/is-ray-node=yes")
            conditions = [c for pod in pods for c in pod["status"].get("conditions") or []]
            return len([c for c in conditions if (c["type"], c["status"]) == ("Ready", "True")]) == 3

        until(ready, ALIVE_WITHIN, "KubeRay's cluster has three ready pods")
        return time.monotonic() - begun
    finally:
        there.run("delete", "namespace", name, timeout=300)


def objects(there: Space) -> int:
    """What `render` prints, two Secrets and the anchor."""
    return len([d for d in yaml.safe_load_all(Cli(there.user)("render").stdout) if d]) + 3


def line(label: str, measured: str, target: str) -> None:
    print(f"{label:<52}{measured:>14}{target:>12}", flush=True)


def real(admin: Kube, rounds: int, operator: Kube | None) -> None:
    """Real clusters: the time until three nodes are alive, and requests."""
    hand, ours, theirs = [], [], []
    for number in range(rounds):
        hand.append(guides(admin))
        if operator:
            spec = Cli(admin)("render", "--as", "raycluster", "--storage", "none").stdout
            theirs.append(kuberays(operator, spec))
        with space(admin) as there:
            cost, first, _ = there.requests("up")
            ours.append(cost.seconds)
            if number == 0:
                count = objects(there)
                _, again, mutating = there.requests("up")
                _, asked, _ = there.requests("status")
                there.run("plan")
            gone = there.run("down", "--yes")
            if number == 0:
                line("requests of the first up", str(first), f"≤ {2 * count + 25}")
                line("requests of an unchanged up", str(again), f"≤ {count + 15}")
                line("   of these that change something", str(mutating), "0")
                line("requests of status", str(asked), "≤ 12")
                line("seconds of down", f"{gone.seconds:.1f}", "≤ 15")
    h, o = statistics.median(hand), statistics.median(ours)
    line("seconds to three nodes, the guide's manifests", f"{h:.1f}", "")
    line("seconds to three nodes, raystead up", f"{o:.1f}", "")
    line("   ratio", f"{o / h:.2f}", "≤ 1.05")
    line("   our slowest, against our median", f"{max(ours) / o:.2f}", "≤ 1.3")
    if theirs:
        line("seconds to three ready pods, KubeRay", f"{statistics.median(theirs):.1f}", "")
        print(f"   all, KubeRay's:   {' '.join(f'{x:.1f}' for x in theirs)}")
    print(f"   all, the guide's: {' '.join(f'{x:.1f}' for x in hand)}")
    print(f"   all, raystead's:  {' '.join(f'{x:.1f}' for x in ours)}")


def pods_spec() -> str:
    container = "{name: ray, image: ray:none, resources: {limits: {cpu: 1, memory: 1Gi}}}"
    toleration = f"{{key: {TOLERATION['key']}, operator: Exists}}"
    return f"{{nodeSelector: {SELECTOR}, tolerations: [{toleration}], containers: [{container}]}}"


def thousand(admin: Kube, workers: int, rounds: int) -> None:
    """`status` of a cluster with a thousand workers."""
    add_nodes(admin, 1 + workers // 60, pods=110)
    try:
        with space(admin) as there, tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(MANY.format(name="many", replicas=workers, spec=pods_spec()))
            file.flush()
            there.run("up", "-f", file.name, "--wait=false")

            def all_run() -> bool:
                status = there.admin.get("deployment", "many-many-worker")["status"]
                return bool(status.get("readyReplicas") == workers)

            until(all_run, 600, f"{workers} workers run", every=3)
            costs = [there.run("status") for _ in range(rounds)]
            _, asked, _ = there.requests("status")
            cpu = statistics.median(c.cpu for c in costs)
            line(f"CPU seconds of status, {workers} workers", f"{cpu:.2f}", "≤ 1.5")
            line(f"requests of status, {workers} workers", str(asked), f"≤ {12 + (workers + 1) // 500}")
            for verb in ("list", "explain", "plan", "doctor"):
                more = there.run(verb, codes=(0, 84))
                line(f"CPU seconds of {verb}, {workers} workers", f"{more.cpu:.2f}", "")
            gone = there.run("down", "--yes")
            line(f"seconds of down, {workers} workers", f"{gone.seconds:.1f}", "")
    finally:
        remove_nodes(admin)


def hundred(admin: Kube, clusters: int, rounds: int) -> None:
    """`list` of a namespace with a hundred clusters."""
    with space(admin, pods=0) as there:
        api = api_of(there.user)
        for number in range(clusters):
            text = MANY.format(name=f"c-{number}", replicas=1, spec=pods_spec())
            made = prepare(*wanted(api, Flags(), text, "bench.yaml"), policies="never")
            apply(made, lambda event: None)
        costs = [there.run("list") for _ in range(rounds)]
        _, requests, _ = there.requests("list")
        cpu = statistics.median(c.cpu for c in costs)
        line(f"CPU seconds of list, {clusters} clusters", f"{cpu:.2f}", "≤ 1.5")
        line(f"requests of list, {clusters} clusters", str(requests), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--only", choices=["real", "many"])
    said = parser.parse_args()
    admin = Kube(Path(setting("$(binary kubectl)")), Path(setting("$PKI/admin.conf")))
    enter(setting("$NETNS"))
    line("", "measured", "target")
    if said.only != "many":
        with kuberay(admin) as operator:
            real(admin, said.rounds, operator)
    if said.only != "real":
        thousand(admin, said.workers, said.rounds)
        hundred(admin, said.clusters, said.rounds)
    for verb, memory in sorted(peaks.items()):
        line(f"peak memory in MB of {verb}", f"{memory:.0f}", "≤ 60" if said.only == "real" else "≤ 100")


if __name__ == "__main__":
    main()
