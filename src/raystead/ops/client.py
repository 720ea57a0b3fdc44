"""What the user's own machine has: Ray and Python as their programs would find them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from raystead.base.version import __version__
from raystead.doctor.model import Client

__all__ = ["client"]

_SECONDS = 5
_SCRIPT = 'import sys; print(sys.version.split()[0], *sys.path, sep="\\n")'


def client() -> Client:
    """Of the `python` on PATH (an activated environment's), which need not be the one we run in."""
    path = shutil.which("python") or shutil.which("python3")
    if path is None:
        return Client(__version__)
    try:
        python, *folders = _ours() if _is_ours(path) else _asked(path)
        return Client(__version__, python, _ray_in(folders), path)
    except (OSError, ValueError, subprocess.SubprocessError):
        return Client(__version__, path=path)


def _is_ours(path: str) -> bool:
    """It is the interpreter and the environment that we run in: there is no need to start it."""
    typed, ours = Path(path).absolute(), Path(sys.executable)
    return typed.parent == ours.parent and typed.resolve() == ours.resolve()


def _ours() -> list[str]:
    return [sys.version.split()[0], *sys.path]


def _asked(path: str) -> list[str]:
    """Python's version and the folders that it imports from."""
    done = subprocess.run([path, "-c", _SCRIPT], capture_output=True, text=True, timeout=_SECONDS, check=True)
    return done.stdout.splitlines()


def _ray_in(folders: Iterable[str]) -> str | None:
    """Ray's version, from the name of the package's folder: `import ray` takes seconds."""
    for folder in filter(None, folders):
        for found in sorted(Path(folder).glob("ray-*")):
            if found.suffix in (".dist-info", ".egg-info"):
                return found.stem.split("-")[1]
    return None
