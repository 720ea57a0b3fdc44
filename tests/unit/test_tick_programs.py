"""Process 1 of a tick's pods and the driver's container beside the head, as real processes without a Ray."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import patience

from raystead.incluster import tick
from raystead.incluster.beside import Neighbour, run
from raystead.incluster.submitter import Order

SOURCE = Path(tick.__file__).parents[1]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from incluster import tick
tick._POLL = tick._PAUSE = 0.05
tick._PROBE = tick._WORKER_STOP = 0.2
tick._PATIENCE, tick._WAIT = 1.5, 2.0
tick.run_head.__defaults__ = (sys.argv[2],)
sys.exit(tick.main(sys.argv[3:]))
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(order: dict[str, Any], *command: str) -> subprocess.Popen[str]:
        env = {
            **os.environ,
            "RAYSTEAD_JOB": "demo-small-worker-29928523",
            "RAY_ADDRESS": "demo-$RAYSTEAD_TICK-0:1",
        }
        words = [sys.executable, "-c", PROGRAM, str(SOURCE), str(tmp_path), json.dumps(order), *command]
        pipe = subprocess.PIPE
        running.append(
            subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        )
        return running[-1]

    yield begin
    for one in running:
        with contextlib.suppress(ProcessLookupError):  # what outlives it holds its pipes open
            os.killpg(one.pid, signal.SIGKILL)
        one.communicate()


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + patience(20)
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=patience(30))
    return process.returncode, out + err


HEAD = {"role": "head"}


def test_a_head_runs_until_the_driver_has_ended(start: Start, tmp_path: Path) -> None:
    head, beside = start(HEAD, "sleep", "1000"), Neighbour(str(tmp_path))
    wait_for((tmp_path / "head").exists)
    assert not beside.gone()
    beside.end(patience(20))
    assert ended(head) == (0, "")
    assert beside.gone()


def test_a_killed_head_is_seen_at_once(start: Start, tmp_path: Path) -> None:
    """As the kernel does it when a container is out of memory: nobody can say anything any more."""
    head, beside = start(HEAD, "sleep", "1000"), Neighbour(str(tmp_path))
    assert not beside.gone(), "who has not begun has not ended"
    wait_for((tmp_path / "head").exists)
    head.kill()
    head.wait()
    assert beside.gone()


def test_the_loss_of_the_head_fails_the_job_with_that_reason(start: Start, tmp_path: Path) -> None:
    head = start(HEAD, "sleep", "1000")
    wait_for((tmp_path / "head").exists)
    head.kill()
    head.wait()
    order = Order("demo", "http://127.0.0.1:9", "demo-29928523", {"entrypoint": "true"})
    outcome = run(order, Neighbour(str(tmp_path)))
    assert (outcome.jobStatus, outcome.reason, outcome.code) == ("FAILED", "AppFailed", 1)
    assert "the head ended before the job did" in outcome.message


def test_ray_is_started_again_only_before_it_has_the_job(start: Start, tmp_path: Path) -> None:
    command = ("sh", "-c", f"echo start >> {tmp_path}/starts; exit 4")
    code, told = ended(start(HEAD, *command))
    assert (code, told.count("starting it again")) == (4, 4)
    assert (tmp_path / "starts").read_text().count("start") == 5
    (tmp_path / "submitted").touch()
    code, told = ended(start(HEAD, *command))
    assert (code, told.count("starting it again")) == (4, 0)


def test_a_signal_is_handed_on_and_ends_it(start: Start, tmp_path: Path) -> None:
    script = f"trap 'echo told; exit 7' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    head = start(HEAD, "sh", "-c", script)
    wait_for((tmp_path / "ready").exists)
    head.send_signal(signal.SIGTERM)
    code, told = ended(head)
    assert code == 7
    assert told.startswith("told\n")
    assert "again" not in told


def worker(port: int, **more: Any) -> dict[str, Any]:
    return {"role": "worker", "head": "localhost", "port": port, **more}


@pytest.fixture
def gcs() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


def test_a_worker_waits_for_its_head_knows_its_tick_and_ends_with_the_head(
    start: Start, tmp_path: Path, gcs: socket.socket
) -> None:
    port = gcs.getsockname()[1]
    gcs.close()
    script = f"echo $RAYSTEAD_TICK $RAY_ADDRESS > {tmp_path}/said; exec sleep 1000"
    process = start(worker(port), "sh", "-c", script)
    time.sleep(0.5)
    assert not (tmp_path / "said").exists(), "it waits"
    with socket.create_server(("127.0.0.1", port), backlog=64):
        wait_for(lambda: (tmp_path / "said").exists() and (tmp_path / "said").read_text())
        assert (tmp_path / "said").read_text() == "29928523 demo-29928523-0:1\n"
        time.sleep(0.5)
        assert process.poll() is None, "it goes on while the head is there"
    code, told = ended(process)
    assert code == 0
    assert "the head has gone" in told


def test_a_worker_that_dies_under_a_running_head_is_made_anew(start: Start, gcs: socket.socket) -> None:
    code, told = ended(start(worker(gcs.getsockname()[1]), "sh", "-c", "exit 9"))
    assert code == 9, "the Job makes another pod"
    assert "while the head was there" in told


def test_a_worker_without_a_head_ends_in_peace(start: Start, gcs: socket.socket) -> None:
    port = gcs.getsockname()[1]
    gcs.close()
    code, told = ended(start(worker(port), "sleep", "1000"))
    assert code == 0
    assert "no head came to localhost" in told


def test_where_ticks_may_not_overlap_another_head_says_that_ones_own_was_left_out(start: Start) -> None:
    order = {"role": "worker", "head": "nobody.invalid", "port": 1, "heads": "localhost", "due": 75}
    code, told = ended(start(order, "sleep", "1000"))
    assert code == 0
    assert "another tick's head runs, and this tick has none" in told


@pytest.mark.parametrize(
    "known, gone",
    [
        ({"kubernetes.default.svc"}, True),  # DNS answers and has no such name
        (set(), False),  # DNS is away
        ({"head", "kubernetes.default.svc"}, False),
    ],
)
def test_a_name_that_dns_does_not_know_is_gone(
    known: set[str], gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "_addresses", lambda name: {"10.0.0.1"} if name in known else set())
    assert tick._unknown("head") is gone


def test_a_head_that_is_silent_for_a_while_is_not_gone(gcs: socket.socket) -> None:
    now, port = [100.0], gcs.getsockname()[1]
    head = tick.Gcs("localhost", port, clock=lambda: now[0])
    assert head.look() == "there"
    gcs.close()
    assert head.look() == "silent"
    now[0] += 59
    assert head.look() == "silent"
    with socket.create_server(("127.0.0.1", port)):
        assert head.look() == "there", "it is back"
    now[0] += 59
    assert head.look() == "silent"
    now[0] += 61
    assert head.look() == "gone"


def test_a_head_that_dns_forgot_is_gone_at_the_third_look(
    gcs: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tick.Gcs("localhost", gcs.getsockname()[1])
    assert head.look() == "there"
    gcs.close()
    monkeypatch.setattr(tick, "_unknown", lambda host: True)
    assert [head.look() for _ in range(3)] == ["silent", "silent", "gone"]
