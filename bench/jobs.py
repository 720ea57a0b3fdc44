"""Jobs and uploads against `ray job submit` over `kubectl port-forward`, and the client's memory.

Needs a cluster that is up: `testcluster/enter env KUBECONFIG=… .venv/bin/python bench/jobs.py`. Both submit
the same trivial job in turn; the time is from the command's start to its end. For Ray's side the forward is
up before the clock starts.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

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


@contextlib.contextmanager
def kubectls_forward() -> Iterator[str]:
    """`kubectl port-forward` to the dashboard; its address."""
    port = free_port()
    forward = subprocess.Popen(
        ["kubectl", "port-forward", "service/service-ray-cluster", f"{port}:8265"], stdout=subprocess.PIPE
    )
    try:
        assert forward.stdout is not None
        forward.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        forward.terminate()
        forward.wait()


@contextlib.contextmanager
def our_forward() -> Iterator[str]:
    """`raystead connect`; its address."""
    process = subprocess.Popen([RAYSTEAD, "connect"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def versus(token: str) -> tuple[float, float]:
    """Median seconds of a trivial job: ours, and Ray's own client over kubectl's forward."""
    env = dict(os.environ)
    theirs_env = {**env, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    with kubectls_forward() as address:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds([RAYSTEAD, "submit", *JOB], env))
            theirs.append(seconds([RAY, "job", "submit", "--address", address, *JOB], theirs_env))
    return statistics.median(ours), statistics.median(theirs)


def upload(token: str) -> tuple[float, float]:
    """Median seconds of 95 MiB to the job API: over our forward, and over kubectl's."""
    body = os.urandom(95 * 2**20)
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    with kubectls_forward() as theirs, our_forward() as ours:
        for _ in range(ROUNDS):
            for whose, address in (("ours", ours), ("theirs", theirs)):
                begin = time.monotonic()
                httpx.put(
                    f"{address}/api/packages/gcs/_ray_pkg_bench.zip",  # one name: Redis keeps it once
                    content=body,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=120,
                    trust_env=False,
                ).raise_for_status()
                took[whose].append(time.monotonic() - begin)
    return statistics.median(took["ours"]), statistics.median(took["theirs"])


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
    token = subprocess.run([RAYSTEAD, "token"], check=True, capture_output=True, text=True).stdout.strip()
    rows = (("submit of `true` to its exit, s", versus, 1.15), ("95 MiB to the job API, s", upload, 2))
    print(f"{'':42}{'ours':>9}{'theirs':>9}{'ratio':>8}{'target':>9}")
    for label, measure, target in rows:
        ours, theirs = measure(token)
        print(f"{label:42}{ours:9.2f}{theirs:9.2f}{ours / theirs:8.2f}{f'<= {target}':>9}")
    print(f"{'client with a 1 GiB directory, peak MB':42}{peak:9.0f}{'':9}{'':8}{'<= 150':>9}")


if __name__ == "__main__":
    main()
