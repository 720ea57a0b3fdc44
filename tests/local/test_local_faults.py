"""What goes wrong on a user's machine: each fault is a sentence with its exit code, and nothing half-made stays."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raystead.local.model import MARKER, ClusterPlan
from raystead.local.place import LocalPlace
from raystead.local.processes import marked, session
from raystead.ops.following import follow
from raystead.rayapi.jobs import JobClient

from .conftest import RAYSTEAD, Cli, cli_for

pytestmark = pytest.mark.local


def place(state: Path, name: str = "ray-cluster") -> LocalPlace:
    return LocalPlace(name, state_dir=state / "raystead" / "local")


def processes_of(state: Path) -> list[int]:
    """Every process of any local cluster whose state is below `state`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(w.startswith(MARKER.encode()) for w in words) and any(str(state).encode() in w for w in words):
            found.append(int(entry.parent.name))
    return found


def working_directories() -> set[Path]:
    return set(Path("/tmp").glob("rs-*"))


def used(directory: Path) -> bool:
    """Whether a process, such as one of another test's cluster, was started for it."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(directory).encode() in entry.read_bytes():
                return True
    return False


@pytest.fixture
def nothing_stays(tmp_path: Path) -> Iterator[None]:
    """Afterwards there is no process, no state and no working directory that was not there before."""
    before = working_directories()
    yield
    assert processes_of(tmp_path) == []
    assert LocalPlace.names(tmp_path / "raystead" / "local") == []
    until(
        lambda: all(used(directory) for directory in working_directories() - before),
        10,
        "a working directory stays",
    )


def until(what: Callable[[], object], seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.2)


def test_a_taken_port_is_named_and_nothing_stays(tmp_path: Path, nothing_stays: None) -> None:
    file = tmp_path / "c.yaml"
    container = "containers: [{name: ray, image: 'rayproject/ray:2.60.0'}]"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file.write_text(
            "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: ray-cluster}\nspec:\n  headGroupSpec:\n"
            f"    rayStartParams: {{dashboard-port: '{port}'}}\n    template: {{spec: {{{container}}}}}\n"
        )
        answer = cli_for(tmp_path)("up", "--local", "-f", str(file))
    assert answer.returncode == 69
    assert f"port {port} is taken" in answer.stderr
    assert f"ss -ltnp 'sport = :{port}'" in answer.stderr


def test_a_full_disk_is_a_sentence_and_nothing_stays(tmp_path: Path, nothing_stays: None) -> None:
    """No file may grow: the kernel refuses every write as it does on a full disk."""
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    answer = subprocess.run(
        [RAYSTEAD, "up", "--local"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert answer.returncode == 74, answer.stderr
    assert "the cluster's state cannot be written" in answer.stderr
    assert "XDG_STATE_HOME" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_without_ray_it_says_how_to_get_it(tmp_path: Path, nothing_stays: None) -> None:
    """A second environment with all packages of this one but Ray."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    packages = next((tmp_path / "bare" / "lib").glob("python3*/site-packages"))
    ours = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for entry in ours.iterdir():
        if entry.name != "ray" and not entry.name.startswith("ray-"):
            (packages / entry.name).symlink_to(entry)
    answer = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-m", "raystead.cli.main", "up", "--local"],
        env={"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 67, answer.stderr
    assert "-m pip install -U 'ray[default]>=2.57'" in answer.stderr


def test_an_up_that_was_killed_is_taken_up_by_the_next(tmp_path: Path, nothing_stays: None) -> None:
    run = cli_for(tmp_path)
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    words = ["up", "--local", "--workers", "0"]
    killed = subprocess.Popen([RAYSTEAD, *words], env=env, stderr=subprocess.DEVNULL)
    until(lambda: (place(tmp_path).directory / "status.json").exists(), 30, "the supervisor works")
    killed.kill()
    killed.wait()
    supervisor = json.loads((place(tmp_path).directory / "status.json").read_text())["pid"]
    again = run(*words)
    assert again.returncode == 0, again.stderr
    assert place(tmp_path).status().supervisor_pid == supervisor, "the same cluster, not a second one"
    assert run("down", "--local", "--yes").returncode == 0


def test_a_killed_supervisor_is_replaced_by_up_and_a_damaged_state_can_be_ended(
    tmp_path: Path, nothing_stays: None
) -> None:
    run = cli_for(tmp_path)
    words = ["up", "--local", "--workers", "1"]
    assert run(*words).returncode == 0
    first = place(tmp_path).status().supervisor_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: "supervisor is dead" in run("status", "--local").stdout, 10, "status says so")
    again = run(*words)
    assert again.returncode == 0, again.stderr
    now = place(tmp_path).status()
    assert now.ready
    assert now.supervisor_pid not in (None, first)
    assert len(now.nodes) == 2

    uid = ClusterPlan.read(place(tmp_path).directory / "plan.json").uid
    (place(tmp_path).directory / "plan.json").write_text("{")
    answer = run("status", "--local")
    assert answer.returncode == 74
    assert "raystead down --local" in answer.stderr
    down = run("down", "--local", "--yes")
    assert down.returncode == 0, down.stderr
    assert marked(uid) == []


