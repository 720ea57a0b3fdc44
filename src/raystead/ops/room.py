"""A quota's room goes to the head and Redis first: the workers wait until those have their pods."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from raystead.errors import Forbidden, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.makers import makers_of
from raystead.live.reading import condition
from raystead.ops.events import Event, Note

__all__ = ["wait_for_room"]

_ROOM_PATIENCE = 15.0  # seconds: a head that is replaced ends within its grace of 5 s, with slow nodes in 10
_REDIS_PATIENCE = 2.0  # and Redis alone: a StatefulSet does not say that its pod was refused
_ROOM_SILENCE = 2.0
_TICK = 0.25  # seconds between two looks while nothing changes


def wait_for_room(api: Api, first: Sequence[Json], emit: Callable[[Event], None]) -> None:
    """Waits a while, where a quota may be short, until the head's and Redis' pods are made.

    `first`: the objects of which pods are made as soon as they are applied.
    """
    waiting = [item for item in first if any(maker.asked for maker in makers_of(item))]
    if not waiting:
        return
    with contextlib.suppress(Forbidden):
        if not api.list(collection(api.namespace, "ResourceQuota")):
            return
    begun, told = time.monotonic(), False
    while waiting and time.monotonic() - begun < _ROOM_PATIENCE:
        late = time.monotonic() - begun > _REDIS_PATIENCE
        waiting = [i for i in waiting if not (late and i["kind"] == "StatefulSet") and not _made(api, i)]
        if waiting and not told and time.monotonic() - begun > _ROOM_SILENCE:
            told = True
            emit(Note("the workers come after the head: the namespace has a quota"))
        time.sleep(_TICK if waiting else 0)


def _made(api: Api, item: Json) -> bool:
    """Its controller has made all its pods of the present version, or was refused: then waiting is no use."""
    try:
        now = api.get(path_of(api.namespace, item["kind"], item["metadata"]["name"]))
    except ObjectNotFound:
        return True
    status = now.get("status") or {}
    seen = int(status.get("observedGeneration") or 0) >= int(now["metadata"].get("generation") or 0)
    if seen and condition(now, "ReplicaFailure").get("status") == "True":
        return True
    return seen and int(status.get("updatedReplicas") or 0) >= int(now["spec"].get("replicas", 1))
