"""What testcluster/env.sh knows: where binaries, logs and keys are."""

import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "testcluster"


def setting(expression: str) -> str:
    """An expression of the shell, as env.sh's variables and functions make it: `$NETNS`, `$(binary etcd)`."""
    command = ["bash", "-c", f"source {SCRIPTS}/env.sh; echo {expression}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def binary(name: str) -> Path:
    return Path(setting(f"$(binary {name})"))
