"""What the author of a RayCluster file meant, asked of the cluster that came of it.

Most of it stands in the file: what is mounted is there, each variable has its value, every container runs,
init containers are done, Ray has the CPUs, resources and labels that are written, a task runs, the
autoscaler adds a worker, ports answer (from a pod outside the cluster where the file opens them), a detached
actor outlives the head where the GCS has a store, its keys are in Redis, a policy shuts what it shuts. What
a file says only to a reader is in `sample_own.py`. No product code: the file and the API server are the
witnesses.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kube import Kube, until

Json = dict[str, Any]
HEAD = "headgroup"
LISTENED = {6379: "GCS", 8265: "dashboard", 10001: "client", 8080: "metrics", 44217: "autoscaler's metrics",
            44227: "dashboard's metrics"}  # fmt: skip
# stays on the RayCluster under KubeRay; docs/deviations.md
_LABELS_ELSEWHERE = {"kueue.x-k8s.io/queue-name"}
NODES = """
import json, ray
ray.init(log_to_driver=False, logging_level="ERROR")
print("NODES " + json.dumps([{k: n[k] for k in ("Alive", "Resources", "Labels")} for n in ray.nodes()]))
"""
TASK = """
import ray
ray.init(log_to_driver=False, logging_level="ERROR")
@ray.remote
def four(): return 2 + 2
print("TASK", ray.get(four.remote(), timeout=240))
"""
MORE = """
import ray
ray.init(log_to_driver=False, logging_level="ERROR")
before = sum(n["Alive"] for n in ray.nodes())
@ray.remote(num_cpus=1)
class A:
  def ping(self): return "pong"
many = [A.remote() for _ in range(int(ray.cluster_resources().get("CPU", 0)) + 1)]
ray.get([a.ping.remote() for a in many], timeout=300)
print("MORE", sum(n["Alive"] for n in ray.nodes()) - before)
"""
KEEP = """
import ray
ray.init(log_to_driver=False, logging_level="ERROR", namespace="samples")
@ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001} if ALONE else None, max_restarts=-1)
class A:
  def ping(self): return "pong"
a = A.options(name="kept", lifetime="detached").remote()
print("KEEP", ray.get(a.ping.remote(), timeout=120))
"""
KEPT = """
import ray
ray.init(log_to_driver=False, logging_level="ERROR", namespace="samples")
print("KEPT", ray.get(ray.get_actor("kept").ping.remote(), timeout=120))
"""
CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4).close()"
SERVE = (
    "import sys; from socketserver import BaseRequestHandler, TCPServer; "
    "TCPServer(('', int(sys.argv[1])), BaseRequestHandler).serve_forever()"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `wrong` is empty where it is as its author meant."""

    what: str
    wrong: str = ""


@dataclass
class Subject:
    """A RayCluster that is up, its file's documents, and a pod `visitor` outside of the cluster."""

    kube: Kube
    documents: list[Json]

    @property
    def cluster(self) -> Json:
        return next(d for d in self.documents if d.get("kind") == "RayCluster")

    @property
    def name(self) -> str:
        return str(self.cluster["metadata"]["name"])

    @property
    def groups(self) -> list[tuple[str, Json]]:
        spec = self.cluster["spec"]
        workers = [(g["groupName"], g) for g in spec.get("workerGroupSpecs") or []]
        return [(HEAD, spec["headGroupSpec"]), *workers]

    def pods(self, group: str) -> list[Json]:
        wanted = f"ray.io/cluster={self.name},ray.io/group={group}"
        return [p for p in self.kube.items("pods", "-l", wanted) if "deletionTimestamp" not in p["metadata"]]

    @property
    def head(self) -> Json:
        return self.pods(HEAD)[0]

    def inside(self, pod: Json | str, *command: str, container: str = "", timeout: float = 60) -> str:
        name = pod if isinstance(pod, str) else pod["metadata"]["name"]
        where = ["-c", container] if container else []
        done = self.kube.run("exec", name, *where, "--", *command, check=False, timeout=timeout)
        if done.returncode:
            raise AssertionError((done.stderr or done.stdout).strip()[-300:])
        return done.stdout

    def ray(self, program: str, mark: str, timeout: float = 330) -> str:
        """Runs a driver in the head's Ray container and answers what it printed behind its mark."""
        container = self.cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["name"]
        said = self.inside(self.head, "python", "-c", program, container=container, timeout=timeout)
        found = re.search(rf"^{mark} (.*)$", said, re.MULTILINE)
        assert found, f"the driver said {said[-200:]!r}"
        return found.group(1)

    def connects(self, pod: Json | str, host: str, port: int) -> bool:
        try:
            self.inside(pod, "python", "-c", CONNECT, host, str(port))
        except AssertionError:
            return False
        return True


