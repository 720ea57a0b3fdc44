"""kwok's nodes: they accept pods and say that these run, and cost nothing. For scale."""

from kube import Kube, until

TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
TOLERATION = {"key": TAINT["key"], "operator": "Exists"}
SELECTOR = {"type": "kwok"}


def node(number: int, pods: int) -> dict[str, object]:
    capacity = {"cpu": "64", "memory": "256Gi", "pods": str(pods)}
    metadata = {
        "name": f"kwok-{number}",
        "labels": SELECTOR,
        "annotations": {"kwok.x-k8s.io/node": "fake"},
    }
    status = {"allocatable": capacity, "capacity": capacity}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {"taints": [TAINT]},
        "status": status,
    }


def add_nodes(admin: Kube, count: int, pods: int = 110) -> None:
    """Adds nodes that take `pods` pods each."""
    admin.apply(*(node(n, pods) for n in range(count)))
    until(lambda: ready(admin) == count, 120, f"{count} nodes are ready")


def ready(admin: Kube) -> int:
    nodes = admin.items("nodes", "-l", "type=kwok")
    return sum(
        c["status"] == "True"
        for n in nodes
        for c in n["status"].get("conditions", [])
        if c["type"] == "Ready"
    )


def remove_nodes(admin: Kube) -> None:
    admin.run("delete", "nodes", "-l", "type=kwok", timeout=300)
