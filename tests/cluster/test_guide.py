"""The guide's own manifests on this cluster: what works, and what fails. The product is measured against
both.
"""

import time
from pathlib import Path

import pytest
from fixtures import DENY_ALL
from kube import Kube, until

pytestmark = pytest.mark.cluster
JOB = """
import ray
ray.init("auto")
square = ray.remote(lambda i: i * i)
total = sum(ray.get([square.remote(i) for i in range(4)]))
print("nodes", sum(n["Alive"] for n in ray.nodes()), "sum", total)
"""


def head(kube: Kube) -> str:
    return str(kube.items("pods", "-l", "app=ray-cluster-head")[0]["metadata"]["name"])


def alive(kube: Kube) -> int:
    code = "import ray; ray.init('auto'); print('alive', sum(n['Alive'] for n in ray.nodes()))"
    words = kube.exec(head(kube), "python", "-c", code, timeout=60).split()
    return int(words[words.index("alive") + 1])


def test_guides_cluster_runs_a_job(namespace, guide: Path) -> None:
    kube = namespace()
    kube.apply(guide / "static-ray-cluster.yaml")
    for name in ("redis", "deployment-ray-head", "deployment-ray-worker"):
        kube.run("rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=130)
    until(lambda: alive(kube) == 3, 90, "three nodes alive", every=1)
    assert "nodes 3 sum 14" in kube.exec(head(kube), "python", "-c", JOB, timeout=120)
    submit = [
        "ray",
        "job",
        "submit",
        "--address",
        "http://localhost:8265",
        "--",
        "python",
        "-c",
        "print(40+2)",
    ]
    assert "42" in kube.exec(head(kube), *submit, timeout=120)


def test_guides_policies_break_its_cluster_under_default_deny(
    own_cluster: Path, namespace, guide: Path
) -> None:
    kube = namespace(deny=True)
    assert kube.get("networkpolicy", "default-deny")["spec"] == DENY_ALL["spec"]
    kube.apply(guide / "networkpolicy.yaml", guide / "static-ray-cluster.yaml")
    until(lambda: len(kube.items("pods", "-l", "type=ray")) == 3, 30, "the pods exist")

    def restarts() -> int:
        statuses = kube.get("pod", head(kube))["status"].get("containerStatuses") or [{}]
        return int(statuses[0].get("restartCount", 0))

    until(restarts, 180, "the head restarts: it never reaches Redis", every=2)
    time.sleep(5)
    with pytest.raises(AssertionError):
        alive(kube)
