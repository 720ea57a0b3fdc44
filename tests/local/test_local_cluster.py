"""A user's cluster on his machine: jobs run, a killed head comes back with its state, down leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import patience

from raystead.local.model import ClusterPlan
from raystead.local.place import LocalPlace
from raystead.local.processes import marked, session

from .conftest import Cli, cli_for

pytestmark = pytest.mark.local

COUNTER = """
import ray
ray.init()
@ray.remote(num_cpus=0.1)
class Counter:
    n = 0
    def add(self):
        self.n += 1
        return self.n
head = {n["NodeID"] for n in ray.nodes() if "node:__internal_head__" in n["Resources"]}
worker = next(n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] not in head)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
c = Counter.options(name="counter", namespace="t", lifetime="detached", get_if_exists=True,
                    scheduling_strategy=On(worker, soft=False)).remote()
print("COUNT", ray.get(c.add.remote()), flush=True)
"""


def status(cli: Cli) -> dict[str, object]:
    answer = cli("status", "-o", "json")
    assert answer.returncode == 0, answer.stderr
    value: dict[str, object] = json.loads(answer.stdout)
    return value


def count(cli: Cli) -> int:
    answer = cli("submit", "--", "python", "-c", COUNTER)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = re.search(r"COUNT (\d+)", answer.stdout)
    assert found, answer.stdout
    return int(found[1])


def test_a_job_prints_the_clusters_resources_and_its_output_comes_once(cli: Cli) -> None:
    answer = cli("submit", "--", "python", "-c", "import ray; ray.init(); print(ray.cluster_resources())")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("'CPU': 3.0") == 1


def test_the_jobs_own_exit_code_is_ours(cli: Cli) -> None:
    assert cli("submit", "--", "python", "-c", "raise SystemExit(3)").returncode == 3


def test_long_output_is_whole_and_in_order(cli: Cli) -> None:
    answer = cli("submit", "--", "python", "-c", "for i in range(50000): print('line', i)")
    lines = [line for line in answer.stdout.splitlines() if line.startswith("line ")]
    assert lines == [f"line {i}" for i in range(50000)]


def test_a_working_directory_goes_along_without_what_is_ignored(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import os, helper; print('FILES', sorted(os.listdir('.')), helper.X)")
    (tmp_path / "helper.py").write_text("X = 42")
    (tmp_path / "big.bin").write_bytes(b"0" * 1000)
    (tmp_path / ".gitignore").write_text("*.bin\n")
    answer = cli("submit", "--working-dir", str(tmp_path), "--", "python", "main.py")
    assert answer.returncode == 0, answer.stderr
    assert "'helper.py'" in answer.stdout
    assert "big.bin" not in answer.stdout
    assert answer.stdout.rstrip().endswith("42")


def test_no_wait_then_status_list_stop(cli: Cli) -> None:
    job = cli("submit", "--no-wait", "--", "sleep", "600").stdout.strip()
    assert re.fullmatch(r"raysubmit_\w{16}", job)
    assert job in cli("job", "list").stdout
    assert cli("job", "stop", job).returncode == 0
    deadline = time.monotonic() + 60
    while "STOPPED" not in (seen := cli("job", "status", job).stdout):
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)


def test_an_unknown_job_is_a_sentence(cli: Cli) -> None:
    answer = cli("job", "status", "raysubmit_none")
    assert answer.returncode == 71
    assert 'there is no job "raysubmit_none"' in answer.stderr


def test_a_wrong_token_is_refused_and_not_repeated(cli: Cli, state: Path) -> None:
    from raystead.errors import RayRefuses
    from raystead.rayapi.jobs import JobClient

    address = str(status(cli)["dashboard"])
    with JobClient(address) as client, pytest.raises(RayRefuses, match="no token was sent"):
        client.list()
    with JobClient(address, "wrong" * 8) as client, pytest.raises(RayRefuses) as caught:
        client.list()
    assert "wrong" * 8 not in caught.value.diagnostics()


def test_the_token_is_in_no_command_line_and_no_readable_file(cli: Cli, state: Path) -> None:
    place = LocalPlace("ray-cluster", state_dir=state / "raystead" / "local")
    token, uid = place.token(), ClusterPlan.read(place.directory / "plan.json").uid
    for pid in marked(uid):
        assert token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert (place.directory / "token").stat().st_mode & 0o077 == 0


def test_a_killed_head_comes_back_and_the_actor_answers_with_its_state(cli: Cli) -> None:
    first = count(cli)
    before = status(cli)
    pids = {n["name"]: n["pid"] for n in before["nodes"]}  # type: ignore[attr-defined]
    for pid in session(pids["head"]):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + patience(90)
    while True:
        now = status(cli)
        nodes = {n["name"]: n for n in now["nodes"]}  # type: ignore[attr-defined]
        if now["ready"] and nodes["head"]["pid"] != pids["head"]:
            break
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
    assert nodes["head"]["restarts"] >= 1
    assert "lost at" in nodes["head"]["note"]
    assert count(cli) == first + 1
    assert {n: v["pid"] for n, v in nodes.items() if n != "head"} == {
        n: p for n, p in pids.items() if n != "head"
    }


def test_scale_and_an_up_that_changes_nothing(cli: Cli) -> None:
    answer = cli("scale", "1")
    assert answer.returncode == 0, answer.stderr
    assert len(status(cli)["nodes"]) == 2  # type: ignore[arg-type]
    again = cli("up", "--local")
    assert again.returncode == 0, again.stderr
    assert len(status(cli)["nodes"]) == 2, "what was scaled stays"  # type: ignore[arg-type]
    back = cli("scale", "2")
    assert back.returncode == 0, back.stderr
    assert len(status(cli)["nodes"]) == 3  # type: ignore[arg-type]
    other = cli("up", "--local", "--worker-memory", "600M")
    assert other.returncode == 65
    assert "raystead down" in other.stderr


def test_a_smaller_number_takes_the_idle_worker_and_asks_before_a_busy_one_goes(cli: Cli) -> None:
    """Two jobs and six changes of a real Ray, each answered by its nodes: a minute on two busy cores."""
    before = count(cli)
    fewer = cli("scale", "1")
    assert fewer.returncode == 0, fewer.stderr
    assert re.search(r"▸ worker/\d went \(idle for ", fewer.stderr), fewer.stderr
    assert count(cli) == before + 1, "the worker with the actor stays"
    refused = cli("scale", "0")
    assert refused.returncode == 2
    assert re.search(r"worker: 1 node stops \(worker/\d is busy, 0.1 CPU in use\)", refused.stderr)
    assert "raystead scale 0 --yes" in refused.stderr
    assert len(status(cli)["nodes"]) == 2, "nothing was changed"  # type: ignore[arg-type]
    shrunk = cli("up", "--local", "--workers", "0")
    assert shrunk.returncode == 2, "up asks as scale does"
    gone = cli("scale", "0", "--yes")
    assert gone.returncode == 0, gone.stderr
    assert "went (busy, 0.1 CPU in use)" in gone.stderr
    assert cli("scale", "2").returncode == 0


def test_too_much_is_refused_with_numbers_and_leaves_nothing(tmp_path: Path) -> None:
    run = cli_for(tmp_path)
    answer = run("up", "--local", "--worker-cpu", "500")
    assert answer.returncode == 66
    assert "1000.5 CPU asked for" in answer.stderr or "1001" in answer.stderr
    assert run("status").returncode == 64


def test_a_killed_supervisor_is_said_and_down_still_ends_everything(tmp_path: Path) -> None:
    run = cli_for(tmp_path)
    assert run("up", "--local", "--name", "orphan", "--workers", "0").returncode == 0
    place = LocalPlace("orphan", state_dir=tmp_path / "raystead" / "local")
    uid = ClusterPlan.read(place.directory / "plan.json").uid
    seen = place.status()
    assert seen.supervisor_pid is not None
    os.kill(seen.supervisor_pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while "supervisor is dead" not in run("status").stdout:
        assert time.monotonic() < deadline
    # Somebody else's process, with a mark of its own, must live on.
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert run("down", "--yes").returncode == 0
    assert marked(uid) == []
    assert not Path(seen.session_dir).exists()
    assert other.poll() is None
    other.kill()
    other.wait()
