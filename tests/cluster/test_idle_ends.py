"""A cluster that is idle ends by itself, keeps its data where it is told to, and never ends while it is used."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import Cli
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
SMALL = ("--head-cpu", "1", "--head-memory", "2Gi", "--workers", "0")


@pytest.fixture(scope="module")
def cli(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(space, "edit"))


def idle(cli: Cli) -> Json:
    found: Json = json.loads(cli("status", "lab", "-o", "json").stdout)["raystead"]
    return found.get("idle") or {}


def names(kube: Kube, kind: str) -> list[str]:
    return [item["metadata"]["name"] for item in kube.items(kind)]


@pytest.mark.long  # two starts of a cluster, and two idle times
def test_it_ends_in_time_keeps_its_data_and_not_while_it_is_busy(cli: Cli, space: Kube, audit: Audit) -> None:
    """Over 60 s: a cluster starts twice, and twice idleness is waited for."""
    audit.mark()
    cli("up", "--name", "lab", "--idle", "20s", "--keep-data", *SMALL)
    until(lambda: "RUNNING" in str(idle(cli)) or idle(cli).get("since"), 30, "the keeper's word")
    guest = {"entrypoint": "sleep 40 && echo done", "clusterSelector": {"ray.io/cluster": "lab"}}
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "guest"}, "spec": guest}
    followed = cli("run", "-f", "-", stdin=yaml.safe_dump(job))  # twice the time: the cluster is busy
    assert "done" in followed.stdout
    assert (
        json.loads(cli("status", "guest", "-o", "json").stdout)["raystead"]["rayJob"]["jobStatus"]
        == "SUCCEEDED"
    )
    cli("down", "guest", "--yes")
    ended = time.monotonic()
    assert "lab-head" in names(space, "deployments"), "a busy cluster does not end"
    until(lambda: idle(cli).get("since"), 20, "it is idle now")
    assert "ends in" in cli("status").stdout
    memory = space.run(
        "exec", "job/raystead-lab-cluster", "--", "cat", "/sys/fs/cgroup/memory.peak", check=False
    )
    until(lambda: names(space, "deployments") == [], patience(60), "it ends by itself", every=0.5)
    took = time.monotonic() - ended
    print(
        f"\nidle end: {took:.1f} s after the job, of them 20 s agreed; keeper {memory.stdout.strip()} bytes at most"
    )
    assert took < patience(35), "20 s, and 15 s at most"
    until(lambda: names(space, "pods") == [], 60, "nothing runs")
    assert names(space, "pvc") == ["data-lab-redis-0"]
    assert "ended by itself after 20 s without work; spec and data are kept" in cli("status").stdout
    late = cli("submit", "--", "true", code=None)
    assert 'the cluster "lab" has ended by itself' in late.stderr
    # what is there again is the same cluster: Ray knows its jobs
    told = cli("up", "--name", "lab", "--idle", "20s", "--no-keep-data").stderr
    assert "it is started again" in told
    assert "SUCCEEDED" in cli("job", "list").stdout
    until(lambda: names(space, "configmaps") == ["kube-root-ca.crt"], patience(60), "all of it ends")
    until(lambda: names(space, "pvc") == [] and names(space, "jobs") == [], 30, "its claim goes along")
    until(lambda: names(space, "pods") == [] and names(space, "secrets") == [], 60, "and all else")
    audit.none_refused(cli.user.user)
    assert audit.of_pods(space.namespace) == [], "no pod asks the API server"
