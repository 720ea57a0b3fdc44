"""`raystead verify` on a real cluster: it survives; beside running jobs it is refused; what is lost is told."""

import json
from pathlib import Path

import pytest
from cli import Cli
from shared import Running

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]


@pytest.fixture
def raystead(own_cluster: Path, running: Running) -> Cli:
    return running.cli


def jobs(raystead: Cli) -> list[str]:
    """The ids of all that the cluster knows."""
    return sorted(line.split()[0] for line in raystead("job", "list").stdout.splitlines()[1:])


def actors(raystead: Cli) -> str:
    """Named actors of all namespaces; a job's own supervisor is one of Ray's."""
    program = (
        "import ray; ray.init(); from ray.util import list_named_actors as named;"
        "print('NAMED', [a for a in named(all_namespaces=True) if not a['name'].startswith('_ray_internal')])"
    )
    out = raystead("submit", "-q", "--", "python", "-c", program).stdout
    return next(line for line in out.splitlines() if line.startswith("NAMED"))


def test_it_survives_and_nothing_of_the_proof_is_left(raystead: Cli) -> None:
    """Over 60 s: a head, Redis and a worker are lost and come back, one after the other."""
    named = actors(raystead)
    before = jobs(raystead)
    done = raystead("verify", "--yes", "-o", "json")
    outcomes = json.loads(done.stdout)
    assert [one["fault"] for one in outcomes] == ["head", "redis", "worker"]
    assert all(not one["lost"] and one["beats"] > 2 and one["away"] > 0 for one in outcomes), outcomes
    print([(one["fault"], round(one["away"], 1), one["slowest"]) for one in outcomes])
    assert jobs(raystead) == before
    assert actors(raystead) == named


def test_it_is_refused_beside_a_running_job(raystead: Cli) -> None:
    sleep = ("python", "-c", "import time; time.sleep(600)")
    job = raystead("submit", "--no-wait", "-q", "--", *sleep).stdout.strip()
    refused = raystead("verify", "--faults", "head", code=90)
    assert job in refused.stderr
    assert "--yes" in refused.stderr
    raystead("job", "stop", job)


def test_what_cannot_survive_is_refused_before_anything_is_deleted(raystead: Cli) -> None:
    assert "head, redis, worker" in raystead("verify", "--faults", "dns", code=2).stderr
    raystead("up", "--workers", "1")
    assert "one worker" in raystead("verify", "--faults", "worker", "--yes", code=2).stderr
