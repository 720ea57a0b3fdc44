"""From `up` to `down` in namespaces as they are in the world, by a user with `edit`."""

import json
from collections.abc import Callable

import pytest
from cli import Cli
from kube import Kube, until
from places import PLACES, QUEUE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
HEAD = "ray.io/node-type=head"
OURS = "pods,deployments,statefulsets,services,secrets,configmaps,networkpolicies,persistentvolumeclaims"
COUNT = "import ray; ray.init(); print('nodes', sum(n['Alive'] for n in ray.nodes()))"
WORDS = {"university": ("--label", f"{QUEUE}=short")}


def alive(raystead: Cli) -> int:
    said = json.loads(raystead("status", "-o", "json", code=None).stdout or "{}")
    return sum(group["alive"] or 0 for group in said.get("raystead", {}).get("groups", []))


def left(kube: Kube) -> list[str]:
    return [
        f"{item['kind']}/{item['metadata']['name']}"
        for item in kube.items(OURS)
        if item["metadata"]["name"] not in ("kube-root-ca.crt", "default-deny")
    ]


@pytest.mark.parametrize("name", PLACES)
def test_up_a_job_a_lost_head_and_down(
    place: Callable[[str], Kube], as_user: Callable[[Kube, str], Kube], name: str
) -> None:
    """A whole life with two starts of the head, in each place."""
    kube = place(name)
    raystead = Cli(as_user(kube, "edit"))
    raystead("up", *WORDS.get(name, ()))
    assert "nodes 3" in raystead("submit", "-q", "--", "python", "-c", COUNT).stdout
    (old,) = [pod["metadata"]["uid"] for pod in kube.items("pods", "-l", HEAD)]
    kube.run("delete", "pod", "-l", HEAD, "--force", "--grace-period=0")
    until(
        lambda: [pod["metadata"]["uid"] for pod in kube.items("pods", "-l", HEAD)] != [old],
        60,
        "another head is made",
    )
    until(lambda: alive(raystead) == 3, 180, "the cluster is whole again", every=2)
    assert "nodes 3" in raystead("submit", "-q", "--", "python", "-c", COUNT).stdout
    raystead("down", "--yes")
    assert left(kube) == []