Check = Callable[[Subject], Iterator[Finding]]


def findings(subject: Subject, own: Check) -> Iterator[Finding]:
    """Everything that was looked at, in the order of cost; the last ones break the head."""
    checks: list[Check] = [
        containers, mounts, variables, commands, queues, ray_nodes, head_service, doors, redis,
        own, policy, autoscaler, survival,
    ]  # fmt: skip
    for check in checks:
        try:
            yield from check(subject)
        except (
            AssertionError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # a check that breaks is a finding of its own
            name = getattr(check, "__name__", "own check")
            yield Finding(name, f"{name.strip('_')}: {type(error).__name__}: {str(error)[-300:]}")


def judged(what: str, right: bool, wrong: str) -> Finding:
    return Finding(what, "" if right else wrong)


def containers(subject: Subject) -> Iterator[Finding]:
    """As many pods as the file says, every container of it in them and running, init containers done."""
    autoscaled = subject.cluster["spec"].get("enableInTreeAutoscaling")
    for group, spec in subject.groups:
        pods = subject.pods(group)
        wanted = 1 if group == HEAD else max(spec.get("replicas", 0), spec.get("minReplicas", 0))
        right = len(pods) >= wanted if autoscaled else len(pods) == wanted
        yield judged(f"{wanted} pods of {group}", right, f"{len(pods)} pods of {group}, not {wanted}")
        for pod in pods:
            states = pod["status"].get("containerStatuses", []) + pod["status"].get(
                "initContainerStatuses", []
            )
            there = {s["name"]: s for s in states}
            for one in spec["template"]["spec"]["containers"]:
                state = there.get(one["name"], {})
                yield judged(
                    f"container {one['name']}",
                    bool(state.get("ready")),
                    f"{one['name']} is {state.get('state')}",
                )
            for one in spec["template"]["spec"].get("initContainers") or []:
                ended = there.get(one["name"], {}).get("state", {}).get("terminated", {})
                yield judged(
                    f"init container {one['name']}", ended.get("exitCode") == 0, f"{one['name']}: {ended}"
                )


def mounts(subject: Subject) -> Iterator[Finding]:
    """What a container mounts is there, with the content that the file gives it."""
    for group, spec in subject.groups:
        pods = subject.pods(group)
        template = spec["template"]["spec"]
        volumes = {v["name"]: v for v in template.get("volumes") or []}
        for one in template["containers"]:
            for mount in one.get("volumeMounts") or []:
                if not pods:
                    continue
                path, volume = mount["mountPath"], volumes[mount["name"]]
                mounted = subject.inside(pods[0], "cat", "/proc/mounts", container=one["name"])
                yield judged(
                    f"mount {path}", f" {path} " in mounted, f"{path} is not mounted in {one['name']}"
                )
                for file, text in content(subject, volume, mount):
                    have = subject.inside(pods[0], "cat", file, container=one["name"])
                    yield judged(f"file {file}", have == text, f"{file} in {one['name']} has another content")


def content(subject: Subject, volume: Json, mount: Json) -> Iterator[tuple[str, str]]:
    """The path and text of each file that a ConfigMap or Secret of the file puts there."""
    for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if not (source := volume.get(key)):
            continue
        data = data_of(subject, kind, source.get("name") or source.get("secretName"))
        items = source.get("items") or [{"key": k, "path": k} for k in data]
        for item in items:
            if mount.get("subPath") in (None, item["path"]):
                path = mount["mountPath"] if "subPath" in mount else f"{mount['mountPath']}/{item['path']}"
                yield path, data[item["key"]]


def data_of(subject: Subject, kind: str, name: str) -> dict[str, str]:
    for document in subject.documents:
        if document.get("kind") == kind and document["metadata"]["name"] == name:
            data = document.get("data", {})
            if kind == "Secret":
                data = {k: base64.b64decode(v).decode() for k, v in data.items()}
            return {**data, **document.get("stringData", {})}
    return {}


def variables(subject: Subject) -> Iterator[Finding]:
    """Each variable of the file has its value in the first process of its container."""
    for group, spec in subject.groups:
        for pod in subject.pods(group)[:1]:
            for one in spec["template"]["spec"]["containers"]:
                if not one.get("env"):
                    continue
                raw = subject.inside(pod, "cat", "/proc/1/environ", container=one["name"])
                have = dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)
                for entry in one["env"]:
                    wanted = entry.get("value")
                    if ref := entry.get("valueFrom", {}).get("secretKeyRef"):
                        wanted = data_of(subject, "Secret", ref["name"]).get(ref["key"])
                    name = entry["name"]
                    right = name in have if wanted is None else have.get(name) == wanted
                    yield judged(
                        f"variable {name}", right, f"{name} is {'another' if name in have else 'not set'}"
                    )


