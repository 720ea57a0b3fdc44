"""CPU seconds and memory of the verbs people type, against `kubectl get pods`, on an API server alone.

`.venv/bin/python bench/verbs.py`: starts etcd and an API server on loopback (their binaries are those of
testcluster/build.sh), makes the objects of one cluster whose pods never run, and takes medians of five in
turn. With BEFORE=/path/to/another/src that version is measured in the same run.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "kit"))

from bare import started
from cost import Cost, cost_of

RAYSTEAD = str(Path(sys.executable).parent / "raystead")
ROUNDS = 5
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # would compile all our modules in each run; pip does it once
TARGETS = {  # seconds; list's is 2.5 times kubectl's
    "status": 0.25,
    "token": 0.25,
    "explain": 0.25,
    "doctor": 0.38,
    "plan": 0.38,
    "--help": 0.05,
    "render": 0.18,
}
# what is not ours: an empty Python, and each thing that a verb imports
FLOOR = {
    "nothing, without site": ["-I", "-S", "-c", "pass"],
    "nothing": ["-c", "pass"],
    "click": ["-c", "import click"],
    "ssl": ["-c", "import ssl"],
    "ssl, http.client": ["-c", "import ssl, http.client"],
    "yaml": ["-c", "import yaml"],
    "msgspec": ["-c", "import msgspec"],
    "all of them": ["-c", "import click, ssl, http.client, yaml"],
    "and msgspec": ["-c", "import click, ssl, http.client, yaml, msgspec"],
}


def installed(name: str = "raystead") -> dict[str, float]:
    """MB on disk of a package and all that it needs, by package; extras left out."""
    from packaging.requirements import Requirement

    sizes: dict[str, float] = {}
    todo = [name]
    while todo:
        one = importlib.metadata.distribution(todo.pop())
        key = one.metadata["Name"].lower().replace("_", "-")
        if key in sizes:
            continue
        files = [Path(str(one.locate_file(file))) for file in one.files or ()]
        if key == "raystead":  # installed in place
            files = [p for p in (Path(__file__).resolve().parents[1] / "src").rglob("*") if p.is_file()]
        sizes[key] = sum(file.stat().st_size for file in files if file.exists()) / 1e6
        for text in one.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                todo.append(needed.name)
    return sizes


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = started(Path(folder) / "server")
        try:
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # as in an activated environment
            env = {
                **{name: value for name, value in os.environ.items() if name != NO_BYTECODE},
                "KUBECONFIG": str(server.admin.kubeconfig),
                "HOME": folder,
                "PATH": path,
            }
            subprocess.run([RAYSTEAD, "up", "--timeout", "2s", "-q"], env=env, stderr=subprocess.DEVNULL)
            rows = {"kubectl get pods": [str(server.admin.kubectl), "get", "pods"]}
            rows |= {"list": [RAYSTEAD, "list"]} | {verb: [RAYSTEAD, verb] for verb in TARGETS}
            rows |= {f"python: {what}": [sys.executable, *words] for what, words in FLOOR.items()}
            envs = dict.fromkeys(rows, env)
            if before := os.environ.get("BEFORE"):
                for name, command in list(rows.items())[1 : -len(FLOOR)]:
                    rows[f"{name}, before"] = [sys.executable, "-m", *command]
                    rows[f"{name}, before"][2] = "raystead"
                    envs[f"{name}, before"] = {**env, "PYTHONPATH": before}
            taken: dict[str, list[Cost]] = {name: [] for name in rows}
            for _ in range(ROUNDS + 1):  # the first round fills caches
                for name, command in rows.items():
                    taken[name].append(cost_of(command, envs[name]))
        finally:
            server.stop()
    seconds = {name: statistics.median(cost.cpu for cost in runs[1:]) for name, runs in taken.items()}
    targets = {"list": 2.5 * seconds["kubectl get pods"], **TARGETS}
    print(
        f"{'CPU seconds':<32}{'median':>8}{'target':>8}{'× kubectl':>11}{'peak MB':>9}"
        f"   load {os.getloadavg()[0]:.1f}"
    )
    for name, value in seconds.items():
        peak = max(cost.memory for cost in taken[name])
        target = f"{targets[name]:.2f}" if name in targets else ""
        print(f"{name:<32}{value:>8.3f}{target:>8}{value / seconds['kubectl get pods']:>11.1f}{peak:>9.0f}")
    sizes = installed()
    print(f"\ninstalled without Ray: {sum(sizes.values()):.0f} MB in {len(sizes)} packages (target 45)")
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1])[:6]:
        print(f"  {name:<20}{size:>6.1f}")


if __name__ == "__main__":
    main()
