"""An autoscaled cluster for the tests: its spec, and what a user does with it."""

import json
import re
from typing import Any

import yaml
from cli import Cli
from kube import Kube, until

IDLE = 15  # seconds
WORKERS = "ray.io/node-type=worker"
MORE = """\
import ray, sys
ray.init(namespace="t")
@ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)
class Actor:
    def host(self):
        import socket
        return socket.gethostname()
names = sys.argv[1:]
actors = [Actor.options(name=n, lifetime="detached", get_if_exists=True).remote() for n in names]
print("HOSTS", *ray.get([a.host.remote() for a in actors], timeout=300))
"""
WANT = """\
import json, ray, sys
ray.init(namespace="t")
@ray.remote
class Wanted:
    pass
Wanted.options(name=sys.argv[1], lifetime="detached", **json.loads(sys.argv[2])).remote()
"""
FORGET = """\
import ray
from ray.autoscaler.sdk import request_resources
from ray.util import list_named_actors, placement_group_table, remove_placement_group, get_placement_group
ray.init(namespace="t")
request_resources(num_cpus=0)
for actor in list_named_actors():
    ray.kill(ray.get_actor(actor))
for group in placement_group_table().values():
    if group["name"] and group["state"] != "REMOVED":
        remove_placement_group(get_placement_group(group["name"]))
"""
LESS = """\
import ray, sys
ray.init(namespace="t")
for name in sys.argv[1:]:
    ray.kill(ray.get_actor(name))
"""


def container(memory: str) -> dict[str, Any]:
    size = {"requests": {"cpu": "100m", "memory": memory}, "limits": {"cpu": "1", "memory": memory}}
    return {"name": "ray", "image": "rayproject/ray:2.60.0", "resources": size}


def group(name: str = "small", most: int = 3, **more: Any) -> dict[str, Any]:
    """0 to `most` workers of one CPU."""
    bounds = {"groupName": name, "minReplicas": 0, "maxReplicas": most, "replicas": 0}
    return {**bounds, "template": {"spec": {"containers": [container("1Gi")]}}, **more}


def spec(version: str, *groups: dict[str, Any], idle: int = IDLE, **notes: str) -> str:
    """A head of no CPU and, unless others are given, a group of 0 to 3 workers of one.

    `notes` are annotations of ours: storage="redis".
    """
    annotations = {f"raystead.io/{name.replace('_', '-')}": value for name, value in notes.items()}
    document = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "auto", "annotations": {"raystead.io/storage": "none", **annotations}},
        "spec": cluster(version, *groups, idle=idle),
    }
    return yaml.safe_dump(document)


def cluster(version: str, *groups: dict[str, Any], idle: int = IDLE) -> dict[str, Any]:
    """The `spec` of it."""
    small = {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    return {
        "rayVersion": "2.60.0",
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": version, "idleTimeoutSeconds": idle, "resources": small},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"},
            "template": {"spec": {"containers": [container("2Gi")]}},
        },
        "workerGroupSpecs": list(groups) or [group()],
    }


class Auto:
    """The cluster and what a user does with it."""

    def __init__(self, space: Kube, cli: Cli) -> None:
        self.space, self.cli = space, cli

    def pods(self) -> list[dict[str, Any]]:
        """Workers that are not on their way out."""
        found = self.space.items("pods", "-l", WORKERS)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def names(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods()}

    def run(self, program: str, *words: str) -> str:
        """In the head, where no worker is needed."""
        done = self.space.run("exec", "deploy/auto-head", "-c", "ray", "--", "python", "-c", program, *words)
        return done.stdout

    def begin(self, *names: str) -> None:
        """Asks for the actors without waiting for them."""
        self.run(MORE.partition("print(")[0], *names)

    def have(self, *names: str) -> list[str]:
        return self.run(MORE, *names).rpartition("HOSTS ")[2].partition("\n")[0].split()

    def want(self, name: str, **needs: Any) -> None:
        """Asks for a detached actor that needs so much, without waiting for it."""
        self.run(WANT, name, json.dumps(needs))

    def kill(self, *names: str) -> None:
        self.run(LESS, *names)

    def state(self) -> dict[str, Any]:
        data = self.space.get("configmap", "raystead-auto-steward")["data"]
        return json.loads(data.get("state", "{}"))

    def nodes(self) -> dict[str, int]:
        """By group, as Ray's autoscaler says."""
        seen = json.loads(self.cli("status", "-o", "json").stdout)["raystead"]["autoscaler"]
        groups = {*seen["active"], *seen["idle"]}
        return {name: seen["active"].get(name, 0) + seen["idle"].get(name, 0) for name in groups}

    def deleted(self) -> list[str]:
        """The groups of the workers that were deleted, in their order, as the steward's log says."""
        log = self.space.run("logs", "deploy/auto-head", "-c", "steward").stdout
        return re.findall(r"worker auto-(\w+)-worker-\w+ deleted", log)

    def forget(self) -> None:
        """Takes back all that was asked for."""
        self.run(FORGET)

    def empty(self, patience: float = 120) -> None:
        until(lambda: not self.pods(), patience, "the idle workers are gone", every=1)
