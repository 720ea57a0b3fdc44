"""Clusters that rest: what `suspend` would lose, and what a verb that needs pods says instead."""

from __future__ import annotations

from raystead.errors import WrongState
from raystead.manifests.storage import storage_kind
from raystead.ops.anchor import Anchor

__all__ = ["refuse_elsewhere", "refuse_guest", "refuse_loss", "refuse_rest"]


def refuse_loss(anchor: Anchor) -> None:
    """Refuses to suspend a cluster whose state would go with its head.

    Raises:
        WrongState: it has no store for the GCS.
    """
    if storage_kind(anchor.cluster) == "none":
        raise WrongState(
            f'"{anchor.name}" keeps its state in the head\'s memory alone: suspending it loses all of it',
            evidence="the spec has no gcsFaultToleranceOptions",
            remedy="raystead up --storage redis first, or raystead suspend --yes",
        )


def refuse_elsewhere(anchor: Anchor) -> None:
    """Refuses to suspend or resume a RayJob on a cluster that is not its own; KubeRay refuses that, too.

    Raises:
        WrongState: its file has a clusterSelector.
    """
    if elsewhere := _elsewhere(anchor):
        raise WrongState(
            f'"{anchor.name}" runs on the cluster "{elsewhere}" (clusterSelector): '
            "it can be neither suspended nor resumed, under KubeRay as here",
            remedy=f"raystead down {anchor.name} stops its job\n"
            f"raystead suspend --name {elsewhere}, or resume, is for that cluster, with all that runs there",
        )


def refuse_guest(anchor: Anchor) -> None:
    """Refuses what is about a Ray of its own for a RayJob that has none.

    Raises:
        WrongState: its job runs on another cluster.
    """
    if elsewhere := _elsewhere(anchor):
        raise WrongState(
            f'"{anchor.name}" has no Ray of its own: its job runs on the cluster "{elsewhere}"',
            remedy=f"name that one: --name {elsewhere}\n"
            f"kubectl logs --namespace {anchor.namespace} job/{anchor.name} shows the job's output",
        )


def refuse_rest(anchor: Anchor) -> None:
    """Refuses what needs pods where there are none.

    Raises:
        WrongState: the cluster is suspended, or a RayJob's job runs on another one.
    """
    refuse_guest(anchor)
    if anchor.suspended:
        raise WrongState(f'"{anchor.name}" is suspended: nothing of it runs', remedy="raystead resume")


def _elsewhere(anchor: Anchor) -> str:
    """The cluster that a RayJob selects; "" for what has its own."""
    return str(anchor.facts.selected.get("name") or "")
