"""A RayCronJob with nothing but `edit`: a cluster at each tick, its driver's output and outcome, and pods that end."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
PROGRAM = """\
import ray, time
print("FIRST", time.time(), flush=True)
ray.init(log_to_driver=False)
while ray.cluster_resources().get("CPU", 0) < 1:
    time.sleep(0.2)
print("NODES", len([node for node in ray.nodes() if node["Alive"]]))
print("SUM", sum(ray.get([ray.remote(lambda i: i * i).remote(i) for i in range(10)])))
"""
ENTRYPOINT = f"python -c '{PROGRAM}' && echo `echo it is` tick $RAYSTEAD_TICK; test $((RAYSTEAD_TICK % 2)) = 0 || exit 3"


def raycronjob() -> str:
    container = {"image": "rayproject/ray:2.60.0", "name": "ray"}
    small = {"requests": {"cpu": "200m", "memory": "768Mi"}, "limits": {"cpu": "1", "memory": "1536Mi"}}
    group = {"template": {"spec": {"containers": [{**container, "resources": small}]}}}
    head = {"rayStartParams": {"num-cpus": "0"}, **group}
    workers = [{"groupName": "small", "replicas": 1, "minReplicas": 0, "maxReplicas": 1, **group}]
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": workers}
    job = {"entrypoint": ENTRYPOINT, "shutdownAfterJobFinishes": True, "rayClusterSpec": cluster}
    annotations = {"raystead.io/concurrency-policy": "Forbid", "raystead.io/failed-jobs-history-limit": "3"}
    metadata = {"name": "beat", "annotations": annotations}
    kind = {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": metadata}
    return yaml.safe_dump({**kind, "spec": {"schedule": "* * * * *", "jobTemplate": job}})


def ticks(cli: Cli) -> list[Json]:
    found: list[Json] = json.loads(cli("job", "list", "-o", "json").stdout)
    return found


def pods_of(user: Kube, minutes: set[str]) -> list[Json]:
    return [
        pod
        for pod in user.items("pods")
        if pod["metadata"]["labels"]["job-name"].rpartition("-")[2] in minutes
    ]


def ended(pod: Json) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def over(cli: Cli) -> list[Json]:
    return [tick for tick in ticks(cli) if tick["jobDeploymentStatus"] in ("Complete", "Failed")]


def test_a_cluster_comes_at_each_tick_and_goes_with_its_driver(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], audit: Audit
) -> None:
    """Over 60 s: Kubernetes makes Jobs at full minutes, and two ticks in a row are looked at."""
    user = as_user(namespace(security="restricted"), "edit")
    cli = Cli(user)
    audit.mark()
    cli("up", "-f", "-", "--yes", stdin=raycronjob())
    until(lambda: len(over(cli)) >= 2, 300, "two ticks")
    cli("suspend", "--yes")
    looked_at = sorted(over(cli), key=lambda tick: str(tick["scheduled"]))[:2]
    minutes = {str(tick["job"]).rpartition("-")[2] for tick in looked_at}
    until(lambda: all(ended(pod) for pod in pods_of(user, minutes)), 120, "the pods of both end")
    for tick in looked_at:
        minute = int(tick["job"].rpartition("-")[2])
        out = cli("job", "logs", tick["jobId"]).stdout
        assert "NODES 2" in out
        assert "SUM 285" in out
        assert f"it is tick {minute}" in out
        due = datetime.fromisoformat(tick["scheduled"]).timestamp()
        print("tick to the driver's first line:", re.search(r"FIRST (\S+)", out)[1], due)  # type: ignore[index]
        wanted = ("SUCCEEDED", "Complete") if minute % 2 == 0 else ("FAILED", "Failed")
        assert (tick["jobStatus"], tick["jobDeploymentStatus"]) == wanted
        code = cli("job", "logs", "-f", tick["jobId"], code=None).returncode
        assert code == (0 if minute % 2 == 0 else 3)
        assert tick["jobId"] in cli("status").stdout
    for pod in pods_of(user, minutes):
        if pod["metadata"]["labels"]["ray.io/node-type"] == "worker":
            assert pod["status"]["phase"] == "Succeeded", "a worker whose head has gone ends in peace"
        mounts = [m["mountPath"] for c in pod["spec"]["containers"] for m in c["volumeMounts"]]
        assert not [path for path in mounts if "serviceaccount" in path]
    kinds = {pod["metadata"]["labels"]["ray.io/node-type"] for pod in pods_of(user, minutes)}
    assert kinds == {"head", "worker"}
    audit.none_refused(user.user)
    assert audit.of_pods(user.namespace) == [], "no pod asks the API server"
    cli("down", "beat", "--yes")
    for kind in ("cronjobs", "jobs", "pods", "services", "networkpolicies", "secrets"):
        assert user.items(kind) == [], kind
