"""A line a cluster, from anchors and Deployments alone: two requests however many clusters there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from raystead.base import labels, quantities
from raystead.plan import pods as p
from raystead.plan.live import image_version

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["ListRow", "list_rows"]


@dataclass(frozen=True)
class ListRow:
    """One cluster; `state` is of its pods ("Ready", "partly", "not ready", "suspended"), Ray is not asked.

    Attributes:
        ready: worker pods that are ready, of `wanted`.
        cpu: Ray's CPUs of all pods wanted, head included.
        ray_version: as the head image's tag tells it, "" where it does not.
        age: seconds.
    """

    namespace: str
    name: str
    state: str
    ready: int
    wanted: int
    cpu: int
    ray_version: str
    age: float


def list_rows(anchors: Sequence[Json], deployments: Sequence[Json], now: datetime) -> tuple[ListRow, ...]:
    """A row for each anchor, by namespace and name; `now` with its zone."""
    of: dict[tuple[str, str], list[Json]] = {}
    for deployment in deployments:
        of.setdefault(_key(deployment), []).append(deployment)
    keys = ((_key(anchor), anchor) for anchor in anchors)
    return tuple(
        _row(key, anchor, of.get(key, [])[:], now) for key, anchor in sorted(keys, key=lambda k: k[0])
    )


def _key(item: Json) -> tuple[str, str]:
    metadata = item["metadata"]
    name = (metadata.get("labels") or {}).get(labels.OURS) or p.name(item).removeprefix("raystead-")
    return str(metadata.get("namespace") or ""), str(name)


def _row(key: tuple[str, str], anchor: Json, deployments: list[Json], now: datetime) -> ListRow:
    heads = [d for d in deployments if _is_head(d)]
    workers = [d for d in deployments if not _is_head(d)]
    wanted, ready = sum(map(_wanted, workers)), sum(map(_ready, workers))
    head_ready = bool(heads) and all(_ready(d) >= 1 for d in heads)
    if heads and not any(map(_wanted, deployments)):
        state = "suspended"
    elif not head_ready:
        state = "not ready"
    else:
        state = "Ready" if all(_ready(d) >= _wanted(d) for d in workers) else "partly"
    born = p.created(anchor)
    image = str(_container(heads[0]).get("image") or "") if heads else ""
    return ListRow(
        namespace=key[0],
        name=key[1],
        state=state,
        ready=ready,
        wanted=wanted,
        cpu=sum(_wanted(d) * _cpus(d) for d in deployments),
        ray_version=image_version(image),
        age=max(0.0, (now - born).total_seconds()) if born else 0.0,
    )


def _is_head(deployment: Json) -> bool:
    found = deployment["spec"]["template"]["metadata"].get("labels") or {}
    return found.get(labels.NODE_TYPE) == "head"


def _wanted(deployment: Json) -> int:
    return int((deployment.get("spec") or {}).get("replicas", 1))


def _ready(deployment: Json) -> int:
    """Ready pods of the present version: while pods of two versions run, no more than the updated ones."""
    status = deployment.get("status") or {}
    return min(int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0))


def _container(deployment: Json) -> Json:
    return dict((deployment["spec"]["template"]["spec"].get("containers") or [{}])[0])


def _cpus(deployment: Json) -> int:
    resources = _container(deployment).get("resources") or {}
    said = (resources.get("limits") or {}).get("cpu") or (resources.get("requests") or {}).get("cpu")
    return quantities.ceil(said) if said is not None else 0
