"""Six RayCluster files in KubeRay's style come up with their groups, by a user with `edit`; then they go."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from cli import Cli
from kube import RESTRICTED, Kube, pod, until

pytestmark = pytest.mark.cluster
FILES = Path(__file__).resolve().parents[1] / "data" / "rayclusters"
EVERYTHING = "all,configmaps,secrets,persistentvolumeclaims,networkpolicies"
REDIS = "redis:7.0.15"
NODES = """
import json, ray
ray.init("auto", logging_level="error")
print("NODES", json.dumps([n["Resources"] for n in ray.nodes() if n["Alive"]]))
"""


@pytest.fixture(scope="module")
def user(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Kube:
    return as_user(space, "edit")


@pytest.fixture
def raystead(user: Kube, audit: Audit) -> Any:
    yield Cli(user)
    audit.none_refused(user.user)


def names(kube: Kube) -> set[tuple[str, str]]:
    items = kube.items(EVERYTHING)
    return {(i["kind"], i["metadata"]["name"]) for i in items if not i["metadata"].get("deletionTimestamp")}


def groups(raystead: Cli, name: str) -> dict[str, tuple[int, int]]:
    """Wanted and alive in Ray, by group."""
    said = json.loads(raystead("status", "--name", name, "-o", "json").stdout)
    assert said["status"]["state"] == "ready"
    return {g["name"]: (g["wanted"], g["alive"]) for g in said["raystead"]["groups"]}


def head(user: Kube, cluster: str) -> str:
    selector = f"ray.io/cluster={cluster},ray.io/node-type=head"
    (found,) = user.items("pods", "-l", selector)
    return str(found["metadata"]["name"])


def ray_resources(user: Kube, cluster: str) -> list[dict[str, float]]:
    words = ("exec", head(user, cluster), "-c", "ray-head", "--", "python", "-c", NODES)
    line = next(line for line in user.out(*words, timeout=120).splitlines() if line.startswith("NODES"))
    return list(json.loads(line.removeprefix("NODES ")))


def up(raystead: Cli, user: Kube, file: str, name: str) -> dict[str, tuple[int, int]]:
    done = raystead("up", "-f", str(FILES / file))
    assert "is ready in" in done.stderr
    assert (user.run("get", "service", f"{name}-head-svc", check=False)).returncode == 0  # KubeRay's name
    return groups(raystead, name)


@pytest.fixture
def clean(user: Kube, raystead: Cli) -> Any:
    """Whatever a test leaves of its cluster goes; what was there before is there again."""
    before = names(user)
    yield
    raystead("down", "--yes", "--ignore-not-found")
    until(lambda: names(user) == before, 20, f"only {before} is left")


def test_two_groups(raystead: Cli, user: Kube, clean: None) -> None:
    alive = up(raystead, user, "two-groups.yaml", "two-groups")
    assert alive == {"head": (1, 1), "small": (1, 1), "large": (1, 1)}
    assert sorted(r["CPU"] for r in ray_resources(user, "two-groups")) == [1, 1, 3]


def test_autoscaling_that_is_off_leaves_replicas(raystead: Cli, user: Kube, clean: None) -> None:
    alive = up(raystead, user, "fixed.yaml", "fixed")
    assert alive == {"head": (1, 1), "workergroup": (1, 1), "asleep": (0, 0)}
    assert sorted(r.get("CPU", 0) for r in ray_resources(user, "fixed")) == [0, 1]


@pytest.fixture(scope="module")
def shared_redis(user: Kube) -> str:
    """A Redis that others use too, with a password in a Secret; answers its pod's name."""
    user.run("create", "secret", "generic", "shared-redis", "--from-literal=password=s3cret-of-theirs")
    secret = {"secretKeyRef": {"name": "shared-redis", "key": "password"}}
    redis = pod(
        "shared-redis",
        REDIS,
        ["sh", "-c", 'exec redis-server --requirepass "$REDISCLI_AUTH" --save "" --protected-mode no'],
        securityContext={**RESTRICTED, "runAsUser": 999},
    )
    redis["spec"]["containers"][0]["env"] = [{"name": "REDISCLI_AUTH", "valueFrom": secret}]
    user.apply(redis)
    user.run("expose", "pod", "shared-redis", "--port=6379")
    user.run("wait", "--for=condition=Ready", "pod/shared-redis", "--timeout=60s")
    user.exec("shared-redis", "redis-cli", "SET", "somebody-elses", "1")
    return "shared-redis"


