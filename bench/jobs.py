"""Jobs: `submit` against `ray job submit` over `kubectl port-forward`, and the client's memory.

Needs a cluster that is up: `testcluster/enter env KUBECONFIG=… .venv/bin/python bench/jobs.py`. Both submit
the same trivial job in turn; the time is from the command's start to its end. For Ray's side the forward is
up before the clock starts.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
RAYSTEAD, RAY = str(BIN / "raystead"), str(BIN / "ray")
ROUNDS = 5
JOB = ("--", "true")


def seconds(command: list[str], env: dict[str, str]) -> float:
    begin = time.monotonic()
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def versus() -> tuple[float, float]:
    """Median seconds of a trivial job: ours, and Ray's own client over kubectl's forward."""
    env = dict(os.environ)
    token = subprocess.run([RAYSTEAD, "token"], check=True, capture_output=True, text=True).stdout.strip()
    theirs_env = {**env, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    port = free_port()
    forward = subprocess.Popen(
        ["kubectl", "port-forward", "service/service-ray-cluster", f"{port}:8265"], stdout=subprocess.PIPE
    )
    try:
        assert forward.stdout is not None
        forward.stdout.readline()
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds([RAYSTEAD, "submit", *JOB], env))
            address = f"http://localhost:{port}"
            theirs.append(seconds([RAY, "job", "submit", "--address", address, *JOB], theirs_env))
    finally:
        forward.terminate()
        forward.wait()
    return statistics.median(ours), statistics.median(theirs)


def memory() -> float:
    """Peak MB of a `submit` whose working directory of 1 GiB comes under Ray's limit by --exclude."""
    folder = Path(tempfile.mkdtemp(prefix="raystead-bench-"))
    try:
        for i in range(64):
            (folder / f"model-{i}.bin").write_bytes(os.urandom(16 * 2**20 - 2**20))
        for i in range(64):
            (folder / f"data-{i}.txt").write_bytes(os.urandom(2**20))
        words = [RAYSTEAD, "submit", "--working-dir", str(folder), "--exclude", "*.bin", *JOB]
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        assert peak > before or before == 0, "another child was larger: run this first"
        return peak / 1024
    finally:
        shutil.rmtree(folder)


def main() -> None:
    peak = memory()
    ours, theirs = versus()
    print(f"{'':42}{'ours':>9}{'theirs':>9}{'ratio':>8}{'target':>9}")
    print(f"{'submit of `true` to its exit, s':42}{ours:9.2f}{theirs:9.2f}{ours / theirs:8.2f}{'<= 1.15':>9}")
    print(f"{'client with a 1 GiB directory, peak MB':42}{peak:9.0f}{'':9}{'':8}{'<= 150':>9}")


if __name__ == "__main__":
    main()
