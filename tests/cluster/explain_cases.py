"""Causes made for real: each a small cluster of its own name, shaped by the product's own rendering, then broken.

Most share one namespace (clusters do not disturb each other); those that need a namespace of a kind have one.
"""

import copy
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
RAYSTEAD = Path(sys.executable).with_name("raystead")
RAY = "rayproject/ray:2.60.0-py311"
SMALL = "redis:7.0.15"  # has a shell and starts at once
ANOTHER = "ray.io/group"


@dataclass
class Made:
    """The objects of one broken cluster."""

    name: str
    spec: Json
    objects: list[Json]

    def of(self, kind: str, group: str = "") -> Json:
        for thing in self.objects:
            labels = thing.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
            if thing["kind"] == kind and (not group or labels.get(ANOTHER) == group):
                return thing
        raise KeyError((kind, group))

    def template(self, group: str = "worker") -> Json:
        kind = "StatefulSet" if group == "redis" else "Deployment"
        return self.of(kind, "" if group == "redis" else group)["spec"]["template"]

    def container(self, group: str = "worker") -> Json:
        return self.template(group)["spec"]["containers"][0]


@dataclass(frozen=True)
class Case:
    name: str
    cause: str
    spoil: Callable[[Made], None]
    group: str | None = "worker"
    space: str = "shared"
    real: bool = False  # Ray itself starts, else containers that only sleep
    storage: str = "none"
    groups: tuple[str, ...] = ("worker",)
    alone: bool = True  # nothing else may be found


def render(name: str, storage: str, groups: tuple[str, ...] = ("worker",), **options: Any) -> Made:
    """The product's objects for a small cluster."""
    container = {
        "image": RAY,
        "resources": {
            "requests": {"cpu": "20m", "memory": "100M"},
            "limits": {"cpu": "1", "memory": "1500M"},
        },
    }
    template = {"spec": {"containers": [{"name": "ray", **container}]}}
    spec: Json = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "annotations": {"raystead.io/storage": storage}},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template},
            "workerGroupSpecs": [
                {"groupName": g, "replicas": 1, "rayStartParams": {}, "template": template} for g in groups
            ],
            **options,
        },
    }
    text = yaml.safe_dump(spec)
    done = subprocess.run(
        [RAYSTEAD, "render", "-f", "-"], input=text, capture_output=True, text=True, check=True
    )
    return Made(name, spec, [d for d in yaml.safe_load_all(done.stdout) if d])


def make(case: Case, patterns: dict[tuple[str, tuple[str, ...]], Made]) -> Made:
    """The case's objects: rendered once a shape, then renamed and spoilt."""
    key = (case.storage, case.groups)
    if key not in patterns:
        patterns[key] = render("patternx", case.storage, case.groups)
    pattern = patterns[key]
    text = yaml.safe_dump_all([pattern.spec, *pattern.objects]).replace("patternx", case.name)
    spec, *objects = yaml.safe_load_all(text)
    made = Made(case.name, spec, objects)
    made.spec.setdefault("metadata", {})["namespace"] = "NAMESPACE"
    if not case.real:
        for thing in made.objects:
            if thing["kind"] in ("Deployment", "StatefulSet"):
                _sleeping(thing)
        made.of("Deployment", "headgroup")["spec"]["replicas"] = 0
        made.spec["spec"]["headGroupSpec"]["template"]["metadata"] = {}
    case.spoil(made)
    return made


def _sleeping(thing: Json) -> None:
    pod = thing["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = 0
    pod["securityContext"] |= {"runAsUser": 999}
    pod["volumes"] = [v for v in pod["volumes"] if "secret" not in v]
    for container in pod["containers"]:
        container["image"] = SMALL
        container["command"] = ["sh", "-c", "sleep 3600"]
        container["resources"] = {
            "requests": {"cpu": "1m", "memory": "8Mi"},
            "limits": {"cpu": "500m", "memory": "64Mi"},
        }
        for key in ("args", "livenessProbe", "readinessProbe", "startupProbe", "env"):
            container.pop(key, None)
        names = {v["name"] for v in pod["volumes"]}
        names |= {c["metadata"]["name"] for c in thing["spec"].get("volumeClaimTemplates", [])}
        container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] in names]


def shell(text: str, group: str = "worker") -> Callable[[Made], None]:
    return lambda made: made.container(group).update(command=["sh", "-c", text])


