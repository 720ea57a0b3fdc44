"""What README.md shows of `make run` is what it prints."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from terminal import same

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[2]
# said where it takes long enough
PASSES = (
    "waits for its nodes",
    "the environment from",
    "environment ready",
    "the job waits for",
    "has printed nothing yet",
    "stopping",
)


def shown() -> str:
    """The block below `$ make run` in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^```\n\$ make run\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def shapes(text: str) -> list[str]:
    """Its lines without what differs from run to run; of what Ray counts the names alone, which come in any order."""
    out = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines():
        line = re.sub(r"IP:\d+", "IP:PORT", same(line))
        line = re.sub(r"Python [\d.]+", "Python 3", line)
        if line.startswith("{'"):
            line = " ".join(sorted(re.findall(r"'([^']+)':", line)))
        if line and not any(words in line for words in PASSES):
            out.append(line)
    return out


def test_the_readme_shows_what_make_run_prints(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MAKE", "KUBE"))}
    done = subprocess.run(
        ["make", "-s", "run"],
        cwd=ROOT,
        env={**env, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert shapes(done.stdout) == shapes(shown())
