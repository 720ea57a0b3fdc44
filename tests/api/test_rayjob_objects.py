"""A RayJob as objects: who owns what, that an unchanged file changes nothing, and that `down` leaves nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from cli import Cli
from kube import Kube

pytestmark = pytest.mark.api
Json = dict[str, Any]


def rayjob(**spec: Any) -> str:
    container = {"image": "ray:none", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    group = {"template": {"spec": {"containers": [{"name": "ray", **container}]}}}
    body = {
        "entrypoint": "echo hello",
        "rayClusterSpec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": group,
            "workerGroupSpecs": [
                {"groupName": "small", "replicas": 1, "minReplicas": 1, "maxReplicas": 2, **group}
            ],
        },
        **spec,
    }
    head = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "train"}}
    return yaml.safe_dump({**head, "spec": body})


STAGES = {
    "deletionStrategy": {
        "deletionRules": [
            {"policy": policy, "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": ttl}}
            for policy, ttl in (("DeleteWorkers", 5), ("DeleteCluster", 10), ("DeleteSelf", 15))
        ]
    }
}


@pytest.fixture
def cli(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(namespace(quota={"pods": "0"}), "edit"))


def up(cli: Cli, text: str, *words: str, code: int = 0) -> str:
    done = cli("up", "-f", "-", "--wait=false", "--yes", *words, stdin=text, code=code)
    return done.stdout + done.stderr


def owner(user: Kube, kind: str, name: str) -> list[str]:
    refs = user.get(kind, name)["metadata"].get("ownerReferences") or []
    return [f"{ref['kind']}/{ref['name']}" for ref in refs]


def test_each_part_hangs_on_the_keeper_that_ends_it(cli: Cli) -> None:
    up(cli, rayjob(**STAGES))
    user = cli.user
    assert owner(user, "configmap", "raystead-train") == ["Job/raystead-train-self"]
    assert owner(user, "job", "train") == ["ConfigMap/raystead-train"]
    assert owner(user, "job", "raystead-train-cluster") == ["ConfigMap/raystead-train"]
    assert owner(user, "job", "raystead-train-workers") == ["Job/raystead-train-cluster"]
    assert owner(user, "deployment", "train-head") == ["Job/raystead-train-cluster"]
    assert owner(user, "deployment", "train-small-worker") == ["Job/raystead-train-workers"]
    assert owner(user, "service", "train-head-svc") == ["Job/raystead-train-cluster"]


def test_without_a_word_of_the_file_nothing_ends_by_itself(cli: Cli) -> None:
    up(cli, rayjob())
    assert owner(cli.user, "deployment", "train-head") == ["ConfigMap/raystead-train"]
    assert [job["metadata"]["name"] for job in cli.user.items("jobs")] == ["train"]


def test_an_unchanged_file_changes_nothing_and_a_running_job_is_not_changed(cli: Cli) -> None:
    text = rayjob(shutdownAfterJobFinishes=True)
    up(cli, text)
    before = {kind: versions(cli.user, kind) for kind in ("deployments", "jobs", "services", "configmaps")}
    up(cli, text)
    assert {kind: versions(cli.user, kind) for kind in before} == before
    told = up(cli, rayjob(shutdownAfterJobFinishes=True, entrypoint="echo other"), code=79)
    assert "a job that has begun is not changed" in told
    assert "raystead down train" in told


def versions(user: Kube, kind: str) -> dict[str, str]:
    return {i["metadata"]["name"]: spec_of(i) for i in user.items(kind)}


def spec_of(item: Json) -> str:
    return repr([item.get("spec"), item.get("data"), item["metadata"].get("ownerReferences")])


def test_down_leaves_nothing_of_it(cli: Cli) -> None:
    up(cli, rayjob(**STAGES))
    cli("down", "train", "--yes")
    for kind in ("jobs", "deployments", "services", "networkpolicies", "secrets", "pods"):
        assert cli.user.items(kind) == [], kind
    assert [i["metadata"]["name"] for i in cli.user.items("configmaps")] == ["kube-root-ca.crt"]


def test_the_name_of_a_cluster_is_not_taken_over_by_a_job(cli: Cli) -> None:
    up(cli, rayjob().replace("kind: RayJob", "kind: RayJob").replace("train", "train"))
    cluster = yaml.safe_load(rayjob())
    cluster = {**cluster, "kind": "RayCluster", "spec": cluster["spec"]["rayClusterSpec"]}
    told = up(cli, yaml.safe_dump(cluster), code=79)
    assert "train is a RayJob, not a RayCluster" in told


def test_status_and_list_know_a_job_that_has_not_begun(cli: Cli) -> None:
    up(cli, rayjob())
    status = cli("status").stdout
    assert "job train-" in status
    assert "Initializing PENDING" in status
    assert "train" in cli("list").stdout
