"""RayJobs with nothing but `edit`: their output, their outcome, what ends by itself, and what a lost submitter costs."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import RAYSTEAD, Cli
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
BEATS = "for i in $(seq 1 40); do echo beat $i; sleep 1; done && echo `echo it\\'s over`; exit 3"


def rayjob(name: str, **spec: Any) -> str:
    container = {"image": "rayproject/ray:2.60.0", "name": "ray"}
    small = {"requests": {"cpu": "200m", "memory": "768Mi"}, "limits": {"cpu": "1", "memory": "1536Mi"}}
    group = {"template": {"spec": {"containers": [{**container, "resources": small}]}}}
    workers = [{"groupName": "small", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, **group}]
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": group, "workerGroupSpecs": workers}
    head = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}}
    return yaml.safe_dump({**head, "spec": {"rayClusterSpec": cluster, **spec}})


@pytest.fixture(scope="module")
def cli(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(space, "edit"))


def state(cli: Cli) -> Json:
    found: Json = json.loads(cli("status", "-o", "json").stdout)["raystead"]
    return {"state": found["state"], **found["rayJob"]}


def names(kube: Kube, kind: str) -> list[str]:
    return [item["metadata"]["name"] for item in kube.items(kind)]


def test_a_job_is_followed_over_the_loss_of_its_submitter_and_its_cluster_ends(
    cli: Cli, space: Kube, audit: Audit
) -> None:
    """Over 60 s: a cluster starts, a job of 40 s runs, and its cluster ends 5 s later."""
    audit.mark()
    spec = rayjob("train", entrypoint=BEATS, shutdownAfterJobFinishes=True, ttlSecondsAfterFinished=5)
    follower = subprocess.Popen(
        [RAYSTEAD, "run", "-f", "-"],
        env=cli.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdin
    follower.stdin.write(spec)
    follower.stdin.close()
    follower.stdin = None  # communicate() would flush it again
    submitters = ("pods", "-l", "raystead.io/role=submitter")
    until(lambda: "beat 3" in space.run("logs", "job/train", check=False).stdout, 240, "the job's output")
    assert state(cli)["jobDeploymentStatus"] == "Running"
    space.run("delete", *submitters, "--force", "--grace-period=0")
    out, err = follower.communicate(timeout=patience(240))
    assert follower.returncode == 3, err
    assert "RayJob train FAILED" in err
    lines = space.out("logs", "job/train").splitlines()
    beats = [line for line in lines if line.startswith("beat")]
    assert beats == [f"beat {i}" for i in range(1, 41)], "the new submitter has the whole output, once"
    assert "it's over" in lines, "the back-ticks and the quote are the job's shell's, not ours"
    assert "beat 40" in out
    until(lambda: names(space, "deployments") == [], 60, "the cluster ends by itself")
    until(lambda: state(cli)["state"] == "ended", 30, "status says so")
    now = state(cli)
    assert (now["jobStatus"], now["jobDeploymentStatus"], now["failed"]) == ("FAILED", "Failed", 1)
    assert now["jobId"] == names_of_submission(space)
    assert "ended" in cli("list").stdout
    again = cli("up", "-f", "-", stdin=spec, code=79)
    assert "RayJob train has ended (FAILED)" in again.stderr
    audit.none_refused(cli.user.user)
    assert audit.of_pods(space.namespace) == [], "no pod asks the API server"
    cli("down", "train")
    until(lambda: names(space, "jobs") == [], 30, "nothing is left")


def names_of_submission(space: Kube) -> str:
    (job,) = [item for item in space.items("jobs") if item["metadata"]["name"] == "train"]
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return next(one["value"] for one in env if one["name"] == "RAY_JOB_SUBMISSION_ID")


def test_a_deadline_stops_the_job_and_the_stages_end_one_after_the_other(cli: Cli, space: Kube) -> None:
    """Over 60 s: a cluster starts, and three stages end 8, 20 and 32 s after the deadline of its job."""
    failed = [
        {"policy": policy, "condition": {"jobDeploymentStatus": "Failed", "ttlSeconds": ttl}}
        for policy, ttl in (("DeleteWorkers", 8), ("DeleteCluster", 20), ("DeleteSelf", 32))
    ]
    spec = rayjob(
        "late",
        submissionMode="HTTPMode",
        entrypoint="sleep 1000",
        activeDeadlineSeconds=90,
        backoffLimit=3,
        deletionStrategy={"deletionRules": failed},
    )
    cli("up", "-f", "-", "--wait=false", stdin=spec)
    gone: dict[str, float] = {}

    def looked() -> bool:
        there = {
            "workers": "late-small-worker" in names(space, "deployments"),
            "cluster": "late-head" in names(space, "deployments"),
            "self": "raystead-late" in names(space, "configmaps"),
        }
        for part, here in there.items():
            if not here:
                gone.setdefault(part, time.monotonic())
        return len(gone) == len(there)

    evicted = evict(space, "raystead-late-cluster")
    until(lambda: "DeadlineExceeded" in cli("status").stdout, 240, "the deadline")
    now = state(cli)
    assert (now["jobStatus"], now["failed"]) == ("STOPPED", 1), "90 s are three times what a start takes"
    keepers = [pod["metadata"]["uid"] for pod in space.items("pods", "-l", "job-name=raystead-late-cluster")]
    assert any(uid != evicted for uid in keepers), "a keeper that was evicted ends nothing and comes again"
    until(looked, 120, "all stages")
    assert gone["workers"] < gone["cluster"] < gone["self"]
    until(lambda: "late" not in names(space, "jobs"), 30, "the job has gone with itself")


def evict(space: Kube, job: str) -> str:
    """As a drained node does; answers the pod's uid."""

    def runs() -> list[Json]:
        found = space.items("pods", "-l", f"job-name={job}")
        return [pod for pod in found if pod["status"]["phase"] == "Running"]

    pod = until(runs, 120, f"{job}'s pod runs")[0]["metadata"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["name"]}}
    path = f"/api/v1/namespaces/{space.namespace}/pods/{pod['name']}/eviction"
    space.run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    return str(pod["uid"])


