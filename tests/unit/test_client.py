"""The Ray of the user's own machine is known without importing it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import pytest

from raystead.ops.client import client


def test_the_python_on_the_path_and_its_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray-2.99.1.dist-info").mkdir()
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = client()
    assert (found.python, found.ray, found.path) == (
        platform.python_version(),
        "2.99.1",
        str(tmp_path / "python"),
    )


def test_the_environment_we_run_in_is_known_without_starting_its_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("python was started")

    monkeypatch.setattr("subprocess.run", forbidden)
    found = client()
    assert (found.python, found.path) == (
        platform.python_version(),
        str(Path(sys.executable).parent / "python"),
    )
    assert found.ray == importlib.metadata.version("ray")


def test_without_a_python_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert client().path == ""


def test_a_python_that_fails_is_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert (client().python, client().ray, client().path) == (None, None, str(broken))
