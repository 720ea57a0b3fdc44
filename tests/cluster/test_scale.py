"""Scale, restart, suspend and resume on a cluster in a namespace, as an `edit` user."""

import threading
import time

import pytest
from cli import Cli
from kube import Kube, until
from shared import Running

pytestmark = pytest.mark.cluster
WORKERS = "ray.io/node-type=worker"
COUNTER = """\
import ray
ray.init(namespace="t")
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Counter:
    "Keeps its count where Ray keeps its own state."
    def add(self):
        count = int(_internal_kv_get("count") or 0) + 1
        _internal_kv_put("count", str(count), overwrite=True)
        return count
actor = Counter.options(name="counter", lifetime="detached", get_if_exists=True).remote()
print("COUNT", ray.get(actor.add.remote()))
"""
ASK = """\
import ray
ray.init(namespace="t")
print("COUNT", ray.get(ray.get_actor("counter").add.remote()))
"""


@pytest.fixture
def cli(running: Running) -> Cli:
    return running.cli


@pytest.fixture
def space(running: Running) -> Kube:
    return running.space


def workers(kube: Kube) -> dict[str, str]:
    """Names and UIDs of the workers that are not on their way out."""
    pods = kube.items("pods", "-l", WORKERS)
    return {
        p["metadata"]["name"]: p["metadata"]["uid"] for p in pods if "deletionTimestamp" not in p["metadata"]
    }


def test_of_a_group_that_shrinks_the_idle_worker_goes_and_is_named(cli: Cli, space: Kube) -> None:
    """Over 60 s: the job on the busy worker runs for a minute."""
    words = ("--submission-id", "long", "--no-wait", "--entrypoint-num-cpus", "1")
    cli("submit", *words, "--", "sh", "-c", "hostname; sleep 60; echo whole")
    until(lambda: "deployment-ray" in cli("job", "logs", "long").stdout, 60, "it runs", every=1)
    busy = next(line for line in cli("job", "logs", "long").stdout.split() if line.startswith("deployment-"))
    (idle,) = set(workers(space)) - {busy}
    done = cli("scale", "1")
    assert set(workers(space)) == {busy}
    assert f"{idle} went (idle for" in done.stderr
    until(lambda: "SUCCEEDED" in cli("job", "status", "long").stdout, 120, "the job is whole", every=3)


def test_a_job_on_a_cluster_without_workers_runs_on_the_head(cli: Cli, space: Kube) -> None:
    cli("scale", "worker=0")
    assert workers(space) == {}
    done = cli("submit", "--", "hostname")
    assert "deployment-ray-head" in done.stdout
    assert "on the head" in done.stderr
    cli("scale", "2")
    assert len(workers(space)) == 2


def test_a_group_that_is_not_there(cli: Cli) -> None:
    assert "its groups: worker" in cli("scale", "gpu=1", code=2).stderr


@pytest.mark.long
def test_workers_restart_one_at_a_time_and_up_finds_nothing_to_do(cli: Cli, space: Kube) -> None:
    before = workers(space)
    fewest, watching = [2], threading.Event()

    def watch() -> None:
        while not watching.wait(0.5):
            ready = space.get("deployment", "deployment-ray-worker")["status"].get("readyReplicas", 0)
            fewest.append(ready)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        cli("restart", "--yes")
    finally:
        watching.set()
        thread.join()
    after = workers(space)
    assert len(after) == 2
    assert not set(before.values()) & set(after.values())
    assert min(fewest) == 1
    generation = space.get("deployment", "deployment-ray-worker")["metadata"]["generation"]
    cli("up")
    assert workers(space) == after
    assert space.get("deployment", "deployment-ray-worker")["metadata"]["generation"] == generation


@pytest.mark.long
def test_the_head_restarts_alone(cli: Cli, space: Kube) -> None:
    def head() -> list[str]:
        return [p["metadata"]["uid"] for p in space.items("pods", "-l", "ray.io/node-type=head")]

    kept, before = workers(space), head()
    cli("restart", "head", "--yes")
    assert workers(space) == kept
    assert head() != before


@pytest.mark.long
def test_a_suspended_cluster_costs_nothing_and_comes_back_with_its_actors(cli: Cli, space: Kube) -> None:
    assert "COUNT 1" in cli("submit", "--submission-id", "counting", "--", "python", "-c", COUNTER).stdout
    cli("suspend", "--yes")
    until(lambda: space.items("pods") == [], 120, "no pod is left", every=2)
    assert "suspended" in cli("submit", "--", "true", code=90).stderr
    cli("up")
    time.sleep(3)
    assert space.items("pods") == [], "up alone does not wake it"
    cli("resume")
    assert "COUNT 2" in cli("submit", "--", "python", "-c", ASK).stdout
    assert "counting" in cli("job", "list").stdout, "its jobs are known"


def test_a_cluster_that_keeps_no_state_is_not_suspended(cli: Cli, space: Kube) -> None:
    cli("up", "--name", "loose", "--workers", "0", "--storage", "none", "--wait=false")
    try:
        answer = cli("suspend", "--name", "loose", code=90)
        assert "--storage redis" in answer.stderr
        assert space.get("deployment", "loose-head")["spec"]["replicas"] == 1
    finally:
        cli("down", "--name", "loose", "--yes")
