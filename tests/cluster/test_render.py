"""`raystead render | kubectl apply -f -`, as the README says it, by a user with `edit` in a closed namespace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from audit import Audit
from kube import Kube, until
from test_guide import JOB, alive, head

pytestmark = pytest.mark.cluster
RAYSTEAD = str(Path(sys.executable).parent / "raystead")
EXACTLY = {  # what the built-in cluster asks for: a head, two workers, Redis
    "pods": "4",
    "requests.cpu": "1600m",
    "limits.cpu": "4",
    "requests.memory": "4268435456",  # 4 GB and 256 MiB
    "limits.memory": "5073741824",  # 4 GB and 1 GiB
}


def render(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([RAYSTEAD, "render", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def make_secrets(user: Kube, text: str) -> None:
    """Runs the commands that `render` prints on stderr, as they stand there."""
    commands = [line for line in text.splitlines() if "kubectl create secret" in line]
    assert commands
    env = os.environ | {
        "KUBECONFIG": str(user.kubeconfig),
        "PATH": f"{user.kubectl.parent}:{os.environ['PATH']}",
    }
    for command in commands:
        subprocess.run(["bash", "-c", command], env=env, check=True, capture_output=True)


def test_what_render_prints_runs_in_a_closed_namespace(
    own_cluster: Path, namespace, as_user, audit: Audit
) -> None:
    kube = namespace(security="restricted", deny=True, quota=EXACTLY)
    user = as_user(kube, "edit")
    printed = render("--namespace", kube.namespace, "--policies", "always")
    make_secrets(user, printed.stderr)
    user.apply(printed.stdout)
    until(lambda: alive(user) == 3, 180, "three nodes alive", every=2)
    assert "nodes 3 sum 14" in user.exec(head(user), "python", "-c", JOB, timeout=120)
    pods = user.items("pods")
    assert [c["restartCount"] for p in pods for c in p["status"]["containerStatuses"]] == [0, 0, 0, 0]
    user.apply(printed.stdout)
    assert {p["metadata"]["uid"] for p in user.items("pods")} == {p["metadata"]["uid"] for p in pods}
    audit.none_refused(user.user)


@pytest.mark.parametrize(
    "spec", sorted((Path(__file__).parents[1] / "golden").glob("*.in.yaml")), ids=lambda p: p.name
)
def test_the_server_takes_every_object_of_every_golden_spec(
    namespace, as_user, spec: Path, tmp_path: Path
) -> None:
    """Validation, defaulting and admission of the real API server, for a user with `edit`; nothing is made."""
    kube = namespace(security="privileged")
    user = as_user(kube, "edit")
    document = yaml.safe_load(spec.read_text())
    document["metadata"].pop("namespace", None)
    (file := tmp_path / "spec.yaml").write_text(yaml.safe_dump(document))
    printed = render("-f", str(file)).stdout
    done = user.run(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=printed
    )
    assert "Warning" not in done.stderr, done.stderr
