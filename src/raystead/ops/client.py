"""What the user's own machine has: Ray and Python as their programs would find them."""

from __future__ import annotations

import shutil
import subprocess

from raystead.base.version import __version__
from raystead.doctor.model import Client

__all__ = ["client"]

_SECONDS = 5
# Reads the name of the installed package's folder: `import ray` takes seconds, importlib.metadata 0.1.
_SCRIPT = """\
import os, sys
found = [name.split("-")[1] for path in sys.path if os.path.isdir(path) for name in sorted(os.listdir(path))
         if name.startswith("ray-") and name.endswith((".dist-info", ".egg-info"))]
print(sys.version.split()[0], *[version.removesuffix(".dist").removesuffix(".egg") for version in found[:1]])
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
        python, ray = [*done.stdout.split(), None][:2]
    except (OSError, ValueError, subprocess.SubprocessError):
        return Client(__version__, path=path)
    return Client(__version__, python, ray, path)
