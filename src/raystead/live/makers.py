"""Who keeps the pods of a cluster: the one place that knows which kinds of objects do.

An object may keep those of several groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from raystead.base.groups import GroupId, group_of
from raystead.base.kinds import pod_template
from raystead.live.controllers import CronJobMaker, DeploymentMaker, ReplicaSetMaker, StatefulSetMaker
from raystead.live.maker import Maker
from raystead.live.reading import dig
from raystead.live.steward import StewardMaker, stewards_of

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["MAKERS", "kinds_that_keep", "makers_of", "unattended"]


def _controller(make: Callable[[Json, GroupId], Maker]) -> Callable[[Json], Iterable[Maker]]:
    def of(json: Json) -> Iterable[Maker]:
        found = group_of(dig(pod_template(json), "metadata", "labels") or {})
        return () if found is None else (make(json, found),)

    return of


# kind -> the makers that an object of it stands for: a new way to keep pods is a new entry here
MAKERS: dict[str, Callable[[Json], Iterable[Maker]]] = {
    "Deployment": _controller(DeploymentMaker),
    "StatefulSet": _controller(StatefulSetMaker),
    "ReplicaSet": _controller(ReplicaSetMaker),
    "CronJob": _controller(CronJobMaker),
    "ConfigMap": stewards_of,
}


def makers_of(*items: Json) -> tuple[Maker, ...]:
    """The makers that the objects stand for; none for objects that keep no pods."""
    return tuple(maker for item in items for maker in MAKERS.get(str(item.get("kind")), _nobody)(item))


def unattended(makers: Iterable[Maker], now: datetime) -> str:
    """Why nobody makes the pods of an autoscaled cluster, a clause; "" where somebody does."""
    found = (maker.unattended(now) for maker in makers if isinstance(maker, StewardMaker))
    return next((text for text in found if text), "")


def kinds_that_keep(objects: Iterable[Json]) -> list[str]:
    """The kinds of those objects that keep pods: what has to be read to know who keeps a cluster's pods."""
    return sorted({str(item["kind"]) for item in objects if makers_of(item)})


def _nobody(json: Json) -> Iterable[Maker]:
    return ()
