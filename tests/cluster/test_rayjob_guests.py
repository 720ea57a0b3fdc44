"""RayJobs on a cluster that runs (clusterSelector), with nothing but `edit`: each end in KubeRay's words, and nothing touched."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import Cli
from kube import Kube, until
from shared import Running

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
LAB = "ray-cluster"  # the built-in spec's name
STOP = "ray job stop --no-wait --address http://127.0.0.1:8265 stops-itself; sleep 60"


@pytest.fixture
def cli(running: Running) -> Iterator[Cli]:
    yield running.cli
    for name in (*ENDS, "again", "sleeps"):  # whatever has failed, others share this cluster
        running.cli("down", name, "--yes", "--ignore-not-found", code=None)


@pytest.fixture
def space(running: Running) -> Kube:
    return running.space


def guest(name: str, cluster: str, **spec: Any) -> str:
    body = {"clusterSelector": {"ray.io/cluster": cluster}, **spec}
    document = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": body}
    return yaml.safe_dump(document)


# What the file says, then jobDeploymentStatus, jobStatus, reason, failed and succeeded attempts.
ENDS: dict[str, tuple[Json, tuple[str, str, str, int, int]]] = {
    "succeeds": (
        {"submissionMode": "HTTPMode", "entrypoint": 'echo a && echo `echo b`; echo "it\'s c"'},
        ("Complete", "SUCCEEDED", "", 0, 1),
    ),
    "fails": ({"entrypoint": "exit 5"}, ("Failed", "FAILED", "AppFailed", 1, 0)),
    "stops-itself": ({"entrypoint": STOP, "jobId": "stops-itself"}, ("Complete", "STOPPED", "", 0, 0)),
    "is-late": (
        {"entrypoint": "sleep 1000", "activeDeadlineSeconds": 12},
        ("Failed", "STOPPED", "DeadlineExceeded", 1, 0),
    ),
    "never-begins": (
        {"entrypoint": "true", "entrypointResources": '{"nowhere": 1}', "preRunningDeadlineSeconds": 12},
        ("Failed", "STOPPED", "PreRunningDeadlineExceeded", 1, 0),
    ),
}


def test_each_end_has_kuberays_words_and_the_cluster_is_not_touched(
    cli: Cli, space: Kube, audit: Audit
) -> None:
    audit.mark()
    before = running_pods(space)
    for name, (spec, _) in ENDS.items():
        cli("up", "-f", "-", "--wait=false", "--yes", stdin=guest(name, LAB, **spec))

    def state(name: str) -> Json:
        found: Json = json.loads(cli("status", name, "-o", "json").stdout)["raystead"]["rayJob"]
        return found

    for name, (_, wanted) in ENDS.items():
        until(lambda name=name: state(name)["jobDeploymentStatus"] in ("Complete", "Failed"), 120, name)
        job = state(name)
        told = [job.get(key, "") for key in ("jobDeploymentStatus", "jobStatus", "reason")]
        assert (*told, job["failed"], job["succeeded"]) == wanted, (name, job)
        assert name in cli("list").stdout
    lines = space.out("logs", "job/succeeds").splitlines()
    assert [line for line in lines if len(line) < 10] == ["a", "b", "it's c"]
    for name in ENDS:
        cli("down", name, "--yes")
    assert running_pods(space) == before
    assert audit.of_pods(space.namespace) == [], "no pod asks the API server"
    audit.none_refused(cli.user.user)


def test_a_job_that_deletes_itself_does_so_after_each_of_its_runs(cli: Cli, space: Kube) -> None:
    """What the first run left in the cluster's GCS is not taken for the second's end."""
    rule = {"policy": "DeleteSelf", "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": 3}}
    text = guest("again", LAB, entrypoint="sleep 8; echo done", deletionStrategy={"deletionRules": [rule]})
    for _ in range(2):
        followed = cli("run", "-f", "-", stdin=text)
        assert "done" in followed.stdout, followed.stderr
        until(lambda: not space.run("get", "configmap", "raystead-again", check=False).stdout, 60, "it goes")


def test_down_stops_the_job_of_a_rayjob_that_runs(cli: Cli, space: Kube) -> None:
    cli(
        "up",
        "-f",
        "-",
        "--yes",
        stdin=guest("sleeps", LAB, entrypoint="sleep 1000", jobId="sleeps"),
    )
    until(lambda: status_in_ray(cli, LAB, "sleeps") == "RUNNING", 60, "it runs")
    cli("down", "sleeps", "--yes")
    assert status_in_ray(cli, LAB, "sleeps") == "STOPPED"


def status_in_ray(cli: Cli, cluster: str, job_id: str) -> str:
    jobs = json.loads(cli("job", "list", "--name", cluster, "-o", "json").stdout)
    found = [job for job in jobs if job["id"] == job_id]
    return str(found[0]["status"]) if found else ""


def running_pods(space: Kube) -> list[str]:
    return sorted(pod["metadata"]["uid"] for pod in space.items("pods", "-l", "ray.io/node-type"))