def image(name: str, group: str = "worker", policy: str = "IfNotPresent") -> Callable[[Made], None]:
    return lambda made: made.container(group).update(image=name, imagePullPolicy=policy)


def pod(**more: Any) -> Callable[[Made], None]:
    return lambda made: made.template()["spec"].update(copy.deepcopy(more))


def requests(**more: str) -> Callable[[Made], None]:
    return lambda made: made.container()["resources"].update(requests=more, limits=more)


def volume(source: Json, path: str = "/x") -> Callable[[Made], None]:
    def spoil(made: Made) -> None:
        made.template()["spec"]["volumes"].append({"name": "x", **source})
        made.container()["volumeMounts"].append({"name": "x", "mountPath": path})

    return spoil


def claim(name: str, storage_class: str | None) -> Callable[[Made], None]:
    def spoil(made: Made) -> None:
        spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        if storage_class is not None:
            spec["storageClassName"] = storage_class
        metadata = {"name": f"{made.name}-{name}"}
        made.objects.append(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
        )
        volume({"persistentVolumeClaim": {"claimName": f"{made.name}-{name}"}})(made)

    return spoil


def probe(kind: str, start: str = "sleep 3600", port: int = 9) -> Callable[[Made], None]:
    """A probe of a port on which nobody listens, unless `start` does."""

    def spoil(made: Made) -> None:
        made.container()["command"] = ["sh", "-c", start]
        made.container()[kind] = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 3}

    return spoil


def env(name: str, reference: Json) -> Callable[[Made], None]:
    return lambda made: made.container().update(env=[{"name": name, "valueFrom": reference}])


def replicas(count: int) -> Callable[[Made], None]:
    return lambda made: made.of("Deployment", "worker")["spec"].update(replicas=count)


def both(*spoils: Callable[[Made], None]) -> Callable[[Made], None]:
    def spoil(made: Made) -> None:
        for one in spoils:
            one(made)

    return spoil


@dataclass
class Registry:
    """A registry that only refuses: containerd speaks to it as to any other."""

    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        answers = {
            "missing": (404, "MANIFEST_UNKNOWN", "manifest unknown"),
            "private": (401, "UNAUTHORIZED", "authentication required"),
            "limited": (429, "TOOMANYREQUESTS", "You have reached your pull rate limit"),
        }

        class Handler(BaseHTTPRequestHandler):
            default_request_version = (
                "HTTP/1.1"  # containerd asks by TLS first and must see `HTTP/` come back
            )

            def do_GET(self) -> None:
                code, name, text = next((v for k, v in answers.items() if k in self.path), (200, "", ""))
                body = f'{{"errors":[{{"code":"{name}","message":"{text}"}}]}}'.encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


