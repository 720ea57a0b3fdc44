"""The long ones: hundreds of nodes, an older API server, and that the test cluster leaves nothing behind."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import SELECTOR, TOLERATION, add_nodes, remove_nodes
from kube import Kube, pod, until
from settings import SCRIPTS, setting

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def fleet(own_cluster: Path, admin: Kube) -> Iterator[int]:
    add_nodes(admin, 200, pods=12)  # few each: the scheduler packs like pods, and all nodes are to work
    yield 200
    remove_nodes(admin)


def test_thousands_of_pods_on_hundreds_of_nodes(fleet: int, namespace) -> None:
    kube = namespace()
    template = pod("x", "rayproject/ray:2.60.0", ["sleep", "1"])
    spec = template["spec"] | {"tolerations": [TOLERATION], "nodeSelector": SELECTOR}
    labels = {"app": "many"}
    kube.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "many"},
            "spec": {
                "replicas": 2000,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )
    until(
        lambda: kube.get("deployment", "many")["status"].get("readyReplicas") == 2000,
        600,
        "2000 pods run",
        every=3,
    )
    assert len({p["spec"]["nodeName"] for p in kube.items("pods")}) >= 2000 // 12


def other(name: str, script: str, *words: str, **environment: str) -> str:
    """Runs a script of testcluster/ for a second cluster beside the one of the session."""
    environ = os.environ | {"RAYSTEAD_TESTCLUSTER_NAME": name} | environment
    done = subprocess.run(
        [SCRIPTS / script, *words], env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def test_an_older_control_plane(own_cluster: Path) -> None:
    old = setting("$K8S_OLD")
    name = "skew"
    config = other(name, "up.sh", "control-plane", RAYSTEAD_TESTCLUSTER_K8S=old)
    try:
        inside = f"{Path(config).parents[1]}/netns"
        command = [
            "nsenter",
            f"--net={inside}",
            setting("$(binary kubectl)"),
            "--kubeconfig",
            config,
            "version",
        ]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"Server Version: v{old}" in answer
    finally:
        other(name, "down.sh", RAYSTEAD_TESTCLUSTER_K8S=old)


def traces(name: str) -> list[str]:
    """What of the cluster `name` the machine still holds. Its containers are known by their cgroup."""
    marks = (setting("$CACHE") + f"/run/{name}", f"raystead-testcluster-{name}")
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            text = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            groups = (directory / "cgroup").read_text()
        except OSError:
            continue
        if any(mark in text + groups for mark in marks):
            found.append(f"process {directory.name} {text}")
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if any(m in line for m in marks)]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob(f"*/{marks[1]}")]
    return found + [str(p) for p in Path(marks[0]).glob("*")]


def test_up_and_down_twice_leaves_nothing(own_cluster: Path) -> None:
    def spaces() -> str:
        return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout

    before = spaces()
    for _ in (1, 2):
        config = Path(other("twice", "up.sh"))
        assert config.exists()
        assert len(traces("twice")) > 15, "the search finds what is there"
        other("twice", "down.sh")
        assert traces("twice") == []
        assert spaces() == before
