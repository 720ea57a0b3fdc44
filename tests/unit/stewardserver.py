"""The API server and the kubelet's words that `stewardworld` plays with, each request of which may fail."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from raystead.incluster.hands import ApiFailed
from raystead.incluster.scaling import TEMPLATE as HASH
from raystead.incluster.scaling import name_of

Json = dict[str, Any]
PODS, CONFIG = "/api/v1/namespaces/ns/pods", "/api/v1/namespaces/ns/configmaps/state"
CONTAINER = {"name": "ray", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
TEMPLATE = {"spec": {"containers": [CONTAINER]}}
GROUP = {"groupName": "small", "minReplicas": 0, "maxReplicas": 4, "replicas": 0, "template": TEMPLATE}
DOCUMENT = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "demo", "namespace": "ns"},
    "spec": {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 8},
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": TEMPLATE},
        "workerGroupSpecs": [GROUP],
    },
}


def labels(kind: str, group: str) -> Json:
    return {"ray.io/cluster": "demo", "ray.io/node-type": kind, "ray.io/group": group}


def worker(group: str) -> Json:
    metadata = {"labels": labels("worker", group), "ownerReferences": [{"uid": "anchor"}]}
    return {"metadata": metadata, "spec": {}}


class Killed(BaseException):
    """The steward's process is."""


RUNNING = {
    "phase": "Running",
    "containerStatuses": [{"name": "ray", "state": {"running": {}}}],
    "conditions": [{"type": "Ready", "status": "True"}],
}
ENDED = {"phase": "Failed", "containerStatuses": [{"name": "ray", "state": {"terminated": {}}}]}


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)


class Now:
    """A pool that does at once what it is given."""

    def submit(self, what: Callable[..., Any], *words: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(what(*words))
        except Exception as error:  # noqa: BLE001 - as a pool does
            done.set_exception(error)
        return done


class Server:
    """Pods and one ConfigMap. `failing`: what the next requests meet, "refused" or "mute" (done, no answer)."""

    namespace = "ns"

    def __init__(self) -> None:
        self.version = 10
        self.pods: dict[str, Json] = {}
        self.events: list[tuple[str, Json]] = []
        self.failing: dict[str, list[str]] = {"pods": [], "state": []}
        self.quota, self.deleted, self.used = 99, list[str](), list[str]()
        self.away = False
        self.refusing = ""  # what an admission says of every pod
        self.asked, self.killed_at = 0, 0  # requests, and the one in which the steward is killed
        data = {
            "cluster.json": json.dumps(DOCUMENT),
            "pods.json": json.dumps({name: worker(name) for name in ("small", "other")}),
        }
        metadata = {"uid": "config", "ownerReferences": [{"uid": "anchor"}], "resourceVersion": "5"}
        self.config: Json = {"metadata": metadata, "data": data}
        self.put(
            {
                "metadata": {"name": "head", "labels": labels("head", "headgroup")},
                "status": {**RUNNING, "podIP": "10.0.0"},
            }
        )

    def number(self) -> str:
        self.version += 1
        return str(self.version)

    def put(self, pod: Json, kind: str = "ADDED") -> Json:
        pod["metadata"]["resourceVersion"] = self.number()
        self.pods[name_of(pod)] = pod
        self.events.append((kind, copy.deepcopy(pod)))
        return copy.deepcopy(pod)

    def remove(self, name: str) -> None:
        pod = self.pods.pop(name)
        pod["metadata"]["resourceVersion"] = self.number()
        self.events.append(("DELETED", pod))

    def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Json:
        what = "state" if path.startswith(CONFIG) else "pods"
        self.asked += 1
        if self.away:
            raise ApiFailed(0, "connection refused")
        fault = self.failing[what].pop(0) if self.failing[what] and method != "GET" else ""
        if fault == "refused":
            raise ApiFailed(0, "connection refused")
        try:
            answer = self._config(method, body) if what == "state" else self._pods(method, path, body)
        finally:  # a refusal is an answer too
            if self.killed_at == self.asked:
                raise Killed
        if fault == "mute":
            if method == "POST":  # if it goes before it is seen, nobody knows that its name is used up
                self.used.remove(body["metadata"]["name"])
            raise ApiFailed(0, "timed out")
        return answer

    def _config(self, method: str, body: Any) -> Json:
        if method == "PATCH":
            if body["metadata"]["resourceVersion"] != self.config["metadata"]["resourceVersion"]:
                raise ApiFailed(409, "the object has been modified")
            self.config["data"].update(body["data"])
            self.config["metadata"]["resourceVersion"] = self.number()
        return copy.deepcopy(self.config)

    def _pods(self, method: str, path: str, body: Any) -> Json:
        name = path.partition("?")[0].rpartition("/")[2]
        if method == "GET":
            items = copy.deepcopy(list(self.pods.values()))
            return {"items": items, "metadata": {"resourceVersion": str(self.version)}}
        if method == "POST":
            if body["metadata"]["name"] in self.pods:
                raise ApiFailed(409, "already exists")
            if len(self.pods) > self.quota:
                raise ApiFailed(403, "pods is forbidden: exceeded quota")
            if self.refusing:
                raise ApiFailed(403, f"pods is forbidden: {self.refusing}")
            self.used.append(body["metadata"]["name"])
            pod = copy.deepcopy({**body, "status": {"phase": "Pending"}})
            pod["metadata"]["uid"] = self.number()
            return self.put(pod)
        if name not in self.pods:
            raise ApiFailed(404, "not found")
        if body["preconditions"]["uid"] != self.pods[name]["metadata"]["uid"]:
            raise ApiFailed(409, "another uid")
        pod = self.pods[name]
        self.deleted.append(name)
        return {"kind": "Pod", **self.end(name)}

    def end(self, name: str) -> Json:
        """It is on its way out."""
        pod = self.pods[name]
        pod["metadata"].setdefault("deletionTimestamp", "now")
        return self.put(pod, "MODIFIED")

    def watch(self, path: str, take: Callable[[str, Json], None], stop: threading.Event) -> None:
        """Of the ConfigMap; those of the pods the test gives."""
        assert "/configmaps?" in path
        take("ADDED", copy.deepcopy(self.config))
        stop.set()

    def renew(self, template: str) -> None:
        """`up` stores another pod template for all groups, with that hash."""
        pods = {group: worker(group) for group in json.loads(self.config["data"]["pods.json"])}
        for pod in pods.values():
            pod["metadata"]["annotations"] = {HASH: template}
        self.config["data"]["pods.json"] = json.dumps(pods)
        self.config["metadata"]["resourceVersion"] = self.number()

    def change(self, *groups: Json, **spec: Any) -> None:
        """`up` stores another spec."""
        document = json.loads(self.config["data"]["cluster.json"])
        document["spec"] |= spec
        if groups:
            document["spec"]["workerGroupSpecs"] = list(groups)
        self.config["data"]["cluster.json"] = json.dumps(document)
        self.config["metadata"]["resourceVersion"] = self.number()
