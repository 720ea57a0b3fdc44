"""The README's second half, run as it stands: from `doctor` to a job's output, as the `edit` user."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kube import Kube

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"^## In a namespace$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command of the section with the last line of the output that the README shows for it."""
    found = SECTION.search((ROOT / "README.md").read_text())
    assert found
    out: list[tuple[str, str]] = []
    for block in BLOCK.findall(found[1]):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *shown = part.strip().splitlines()
            out.append((line, shown[-1] if shown else ""))
    return out


def shape(text: str) -> str:
    """A line without what differs from run to run: numbers, ids, times."""
    text = re.sub(r"raysubmit_\w+|-[0-9a-z]{8,10}-[0-9a-z]{5}", "ID", text)
    text = text.replace("?/", "0/")  # what Ray's dashboard has not counted yet
    text = re.sub(r"\b(\d+[smhd])+\b", "N", text)
    text = re.sub(r"[\d.]+( (s|ms|min|h|d|MB|GB)\b)?", "N", text)
    return " ".join(text.split())


def test_the_readme_works_as_it_stands(admin: Kube, namespace, as_user) -> None:
    user = as_user(namespace(), "edit")
    path = f"{Path(sys.executable).parent}:{user.kubectl.parent}:{os.environ['PATH']}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    env |= {"PATH": path, "KUBECONFIG": str(user.kubeconfig)}
    found = commands()
    assert len(found) >= 8
    for line, last in found:
        done = subprocess.run(
            ["bash", "-c", line], env=env, capture_output=True, text=True, timeout=300, cwd=ROOT
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"$ {line}\n{said}"
        if last:
            assert shape(last) in map(shape, said.splitlines()), f"$ {line}\n{said}\nthe README shows: {last}"