def test_a_lost_worker_comes_back_and_status_says_so(cli: Cli, state: Path) -> None:
    before = {n.name: n.pid for n in place(state).status().nodes}
    lost = before["worker/1"]
    assert lost is not None
    for pid in session(lost):
        os.kill(pid, signal.SIGKILL)
    until(lambda: (s := place(state).status()).ready and s.nodes[2].restarts == 1, 60, "it is back")
    assert re.search(r"worker/1 .* 1 +lost at \d\d:\d\d:\d\d", cli("status", "--local").stdout)
    after = {n.name: n.pid for n in place(state).status().nodes}
    assert {n: p for n, p in after.items() if n != "worker/1"} == {
        n: p for n, p in before.items() if n != "worker/1"
    }


SLOW = "import time\nfor i in range(100):\n    print('tick', i, flush=True)\n    time.sleep(0.1)\n"


def submitting(state: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(state)}
    command = [RAYSTEAD, "submit", "--local", *words, "--", "python", "-c", SLOW]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_tick(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("tick"):
            return
    raise AssertionError("the job printed nothing")


def test_one_interrupt_detaches_and_the_job_goes_on(cli: Cli, state: Path) -> None:
    process = submitting(state, "--submission-id", "detached")
    first_tick(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "raystead job logs --local detached -f" in errors
    assert "RUNNING" in cli("job", "status", "detached", "--local").stdout
    assert cli("job", "logs", "detached", "-f", "--local").stdout.count("tick 99\n") == 1


def test_output_comes_while_the_job_runs(cli: Cli, state: Path) -> None:
    process = submitting(state, "--submission-id", "live")
    first_tick(process)
    assert "RUNNING" in cli("job", "status", "live", "--local").stdout
    assert cli("job", "stop", "live", "--local").returncode == 0
    process.communicate(timeout=60)
    assert process.returncode == 70, "stopped: no exit code of its own"


class Cutting:
    """A wire between client and dashboard that breaks without a word after `limit` bytes, each time a few more."""

    def __init__(self, port: int, limit: int) -> None:
        self.port, self.limit, self.cuts = port, limit, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            for source, sink, limit in ((client, server, None), (server, client, self.limit)):
                threading.Thread(target=self._carry, args=(source, sink, limit), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                carried += len(data)
                if limit is not None and carried > limit:
                    self.cuts, self.limit = self.cuts + 1, self.limit + 2000
                    sink.sendall(data[: limit - carried])
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_stream_that_breaks_again_and_again_loses_and_doubles_nothing(cli: Cli, state: Path) -> None:
    status, token = place(state).status(), place(state).token()
    wire = Cutting(int(status.dashboard.rpartition(":")[2]), limit=3000)
    code = "import time\nfor i in range(1500):\n    print('line', i, flush=True)\n    time.sleep(0.004)\n"
    job = cli("submit", "--local", "--no-wait", "--", "python", "-c", code).stdout.strip()
    written: list[str] = []
    with JobClient(wire.address, token) as client:
        end = follow(client, job, write=written.append, tell=lambda event: None)
    wire.server.close()
    assert end.status == "SUCCEEDED"
    assert wire.cuts >= 2, "the wire was to break"
    lines = [line for line in "".join(written).splitlines() if line.startswith("line ")]
    assert lines == [f"line {i}" for i in range(1500)]


def test_two_interrupts_stop_the_job(cli: Cli, state: Path) -> None:
    process = submitting(state, "--submission-id", "stopped")
    first_tick(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped stopped" in errors
    until(lambda: "STOPPED" in cli("job", "status", "stopped", "--local").stdout, 30, "Ray stopped it")


def test_a_directory_over_rays_limit_is_refused_before_anything_is_sent(cli: Cli, tmp_path: Path) -> None:
    def jobs() -> list[str]:
        return [job["id"] for job in json.loads(cli("job", "list", "--local", "-o", "json").stdout)]

    before = jobs()
    (tmp_path / "model.bin").write_bytes(os.urandom(101 * 2**20))
    for i in range(12):
        (tmp_path / f"part-{i:02}.txt").write_text("x" * (1000 + i))
    answer = cli("submit", "--local", "--working-dir", str(tmp_path), "--", "true")
    assert answer.returncode == 72
    named = re.findall(r"B  (\S+)", answer.stderr)
    assert named == ["model.bin", *(f"part-{i:02}.txt" for i in range(11, 2, -1))], (
        "the ten largest, in order"
    )
    assert "--exclude" in answer.stderr
    assert "nothing was sent" in answer.stderr
    assert jobs() == before
    allowed = cli("submit", "--local", "--working-dir", str(tmp_path), "--exclude", "*.bin", "--", "ls")
    assert allowed.returncode == 0
    assert "part-00.txt" in allowed.stdout
