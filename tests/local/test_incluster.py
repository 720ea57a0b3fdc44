"""The programs of a RayJob's pods against a real Ray: one submission, its output, its outcome, a keeper's patience."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli

pytestmark = pytest.mark.local

SOURCE = Path(__file__).resolve().parents[2] / "src" / "raystead"


@pytest.fixture(scope="module")
def ray(cli: Cli) -> dict[str, str]:
    """The environment of a pod beside the running local cluster."""
    answer = cli("status", "--local", "-o", "json")
    dashboard = json.loads(answer.stdout)["dashboard"]
    token = cli("token", "--local").stdout.strip()
    return {
        "PATH": os.environ["PATH"],
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "DASHBOARD": dashboard,
    }


def order(ray: dict[str, str], entrypoint: str, **more: Any) -> dict[str, Any]:
    name = f"job-{uuid.uuid4().hex[:6]}"
    return {
        "name": name,
        "address": ray["DASHBOARD"],
        "job_id": name,
        "body": {"entrypoint": entrypoint},
        **more,
    }


def start(program: str, text: dict[str, Any], ray: dict[str, str], tmp: Path) -> subprocess.Popen[str]:
    file = tmp / f"{uuid.uuid4().hex}.json"
    file.write_text(json.dumps(text))
    words = [sys.executable, "-m", f"incluster.{program}", str(file)]
    env = {**ray, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def submit(ray: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    running: list[subprocess.Popen[str]] = []

    def run(program: str, text: dict[str, Any]) -> subprocess.Popen[str]:
        running.append(start(program, text, ray, tmp_path))
        return running[-1]

    yield run
    for one in running:
        if one.poll() is None:
            one.kill()
        one.communicate()


def job(cli: Cli, job_id: str) -> dict[str, Any] | None:
    jobs = json.loads(cli("job", "list", "--local", "-o", "json").stdout)
    return next((one for one in jobs if one["id"] == job_id), None)


def test_the_entrypoint_is_one_text_for_ray_and_its_output_is_whole(submit: Any, ray: dict[str, str]) -> None:
    wanted = order(ray, """echo "it's"; for i in $(seq 2000); do echo line $i; done && echo `echo ticks`""")
    done = submit("submitter", wanted)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    lines = [line for line in out.splitlines() if not line.startswith(("Running entrypoint", "20"))]
    assert lines == ["it's", *(f"line {i}" for i in range(1, 2001)), "ticks"]


def test_a_failed_job_is_submitted_once_and_gives_its_code(
    submit: Any, cli: Cli, ray: dict[str, str]
) -> None:
    wanted = order(ray, "echo once; exit 7")
    done = submit("submitter", wanted)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 7, err
    assert out.count("once\n") == 1
    assert err.endswith("FAILED: Job entrypoint command failed with exit code 7\n"), (
        "the output is not told twice"
    )
    assert job(cli, wanted["job_id"] + "-2") is None


def test_each_retry_is_a_new_submission_with_an_id_of_its_own(
    submit: Any, cli: Cli, ray: dict[str, str]
) -> None:
    wanted = order(ray, "exit 3", attempts=3)
    done = submit("submitter", wanted)
    _, err = done.communicate(timeout=180)
    assert done.returncode == 3
    assert "attempt 2 of 3 failed" in err
    for job_id in (wanted["job_id"], wanted["job_id"] + "-2", wanted["job_id"] + "-3"):
        assert (job(cli, job_id) or {})["status"] == "FAILED"
    assert job(cli, wanted["job_id"] + "-4") is None


def test_who_comes_after_a_killed_submitter_follows_the_same_job(
    submit: Any, cli: Cli, ray: dict[str, str]
) -> None:
    wanted = order(ray, "for i in 1 2 3 4 5 6 7 8; do echo beat $i; sleep 1; done")
    first = submit("submitter", wanted)
    assert first.stdout
    for line in first.stdout:
        if line.startswith("beat 2"):
            break
    first.send_signal(signal.SIGKILL)
    second = submit("submitter", wanted)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert "is there already" in err
    assert [line for line in out.splitlines() if line.startswith("beat")] == [
        f"beat {i}" for i in range(1, 9)
    ]


def test_at_its_deadline_the_job_is_stopped_first(submit: Any, cli: Cli, ray: dict[str, str]) -> None:
    wanted = order(ray, "sleep 300", deadline=8.0, attempts=3)
    done = submit("submitter", wanted)
    _, err = done.communicate(timeout=120)
    assert done.returncode == 1
    assert (job(cli, wanted["job_id"]) or {})["status"] == "STOPPED", err
    assert job(cli, wanted["job_id"] + "-2") is None, "a deadline is not tried again"


def test_an_order_that_ray_refuses_is_a_failed_submission(submit: Any, ray: dict[str, str]) -> None:
    wanted = order(ray, "true")
    wanted["body"]["entrypoint_num_cpus"] = "many"
    done = submit("submitter", wanted)
    _, err = done.communicate(timeout=120)
    assert done.returncode == 1
    assert "SubmissionFailed" in err


def test_an_absent_head_is_told_and_ends_with_the_deadline_before_running(
    submit: Any, ray: dict[str, str]
) -> None:
    wanted = {**order(ray, "true", pre_running_deadline=4.0), "address": "http://127.0.0.1:9"}
    done = submit("submitter", wanted)
    _, err = done.communicate(timeout=90)
    assert done.returncode == 1
    assert (
        "still trying to reach http://127.0.0.1:9: GET /api/gcs_healthz: [Errno 111] Connection refused"
        in err
    )
    assert "PreRunningDeadlineExceeded" in err


def test_a_keeper_waits_for_its_job_and_for_its_condition(submit: Any, ray: dict[str, str]) -> None:
    wanted = order(ray, "sleep 6; exit 4")
    keeping = {
        "name": wanted["name"],
        "address": ray["DASHBOARD"],
        "job_id": wanted["job_id"],
    }
    any_end = submit("keeper", {**keeping, "rules": [["ended", 3.0]]})
    failure = submit("keeper", {**keeping, "rules": [["jobStatus=FAILED", 3.0]]})
    success = submit("keeper", {**keeping, "rules": [["jobStatus=SUCCEEDED", 3.0]]})
    job_run = submit("submitter", wanted)
    job_run.communicate(timeout=120)
    ended = time.monotonic()
    for one in (any_end, failure):
        out, err = one.communicate(timeout=30)
        assert one.returncode == 0, err
        assert "ends as agreed, after 3 s" in out
    assert time.monotonic() - ended > 2.5
    assert success.poll() is None, "a job that failed has not succeeded"


def test_a_keeper_ends_what_never_came_when_its_deadlines_are_over(submit: Any, ray: dict[str, str]) -> None:
    rules = [["jobStatus=SUCCEEDED", 0.0], ["jobDeploymentStatus=Failed", 1.0]]
    keeping = {"name": "absent", "address": "http://127.0.0.1:9", "job_id": "absent", "rules": rules}
    waiting = submit("keeper", keeping)
    ended = submit("keeper", {**keeping, "begun_by": 5.0})
    out, err = ended.communicate(timeout=40)
    assert ended.returncode == 0, err
    assert "its deadlines have passed; the cluster ends as agreed, after 1 s" in out
    assert waiting.poll() is None, "without a deadline it waits for ever"


def test_a_keeper_that_is_ended_ends_nothing(submit: Any, ray: dict[str, str]) -> None:
    one = submit("keeper", {"name": "x", "address": ray["DASHBOARD"], "rules": [["idle", 600.0]]})
    time.sleep(3)
    one.send_signal(signal.SIGTERM)
    one.communicate(timeout=10)
    assert one.returncode == 143


def test_a_cluster_is_busy_while_a_job_runs_and_then_idle(
    submit: Any, ray: dict[str, str], tmp_path: Path
) -> None:
    wanted = order(ray, "sleep 8")
    job_run = submit("submitter", wanted)
    time.sleep(3)
    rules = [["idle", 4.0]]
    watch = {"name": "x", "address": ray["DASHBOARD"], "rules": rules, "folder": str(tmp_path / "keeper")}
    keeper = submit("keeper", watch)
    job_run.communicate(timeout=60)
    assert keeper.poll() is None
    out, err = keeper.communicate(timeout=40)
    assert keeper.returncode == 0, err
    assert f"busy: job {wanted['job_id']} is RUNNING" in out
    assert re.search(r"idle since \S+; the cluster ends as agreed, after 4 s", out)
    assert (tmp_path / "keeper" / "over").is_dir(), "who comes now sees that it is late"


KEEP = (
    "import ray; ray.init('auto', namespace='n')\n"
    "@ray.remote(num_cpus=0)\n"
    "class A: pass\n"
    "a = A.options(name='keeps', lifetime='detached').remote(); ray.get(a.__ray_ready__.remote())"
)
END = "import ray; ray.init('auto', namespace='n'); ray.kill(ray.get_actor('keeps'))"


def test_a_detached_actor_keeps_it_busy(submit: Any, ray: dict[str, str], tmp_path: Path) -> None:
    rules = [["idle", 4.0]]
    watch = {"name": "x", "address": ray["DASHBOARD"], "rules": rules, "folder": str(tmp_path / "keeper")}
    submit("submitter", order(ray, f'python -c "{KEEP}"')).communicate(timeout=90)
    keeper = submit("keeper", watch)
    time.sleep(8)
    assert keeper.poll() is None, "nothing runs but an actor, which may hold what nobody else has"
    submit("submitter", order(ray, f'python -c "{END}"')).communicate(timeout=90)
    out, err = keeper.communicate(timeout=60)
    assert keeper.returncode == 0, err
    assert "busy: actor keeps is ALIVE" in out
