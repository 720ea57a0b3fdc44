"""What the help shows to be typed, typed: on a cluster that is there as objects, by an `edit` user."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml
from cli import RAYSTEAD, Cli
from kube import Kube
from patience import patience

from raystead.cli.main import COMMANDS
from raystead.cli.root import root

pytestmark = pytest.mark.api
# These end without a pod; what waits for pods or talks to Ray is run as printed on the real cluster and here
# on this machine (test_readme.py, the walks).
ENDS = ("doctor", "plan", "render", "schema", "list", "status", "explain", "token", "autoscale")
NOT_HERE = {
    "raystead status -o json | jq .status.readyWorkerReplicas",  # jq may not be installed
    "raystead autoscale",  # goes on until Ctrl-C
    "raystead explain my-cluster -o json",  # a name of the reader's own
    "raystead list -n team-nlp -o json",
}
CODES = {"raystead plan -f raycluster.yaml --exit-code": (0, 1)}


def examples(verb: str) -> list[str]:
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    shown = [line.strip() for line in (command.help or "").splitlines()]
    return [re.split(r"\s{3,}", line)[0] for line in shown if line.startswith("raystead ")]


def test_what_ends_without_a_pod_works_as_the_help_prints_it(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], tmp_path: Path
) -> None:
    edit = Cli(as_user(namespace(), "edit"))
    edit("up", "--wait=false", "--yes")
    spec = edit("render", "--as", "raycluster").stdout
    (tmp_path / "raycluster.yaml").write_text(spec)
    assert yaml.safe_load(spec)["kind"] == "RayCluster"
    empty = Cli(as_user(namespace(), "edit"))  # for what is applied by other hands
    ran = 0
    for verb in (verb for verb in COMMANDS if verb in ENDS):
        user = empty if verb == "render" else edit
        path = f"{Path(RAYSTEAD).parent}:{user.user.kubectl.parent}:/usr/bin:/bin"
        for line in (line for line in examples(verb) if line not in NOT_HERE):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", line],
                cwd=tmp_path,
                env={**user.env, "PATH": path},
                capture_output=True,
                text=True,
                timeout=patience(120),
            )
            told = f"$ {line}\n{done.stdout[-800:]}\n{done.stderr[-2000:]}"
            assert done.returncode in CODES.get(line, (0,)), told
            ran += 1
    assert ran >= 10
