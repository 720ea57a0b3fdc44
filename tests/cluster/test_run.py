"""`raystead run`: a cluster for one job, of which nothing stays, however it ends."""

import signal
import subprocess
import time

import pytest
from cli import Cli
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.cluster
KINDS = (
    "deployments,statefulsets,replicasets,pods,services,secrets,networkpolicies,persistentvolumeclaims,jobs"
)


@pytest.fixture(scope="module")
def cli(space: Kube, as_user) -> Cli:
    return Cli(as_user(space, "edit"))


def left(kube: Kube) -> list[str]:
    maps = [n for n in kube.out("get", "configmaps", "-o", "name").split() if "kube-root-ca" not in n]
    return [*kube.out("get", KINDS, "-o", "name").split(), *maps]


def submitted(process: "subprocess.Popen[str]") -> str:
    """Waits until the job is submitted; what was said until then."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "submitted" in line:
            return said
    raise AssertionError(said)


def test_the_jobs_output_and_code_come_and_everything_goes(cli: Cli, space: Kube) -> None:
    words = ("run", "--workers", "1", "--storage", "none", "--", "sh", "-c", "hostname; exit 3")
    done = cli(*words, code=3)
    assert "-worker-" in done.stdout
    assert left(space) == []


def test_a_cluster_that_is_there_is_left_alone(cli: Cli, space: Kube) -> None:
    cli("up", "--name", "mine", "--workers", "0", "--storage", "none", "--wait=false")
    cli("run", "--name", "mine", "--", "true", code=65)
    assert space.get("configmap", "raystead-mine")
    cli("down", "--name", "mine", "--yes")
    assert left(space) == []


def test_sigterm_deletes_it(cli: Cli, space: Kube) -> None:
    process = cli.start("run", "--workers", "1", "--storage", "none", "--", "sleep", "600")
    submitted(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=patience(90))
    assert process.returncode == 143
    assert left(space) == []


@pytest.mark.long
def test_a_killed_client_leaves_nothing_after_the_ttl(cli: Cli, space: Kube) -> None:
    process = cli.start("run", "--ttl", "60s", "--workers", "1", "--", "sleep", "600")
    submitted(process)
    time.sleep(65)  # longer than its lease: it is renewed
    assert len(space.items("pods")) == 3
    process.kill()
    process.communicate(timeout=patience(30))
    time.sleep(10)
    assert len(space.items("pods")) == 3, "it lives on for a while"
    until(lambda: left(space) == [], 180, "its lease ends it", every=3)
