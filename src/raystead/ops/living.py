"""A cluster's own objects as the server has them."""

from __future__ import annotations

from collections.abc import Sequence

from raystead.base import kinds, labels
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection

__all__ = ["LISTED", "live_objects"]

LISTED = kinds.owned()


def live_objects(api: Api, name: str, which: Sequence[str] = LISTED) -> dict[str, list[Json]]:
    """By kind, all objects with our label; of NetworkPolicies all of the namespace.

    Items carry their apiVersion and kind, which lists leave out.
    """

    def one(kind: str) -> list[Json]:
        selector = "" if kind == "NetworkPolicy" else f"{labels.OURS}={name}"
        listing = api.listing(collection(api.namespace, kind), labels=selector)
        return [{**item, "apiVersion": listing["apiVersion"], "kind": kind} for item in listing["items"]]

    return dict(zip(which, parallel(one, which), strict=True))
