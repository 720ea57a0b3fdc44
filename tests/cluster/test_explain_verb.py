"""`raystead explain`, the verb: one look at a real cluster, as an editor and as a viewer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import Audit
from kube import Kube, until

pytestmark = pytest.mark.cluster
RAYSTEAD = str(Path(sys.executable).with_name("raystead"))


def raystead(user: Kube, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KUBECONFIG": str(user.kubeconfig)}
    return subprocess.run(
        [RAYSTEAD, *words], capture_output=True, text=True, timeout=240, check=False, env=env
    )


def test_explain_names_the_cause_and_only_reads(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], audit: Audit
) -> None:
    space = namespace()
    user, viewer = as_user(space, "edit"), as_user(space, "view")
    none = raystead(user, "explain")
    assert (none.returncode, "there is no cluster in namespace" in none.stderr) == (64, True)
    assert raystead(user, "up", "--wait=false", "--node-selector", "disk=none").returncode == 0

    def found() -> bool:
        said = json.loads(raystead(user, "explain", "-o", "json").stdout)
        causes = {(f["group"], f["cause"]) for f in said["findings"]}
        return {(group, "no-matching-node") for group in ("redis", "head", "worker")} == causes

    until(found, 60, "the scheduler has said that no node fits")
    audit.mark()
    text = raystead(user, "explain", "ray-cluster")
    assert text.returncode == 0
    assert "  why    " in text.stdout
    assert "  do     " in text.stdout
    assert not [r for r in audit.none_refused(user.user) if r.mutates]
    seen = raystead(viewer, "explain")
    assert (seen.returncode, seen.stdout.split("\n")[1]) == (0, text.stdout.split("\n")[1])
    assert raystead(user, "down", "-y").returncode == 0
