"""What every method of an existing cluster starts from: its name, its namespace, its anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor

__all__ = ["TIMEOUT", "UNCHECKED", "ClusterHandle"]

TIMEOUT = 900.0  # seconds that a wait may last, as on the command line
UNCHECKED = "or go on all the same, with checks=False"


class ClusterHandle:
    """One Ray cluster in one namespace.

    Attributes:
        name: the cluster's name.
        namespace: where it is.
    """

    def __init__(self, api: Api, name: str) -> None:
        self.name = name
        self.namespace = api.namespace
        self._api = api

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, namespace={self.namespace!r})"

    def _anchor(self) -> Anchor:
        from raystead.ops.clusters import anchor_of

        return anchor_of(self._api, self.name)