def commands(subject: Subject) -> Iterator[Finding]:
    """What a command of the file echoes is in its container's log."""
    spec = subject.cluster["spec"]
    wanted = [
        (group, one["name"], [*one.get("command", []), *one.get("args", [])])
        for group, g in subject.groups
        for one in g["template"]["spec"]["containers"]
    ]
    options = spec.get("autoscalerOptions") or {}
    wanted.append((HEAD, "autoscaler", [*options.get("command", []), *options.get("args", [])]))
    for group, container, words in wanted:
        for echoed in re.findall(r"\becho ('[^']*'|[^;&|]*)", " ".join(words)):
            text = " ".join(shlex.split(echoed))
            for pod in subject.pods(group)[:1]:
                log = subject.kube.out("logs", pod["metadata"]["name"], "-c", container)
                yield judged(
                    f"echo {text}", text in log.splitlines(), f"{container}'s log has no line {text!r}"
                )
        if "ulimit -n" in " ".join(words):
            for pod in subject.pods(group)[:1]:
                limits = subject.inside(pod, "cat", "/proc/1/limits", container=container)
                found = re.search(r"^Max open files +(\d+) +(\d+)", limits, re.MULTILINE)
                wanted_limit = re.search(r"ulimit -n (\d+)", " ".join(words))
                assert found
                assert wanted_limit
                most = min(
                    int(wanted_limit.group(1)), int(found.group(2))
                )  # the node's own limit may be lower
                right = int(found.group(1)) == most
                yield judged("ulimit -n", right, f"open files: {found.group(1)}, not {most}")


def queues(subject: Subject) -> Iterator[Finding]:
    """Labels for a batch scheduler stand on every pod, and annotations of a template on its pods."""
    labels: Json = subject.cluster["metadata"].get("labels") or {}
    for group, spec in subject.groups:
        template = spec["template"].get("metadata") or {}
        for pod in subject.pods(group):
            have = pod["metadata"]["labels"]
            for key in labels.keys() - _LABELS_ELSEWHERE:
                yield judged(
                    f"label {key}", have.get(key) == labels[key], f"{key} is {have.get(key)} on {group}"
                )
            if "yunikorn.apache.org/app-id" in labels:
                yield judged("YuniKorn's applicationId", "applicationId" in have, "no label applicationId")
                groups = pod["metadata"].get("annotations", {}).get("yunikorn.apache.org/task-groups", "[]")
                names = {g["name"] for g in json.loads(groups)}
                yield judged(
                    "YuniKorn's task groups", len(names) == len(subject.groups), f"task groups {names}"
                )
            for key, value in (template.get("annotations") or {}).items():
                have = pod["metadata"].get("annotations", {})
                yield judged(f"annotation {key}", have.get(key) == value, f"{key} is {have.get(key)}")


