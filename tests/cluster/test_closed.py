"""A closed namespace: default-deny both ways, PodSecurity `restricted`, a quota that just fits the cluster."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli import Cli
from fixtures import DENY_ALL
from kube import Kube, pod, until
from survivor import HEAD, WORKERS, Survivor
from test_policies import SERVE, policy, reaches

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
IMAGE = "rayproject/ray:2.60.0"
# The built-in cluster and the foreign pod, and nothing more.
QUOTA = {
    "pods": "5",
    "requests.cpu": "1610m",
    "limits.cpu": "4500m",
    "requests.memory": str(4 * 10**9 + (256 + 16) * 2**20),
    "limits.memory": str(4 * 10**9 + (1024 + 256) * 2**20),
    "persistentvolumeclaims": "1",
    "requests.storage": "1Gi",
    "services": "2",
    "secrets": "2",
}
# Between two workers: 4 objects of 50 MB; then a listener on an ephemeral port and one on torch's 29500, as
# a pair of training processes has, asked from the other worker in both directions.
PAIR = """
import socket, threading, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init()
nodes = [n["NodeID"] for n in ray.nodes() if n["Alive"] and "node:__internal_head__" not in n["Resources"]]

@ray.remote(num_cpus=0)
def make(i):
    return bytes([i]) * 50_000_000

@ray.remote(num_cpus=0)
def measure(value):
    return len(value)

@ray.remote(num_cpus=0)
class Process:
    def listen(self):
        out = []
        for port in (0, 29500, 60123):
            s = socket.create_server(("0.0.0.0", port))
            threading.Thread(target=lambda s=s: [s.accept()[0].sendall(b"hello") for _ in range(9)], daemon=True).start()
            out.append(s.getsockname()[1])
        return ray.util.get_node_ip_address(), out
    def ask(self, ip, ports):
        return [socket.create_connection((ip, port), 10).recv(5) for port in ports]

for i in range(4):
    there = make.options(scheduling_strategy=On(nodes[i % 2], soft=False)).remote(i)
    assert ray.get(measure.options(scheduling_strategy=On(nodes[1 - i % 2], soft=False)).remote(there)) == 50_000_000
    del there
print("moved 200 MB")
pair = [Process.options(scheduling_strategy=On(node, soft=False)).remote() for node in nodes[:2]]
for one, two in (pair, pair[::-1]):
    ip, ports = ray.get(one.listen.remote())
    assert ray.get(two.ask.remote(ip, ports)) == [b"hello"] * 3
    print("asked", ip, ports)
"""
ANY_UID = """
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: anyone, annotations: {raystead.io/storage: redis}}
spec:
  rayVersion: 2.60.0
  headGroupSpec:
    rayStartParams: {}
    template:
      spec:
        securityContext: {runAsUser: 12345, runAsGroup: 0}
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0-py311
          resources: {requests: {cpu: 500m, memory: 2G}, limits: {cpu: "1", memory: 2G}}
  workerGroupSpecs:
  - groupName: worker
    replicas: 2
    rayStartParams: {}
    template:
      spec:
        securityContext: {runAsUser: 12345, runAsGroup: 0}
        containers:
        - name: ray-worker
          image: rayproject/ray:2.60.0-py311
          resources: {requests: {cpu: 500m, memory: 1G}, limits: {cpu: "1", memory: 1G}}
"""
DOORS = {"dashboard": 8265, "GCS": 6380, "client": 10001}


@dataclass
class Closed:
    """The closed namespace, its user, a foreign pod in it and one elsewhere, both free to connect anywhere."""

    user: Kube
    raystead: Cli
    foreign: Kube
    elsewhere: Kube

    def open_to(self, kube: Kube) -> set[str]:
        """The doors that kube's pod `foreign` gets through, by the pods' addresses and by the Services'."""
        head = self.user.items("pods", "-l", HEAD)[0]["status"]["podIP"]
        redis = self.user.get("pod", "redis-0")["status"]["podIP"]
        service = self.user.get("service", "service-ray-cluster")["spec"]["clusterIP"]
        targets = {name: [(head, port), (service, port)] for name, port in DOORS.items()}
        targets["Redis"] = [(redis, 6379), (self.user.get("service", "redis")["spec"]["clusterIP"], 6379)]
        tries = " ".join(f"'{n} {ip} {port}'" for n, pairs in targets.items() for ip, port in pairs)
        script = f'for t in {tries}; do set -- $t; (nc -z -w 1 "$2" "$3" && echo "$1") & done; wait'
        return set(kube.exec("foreign", "sh", "-c", script, check=False).split())


def foreign() -> dict[str, object]:
    return pod("foreign", IMAGE, ["python3", "-c", SERVE])