def cases(registry: str) -> list[Case]:
    """Every cause that a namespaced user can be hit by and that this machine can make."""
    key = {"secretKeyRef": {"name": "no-such-secret", "key": "k"}}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "nobody"}}, "topologyKey": "kubernetes.io/hostname"}]}}  # fmt: skip
    eat = "x=0123456789; while :; do x=$x$x; done"
    fill = (
        "i=0; x=$(printf '%01000d' 0); while [ $i -lt 9000 ]; do echo $x; i=$((i+1)); done > /x/y; sleep 3600"
    )
    serve = "redis-server --save '' & until redis-cli ping; do sleep 1; done; sleep 9; kill $!; sleep 3600"
    return [
        Case("cpu", "insufficient-resources", requests(cpu="64", memory="8Mi")),
        Case("gpu", "insufficient-resources", requests(cpu="1m", **{"nvidia.com/gpu": "1"})),
        Case("selector", "no-matching-node", pod(nodeSelector={"disk": "nvme"})),
        Case("affinity", "pod-affinity", pod(affinity=affinity)),
        Case("gated", "scheduling-gated", pod(schedulingGates=[{"name": "kueue.x-k8s.io/admission"}])),
        Case("claimless", "claim-missing", volume({"persistentVolumeClaim": {"claimName": "nowhere"}})),
        Case("classless", "claim-no-class", claim("data", "")),
        Case("badclass", "claim-class-missing", claim("data", "fast-ssd")),
        Case("unbound", "claim-pending", claim("data", "never-binds")),
        Case("notag", "image-not-found", image(f"{registry}/missing/ray:2.60.O")),
        Case("private", "image-denied", image(f"{registry}/private/ray:2.60.0")),
        Case("limited", "image-rate-limit", image(f"{registry}/limited/ray:2.60.0")),
        Case("noway", "registry-unreachable", image("registry.invalid/ray:2.60.0")),
        Case("badname", "image-name-invalid", image("rayproject/Ray:2.60.0")),
        Case("never", "image-never-pulled", image("rayproject/ray:1.0.0", policy="Never")),
        Case("noaccount", "service-account-missing", pod(serviceAccountName="nobody")),
        Case("nosecret", "secret-missing", env("X", key)),
        Case("nomount", "secret-missing", volume({"secret": {"secretName": "no-such-secret"}})),
        Case("noconfig", "secret-missing", volume({"configMap": {"name": "no-such-map"}})),
        Case("nokey", "secret-key-missing", env("X", {"configMapKeyRef": {"name": "kube-root-ca.crt", "key": "k"}})),
        Case("nofile", "secret-key-missing",
             volume({"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "k", "path": "k"}]}})),
        Case("root", "image-runs-as-root",
             lambda made: made.template()["spec"].update(securityContext={"runAsNonRoot": True})),
        Case("nocommand", "container-cannot-start", lambda made: made.container().update(command=["/no/such"])),
        Case("noray", "no-ray-in-image", shell("exec ray start --block")),
        Case("oom", "out-of-memory", shell(f"sleep 1; {eat}")),
        Case("killed", "killed", probe("readinessProbe")),
        Case("ends", "exited-by-itself", shell("sleep 1")),
        Case("fails", "crash-loop", shell("echo 'ImportError: no module named numpy' >&2; exit 1")),
        Case("overlimit", "evicted-over-limit",
             both(volume({"emptyDir": {"sizeLimit": "1Mi"}}), shell(fill))),
        Case("hung", "liveness-failed", probe("livenessProbe", "trap '' TERM; sleep 3600")),
        Case("lost", "not-ready-any-more",
             probe("readinessProbe", serve, 6379)),
        Case("slow", "slow-start", probe("readinessProbe")),
        Case("deleted", "objects-missing", lambda made: made.objects.remove(made.of("Deployment", "worker"))),
        Case("noservice", "service-missing", both(probe("readinessProbe"),
             lambda made: made.objects.remove(made.of("Service")))),
        Case("redisimage", "image-not-found", image(f"{registry}/missing/redis:7", "redis"), "redis", storage="redis"),
        Case("redispass", "redis-wrong-password", _wrong_password, "head", real=True, storage="redis"),
        Case("redisaway", "redis-unreachable", _redis_away, "head", real=True),
        Case("quota", "quota-exceeded", both(requests(cpu="100m", memory="8Mi"), replicas(3)), space="quota"),
        Case("quotaless", "quota-needs-requests", lambda made: made.container().update(resources={}), space="quota"),
        Case("limits", "limit-range", requests(cpu="4", memory="8Mi"), space="limits"),
        Case("security", "pod-security", pod(hostNetwork=True), space="restricted"),
        Case("webhook", "webhook-down", lambda made: None, space="webhook"),
        Case("denied", "webhook-denied", lambda made: None, space="denied"),
        Case("goes", "namespace-terminating", lambda made: None, None, space="goes"),
    ]  # fmt: skip


def _wrong_password(made: Made) -> None:
    for v in made.template("headgroup")["spec"]["volumes"]:
        if v["name"] == "redis-password":
            v["secret"]["secretName"] = f"{made.name}-other"
    made.of("Deployment", "worker")["spec"]["replicas"] = 0
    made.objects += [secret(f"{made.name}-other", "password", "wrong")]


def _redis_away(made: Made) -> None:
    made.spec["metadata"]["annotations"]["raystead.io/storage"] = "external"
    container = made.container("headgroup")
    container["env"].append({"name": "RAY_REDIS_ADDRESS", "value": "nowhere.invalid:6379"})
    from raystead.manifests.scripts import WAIT_FOR_REDIS

    container["args"][0] = WAIT_FOR_REDIS + container["args"][0]
    made.of("Deployment", "worker")["spec"]["replicas"] = 0


def secret(name: str, key: str, value: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}