def ray_nodes(subject: Subject) -> Iterator[Finding]:
    """Ray's own nodes have the CPUs, resources and labels of the file, and run a task."""
    nodes = [n for n in json.loads(subject.ray(NODES, "NODES")) if n["Alive"]]
    wanted = sum(len(subject.pods(group)) for group, _ in subject.groups)
    yield judged(f"{wanted} nodes in Ray", len(nodes) == wanted, f"{len(nodes)} nodes in Ray, not {wanted}")
    for group, spec in subject.groups:
        mine = [n for n in nodes if n["Labels"].get("ray.io/node-group") == group]
        size = spec["template"]["spec"]["containers"][0].get("resources") or {}
        cpu = (size.get("limits") or {}).get("cpu") or (size.get("requests") or {}).get("cpu")
        params = {**({"num-cpus": cpu} if cpu else {}), **(spec.get("rayStartParams") or {})}
        wanted_cpu = float((spec.get("resources") or {}).get("CPU", params.get("num-cpus", 0)))
        for node in mine:
            have = node["Resources"].get("CPU", 0.0)
            yield judged(
                f"{wanted_cpu:g} CPUs of {group}",
                have == wanted_cpu,
                f"{have} CPUs of {group}, not {wanted_cpu}",
            )
            for key, value in (spec.get("labels") or {}).items():
                yield judged(
                    f"Ray's label {key}",
                    node["Labels"].get(key) == value,
                    f"Ray's label {key} is {node['Labels'].get(key)}",
                )
    if not subject.cluster["spec"].get("enableInTreeAutoscaling") and any(
        n["Resources"].get("CPU") for n in nodes
    ):
        yield judged("a task", subject.ray(TASK, "TASK") == "4", "a task has another result")


def service(subject: Subject) -> Json:
    own = (subject.cluster["spec"]["headGroupSpec"].get("headService") or {}).get("metadata") or {}
    return dict(subject.kube.get("service", own.get("name", f"{subject.name}-head-svc")))


def head_service(subject: Subject) -> Iterator[Finding]:
    """The head's Service has the name, type, labels, annotations and ports of the file."""
    head = subject.cluster["spec"]["headGroupSpec"]
    own = head.get("headService") or {}
    made = service(subject)
    kind = (own.get("spec") or {}).get("type") or head.get("serviceType") or "ClusterIP"
    yield judged(
        f"Service of type {kind}",
        made["spec"]["type"] == kind,
        f"the Service's type is {made['spec']['type']}",
    )
    for field in ("labels", "annotations"):
        for key, value in ((own.get("metadata") or {}).get(field) or {}).items():
            have = made["metadata"].get(field, {}).get(key)
            yield judged(f"the Service's {key}", have == value, f"the Service's {key} is {have}")


def doors(subject: Subject) -> Iterator[Finding]:
    """Each port of the head answers: to everybody where the file opens it, else to the cluster's pods."""
    head = subject.cluster["spec"]["headGroupSpec"]
    own = (head.get("headService") or {}).get("spec") or {}
    made = service(subject)
    opened: set[int] = set()
    if made["spec"]["type"] in ("NodePort", "LoadBalancer"):
        opened = {p["port"] for p in own.get("ports") or []} or {8265, 10001}
    for document in subject.documents:
        if document.get("kind") == "Ingress":
            opened |= {int(n) for n in re.findall(r"'number': (\d+)", str(document["spec"]))}
    ports = (
        {p["containerPort"] for p in head["template"]["spec"]["containers"][0].get("ports") or []}
        | opened
        | {6379, 8265, 10001}
    )
    member = next((p for group, _ in subject.groups[1:] for p in subject.pods(group)), subject.head)
    for port in sorted(ports):
        if port not in LISTENED:  # the author's own program listens there; one of ours does meanwhile
            container = head["template"]["spec"]["containers"][0]["name"]
            start = f"python -c {shlex.quote(SERVE)} {port} >/dev/null 2>&1 & sleep 1"
            subject.inside(subject.head, "sh", "-c", start, container=container)
        what = f"port {port} from {'outside of the cluster' if port in opened else 'the cluster'}"
        reached = subject.connects("visitor" if port in opened else member, made["metadata"]["name"], port)
        yield judged(what, reached, f"{what}: no connection")


