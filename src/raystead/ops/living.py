"""A cluster's own objects as the server has them, and which of them are proved to be its own."""

from __future__ import annotations

from collections.abc import Sequence

from raystead.base import kinds, labels, names, ownership
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection
from raystead.ops.anchor import Anchor
from raystead.plan.make import key_of
from raystead.plan.model import Key

__all__ = ["LISTED", "clusters_of", "controllers", "live_objects", "own_pods", "sorted_by_owner"]

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


def controllers(api: Api, name: str) -> list[Json]:
    """The objects with our label that make pods, or own those that do."""
    makers = ("Job", *kinds.names(row for row in kinds.ROWS if row.template and not row.rare))
    return [item for items in live_objects(api, name, makers).values() for item in items]


def own_pods(
    api: Api, name: str, anchor_uid: str, pods: Sequence[Json], there: Sequence[Json] | None = None
) -> list[Json]:
    """Those of the pods that are proved to be the cluster's, by the controllers that made them.

    `there`: those controllers, where they are known already.
    """
    there = controllers(api, name) if there is None else there
    marked = [{**pod, "kind": "Pod"} for pod in pods]
    ours = ownership.owned([*there, *marked], name, [anchor_uid])
    return [pod for pod in pods if pod["metadata"]["uid"] in ours]


def sorted_by_owner(
    live: Sequence[Json], name: str, anchor: Anchor | None, wanted: Sequence[Json]
) -> tuple[list[Json], frozenset[str], list[str]]:
    """The live objects that the plan may see, the uids of those proved to be ours, and notes on the rest.

    What carries our label, is not proved ours and is not asked for either belongs to somebody else: a plan
    that does not see it cannot delete it. Claims are never deleted by a plan.
    """
    roots = ownership.anchor_uids(live, name) | ({anchor.uid} if anchor else set())
    owned = ownership.owned(live, name, roots)
    keys = {key_of(item) for item in wanted}
    kept, left = [], []
    for item in live:
        ours = item["metadata"]["uid"] in owned or (anchor and item["metadata"]["uid"] == anchor.uid)
        if ours or item["kind"] == kinds.CLAIM or key_of(item) in keys:
            kept.append(item)
        elif key_of(item) != ("ConfigMap", names.anchor(name)):
            what = f"{item['kind']}/{item['metadata']['name']}"
            left.append(
                f"{what} has this cluster's label, but nothing proves that raystead made it: it is left"
            )
    return kept, owned, left


def clusters_of(live: Sequence[Json], owned: frozenset[str]) -> dict[Key, str]:
    """The cluster of raystead's that each live object belongs to, this one or another."""
    out = {}
    for item in live:
        found = item["metadata"].get("labels") or {}
        name = str(found.get(labels.OURS) or "")
        proved = item["metadata"]["uid"] in owned or ownership.anchor_uids([item], name)
        if name and (proved or found.get(labels.ROLE) == "anchor"):
            out[key_of(item)] = name
    return out
