"""A cluster that ends by itself as objects: what its keeper owns, and that changing or dropping it ends nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.api
Json = dict[str, Any]


def raycluster(image: str = "ray:none", **spec: Any) -> str:
    container = {"image": image, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    group = {"template": {"spec": {"containers": [{"name": "ray", **container}]}}}
    body = {
        "rayVersion": "2.60.0",
        "headGroupSpec": group,
        "workerGroupSpecs": [{"groupName": "small", "replicas": 1, "minReplicas": 1, **group}],
        **spec,
    }
    metadata = {"name": "lab", "annotations": {"raystead.io/storage": "redis"}}
    return yaml.safe_dump(
        {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": body}
    )


@pytest.fixture
def cli(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(namespace(quota={"pods": "0"}), "edit"))


def up(cli: Cli, text: str, *words: str) -> str:
    done = cli("up", "-f", "-", "--wait=false", "--yes", *words, stdin=text)
    return done.stdout + done.stderr


def owners(user: Kube, kind: str, name: str) -> list[str]:
    refs = user.get(kind, name)["metadata"].get("ownerReferences") or []
    return [f"{ref['kind']}/{ref['name']}" for ref in refs]


def keepers(user: Kube) -> list[str]:
    return [job["metadata"]["name"] for job in user.items("jobs")]


def watched(user: Kube, part: str) -> str:
    data: dict[str, str] = user.get("configmap", "raystead-lab-programs")["data"]
    return data[f"keeper-{part}.json"]


def test_the_keeper_owns_the_anchor_and_the_claim_goes_along(cli: Cli) -> None:
    up(cli, raycluster(), "--idle", "30m")
    user = cli.user
    assert owners(user, "configmap", "raystead-lab") == ["Job/raystead-lab-self"]
    assert owners(user, "deployment", "lab-head") == ["ConfigMap/raystead-lab"]
    assert owners(user, "pvc", "data-lab-redis-0") == ["ConfigMap/raystead-lab"]
    assert "1800" in watched(user, "self")


def test_with_keep_data_it_owns_what_runs_and_not_the_claim(cli: Cli) -> None:
    up(cli, raycluster(), "--idle", "30m", "--keep-data")
    user = cli.user
    assert owners(user, "configmap", "raystead-lab") == []
    assert owners(user, "job", "raystead-lab-cluster") == ["ConfigMap/raystead-lab"]
    for kind, name in (("deployment", "lab-head"), ("statefulset", "lab-redis"), ("service", "lab-head-svc")):
        assert owners(user, kind, name) == ["Job/raystead-lab-cluster"], name
    assert owners(user, "secret", "lab") == ["ConfigMap/raystead-lab"]
    until(lambda: user.items("pvc"), 10, "Redis' claim")
    assert owners(user, "pvc", "data-lab-redis-0") == []


CHANGES: dict[str, tuple[list[str], list[str]]] = {
    "another time": (["--idle", "30m"], ["--idle", "2h"]),
    "another image": (["--idle", "30m"], ["--image", "ray:other"]),
    "another image, data kept": (["--idle", "30m", "--keep-data"], ["--image", "ray:other"]),
    "data kept from now on": (["--idle", "30m"], ["--keep-data"]),
    "data no longer kept": (["--idle", "30m", "--keep-data"], ["--no-keep-data"]),
    "never": (["--idle", "30m"], ["--idle", "never"]),
    "never, data kept": (["--idle", "30m", "--keep-data"], ["--idle", "never"]),
    "from never": ([], ["--idle", "30m", "--keep-data"]),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_no_change_of_the_keeper_ends_the_cluster(cli: Cli, before: list[str], after: list[str]) -> None:
    up(cli, raycluster(), *before)
    user = cli.user
    first = {kind: uids(user, kind) for kind in ("configmaps", "deployments", "services", "pvc", "secrets")}
    cli("up", "--name", "lab", "--wait=false", "--yes", *after)
    now = yaml.safe_load(user.get("configmap", "raystead-lab")["data"]["document"])["spec"]
    end = now.get("idleTerminationOptions")
    part = end and ("cluster" if end["policy"] == "Suspend" else "self")
    until(
        lambda: keepers(user) == ([f"raystead-lab-{part}"] if part else []),
        15,
        "the keeper that is asked for",
    )
    settle(user)
    for kind, before_uids in first.items():
        kept = {name: uid for name, uid in before_uids.items() if name != "raystead-lab-programs"}
        assert kept.items() <= uids(user, kind).items(), f"{kind} are the same objects"
    head = ["Job/raystead-lab-cluster"] if part == "cluster" else ["ConfigMap/raystead-lab"]
    assert owners(user, "deployment", "lab-head") == head
    assert owners(user, "service", "lab-head-svc") == head
    assert owners(user, "configmap", "raystead-lab") == (["Job/raystead-lab-self"] if part == "self" else [])


def uids(user: Kube, kind: str) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in user.items(kind)}


def settle(user: Kube) -> None:
    """Until the garbage collector has looked at what was made last: an object whose owner never was is gone."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "no-such-uid"}
    metadata = {"name": "orphan", "ownerReferences": [owner]}
    user.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    until(lambda: "orphan" not in uids(user, "configmaps"), 30, "the garbage collector")


