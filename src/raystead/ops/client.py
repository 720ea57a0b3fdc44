"""What stands on the user's own machine: Ray and Python as his programs would find them."""

from __future__ import annotations

import json
import shutil
import subprocess

from raystead.base.version import __version__
from raystead.doctor.model import Client

__all__ = ["client"]

_SECONDS = 5
# Reads the installed package's version without importing it: `import ray` takes seconds.
_SCRIPT = """\
import json, platform
from importlib import metadata
try:
    ray = metadata.version("ray")
except metadata.PackageNotFoundError:
    ray = None
print(json.dumps([platform.python_version(), ray]))
"""


def client() -> Client:
    """Of the `python` on PATH (an activated environment's), which need not be the one we run in."""
    path = shutil.which("python") or shutil.which("python3")
    if path is None:
        return Client(__version__)
    try:
        done = subprocess.run(
            [path, "-c", _SCRIPT], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        python, ray = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return Client(__version__, path=path)
    return Client(__version__, python, ray, path)
