"""Planted secrets are looked for in everything the product makes: 0 found, but for what Ray itself shows."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli import RAYSTEAD, Cli
from kube import RESTRICTED, Kube, pod, until
from patience import patience

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PASSWORD, TOKEN = "planted-redis-5f2c81", "planted-token-77ab90aa"
PLANTED = (PASSWORD, TOKEN)
SPEC = """
apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: planted}}
spec:
  rayVersion: 2.60.0
  authOptions: {{mode: token, secretName: my-token}}
  gcsFaultToleranceOptions:
    redisAddress: redis.{namespace}.svc:6379
    redisPassword: {{value: {password}}}
  headGroupSpec:
    rayStartParams: {{}}
    template: {{spec: {{containers: [{{name: ray-head, image: 'rayproject/ray:2.60.0-py311'{size}}}]}}}}
  workerGroupSpecs:
  - groupName: worker
    replicas: 1
    rayStartParams: {{}}
    template: {{spec: {{containers: [{{name: ray-worker, image: 'rayproject/ray:2.60.0-py311'{size}}}]}}}}
"""
SIZE = ", resources: {requests: {cpu: 500m, memory: 2G}, limits: {cpu: 1, memory: 2G}}"
# Every process of a container: its command line and its environment, one line each, kind first.
PROCESSES = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    for kind in ("cmdline", "environ"):
        try:
            text = open(f"/proc/{pid}/{kind}", "rb").read().replace(b"\\0", b" ").decode(errors="replace")
        except OSError:
            continue
        print(kind, pid, text.replace("\\n", " "))
"""


@dataclass
class Planted:
    user: Kube
    raystead: Cli
    folder: Path
    said: dict[str, str] = field(default_factory=dict)  # what was printed, by command

    def run(self, *words: str, code: int | None = 0) -> None:
        """Runs raystead with a home and a temporary folder of its own, its command line watched."""
        env = {**self.raystead.env, "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        process = subprocess.Popen(
            [RAYSTEAD, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
        )
        lines: list[str] = []
        watcher = threading.Thread(target=self._watch, args=(process, lines))
        watcher.start()
        out = process.communicate(timeout=patience(300))[0]
        watcher.join()
        self.said[" ".join(words)] = out
        self.said[f"command lines of {' '.join(words)}"] = "\n".join(lines)
        assert code is None or process.returncode == code, out[-3000:]

    def _watch(self, process: "subprocess.Popen[str]", lines: list[str]) -> None:
        while process.poll() is None:
            try:
                lines.append(Path(f"/proc/{process.pid}/cmdline").read_text().replace("\0", " "))
            except OSError:
                return
            time.sleep(0.2)


@pytest.fixture(scope="module")
def planted(
    own_cluster: Path,
    admin: Kube,
    space: Kube,
    as_user: Callable[[Kube, str], Kube],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("client")
    store = f"{space.namespace}-r"
    admin.run("create", "namespace", store)
    command = ["sh", "-c", f"exec redis-server --dir /tmp --requirepass {PASSWORD}"]
    redis = pod("redis", "redis:7", command, securityContext=RESTRICTED | {"runAsUser": 999})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis"}}
    service["spec"] = {"selector": {"app": "redis"}, "ports": [{"port": 6379}]}
    there = admin.at(store)
    until(lambda: there.apply(redis, service) is None, 20, "the namespace has its ServiceAccount")
    until(lambda: there.get("pod", "redis")["status"].get("phase") == "Running", 60, "Redis runs")
    space.run("create", "secret", "generic", "my-token", f"--from-literal=auth_token={TOKEN}")
    file = folder / "spec.yaml"
    file.write_text(SPEC.format(namespace=store, password=PASSWORD, size=SIZE))
    user = as_user(space, "edit")
    planted = Planted(user, Cli(user), folder)
    planted.run("render", "-f", str(file), "--as", "manifests")
    planted.run("plan", "-f", str(file), code=None)
    planted.run("plan", "-f", str(file), "-o", "json", code=None)
    planted.run("up", "-f", str(file), "-v")
    planted.run("plan", code=None)
    planted.run("plan", "-o", "json", code=None)
    planted.run("submit", "-v", "--", "python", "-c", "import ray; ray.init(); print('done')")
    planted.run("status", "-o", "json")
    planted.run("explain", code=None)
    planted.run("list")
    planted.run("up", "-f", str(file), "--worker-memory", "lots", code=2)
    file.write_text(file.read_text().replace("redisAddress", "redisAdress"))
    planted.run("plan", "-f", str(file), code=2)
    file.unlink()
    yield planted
    planted.run("down", "--yes", "-v")
    admin.run("delete", "namespace", store, "--wait=false")


def found(texts: dict[str, str]) -> list[str]:
    return [f"{word} in {name}" for name, text in texts.items() for word in PLANTED if word in text]


def test_nothing_that_is_printed_shows_one(planted: Planted) -> None:
    assert "is ready in" in "".join(planted.said.values())
    assert found(planted.said) == []


def test_no_object_but_a_secret_holds_one(planted: Planted, space: Kube) -> None:
    kinds = "all,configmaps,networkpolicies,persistentvolumeclaims,events,serviceaccounts"
    text = space.out("get", kinds, "-o", "yaml")
    assert "raystead-planted" in text, "the anchor is among them"
    assert found({"the objects": text}) == []


def test_no_file_of_the_client_holds_one(planted: Planted) -> None:
    texts = {str(p): p.read_text(errors="replace") for p in planted.folder.rglob("*") if p.is_file()}
    assert found(texts) == []


def test_in_pods_only_ray_itself_shows_redis_password(planted: Planted) -> None:
    """docs/facts/ray.md#redis-password: the head's own processes show what `ray start` was given; nobody else does."""
    lines: dict[str, list[str]] = {}
    for item in planted.user.items("pods"):
        name = item["metadata"]["name"]
        kind = item["metadata"]["labels"].get("ray.io/node-type", "")
        lines[kind] = planted.user.exec(name, "python3", "-c", PROCESSES).splitlines()
    assert len(lines["worker"]) > 8, "the search sees processes"
    assert [line for line in lines["worker"] if any(word in line for word in PLANTED)] == []
    shown = [line for line in lines["head"] if any(word in line for word in PLANTED)]
    assert not [line for line in shown if TOKEN in line], "the token is in no process list"
    rays = ("ray start", "gcs_server", "raylet", "ray.util.client.server", "RAY_REDIS_PASSWORD")
    assert [line[:200] for line in shown if not any(word in line for word in rays)] == []


def test_the_head_of_our_own_redis_shows_nobody_the_password_of_the_secret(
    planted: Planted, space: Kube
) -> None:
    """The Secret's password stays with the script that ends before Ray begins (ADR 6)."""
    planted.run("up", "--name", "own", "--workers", "0")
    try:
        pods = planted.user.items("pods", "-l", "ray.io/cluster=own,ray.io/node-type=head")
        head = pods[0]["metadata"]["name"]
        password = planted.user.exec(head, "cat", "/etc/raystead/redis/password").strip()
        processes = planted.user.exec(head, "python3", "-c", PROCESSES)
    finally:
        planted.run("down", "--name", "own", "--yes")
    assert "--redis_username=gcs" in processes or "redis-username=gcs" in processes
    assert len(password) > 20
    assert password not in processes
