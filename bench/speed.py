"""Tables of ratios for the speed targets: `make bench`.

CPU seconds are user + system of the child, median of five in turn. `up --local` is compared with the same
three `ray start` by hand, in turn, in one run; only the ratio means something on a shared machine.
"""

from __future__ import annotations

import json
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
import urllib.request
from pathlib import Path

BIN = Path(sys.executable).parent
RAYSTEAD = str(BIN / "raystead")
ROUNDS = 5


def cpu(*command: str) -> float:
    """CPU seconds of one run of `command`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def many_groups(count: int) -> str:
    """A RayCluster with `count` worker groups."""
    image = "rayproject/ray:2.60.0-py311"
    container = (
        f"{{containers: [{{name: ray, image: '{image}', resources: {{limits: {{cpu: 1, memory: 2Gi}}}}}}]}}"
    )
    head = f"  headGroupSpec: {{rayStartParams: {{}}, template: {{spec: {container}}}}}\n"
    groups = "".join(
        f"  - {{groupName: group-{i}, replicas: 1, rayStartParams: {{}}, template: {{spec: {container}}}}}\n"
        for i in range(count)
    )
    top = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: wide}\nspec:\n  rayVersion: 2.60.0\n"
    return top + head + "  workerGroupSpecs:\n" + groups


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def alive(dashboard: str) -> int:
    try:
        with urllib.request.urlopen(f"{dashboard}/nodes?view=summary", timeout=2) as answer:
            summary = json.load(answer)["data"]["summary"]
    except OSError:
        return 0
    return sum(node["raylet"].get("state") == "ALIVE" for node in summary)


def by_hand() -> float:
    """Seconds until three nodes are alive, with three `ray start` typed by hand."""
    root = Path(tempfile.mkdtemp(prefix="rh-", dir="/tmp"))
    gcs, dash = free_port(), free_port()
    env = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    ray = str(BIN / "ray")
    common = ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--block", "--object-store-memory=100000000"]
    begin = time.monotonic()
    started = []

    def start(name: str, *more: str) -> None:
        ports = [f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}"]
        args = [ray, "start", *more, *common, *ports, f"--temp-dir={root}/{name}"]
        out = (root / f"{name}.log").open("w")
        started.append(subprocess.Popen(args, env=env, stdout=out, stderr=out, start_new_session=True))

    try:
        start(
            "h",
            "--head",
            f"--port={gcs}",
            f"--dashboard-port={dash}",
            f"--ray-client-server-port={free_port()}",
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", gcs), timeout=0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        for i in range(2):
            start(f"w{i}", f"--address=127.0.0.1:{gcs}")
        while alive(f"http://127.0.0.1:{dash}") < 3:
            if time.monotonic() - begin > 120:
                raise SystemExit("three `ray start` by hand did not become three nodes in 120 s")
            time.sleep(0.2)
        return time.monotonic() - begin
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(root, ignore_errors=True)


def with_raystead() -> float:
    """Seconds of `raystead up --local` of the built-in cluster."""
    with tempfile.TemporaryDirectory() as state:
        env = {**os.environ, "XDG_STATE_HOME": state}
        begin = time.monotonic()
        try:
            subprocess.run([RAYSTEAD, "up", "--local", "-q"], env=env, check=True)
            return time.monotonic() - begin
        finally:
            subprocess.run([RAYSTEAD, "down", "--local", "--yes", "-q"], env=env, check=True)


def main() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as wide:
        wide.write(many_groups(200))
        wide.flush()
        rows = [
            ("raystead --help", (RAYSTEAD, "--help"), 0.150),
            ("render, default", (RAYSTEAD, "render"), 0.350),
            ("render, 200 groups", (RAYSTEAD, "render", "-f", wide.name), 2.0),
        ]
        print(f"{'CPU seconds':<24}{'measured':>10}{'target':>10}")
        for label, command, target in rows:
            seconds = statistics.median(cpu(*command) for _ in range(ROUNDS))
            print(f"{label:<24}{seconds:>10.3f}{target:>10.3f}", flush=True)
    hand, ours = [], []
    for _ in range(ROUNDS):
        hand.append(by_hand())
        ours.append(with_raystead())
    h, o = statistics.median(hand), statistics.median(ours)
    print(f"\n{'until 3 nodes are alive':<24}{'by hand':>10}{'raystead':>10}{'ratio':>8}{'target':>8}")
    print(f"{'median of ' + str(ROUNDS):<24}{h:>9.1f}s{o:>9.1f}s{o / h:>8.2f}{1.1:>8.2f}")
    print(
        "all by hand:",
        " ".join(f"{x:.1f}" for x in hand),
        "  all raystead:",
        " ".join(f"{x:.1f}" for x in ours),
    )


if __name__ == "__main__":
    main()