def test_an_unchanged_spec_changes_nothing(cli: Cli) -> None:
    up(cli, raycluster(), "--idle", "30m", "--keep-data")
    assert "nothing" in cli("plan", "--name", "lab").stdout
    before = uids(cli.user, "jobs")
    cli("up", "--name", "lab", "--wait=false", "--yes")
    assert uids(cli.user, "jobs") == before


def test_a_suspended_cluster_has_a_suspended_keeper(cli: Cli) -> None:
    up(cli, raycluster(suspend=True), "--idle", "30m")
    assert cli.user.get("job", "raystead-lab-self")["spec"]["suspend"] is True
    up(cli, raycluster(), "--idle", "30m")
    assert not cli.user.get("job", "raystead-lab-self")["spec"].get("suspend")


@pytest.mark.parametrize("more", [[], ["--keep-data"]])
def test_down_leaves_nothing_of_it(cli: Cli, more: list[str]) -> None:
    up(cli, raycluster(), "--idle", "30m", *more)
    cli("down", "lab", "--yes")
    for kind in ("jobs", "deployments", "statefulsets", "services", "networkpolicies", "secrets", "pvc"):
        assert cli.user.items(kind) == [], kind
    assert [i["metadata"]["name"] for i in cli.user.items("configmaps")] == ["kube-root-ca.crt"]


def test_what_ended_and_kept_its_data_is_told_and_started_again(cli: Cli) -> None:
    """The keeper's Job ends as the kubelet would end it: here there are no pods."""
    up(cli, raycluster(), "--idle", "30m", "--keep-data")
    user = cli.user
    user.run("delete", "job", "raystead-lab-cluster")  # what ttlSecondsAfterFinished: 0 does
    until(lambda: user.items("deployments") == [], 30, "the garbage collector")
    until(lambda: user.items("statefulsets") == [], 30, "the garbage collector")
    status = cli("status").stdout
    assert "ended by itself after 30 min without work; spec and data are kept" in status
    assert "ended" in cli("list").stdout
    refused = cli("submit", "--", "true", code=None)
    assert 'the cluster "lab" has ended by itself' in refused.stderr
    told = cli("up", "--name", "lab", "--wait=false", "--yes").stderr
    assert "it is started again" in told
    assert keepers(user) == ["raystead-lab-cluster"]
    assert owners(user, "deployment", "lab-head") == ["Job/raystead-lab-cluster"]


def test_a_place_that_ends_pods_is_told_by_doctor(
    place: Callable[[str], Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    cli, queue = Cli(as_user(place("university"), "edit")), ("--label", "example.edu/queue=lab")
    told = cli("doctor", "-f", "-", "--idle", "12h", *queue, stdin=raycluster(), code=None).stdout
    assert "the keeper's too: an idle time of 12 h never comes" in told
    told = cli("doctor", "-f", "-", "--idle", "1h", *queue, stdin=raycluster(), code=None).stdout
    assert "never comes" not in told
