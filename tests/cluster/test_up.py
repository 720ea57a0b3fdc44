"""The guide's cluster by a user with `edit`: up, kubectl as in the guide, unchanged, changed, status, down."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit import Audit, Request
from cli import Cli
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.cluster
SLOW = 40.0  # seconds of a start; a machine with nothing else to do needs 20
# What lives in a namespace and is somebody's; Events and what controllers derive are not.
EVERYTHING = "all,configmaps,secrets,persistentvolumeclaims,networkpolicies,serviceaccounts"
KEPT = """
import ray
ray.init("auto", namespace="kept", logging_level="error")
@ray.remote(num_cpus=0)
class Kept:
    def __init__(self, value): self.value = value
    def get(self): return self.value
kept = Kept.options(name="kept", lifetime="detached", max_restarts=-1).remote({value})
print("value", ray.get(kept.get.remote()))
"""
ASKED = """
import time
import ray
ray.init("auto", namespace="kept", logging_level="error")
deadline = time.time() + 60
while True:
    try:
        print("value", ray.get(ray.get_actor("kept").get.remote(), timeout=60))
        break
    except ray.exceptions.RayActorError:  # the GCS has not noticed yet that the node of before is gone
        assert time.time() < deadline
        time.sleep(1)
"""
# The guide's own program, S8
PROGRAM = "import ray; ray.init('auto'); print('resources', ray.cluster_resources()['CPU'])"


def inventory(kube: Kube) -> set[tuple[str, str, str]]:
    return {
        (item["kind"], item["metadata"]["name"], item["metadata"]["uid"])
        for item in kube.items(EVERYTHING)
        if not item["metadata"].get("deletionTimestamp")
    }


@dataclass
class Story:
    """One user, his namespace and what was there before."""

    admin: Kube
    user: Kube
    audit: Audit
    raystead: Cli
    before: set[tuple[str, str, str]]

    def seen(self, *words: str, **more: Any) -> tuple[Any, list[Request]]:
        """Runs raystead; its result and the requests that it made, none of them refused."""
        self.audit.mark()
        done = self.raystead(*words, **more)
        return done, self.audit.none_refused(self.user.user)

    @staticmethod
    def few(requests: list[Request], limit: int) -> None:
        """At most so many requests."""
        assert len(requests) <= limit, "\n".join(f"{r.verb} {r.resource}" for r in requests)

    def python(self, program: str) -> str:
        """Runs a program in the head."""
        (head,) = self.user.out("get", "pods", "--selector=app=ray-cluster-head", "-o", "name").split()
        return self.user.out("exec", head, "-c", "ray-head", "--", "python", "-c", program, timeout=120)

    def pods(self) -> dict[str, str]:
        return {p["metadata"]["uid"]: p["metadata"]["name"] for p in self.user.items("pods")}

    @property
    def objects(self) -> int:
        """What `render` prints, the two Secrets and the anchor."""
        rendered = [d for d in yaml.safe_load_all(self.raystead("render").stdout) if d]
        return len(rendered) + 3


@pytest.fixture(scope="module")
def story(space: Kube, as_user: Callable[[Kube, str], Kube], log: Path) -> Story:
    space.run("create", "configmap", "mine", "--from-literal=a=b")
    space.run("create", "service", "clusterip", "mine", "--tcp=80")
    user = as_user(space, "edit")
    return Story(space, user, Audit(log), Cli(user), inventory(space))


@pytest.fixture(scope="module")
def first(story: Story) -> tuple[Any, list[Request]]:
    """The first `up`, with all tests of this module after it."""
    return story.seen("up")


def test_up_ends_with_three_nodes_alive(story: Story, first: tuple[Any, list[Request]]) -> None:
    done, _ = first
    assert "is ready in" in done.stderr
    assert "3 nodes" in done.stderr
    assert done.stdout == ""


def test_the_first_up_asks_little(story: Story, first: tuple[Any, list[Request]]) -> None:
    """As much as that where nothing goes wrong; Kubernetes' warnings (no volume yet) and a slow start are read up on.

    Each object is tried and applied. Of the other 36 nine are doctor's checks: a pod of each group, pods, claims,
    quotas, LimitRanges and the namespace's labels; two find out whether the namespace gives pods their user ids.
    """
    done, requests = first
    warned = [e for e in story.user.items("events") if e["type"] == "Warning" and e["reason"] != "Unhealthy"]
    took = re.search(r"is ready in ([\d.]+) (s|min)", done.stderr)
    assert took
    slow = took[2] == "min" or float(took[1]) > SLOW
    asked = Counter((r.verb, r.resource) for r in requests)
    read_up = asked["list", "replicasets"] if warned or slow else 0
    again = asked["get", "pods/log"] + asked["watch", "events"] if slow else 0
    story.few(requests, 2 * story.objects + 36 + 6 * read_up + again)
    # A pod whose claim the kubelet was refused is touched, so that it is tried again at once (ADR 18).
    woken = [r for r in requests if (r.verb, r.resource) == ("patch", "pods")]
    made = [r for r in requests if r.mutates and r not in woken]
    assert len(made) == story.objects
    assert len(woken) <= 1
    assert made[0].resource == "configmaps"  # the anchor, before all else


def test_every_command_of_the_guide_works(story: Story, first: object) -> None:
    """S3, S4, S8 and S9, as they stand there."""
    kubectl = story.user
    listing = kubectl.out("get", "pods")
    assert listing.count("deployment-ray-head-") == 1
    assert listing.count("deployment-ray-worker-") == 2
    assert listing.count("Running") == 4  # and Redis
    heads = kubectl.out("get", "pods", "--selector=app=ray-cluster-head", "-o", "name").split()
    assert len(heads) == 1
    out = kubectl.out("exec", heads[0], "-c", "ray-head", "--", "python", "-c", PROGRAM, timeout=120)
    assert "resources 3.0" in out
    workers = kubectl.out("get", "pods", "--selector=app=ray-cluster-worker", "-o", "name").split()
    assert len(workers) == 2
    service = kubectl.get("service", "service-ray-cluster")
    ports = {p["name"]: p["port"] for p in service["spec"]["ports"]}
    assert ports.items() >= {"client": 10001, "dashboard": 8265, "gcs-server": 6380}.items()
    assert service["spec"]["selector"] == {"app": "ray-cluster-head"}
    assert kubectl.get("service", "redis")["spec"]["ports"][0]["port"] == 6379
    assert "appendonly yes" in kubectl.get("configmap", "redis-config")["data"]["redis.conf"]


def test_no_value_of_a_secret_stands_anywhere_else(story: Story, first: tuple[Any, list[Request]]) -> None:
    import base64

    done, _ = first
    values = [
        base64.b64decode(value).decode()
        for secret in story.user.items("secrets")
        for value in secret["data"].values()
    ]
    assert len(values) == 2
    everything = story.user.out(
        "get", "pods,deployments,statefulsets,configmaps,services,events,replicasets", "-o", "json"
    )
    for value in values:
        assert len(value) >= 32
        assert value not in everything
        assert value not in done.stderr


def test_an_unchanged_up_mutates_nothing(story: Story, first: object) -> None:
    pods, before = story.pods(), inventory(story.user)
    done, requests = story.seen("up", timeout=60)
    assert [r for r in requests if r.mutates] == []
    story.few(requests, story.objects + 15)
    assert story.pods() == pods
    assert inventory(story.user) == before
    assert "is ready in" in done.stderr


def test_a_plan_of_nothing_says_so(story: Story, first: object) -> None:
    done, requests = story.seen("plan")
    assert [r for r in requests if r.mutates] == []
    assert "0 to create, 0 to change, 0 to delete" in done.stdout or "nothing" in done.stdout


def test_status_asks_little_and_knows_all(story: Story, first: object) -> None:
    done, requests = story.seen("status")
    assert len(requests) <= 12, requests
    rows = {line.split()[0]: line.split()[1:4] for line in done.stdout.splitlines()[2:4]}
    assert rows == {"head": ["1", "1", "1"], "worker": ["2", "2", "2"]}
    said = json.loads(story.raystead("status", "-o", "json").stdout)
    assert said["kind"] == "RayCluster"
    assert said["status"]["state"] == "ready"
    assert said["status"]["readyWorkerReplicas"] == said["status"]["desiredWorkerReplicas"] == 2


@pytest.fixture(scope="module")
def viewer(story: Story, as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(story.admin, "view"))


def test_who_may_only_view_gets_status_without_the_alive_column(first: object, viewer: Cli) -> None:
    done = viewer("status")
    rows = {line.split()[0]: line.split()[1:4] for line in done.stdout.splitlines()[2:4]}
    assert rows == {"head": ["1", "1", "?"], "worker": ["2", "2", "?"]}
    assert "secrets" in done.stdout
    assert "pods/portforward" in done.stdout


def test_who_may_only_view_is_told_what_up_needs(first: object, viewer: Cli) -> None:
    done = viewer("up", "--workers", "1", code=78)
    assert "you may not" in done.stderr
    assert "secrets" in done.stderr or "patch" in done.stderr


def test_a_field_that_kubectl_owns_is_named_and_can_be_taken(story: Story, first: object) -> None:
    story.user.run("scale", "deployment/deployment-ray-worker", "--replicas=1")
    done = story.raystead("up", code=79)
    assert ".spec.replicas" in done.stderr
    assert "kubectl" in done.stderr
    assert "--force-conflicts" in done.stderr
    assert story.user.get("deployment", "deployment-ray-worker")["spec"]["replicas"] == 1
    done, requests = story.seen("up", "--force-conflicts")
    assert "3 nodes" in done.stderr
    changed = [(r.verb, r.resource) for r in requests if r.mutates]
    # the anchor is the lock of repairs too
    assert changed == [("update", "configmaps"), ("patch", "deployments")]


def test_a_changed_up_changes_what_was_named_and_nothing_else(story: Story, first: object) -> None:
    pods = story.pods()
    done, requests = story.seen("up", "--workers", "1")
    changed = [(r.verb, r.resource) for r in requests if r.mutates and r.resource != "pods"]
    assert changed == [("update", "configmaps"), ("patch", "deployments")]  # pods: who is to go first
    assert "2 nodes" in done.stderr
    after = until(lambda: len(now := story.pods()) < len(pods) and now, 90, "the worker has drained")
    assert after.items() < pods.items()
    assert len(after) == len(pods) - 1
    plan = story.raystead("plan").stdout
    assert "0 to create, 0 to change, 0 to delete" in plan or "nothing" in plan


def test_ctrl_c_leaves_a_state_that_can_be_gone_on_with(story: Story, first: object) -> None:
    import signal

    running = story.raystead.start("up", "--workers", "2", "--timeout", "200")
    assert running.stderr is not None
    until(lambda: "worker   1/2" in running.stderr.readline(), 60, "it waits for the second worker", every=0)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=patience(20))
    assert running.returncode == 130
    assert "raystead up" in err
    assert "Traceback" not in err
    assert "3 nodes" in story.raystead("up").stderr


def test_data_that_down_keeps_is_found_by_the_next_up(story: Story, first: object) -> None:
    assert "value 4711" in story.python(KEPT.format(value=4711))
    done, _ = story.seen("down", "--yes", "--keep-data")
    assert "PersistentVolumeClaim/data-redis-0" in done.stderr
    claim = {("PersistentVolumeClaim", "data-redis-0")}
    kept = {(kind, name) for kind, name, _ in inventory(story.admin) - story.before}
    assert kept == claim
    done, _ = story.seen("up", "--workers", "1")
    assert "is used again" in done.stderr
    assert "value 4711" in story.python(ASKED)


def test_down_leaves_what_was_there_and_nothing_else(story: Story, first: object) -> None:
    begun = time.monotonic()
    done, _ = story.seen("down", "--yes")
    assert "is gone" in done.stderr
    assert time.monotonic() - begun <= patience(15)
    left = until(
        lambda: (now := inventory(story.admin)) == story.before and now, 5, "nothing but what was there"
    )
    assert left == story.before
    assert story.raystead("down", "--yes", code=64).stderr.count("no cluster")
    assert story.raystead("down", "--yes", "--ignore-not-found").returncode == 0