@pytest.fixture(scope="module")
def closed(own_cluster: Path, admin: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Closed]:
    import uuid

    name = f"t-{uuid.uuid4().hex[:8]}"
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    for space, labels in ((name, label), (f"{name}-b", {})):
        meta = {"name": space, "labels": labels}
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    inside, outside = admin.at(name), admin.at(f"{name}-b")
    for kube in (inside, outside):
        until(lambda k=kube: k.get("serviceaccount", "default"), 30, "the namespace has its ServiceAccount")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota"},
        "spec": {"hard": QUOTA},
    }
    free = policy(
        "free", podSelector={"matchLabels": {"app": "foreign"}}, policyTypes=["Egress"], egress=[{}]
    )
    inside.apply(DENY_ALL, quota, free)
    until(lambda: inside.get("quota", "quota")["status"].get("used"), 20, "the quota is counted")
    inside.apply(foreign())
    outside.apply(foreign())
    for kube in (inside, outside):
        kube.run("wait", "--for=condition=Ready", "pod/foreign", "--timeout=60s")
    user = as_user(inside, "edit")
    yield Closed(user, Cli(user), inside, outside)
    admin.run("delete", "namespace", name, f"{name}-b", "--wait=false")


@pytest.fixture(scope="module")
def up(closed: Closed) -> Survivor:
    closed.raystead("up")
    return Survivor(closed.user, closed.raystead)


def test_the_guides_manifests_get_no_pod_there(closed: Closed, guide: Path, admin: Kube) -> None:
    """PodSecurity refuses them; test_guide shows that its policies fail even where pods are let in."""
    name = f"{closed.user.namespace}-c"
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}})
    kube = admin.at(name)
    try:
        kube.apply(guide / "networkpolicy.yaml", guide / "static-ray-cluster.yaml")

        def refused() -> bool:
            conditions = [c for d in kube.items("deployments") for c in d["status"].get("conditions") or []]
            return sum("violates PodSecurity" in c.get("message", "") for c in conditions) == 3

        until(refused, 30, "all three Deployments are refused their pods")
        assert not kube.items("pods")
    finally:
        admin.run("delete", "namespace", name, "--wait=false")


def test_up_with_a_quota_that_just_fits(closed: Closed, up: Survivor) -> None:
    used = closed.foreign.get("quota", "quota")["status"]
    assert used["used"]["pods"] == used["hard"]["pods"], "the quota is full: it just fits"
    refused = closed.user.run("run", "one-more", f"--image={IMAGE}", check=False)
    assert "exceeded quota" in refused.stderr or "violates PodSecurity" in refused.stderr


def test_a_job_moves_200_mb_and_a_pair_listens_on_ephemeral_ports(up: Survivor) -> None:
    done = up.raystead("submit", "-q", "--", "python", "-c", PAIR)
    assert "moved 200 MB" in done.stdout
    assert done.stdout.count("\nasked 10.") == 2  # Ray says the program too


def test_logs_and_status_work(up: Survivor) -> None:
    assert "Ray runtime started" in up.raystead("logs", "head").stdout
    assert "ray-cluster   Ready since" in up.raystead("status").stdout


def test_nobody_from_outside_reaches_a_door(closed: Closed, up: Survivor) -> None:
    outside = closed.elsewhere.get("pod", "foreign")["status"]["podIP"]
    assert reaches(closed.foreign, "foreign", outside, 8080), "the foreign pod may connect to others"
    assert closed.open_to(closed.foreign) == set()
    assert closed.open_to(closed.elsewhere) == set()


def test_who_is_allowed_reaches_just_that_door(closed: Closed, up: Survivor) -> None:
    up.raystead("up", "--allow-from", "pods=app=foreign", "--to", "dashboard")
    up.raystead("up", "--allow-from", f"namespace={closed.elsewhere.namespace}", "--to", "client")
    until(lambda: closed.open_to(closed.foreign) == {"dashboard"}, 10, "the dashboard alone")
    until(lambda: closed.open_to(closed.elsewhere) == {"client"}, 10, "the client port alone")
    up.raystead("up", "--allow-from", "none")
    until(lambda: closed.open_to(closed.foreign) | closed.open_to(closed.elsewhere) == set(), 10, "closed")


def test_a_lost_head_comes_back(closed: Closed, up: Survivor) -> None:
    up.start()
    workers, heads, lost = up.lives(WORKERS), up.lives(HEAD), time.time()
    closed.user.run("delete", "pod", up.head(), "--force", "--grace-period=0")
    until(lambda: up.ready(HEAD, other_than=heads), 120, "a new head is ready")
    assert up.answer() > 0
    up.unhurt(since=lost)
    assert up.lives(WORKERS) == workers


@pytest.mark.long
def test_down_then_as_any_user_id(closed: Closed, up: Survivor, tmp_path: Path) -> None:
    up.raystead("down", "--yes")
    assert [p["metadata"]["name"] for p in closed.user.items("pods")] == ["foreign"]
    file = tmp_path / "anyone.yaml"
    file.write_text(ANY_UID)
    closed.raystead("up", "-f", str(file))
    head = closed.user.items("pods", "-l", "ray.io/node-type=head")[0]["metadata"]["name"]
    assert closed.user.exec(head, "id", "-u").strip() == "12345"
    assert "moved 200 MB" in closed.raystead("submit", "-q", "--", "python", "-c", PAIR).stdout
    closed.raystead("down", "--yes")
