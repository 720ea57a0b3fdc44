"""`status` and `list` of a real cluster: as its owner, as a reader, and after its head was killed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from faults import Faults
from kube import Kube, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
RAYSTEAD = str(Path(sys.executable).parent / "raystead")
# Small requests: other tests share the node.
CLUSTER = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: lived, annotations: {raystead.io/storage: redis}}
spec:
  rayVersion: "2.60.0"
  headGroupSpec:
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0-py311
          resources: {requests: {cpu: 100m, memory: 1Gi}, limits: {cpu: "1", memory: 2Gi}}
  workerGroupSpecs:
  - groupName: worker
    replicas: 2
    template:
      spec:
        containers:
        - name: ray-worker
          image: rayproject/ray:2.60.0-py311
          resources: {requests: {cpu: 100m, memory: 512Mi}, limits: {cpu: "1", memory: 1Gi}}
"""


def raystead(user: Kube, *words: str) -> str:
    env = {**os.environ, "KUBECONFIG": str(user.kubeconfig)}
    done = subprocess.run([RAYSTEAD, *words], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(user: Kube) -> dict[str, Any]:
    return json.loads(raystead(user, "status", "-o", "json"))


def ready_again(user: Kube) -> dict[str, Any]:
    seen = status(user)["raystead"]
    assert seen["state"] == "Ready", f"{seen['groups']} {seen['notes']}"
    return seen


def test_status_of_a_cluster_s_life(
    namespace: Callable[..., Kube],
    as_user: Callable[[Kube, str], Kube],
    audit: Audit,
    faults: Faults,
    tmp_path: Path,
) -> None:
    """Over 60 s: a cluster starts, loses its head, is broken and ends, and is looked at on the way."""
    kube = namespace()
    owner, reader = as_user(kube, "edit"), as_user(kube, "view")
    file = tmp_path / "cluster.yaml"
    file.write_text(CLUSTER)
    raystead(owner, "up", "-f", str(file), "-q")

    audit.mark()
    seen = status(owner)
    audit.none_refused(owner.user)
    assert len(audit.requests(owner.user)) <= 12
    assert seen["status"]["state"] == "ready"
    assert seen["status"]["readyWorkerReplicas"] == seen["status"]["desiredWorkerReplicas"] == 2
    ours = seen["raystead"]
    assert [(g["name"], g["wanted"], g["alive"]) for g in ours["groups"]] == [
        ("head", 1, 1),
        ("worker", 2, 2),
    ]
    assert ours["groups"][1]["cpuTotal"] == 2
    assert ours["groups"][0]["memoryUsed"] > 1e8
    assert (ours["state"], ours["drift"], ours["notes"], ours["lastHeadLoss"]) == ("Ready", [], [], None)

    text = raystead(reader, "status")
    assert "alive: needs get on secrets, and get and create on pods/portforward" in text
    assert "Ready since" in text
    (row,) = json.loads(raystead(reader, "list", "-o", "json"))
    assert (row["state"], row["readyWorkers"], row["wantedWorkers"]) == ("Ready", 2, 2)

    head = seen["status"]["head"]["podName"]
    faults.kill_container(kube, head, "ray-head")
    lost = until(lambda: status(owner)["raystead"]["lastHeadLoss"], 60, "the loss is seen")
    assert lost["cause"] == "exit code 137 (killed)"
    after = until(lambda: ready_again(owner), 200, "the head is back")["lastHeadLoss"]
    assert after["at"] == lost["at"]
    assert after["backAfter"] > 0
    assert after["workersRestarted"] == 0
