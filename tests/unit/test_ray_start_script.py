"""Process 1 of a Ray pod: it hands signals on, reaps what jobs leave behind and ends as Ray ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import patience
from scriptedserver import Answer, ScriptedServer, answer, reset

from raystead.manifests.scripts import cluster_over, ray_start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers and /proc")
# It stands in for `ray start --block`: orphans, then a drain of a moment when SIGTERM comes.
RAY = """\
#!/bin/bash
trap 'echo draining; sleep ${DRAIN:-0.2}; exit 7' TERM
for _ in 1 2 3; do (sleep 0 &); done
grep SigIgn /proc/self/status
sleep 0.5
echo "$@"
for _ in $(seq 100); do [ "$1" = start ] && sleep 0.05; done
exit 5
"""


def process_1() -> None:
    """Orphans of its descendants become children of the process that follows, as of process 1 of a container."""
    PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a container; a shell's background job ignores it


@contextmanager
def running(command: str, path: Path, over: str = "", drain: float = 0.2) -> Iterator[subprocess.Popen[str]]:
    stub = path / "ray"
    stub.write_text(RAY)
    stub.chmod(0o755)
    with subprocess.Popen(
        ["/bin/bash", "-c", "--", over + ray_start(command, may_be_over=bool(over))],
        env={"PATH": f"{path}:{os.environ['PATH']}", "DRAIN": str(drain)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=process_1,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> dict[int, str]:
    """Name of each child, and whether it is a zombie."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if int(parent) == pid:
            found[int(entry.parent.name)] = f"zombie {name}" if state == "Z" else name
    return found


def test_sigterm_reaches_ray_which_drains_and_its_orphans_are_reaped(tmp_path: Path) -> None:
    with running("ulimit -n 64; ray start --block", tmp_path) as process:
        assert process.stdout
        ignored = int(process.stdout.readline().split()[1], 16)
        assert not ignored & (1 << (signal.SIGINT - 1))  # ray.cancel interrupts the worker
        assert process.stdout.readline() == "start --block\n"
        assert list(children(process.pid).values()) == ["ray"]
        process.terminate()
        assert process.stdout.read() == "draining\n"
        assert process.wait(5) == 7


def test_a_ray_that_ends_by_itself_ends_process_1_with_its_code(tmp_path: Path) -> None:
    with running("ray refuses", tmp_path) as process:
        begin = time.monotonic()
        assert process.wait(5) == 5
        assert time.monotonic() - begin < 3


def test_a_killed_ray_is_a_killed_container(tmp_path: Path) -> None:
    with running("ray start", tmp_path) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)][1] == "start\n"  # its orphans are gone by now
        (ray,) = children(process.pid)
        os.kill(ray, signal.SIGKILL)
        assert process.wait(5) == 128 + signal.SIGKILL


# What the head answers to a pod of a RayJob's cluster at its SIGTERM, whether the pod counts a cluster without a
# GCS as over, and what process 1 does.
ENDS: dict[str, tuple[list[Answer], bool, int, str]] = {
    "the keeper ended the cluster": ([answer(200)], True, 0, ""),
    "the pod alone goes": ([answer(404)], True, 7, "draining\n"),
    "the token is not taken": ([answer(401)], True, 7, "draining\n"),
    "the connection breaks, then the keeper's mark": ([reset, answer(200)], True, 0, ""),
    "no GCS, and no state of it": ([], True, 0, ""),
    "no GCS, which comes back with its state": ([], False, 7, "draining\n"),
}


@pytest.mark.parametrize(("answers", "forgets", "code", "printed"), ENDS.values(), ids=ENDS)
def test_a_pod_whose_cluster_is_over_ends_at_once_and_any_other_drains(
    tmp_path: Path, answers: list[Answer], forgets: bool, code: int, printed: str
) -> None:
    with ScriptedServer(*(answers or [answer(404)])) as server:
        port = str(server.port) if answers else "9"
        over = cluster_over("127.0.0.1", port, "mark", port if forgets else "")
        with running("ray start --block", tmp_path, over) as process:
            assert process.stdout
            assert [process.stdout.readline() for _ in range(2)][1] == "start --block\n"
            process.terminate()
            assert process.wait(patience(15)) == code
            assert process.stdout.read() == printed
        if answers:
            assert server.seen[-1]["path"] == "/api/packages/gcs/mark.zip"


def test_a_drain_whose_cluster_ends_meanwhile_is_cut_short(tmp_path: Path) -> None:
    """As a job is suspended: its head gets SIGTERM too, and Ray would wait a minute for it."""
    with ScriptedServer(answer(404), answer(200)) as server:
        over = cluster_over("127.0.0.1", str(server.port), "mark")
        with running("ray start --block", tmp_path, over, drain=60) as process:
            assert process.stdout
            assert [process.stdout.readline() for _ in range(2)][1] == "start --block\n"
            process.terminate()
            assert process.wait(patience(15)) == 128 + signal.SIGKILL
