"""Ends a controller's back-off: after refusals it tries ever more slowly, a change of its object wakes it.

What is changed is an annotation that nobody reads, so nothing restarts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from raystead.base import labels
from raystead.base.groups import GroupId
from raystead.errors import ApiError, Forbidden
from raystead.kube.api import Api
from raystead.kube.paths import collection, path_of
from raystead.live.makers import makers_of

__all__ = ["TRIED", "nudge"]

TRIED = "raystead.io/tried-at"


def nudge(api: Api, cluster: str, groups: Iterable[GroupId]) -> None:
    """Lets the controllers that lack pods of these groups try now; without the right nothing happens."""
    meant = set(groups)
    body = {"metadata": {"annotations": {TRIED: api.now().isoformat(timespec="seconds")}}}
    for kind in ("ReplicaSet", "StatefulSet"):
        with contextlib.suppress(Forbidden, ApiError):
            found = api.list(collection(api.namespace, kind), labels=f"{labels.OURS}={cluster}")
            for item in found:
                wanted = int((item.get("spec") or {}).get("replicas") or 0)
                short = int((item.get("status") or {}).get("replicas") or 0) < wanted
                if short and {maker.id for maker in makers_of({**item, "kind": kind})} & meant:
                    api.patch(path_of(api.namespace, kind, item["metadata"]["name"]), body)
