"""Kubernetes' events, found by what they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from raystead.base.times import when
from raystead.live.reading import dig, meta

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["Events", "KubeEvent"]


@dataclass(frozen=True)
class KubeEvent:
    """An event of core/v1, from the old recorder (counts) or the new one (series)."""

    json: Json

    @property
    def reason(self) -> str:
        return str(self.json.get("reason") or "")

    @property
    def message(self) -> str:
        return str(self.json.get("message") or "").strip()

    @property
    def last(self) -> datetime | None:
        """When it was last seen."""
        found = dig(self.json, "series", "lastObservedTime") or self.json.get("lastTimestamp")
        return when(found or self.json.get("eventTime") or self.json.get("firstTimestamp"))

    @property
    def first(self) -> datetime | None:
        return when(self.json.get("firstTimestamp") or self.json.get("eventTime")) or self.last

    @property
    def count(self) -> int:
        return int(dig(self.json, "series", "count") or self.json.get("count") or 1)

    @property
    def kind(self) -> str:
        return str(self._object.get("kind") or "")

    @property
    def name(self) -> str:
        return str(self._object.get("name") or "")

    def about(self, item: Json) -> bool:
        """It means this very object of its name: a StatefulSet's next pod has the name of the one before."""
        uid, told = meta(item, "uid"), self._object.get("uid")
        return not uid or not told or told == uid

    @property
    def _object(self) -> Json:
        return self.json.get("involvedObject") or self.json.get("regarding") or {}


class Events:
    """Events by kind and name of their objects: a thousand pods ask for theirs several times."""

    def __init__(self, found: Iterable[Json] = ()) -> None:
        self.all = tuple(KubeEvent(json) for json in found)

    @cached_property
    def _of(self) -> dict[tuple[str, str], list[KubeEvent]]:
        out: dict[tuple[str, str], list[KubeEvent]] = {}
        for event in self.all:
            out.setdefault((event.kind, event.name), []).append(event)
        return out

    def about(self, kind: str, item: Json, *reasons: str) -> tuple[KubeEvent, ...]:
        """Events about an object, oldest first; only those with one of `reasons`, if any is named.

        Those without a time are put last.
        """
        named = self._of.get((kind, meta(item, "name")), ())
        found = [e for e in named if e.about(item) and (not reasons or e.reason in reasons)]
        timed = sorted((e for e in found if e.last), key=lambda e: e.last.timestamp() if e.last else 0.0)
        return (*timed, *(e for e in found if not e.last))

    def of_replicaset(self, owner: str, reason: str) -> KubeEvent | None:
        """The newest event about a ReplicaSet of that name, or of the Deployment of that name."""
        found = [
            e
            for e in self.all
            if e.reason == reason and e.kind == "ReplicaSet" and f"{e.name}-".startswith(f"{owner}-")
        ]
        return max(found, key=lambda e: e.last.timestamp() if e.last else float("inf"), default=None)
