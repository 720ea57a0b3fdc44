"""What `suspend` would lose."""

from __future__ import annotations

from raystead.errors import WrongState
from raystead.manifests.storage import storage_kind
from raystead.ops.anchor import Anchor

__all__ = ["refuse_loss"]


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
