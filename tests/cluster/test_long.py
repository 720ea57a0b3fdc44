"""The long ones: hundreds of nodes, an older API server, and that the test cluster leaves nothing behind."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SCRIPTS, setting
from fleet import SELECTOR, TOLERATION, add_nodes, remove_nodes
from kube import Kube, pod, until

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def fleet(own_cluster: Path, admin: Kube) -> Iterator[int]:
    add_nodes(admin, 200)
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
    assert len({p["spec"]["nodeName"] for p in kube.items("pods")}) > fleet // 2


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


def traces() -> dict[str, set[str]]:
    ours = setting("$CACHE")
    processes = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if ours in words or "/pause" in words:
            processes.add(f"{directory.name} {words}")
    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    spaces = set(
        subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.splitlines()
    )
    groups = {str(p) for p in Path("/sys/fs/cgroup").glob("*/raystead-testcluster-*")}
    return {"processes": processes, "mounts": mounts, "network namespaces": spaces, "cgroups": groups}


def test_up_and_down_twice_leaves_nothing(own_cluster: Path) -> None:
    before = traces()
    for _ in (1, 2):
        config = Path(other("twice", "up.sh"))
        assert config.exists()
        other("twice", "down.sh")
        assert traces() == before
        assert not config.parents[1].exists()
