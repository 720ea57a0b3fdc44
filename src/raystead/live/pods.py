"""One pod and one container: Kubernetes' JSON as small values with the questions that everybody asks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from raystead.base import quantities
from raystead.base.groups import OTHER, GroupId, group_of
from raystead.base.times import when
from raystead.live.reading import condition, dig, meta

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["Container", "Pod", "Terminated", "pods_of", "slim"]


DEADLINE = "activeDeadlineSeconds"
_STEADY_SECONDS = 5.0  # a sidecar without a probe is ready as soon as it runs, for as long as that lasts


def slim(pod: Json) -> Json:
    """The pod without what is read of a few only: a third of its size, which counts for thousands of pods."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    containers = [
        {key: value for key, value in container.items() if key in ("name", "resources")}
        for container in spec.get("containers") or ()
    ]
    kept = {k: v for k, v in metadata.items() if k not in ("managedFields", "annotations")}
    if ours := {k: v for k, v in (metadata.get("annotations") or {}).items() if k.startswith("raystead.io/")}:
        kept["annotations"] = ours
    return {
        "metadata": kept,
        "spec": {
            "nodeName": spec.get("nodeName"),
            "containers": containers,
            **{key: spec[key] for key in (DEADLINE,) if key in spec},
        },
        "status": status,
    }


class Terminated(NamedTuple):
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
        return when(self.json.get("finishedAt"))

    @property
    def seconds(self) -> float | None:
        """How long the run lasted."""
        started = when(self.json.get("startedAt"))
        return (self.finished - started).total_seconds() if started and self.finished else None

    def cause(self, memory: float | None = None) -> str:
        """Why it ended: "OOMKilled (limit 2 GB)", "exit code 1", "lost with its node or runtime".

        `memory`: the container's limit in bytes.
        """
        if self.reason == "OOMKilled":
            return f"OOMKilled (limit {quantities.short_bytes(memory)})" if memory else "OOMKilled"
        if self.reason in ("ContainerStatusUnknown", "Unknown"):
            return "lost with its node or runtime"
        if self.json.get("exitCode") is None:
            return "cause not recorded"
        return "exit code 137 (killed)" if self.code == 137 else f"exit code {self.code}"


class Container(NamedTuple):
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
        return when(dig(self.status, "state", "running", "startedAt"))

    @property
    def down(self) -> bool:
        """Its run has ended and the next one has not begun."""
        return dig(self.status, "state", "terminated") is not None

    @property
    def ended(self) -> Terminated | None:
        """The end of its last run: the state when it is down now, else the run before."""
        found = dig(self.status, "state", "terminated") or dig(self.status, "lastState", "terminated")
        return Terminated(found) if found else None

    @property
    def cause(self) -> str:
        """Why its last run ended, in words."""
        return (self.ended or Terminated({})).cause(self.memory)

    @property
    def memory(self) -> float | None:
        """Its limit in bytes."""
        limit = self.limit("memory")
        return None if limit is None else float(quantities.parse(limit))

    def limit(self, resource: str) -> str | None:
        found = dig(self.spec, "resources", "limits", resource)
        return None if found is None else str(found)


class Pod:
    """One pod, and whose it is."""

    def __init__(self, json: Json, group: GroupId) -> None:
        self.json = json
        self.group = group

    @classmethod
    def of(cls, json: Json) -> Pod:
        """The pod with the group that its labels say."""
        return cls(json, group_of(dig(json, "metadata", "labels") or {}) or OTHER)

    @cached_property
    def name(self) -> str:
        return meta(self.json, "name")

    @property
    def uid(self) -> str:
        return meta(self.json, "uid")

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
    def labels(self) -> dict[str, str]:
        return dict(dig(self.json, "metadata", "labels") or {})

    @property
    def annotations(self) -> dict[str, str]:
        return dict(dig(self.json, "metadata", "annotations") or {})

    @property
    def owners(self) -> tuple[str, ...]:
        """Names of the objects that own it."""
        return tuple(str(ref.get("name")) for ref in dig(self.json, "metadata", "ownerReferences") or ())

    @property
    def created(self) -> datetime | None:
        return when(meta(self.json, "creationTimestamp"))

    @property
    def born(self) -> str:
        """When it was made, as text that sorts by time."""
        return meta(self.json, "creationTimestamp")

    @property
    def deleted(self) -> datetime | None:
        """When it must be gone: the moment of the deletion plus the grace period; None: it stays."""
        return when(meta(self.json, "deletionTimestamp"))

    @property
    def deletion_asked(self) -> datetime | None:
        """When its deletion was asked for."""
        grace = float(dig(self.json, "metadata", "deletionGracePeriodSeconds") or 0)
        return self.deleted - timedelta(seconds=grace) if self.deleted else None

    @property
    def deadline(self) -> int | None:
        """Seconds after its start at which Kubernetes ends it; None: never."""
        found = self.spec.get(DEADLINE)
        return None if found is None else int(found)

    @property
    def ends(self) -> datetime | None:
        """When Kubernetes will end it, whatever it does; None: never, or it has not started."""
        started = when(self.status.get("startTime"))
        if self.deadline is None or started is None or self.over:
            return None
        return started + timedelta(seconds=self.deadline)

    @property
    def on_host(self) -> bool:
        """It uses its node's network: its address is the node's."""
        return bool(self.spec.get("hostNetwork"))

    @property
    def over(self) -> bool:
        """It ended and will not run again (evicted, or the node shut down): another pod takes its place."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def live(self) -> bool:
        """It is meant to run: neither being deleted nor finished."""
        return self.deleted is None and not self.over

    @property
    def running(self) -> bool:
        return self.deleted is None and self.phase == "Running"

    @property
    def ready(self) -> bool:
        return self.deleted is None and self.condition("Ready").get("status") == "True"

    def shaky(self, now: datetime) -> bool:
        """A container that ended before has only just begun again: who fails at once is ready in between."""
        begun = [c.running_since for c in self.containers if c.restarts and c.running_since]
        return any((now - one).total_seconds() < _STEADY_SECONDS for one in begun)

    @property
    def ready_since(self) -> datetime | None:
        """When it became ready; None while it is not."""
        entry = self.condition("Ready")
        return when(entry.get("lastTransitionTime")) if entry.get("status") == "True" else None

    def condition(self, kind: str) -> Json:
        return condition(self.json, kind)

    def since(self, kind: str) -> datetime | None:
        """When the condition took its present value."""
        return when(self.condition(kind).get("lastTransitionTime"))

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Init containers first: they run first."""
        return (*self._containers("initContainers", "initContainerStatuses"), *self._main)

    @property
    def ray(self) -> Container:
        """The Ray container: the spec's first."""
        return self._main[0] if self._main else Container({}, {})

    @cached_property
    def _main(self) -> tuple[Container, ...]:
        return self._containers("containers", "containerStatuses")

    def _containers(self, specs: str, statuses: str) -> tuple[Container, ...]:
        by_name = {s.get("name"): s for s in self.status.get(statuses) or []}
        return tuple(Container(c, by_name.get(c.get("name"), {})) for c in self.spec.get(specs) or [])


def pods_of(items: Iterable[Json]) -> tuple[Pod, ...]:
    """The pods of Ray and of our Redis among `items`; others are left out."""
    return tuple(pod for pod in map(Pod.of, items) if pod.group != OTHER)
