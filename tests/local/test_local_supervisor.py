"""What the supervisor of a local cluster does by itself, with real Ray processes."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from .conftest import cli_for
from .test_local_faults import nothing_stays, place, processes_of, until

pytestmark = pytest.mark.local
__all__ = ["nothing_stays"]

CONTAINER = "template: {spec: {containers: [{name: ray, image: 'rayproject/ray:2.60.0'}]}}"
SPEC = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: ray-cluster}\nspec:\n"


def test_a_group_of_a_long_name_joins_and_its_end_is_whole_when_the_state_is_removed(
    tmp_path: Path, nothing_stays: None
) -> None:
    """A minute: two Ray nodes start, and one supervisor ends them in turn, each with its grace."""
    file, run = tmp_path / "c.yaml", cli_for(tmp_path)
    group = "a-worker-group-with-a-rather-long-name"
    file.write_text(
        f"{SPEC}  headGroupSpec: {{{CONTAINER}}}\n  workerGroupSpecs: [{{groupName: {group}, replicas: 1, {CONTAINER}}}]\n"
    )
    up = run("up", "--local", "-f", str(file))
    assert up.returncode == 0, up.stderr
    status = place(tmp_path).status()
    assert [node.state for node in status.nodes] == ["alive", "alive"]
    where = {
        name: entry for name, entry in _environments(tmp_path).items() if "CUDA_VISIBLE_DEVICES=" in entry
    }
    assert where, "a node without GPUs sees none"
    shutil.rmtree(place(tmp_path).directory)
    until(lambda: processes_of(tmp_path) == [], 60, "the supervisor has ended all nodes")
    until(lambda: not Path(status.session_dir).exists(), 10, "and removed what they wrote")


def _environments(state: Path) -> dict[int, set[str]]:
    return {
        pid: set(Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace").split("\0"))
        for pid in processes_of(state)
    }


def test_a_head_that_ends_again_and_again_ends_the_wait_with_its_error(
    tmp_path: Path, nothing_stays: None
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        f"{SPEC}  headGroupSpec:\n    rayStartParams: {{object-store-memory: '10'}}\n    {CONTAINER}\n"
    )
    begun = time.monotonic()
    up = cli_for(tmp_path)("up", "--local", "-f", str(file))
    assert up.returncode == 68, json.dumps([up.stdout, up.stderr])
    assert time.monotonic() - begun < 90
    assert "head has ended 3 times with the same error" in up.stderr
    assert "object store memory" in up.stderr
    assert "larger --timeout" not in up.stderr
