"""Kubernetes' JSON as small values with the questions that the rules ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from raystead.explain.model import Evidence
from raystead.spec.model import Json

__all__ = ["Container", "Event", "Pod", "Terminated", "at", "dig", "meta"]


def at(text: str | None) -> datetime | None:
    """A Kubernetes timestamp (RFC 3339, with or without fractions); None where there is none."""
    return datetime.fromisoformat(text) if text else None


def dig(value: Any, *path: str) -> Any:
    """The value under nested keys, or None where one is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def meta(thing: Json, key: str) -> str:
    return str(dig(thing, "metadata", key) or "")


@dataclass(frozen=True)
class Event:
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
        said = dig(self.json, "series", "lastObservedTime") or self.json.get("lastTimestamp")
        return at(said or self.json.get("eventTime") or self.json.get("firstTimestamp"))

    @property
    def first(self) -> datetime | None:
        return at(self.json.get("firstTimestamp") or self.json.get("eventTime")) or self.last

    @property
    def count(self) -> int:
        return int(dig(self.json, "series", "count") or self.json.get("count") or 1)

    @property
    def kind(self) -> str:
        return str(self._object.get("kind") or "")

    @property
    def name(self) -> str:
        return str(self._object.get("name") or "")

    def about(self, thing: Json) -> bool:
        """It means this very object of its name: a StatefulSet's next pod has the name of the one before."""
        uid, said = meta(thing, "uid"), self._object.get("uid")
        return not uid or not said or said == uid

    @property
    def _object(self) -> Json:
        return self.json.get("involvedObject") or self.json.get("regarding") or {}

    def evidence(self) -> Evidence:
        return Evidence(self.message, "event", self.last, self.count)


@dataclass(frozen=True)
class Terminated:
    """How a container's run ended."""

    json: Json

    @property
    def code(self) -> int:
        return int(self.json.get("exitCode") or 0)

    @property
    def reason(self) -> str:
        return str(self.json.get("reason") or "")

    @property
    def message(self) -> str:
        return str(self.json.get("message") or "").strip()

    @property
    def finished(self) -> datetime | None:
        return at(self.json.get("finishedAt"))

    @property
    def seconds(self) -> float | None:
        """How long the run lasted."""
        started = at(self.json.get("startedAt"))
        return (self.finished - started).total_seconds() if started and self.finished else None


@dataclass(frozen=True)
class Container:
    """One container of a pod: its spec, and its status ({} before the kubelet wrote one)."""

    spec: Json
    status: Json

    @property
    def name(self) -> str:
        return str(self.spec.get("name") or "")

    @property
    def image(self) -> str:
        return str(self.spec.get("image") or self.status.get("image") or "")

    @property
    def ready(self) -> bool:
        return bool(self.status.get("ready"))

    @property
    def restarts(self) -> int:
        return int(self.status.get("restartCount") or 0)

    @property
    def waiting(self) -> str:
        """The reason it waits: `ImagePullBackOff`, `ContainerCreating` …; "" when it does not."""
        return str(dig(self.status, "state", "waiting", "reason") or "")

    @property
    def message(self) -> str:
        return str(dig(self.status, "state", "waiting", "message") or "").strip()

    @property
    def running_since(self) -> datetime | None:
        return at(dig(self.status, "state", "running", "startedAt"))

    @property
    def ended(self) -> Terminated | None:
        """The end of its last run: the state when it is down now, else the run before."""
        said = dig(self.status, "state", "terminated") or dig(self.status, "lastState", "terminated")
        return Terminated(said) if said else None

    def limit(self, resource: str) -> str | None:
        said = dig(self.spec, "resources", "limits", resource)
        return None if said is None else str(said)


@dataclass(frozen=True)
class Pod:
    json: Json
    group: str

    @cached_property
    def name(self) -> str:
        return meta(self.json, "name")

    @property
    def subject(self) -> str:
        return f"pod/{self.name}"

    @property
    def spec(self) -> Json:
        return self.json.get("spec") or {}

    @property
    def status(self) -> Json:
        return self.json.get("status") or {}

    @property
    def node(self) -> str:
        return str(self.spec.get("nodeName") or "")

    @property
    def ip(self) -> str:
        return str(self.status.get("podIP") or "")

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "")

    @property
    def created(self) -> datetime | None:
        return at(meta(self.json, "creationTimestamp"))

    @property
    def deleted(self) -> datetime | None:
        """When it must be gone: the moment of the deletion plus the grace period; None: it stays."""
        return at(meta(self.json, "deletionTimestamp"))

    @property
    def labels(self) -> dict[str, str]:
        return dict(dig(self.json, "metadata", "labels") or {})

    @property
    def live(self) -> bool:
        """It is meant to run: neither being deleted nor finished."""
        return self.deleted is None and self.phase not in ("Failed", "Succeeded")

    @property
    def ready(self) -> bool:
        return bool(self.condition("Ready").get("status") == "True")

    def condition(self, kind: str) -> Json:
        found: Iterator[Json] = (c for c in self.status.get("conditions") or [] if c.get("type") == kind)
        return next(found, {})

    def since(self, kind: str) -> datetime | None:
        """When the condition took its present value."""
        return at(self.condition(kind).get("lastTransitionTime"))

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Init containers first: they run first."""
        out = []
        for specs, statuses in (
            ("initContainers", "initContainerStatuses"),
            ("containers", "containerStatuses"),
        ):
            by_name = {s.get("name"): s for s in self.status.get(statuses) or []}
            out += [Container(c, by_name.get(c.get("name"), {})) for c in self.spec.get(specs) or []]
        return tuple(out)
