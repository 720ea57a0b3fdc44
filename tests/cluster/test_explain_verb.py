"""`raystead explain`, the verb: one look at a real cluster, as an editor and as a viewer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from audit import Audit
from cli import Cli
from kube import Kube, until
from patience import patience

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


@pytest.mark.alone  # a figure
@pytest.mark.parametrize(
    ("words", "reason", "says"),
    [
        (("--node-selector", "disk=none"), "FailedScheduling", "no node"),
        (("--image", "127.0.0.1:9/nobody/ray:2.60.0", "--storage", "none"), "Failed", "cannot be pulled"),
    ],
    ids=["no node", "no image"],
)
def test_up_says_why_within_3_seconds_of_the_first_event(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], words: tuple[str, ...], reason: str, says: str
) -> None:  # fmt: skip
    """From the moment when a watch of the events shows it to the sentence in `up`'s live view."""
    user = as_user(namespace(), "edit")
    watch = [str(user.kubectl), f"--kubeconfig={user.kubeconfig}", f"--namespace={user.namespace}"]
    watch += ["get", "events", "--watch", "-o", "custom-columns=R:.reason", "--no-headers"]
    events = subprocess.Popen(watch, stdout=subprocess.PIPE, text=True)
    up = Cli(user).start("up", "--timeout", "60s", *words)
    with ThreadPoolExecutor(2) as pool:
        event = pool.submit(_first, events, "stdout", lambda line: line.strip() == reason)
        sentence = pool.submit(_first, up, "stderr", lambda line: says in line)
        try:
            late = sentence.result(patience(90)) - event.result(patience(90))
        finally:  # before the pool waits for those who read from them
            for process in (events, up):
                process.kill()
                process.wait()
    print(f"{late:.2f} s after the event")
    assert late <= 3


def _first(process: subprocess.Popen[str], stream: str, wanted: Callable[[str], bool]) -> float:
    """When the first line came that is wanted."""
    said = []
    for line in getattr(process, stream):
        said.append(line)
        if wanted(line):
            return time.monotonic()
    raise AssertionError("".join(said))