def redis(subject: Subject) -> Iterator[Finding]:
    """The GCS keeps its keys in the Redis that the file names."""
    options = subject.cluster["spec"].get("gcsFaultToleranceOptions") or {}
    variables = subject.cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0].get("env") or []
    address = options.get("redisAddress") or next(
        (e["value"] for e in variables if e["name"] == "RAY_REDIS_ADDRESS"), ""
    )
    if not address:
        return
    port = address.rpartition(":")[2]
    secrets = [d["metadata"]["name"] for d in subject.documents if d.get("kind") == "Secret"]
    password = next((p for name in secrets for p in data_of(subject, "Secret", name).values()), "")
    sidecar = "127.0.0.1" in address
    pod = subject.head if sidecar else subject.kube.items("pods", "-l", "app=redis")[0]
    login = ["-a", password, "--no-auth-warning"] if password else []
    size = subject.inside(pod, "redis-cli", "-p", port, *login, "dbsize", container="redis")
    yield judged("keys in Redis", int(re.sub(r"\D", "", size) or 0) > 0, f"Redis has {size.strip()}")


def policy(subject: Subject) -> Iterator[Finding]:
    """What the file's policy shuts is shut, both ways."""
    rules = subject.cluster["spec"].get("networkPolicy")
    if not rules:
        return
    subject.inside("visitor", "sh", "-c", f"python -c {shlex.quote(SERVE)} 7777 >/dev/null 2>&1 & sleep 1")
    address = subject.kube.get("pod", "visitor")["status"]["podIP"]
    mode = rules.get("mode", "DenyAll")
    shut = not subject.connects("visitor", service(subject)["metadata"]["name"], 8265)
    yield judged("ingress is shut", shut or mode == "DenyAllEgress", "a pod outside reaches the dashboard")
    shut = not subject.connects(subject.head, address, 7777)
    yield judged("egress is shut", shut or mode == "DenyAllIngress", "the head reaches a pod outside")


def autoscaler(subject: Subject) -> Iterator[Finding]:
    """The autoscaler's container runs, and one actor more than there are CPUs brings a worker."""
    if not subject.cluster["spec"].get("enableInTreeAutoscaling"):
        return
    states = {s["name"]: s for s in subject.head["status"]["containerStatuses"]}
    state = states.get("autoscaler", {})
    runs = bool(state.get("ready")) and state.get("restartCount", 0) < 2
    yield judged("container autoscaler", runs, f"autoscaler is {state.get('state')}")
    if not runs:
        return
    came = int(subject.ray(MORE, "MORE", timeout=400))
    yield judged("the autoscaler adds a worker", came >= 1, f"{came} workers came")


def survival(subject: Subject) -> Iterator[Finding]:
    """Where the GCS has a store, a detached actor is still there after the head's pod was deleted."""
    stored = subject.cluster["spec"].get("gcsFaultToleranceOptions")
    annotated = (subject.cluster["metadata"].get("annotations") or {}).get("ray.io/ft-enabled") == "true"
    if not stored and not annotated:
        return
    yield judged(
        "a detached actor",
        subject.ray(KEEP.replace("ALONE", str(len(subject.groups) == 1)), "KEEP") == "pong",
        "no",
    )
    before = subject.head["metadata"]["name"]
    subject.kube.run("delete", "pod", before, "--wait=false")

    def back() -> bool:
        pods = [p for p in subject.pods(HEAD) if p["metadata"]["name"] != before]
        return bool(pods) and all(
            s["ready"] for s in pods[0]["status"].get("containerStatuses", [{"ready": False}])
        )

    until(back, 180, "the head is back", every=1)
    time.sleep(2)
    try:
        yield judged("an actor outlives the head", subject.ray(KEPT, "KEPT") == "pong", "the actor is gone")
    except AssertionError as error:
        ended = {s["name"]: s.get("lastState") for s in subject.head["status"]["containerStatuses"]}
        raise AssertionError(f"{error}; the new head's containers ended with {ended}") from None


def left(kube: Kube, before: set[str]) -> list[str]:
    """What `down -f FILE` left in the namespace."""
    return sorted(everything(kube) - before)


def everything(kube: Kube) -> set[str]:
    kinds = (
        "pods,services,deployments,replicasets,statefulsets,jobs,configmaps,secrets,persistentvolumeclaims,"
    )
    kinds += "networkpolicies,ingresses,serviceaccounts,roles,rolebindings,poddisruptionbudgets"
    return set(kube.out("get", kinds, "-o", "name").split())


def documents(path: Path) -> list[Json]:
    return [d for d in yaml.safe_load_all(path.read_text()) if isinstance(d, dict)]
