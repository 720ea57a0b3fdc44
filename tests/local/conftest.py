"""A real local cluster for the tests of this folder, ended by its own mark."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RAYSTEAD = str(Path(sys.executable).parent / "raystead")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def cli_for(state: Path) -> Cli:
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("RAY_")}, "XDG_STATE_HOME": str(state)}

    def run(*words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run([RAYSTEAD, *words], capture_output=True, text=True, env=env, timeout=timeout)

    return run


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def cli(state: Path) -> Iterator[Cli]:
    """`raystead` with a running cluster of a head and two workers."""
    run = cli_for(state)
    up = run("up", "--local")
    assert up.returncode == 0, up.stderr
    yield run
    down = run("down", "--local", "--yes")
    assert down.returncode == 0, down.stderr
