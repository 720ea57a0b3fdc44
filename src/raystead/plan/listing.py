"""One line per cluster, from anchors and makers alone: two requests however many clusters there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from raystead.base import labels, quantities
from raystead.base.groups import GroupId, Role
from raystead.base.rayversions import image_version
from raystead.live.maker import Maker
from raystead.live.makers import makers_of
from raystead.live.pods import Pod
from raystead.live.reading import created, dig, name
from raystead.spec.idle import idle_end_of

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["DAMAGED", "KEPT", "ListRow", "list_rows"]

KEPT = "data kept"  # by `down --keep-data`: the next `up` finds it, `down NAME` deletes it
DAMAGED = "damaged"  # its state on this machine cannot be read


@dataclass(frozen=True)
class ListRow:
    """One cluster; `state` is of its pods ("Ready", "partly", "not ready", "suspended"), Ray is not asked.

    Of a cluster that is gone but for its claims `state` is `KEPT`; where only `problem` is known, `DAMAGED`.

    Attributes:
        ready: worker pods that are ready, of `wanted`.
        cpu: Ray's CPUs of all pods wanted, head included.
        ray_version: as the head image's tag tells it, "" where it does not.
        age: seconds.
        problem: why nothing else is known of it, and what to run; "" as a rule.
    """

    namespace: str
    name: str
    state: str
    ready: int
    wanted: int
    cpu: int
    ray_version: str
    age: float
    problem: str = ""


def list_rows(
    anchors: Sequence[Json],
    makers: Sequence[Json],
    now: datetime,
    pods: Sequence[Json] = (),
    claims: Sequence[Json] = (),
) -> tuple[ListRow, ...]:
    """A row for each anchor, by namespace and name; then those of which only data that was kept is left.

    Args:
        makers: the objects that keep pods, with their kinds.
        now: with its zone.
        pods: of clusters with a maker that does not count its pods itself.
        claims: all volume claims of clusters.
    """
    of: dict[tuple[str, str], list[Maker]] = {}
    for item in makers:
        of.setdefault(_key(item), []).extend(makers_of(item))
    there: dict[tuple[str, str], dict[GroupId, list[Pod]]] = {}
    for item in pods:
        pod = Pod.of(item)
        there.setdefault(_key(item), {}).setdefault(pod.group, []).append(pod)
    keys = {_key(anchor): anchor for anchor in anchors}
    rows = [_row(key, keys[key], of.get(key, []), there.get(key, {}), now) for key in sorted(keys)]
    left = {_key(claim): claim for claim in claims if _key(claim) not in keys}
    return (*rows, *(_kept(key, left[key], now) for key in sorted(left)))


def _kept(key: tuple[str, str], claim: Json, now: datetime) -> ListRow:
    born = created(claim)
    age = max(0.0, (now - born).total_seconds()) if born else 0.0
    return ListRow(key[0], key[1], KEPT, ready=0, wanted=0, cpu=0, ray_version="", age=age)


def _key(item: Json) -> tuple[str, str]:
    metadata = item["metadata"]
    cluster = (metadata.get("labels") or {}).get(labels.OURS) or name(item).removeprefix("raystead-")
    return str(metadata.get("namespace") or ""), str(cluster)


def _row(
    key: tuple[str, str],
    anchor: Json,
    makers: Sequence[Maker],
    pods: Mapping[GroupId, Sequence[Pod]],
    now: datetime,
) -> ListRow:
    nodes = [maker for maker in makers if maker.id.role is not Role.REDIS]
    ready = {maker: maker.ready(pods.get(maker.id, ())) for maker in nodes}
    heads = [maker for maker in nodes if maker.id.role is Role.HEAD]
    workers = [maker for maker in nodes if maker.id.is_worker]
    if not nodes and (kept := _outlives(anchor)):
        state = kept
    elif heads and not any(map(_wanted, nodes)):
        state = "suspended"
    elif not heads or not all(ready[maker] for maker in heads):
        state = "not ready"
    else:
        state = "Ready" if all(ready[maker] >= _wanted(maker) for maker in workers) else "partly"
    born = created(anchor)
    return ListRow(
        namespace=key[0],
        name=key[1],
        state=state,
        ready=sum(ready[maker] for maker in workers),
        wanted=sum(map(_wanted, workers)),
        cpu=sum(_wanted(maker) * _cpus(maker) for maker in nodes),
        ray_version=image_version(str(_container(heads[0]).get("image") or "")) if heads else "",
        age=max(0.0, (now - born).total_seconds()) if born else 0.0,
    )


def _outlives(anchor: Json) -> str:
    """The state of what has no cluster (any more) and is there; "" where a cluster is missing.

    A RayJob outlives its cluster, or runs on another; a RayCronJob has one at its ticks only; a spec is kept
    where an idle cluster ended.
    """
    try:
        document = json.loads((anchor.get("data") or {}).get("document") or "{}")
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    if document.get("kind") == "RayCronJob":
        return "suspended" if dig(document, "spec", "suspend") else "scheduled"
    if document.get("kind") == "RayJob":
        on = dig(document, "spec", "clusterSelector", labels.CLUSTER)
        return f"on {on}" if on else "ended"
    end = idle_end_of(document)
    return "ended" if end is not None and end.keeps_data else ""


def _wanted(maker: Maker) -> int:
    return maker.asked or 0


def _container(maker: Maker) -> Json:
    return dict((dig(maker.template, "spec", "containers") or [{}])[0])


def _cpus(maker: Maker) -> int:
    resources = _container(maker).get("resources") or {}
    amount = (resources.get("limits") or {}).get("cpu") or (resources.get("requests") or {}).get("cpu")
    return quantities.ceil(amount) if amount is not None else 0