def submissions(kube: Kube, job: str) -> str:
    env = kube.get("job", job)["spec"]["template"]["spec"]["containers"][0]["env"]
    return next(str(one["value"]) for one in env if one["name"] == "RAY_JOB_SUBMISSION_ID")


@pytest.mark.long  # two starts of a cluster
def test_a_suspended_job_runs_anew_when_it_is_resumed_and_fails_when_its_head_is_lost(
    cli: Cli, space: Kube
) -> None:
    """Over 60 s: a cluster starts twice."""

    def rest(suspended: bool) -> None:
        text = rayjob("nap", entrypoint="sleep 1000", shutdownAfterJobFinishes=True, suspend=suspended)
        cli("up", "-f", "-", "--wait=false", "--yes", stdin=text)

    def running() -> bool:
        return state(cli)["jobDeploymentStatus"] == "Running"

    rest(False)
    until(running, 240, "it runs")
    first = submissions(space, "nap")
    rest(True)
    assert state(cli)["jobDeploymentStatus"] == "Suspended"
    begun = time.monotonic()
    until(lambda: not space.items("pods"), 60, "no pod is left")
    assert time.monotonic() - begun < patience(20), "a worker does not wait for a head that has gone as well"
    rest(False)
    until(running, 240, "it runs again")
    assert submissions(space, "nap") != first, "a new run"
    space.run("delete", "pods", "-l", "ray.io/node-type=head", "--force", "--grace-period=0")
    until(lambda: state(cli)["jobDeploymentStatus"] == "Failed", 120, "its loss is seen")
    now = state(cli)
    assert (now["jobStatus"], now["reason"]) == ("FAILED", "AppFailed")
    assert "the head was lost, and the cluster keeps no state" in now["message"]
    until(lambda: names(space, "deployments") == [], 60, "the cluster ends with it")
    cli("down", "nap", "--yes")