def keys(user: Kube, redis: str) -> list[str]:
    return user.exec(redis, "redis-cli", "KEYS", "*").split()


def test_a_shared_redis_keeps_others_keys_and_loses_ours(
    raystead: Cli, user: Kube, shared_redis: str, clean: None
) -> None:
    assert up(raystead, user, "redis.yaml", "redis-ft") == {"head": (1, 1), "workers": (1, 1)}
    assert len(keys(user, shared_redis)) > 3
    everything = user.out("get", "pods,deployments,configmaps,events", "-o", "json")
    assert "s3cret-of-theirs" not in everything
    done = raystead("down", "--yes")
    assert "is gone" in done.stderr
    assert keys(user, shared_redis) == ["somebody-elses"]


def test_keys_that_cannot_be_removed_are_told_and_removed_later(
    raystead: Cli, user: Kube, shared_redis: str, clean: None
) -> None:
    """It is asked with a wrong password, then with the right one."""
    assert raystead("up", "-f", str(FILES / "redis.yaml"), "--wait=false")
    until(lambda: len(keys(user, shared_redis)) > 3, 120, "Ray has written its keys", every=1)
    right = user.get("secret", "shared-redis")["data"]
    wrong = json.dumps({"stringData": {"password": "wrong"}})
    user.run("patch", "secret", "shared-redis", "-p", wrong)
    done = raystead("down", "--yes", code=83)
    assert "the keys RAY" in done.stderr
    assert "--keep-data" in done.stderr
    user.run("patch", "secret", "shared-redis", "-p", json.dumps({"data": right}))
    raystead("down", "--yes")
    assert keys(user, shared_redis) == ["somebody-elses"]


def test_rocksdb_on_a_volume(raystead: Cli, user: Kube, clean: None) -> None:
    assert up(raystead, user, "rocksdb.yaml", "rocks") == {"head": (1, 1), "workers": (1, 1)}
    claim = user.get("pvc", "rocks-gcs-pvc")
    assert claim["status"]["phase"] == "Bound"


def test_a_sidecar_an_init_container_and_volumes(raystead: Cli, user: Kube, clean: None) -> None:
    assert up(raystead, user, "sidecar.yaml", "sidecar") == {"head": (1, 1), "Workers": (1, 1)}
    name = head(user, "sidecar")
    read = 'cat "$GREETING_FILE"; cat /shared/beat'
    assert "hello from the file" in user.out("exec", name, "-c", "ray-head", "--", "sh", "-c", read)
    metadata = user.get("pod", name)["metadata"]
    assert metadata["labels"]["team"] == "nlp"
    assert metadata["annotations"]["note"] == "kept"
    done = raystead("down", "--yes")
    assert "ConfigMap/sidecar-settings" in done.stderr  # came with the file, is not ours to delete
    user.run("delete", "configmap", "sidecar-settings")


def test_an_old_file_with_quoted_params_labels_and_resources(raystead: Cli, user: Kube, clean: None) -> None:
    assert up(raystead, user, "v1alpha1.yaml", "oldtimer") == {"head": (1, 1), "labelled": (1, 1)}
    first, second = sorted(ray_resources(user, "oldtimer"), key=lambda r: r["CPU"])
    assert (first["CPU"], first["HeadOnly"], first["slots"]) == (1, 1, 4)
    assert (second["CPU"], second["Special"]) == (2, 7)
    (worker,) = user.items("pods", "-l", "ray.io/group=labelled")
    assert worker["metadata"]["labels"]["zone"] == "cellar"
