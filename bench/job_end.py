"""Where the seconds go between a RayJob's last line and no pod of its cluster, seen by a watch (root).

`make cluster`, then `.venv/bin/python bench/job_end.py [--rounds 3]`; next to KubeRay's operator where
RAYSTEAD_BENCH_KUBERAY names it, as bench/kuberay.py says. A row is the first moment at which the API server
told of it, in seconds after the driver's last line; the driver and the watch share this machine's clock.
"""

# ruff: noqa: E402  # the helpers of the cluster tests are not a package

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / folder) for folder in ("kit", "cluster")]

from cluster import kuberay
from conftest import enter
from kube import Kube, until
from kuberay import WAIT, Side, document, job, ours, theirs, told
from settings import setting

Json = dict[str, Any]
KINDS = ("pods", "jobs", "deployments", "replicasets")
Event = tuple[float, Json]


@contextmanager
def watched(kube: Kube) -> Iterator[list[Event]]:
    """What happens to the kinds in the namespace, each event with the time of its arrival."""
    events: list[Event] = []
    words = (str(kube.kubectl), f"--kubeconfig={kube.kubeconfig}", "-n", kube.namespace, "get")
    watches = [
        subprocess.Popen(
            [*words, kind, "--watch", "--output-watch-events", "-o", "json"], stdout=subprocess.PIPE
        )
        for kind in KINDS
    ]

    def read(watch: subprocess.Popen[bytes]) -> None:
        decoder, text = json.JSONDecoder(), ""
        assert watch.stdout
        while block := os.read(watch.stdout.fileno(), 65536):
            now, text = time.time(), (text + block.decode("utf-8", "replace")).lstrip()
            while text:
                try:
                    event, end = decoder.raw_decode(text)
                except ValueError:  # the rest is still to come
                    break
                events.append((now, event))
                text = text[end:].lstrip()

    for watch in watches:
        threading.Thread(target=read, args=(watch,), daemon=True).start()
    try:
        yield events
    finally:
        for watch in watches:
            watch.terminate()
            watch.wait()


def happened(event: Json) -> Iterator[str]:
    """What an event tells, in words."""
    item = event["object"]
    labels = item["metadata"].get("labels") or {}
    role = labels.get("raystead.io/role") or labels.get("ray.io/node-type") or "submitter"
    what = f"{item['kind']} of the {role}"
    if event["type"] == "DELETED":
        yield f"{what} gone"
    if item["metadata"].get("deletionTimestamp"):
        yield f"{what} asked to end"
    status = item.get("status") or {}
    for container in status.get("containerStatuses") or []:
        if "terminated" in container.get("state", {}):
            yield f"{what}: its container has ended"
    if status.get("phase") in ("Succeeded", "Failed"):
        yield f"{what} has {status['phase'].lower()}"
    for condition in status.get("conditions") or []:
        if item["kind"] == "Job" and condition["type"] in ("Complete", "Failed"):
            yield f"{what} is {condition['type']}"


def ended(side: Side) -> dict[str, float]:
    """Seconds after the driver's last line at which each thing happened first; of what is gone, the last."""
    with watched(side.kube) as events:
        side.apply(document("RayJob", "train", job()))

        def last_line() -> list[float]:
            return told(side.kube.run("logs", "job/train", check=False).stdout, "LAST")

        last = until(last_line, WAIT, "its end", every=0.3)[0]
        until(side.gone, WAIT, "the cluster is gone", every=0.3)
        time.sleep(1)
    found: dict[str, float] = {}
    for when, event in events:
        for what in happened(event):
            found[what] = when - last if what.endswith(" gone") else found.get(what, when - last)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    admin = Kube(Path(setting("$(binary kubectl)")), Path(setting("$PKI/admin.conf")))
    enter(setting("$NETNS"))
    taken: dict[str, dict[str, list[float]]] = {}
    with kuberay(admin) as operator:
        for _ in range(rounds):
            for side in (ours(admin, "edit"), *([theirs(operator)] if operator else [])):
                with side as there:
                    for what, seconds in ended(there).items():
                        taken.setdefault(there.name, {}).setdefault(what, []).append(seconds)
    for name, rows in taken.items():
        print(f"\n{name}: seconds after the driver's last line, medians of {rounds}")
        for what, times in sorted(rows.items(), key=lambda row: statistics.median(row[1])):
            print(f"{statistics.median(times):6.1f}  {what:48}" + " ".join(f"{one:.1f}" for one in times))


if __name__ == "__main__":
    main()
