"""`list`: one line per cluster. It is typed more often than any other verb, so it imports little."""

from __future__ import annotations

from collections.abc import Mapping

from raystead.base import labels
from raystead.base.kinds import CLAIM
from raystead.errors import Forbidden
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection
from raystead.live.makers import makers_of
from raystead.live.pods import slim
from raystead.plan.listing import ListRow, list_rows

__all__ = ["clusters"]


def clusters(
    api: Api, *, all_namespaces: bool = False, chosen: Mapping[str, str] | None = None
) -> tuple[ListRow, ...]:
    """One row per cluster, from anchors, Deployments and claims alone: three requests and their pages of 350.

    `chosen`: only clusters whose anchors have all of these labels.

    Raises:
        Forbidden: they may not be read there.
    """
    selected = [f"{key}={value}" for key, value in (chosen or {}).items()]

    def path(kind: str) -> str:
        whole = collection(api.namespace, kind)
        return whole.replace(f"/namespaces/{api.namespace}", "") if all_namespaces else whole

    def listed(kind: str) -> list[Json]:
        try:
            if kind == "ConfigMap":
                return api.list(path(kind), labels=",".join((labels.CLUSTERS, *selected)))
            if kind == CLAIM and selected:
                return []  # kept data belongs to no cluster that has labels
            return api.list(path(kind), labels=labels.OURS)
        except Forbidden:
            if kind == CLAIM:
                return []  # then kept data is not seen; the clusters are
            raise

    pods: list[Json] = []
    try:
        maps, found, kept = parallel(listed, ("ConfigMap", "Deployment", CLAIM))
        makers = [{**item, "kind": "Deployment"} for item in found]
        makers += [{**item, "kind": "ConfigMap"} for item in maps if _role(item) != "anchor"]
        anchors = [item for item in maps if _role(item) == "anchor"]
        if not all(maker.counts for maker in makers_of(*makers)):
            pods = api.list(path("Pod"), labels=labels.OURS, keep=slim)
    except Forbidden as error:
        if all_namespaces:
            error.remedy = f"leave out -A: raystead list shows those of namespace {api.namespace}"
        raise
    return list_rows(anchors, makers, api.now(), pods, kept)


def _role(item: Json) -> str:
    return str((item["metadata"].get("labels") or {}).get(labels.ROLE) or "")
