"""Who keeps the pods of a group: the controllers, as one Protocol.

`makers_of` is the one place that knows which kinds of objects keep pods. An object may keep those of several
groups. A maker that has no object of its own is `Absent`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from raystead.base import labels
from raystead.base.groups import GroupId, group_of, worker
from raystead.base.kinds import pod_template
from raystead.base.times import ago, when
from raystead.live.events import Events
from raystead.live.pods import Pod
from raystead.live.reading import changed, condition, dig, meta, touches

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = [
    "MAKERS",
    "Absent",
    "Behind",
    "Cost",
    "CronJobMaker",
    "DeploymentMaker",
    "Maker",
    "Refusal",
    "StatefulSetMaker",
    "StewardMaker",
    "Wanted",
    "kinds_that_keep",
    "makers_of",
    "unattended",
]

_QUOTED = re.compile(r'"([^"]+)"')
_TEMPLATE = "raystead.io/template"  # annotation of a bare pod: the hash of the template it was made from
_ANY = 2147483647  # the CRD's default of maxReplicas
_CLAIM_SECONDS = 30  # twice the time after which another raystead autoscale takes over
_REVISION = "controller-revision-hash"


@dataclass(frozen=True)
class Wanted:
    """How many pods a group is to have: `target` now, and never fewer than `least` or more than `most`."""

    least: int
    target: int
    most: int

    @classmethod
    def fixed(cls, count: int) -> Wanted:
        return cls(count, count, count)

    def takes(self, count: int) -> bool:
        return self.least <= count <= self.most


@dataclass(frozen=True)
class Refusal:
    """A maker that cannot make its pods.

    Attributes:
        subject: whose refusal it is, `deployment/demo-worker`.
        made: pods that it has, of `wanted`.
        message: the API server's words.
        source: where they were read: `event`, or the object's name.
        at: when they were last seen; `since`: since when it is so; `count`: how often.
    """

    subject: str
    made: int
    wanted: int
    message: str
    source: str
    at: datetime | None = None
    since: datetime | None = None
    count: int = 1

    @property
    def missing(self) -> int:
        return self.wanted - self.made


@dataclass(frozen=True)
class Behind:
    """Nobody has looked at the maker's object since it was changed: its generation, and the one looked at."""

    wanted: int
    seen: int
    since: datetime | None


@dataclass(frozen=True)
class Cost:
    """What a change costs: running pods that restart, and those that end and do not come back."""

    restarts: int = 0
    stops: int = 0


class Maker(Protocol):
    """What keeps the pods of one group."""

    @property
    def id(self) -> GroupId:
        """The group whose pods it keeps."""

    @property
    def subject(self) -> str:
        """What people call it, `deployment/demo-worker`; "" where there is none."""

    @property
    def json(self) -> Json:
        """The object that `up` applies and that tells it what to keep; {} where there is none."""

    @property
    def template(self) -> Json:
        """The pod template of the present version; {} where it is not known."""

    @property
    def asked(self) -> int | None:
        """How many pods it has been told to keep; None: nobody told it."""

    def wanted(self, spec: Wanted) -> Wanted:
        """What its group is to have, where the spec says `spec`: who scales by itself knows better."""

    @property
    def counts(self) -> bool:
        """It counts its pods itself, so that nobody has to list them to know how many there are."""

    @property
    def on_volume(self) -> bool:
        """Its pods' data is on volume claims that it makes and that outlive them."""

    def there(self, pods: Sequence[Pod]) -> int:
        """Pods that it has, of any version; `pods` are those of its group where they are known."""

    def ready(self, pods: Sequence[Pod]) -> int:
        """Ready pods of the present version."""

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        """The pods of the present version that are not on their way out."""

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        """Why it cannot make the pods that are missing; None: nothing refuses them."""

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        """It has seen its newest version, has the pods that are wanted, all of that version, and no other."""

    def behind(self) -> Behind | None:
        """Whether it has not yet looked at its newest version; None: it has, or that cannot be told."""

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        """What becoming `after` costs (None: it is deleted).

        Args:
            paths: the fields of its object that change.
            anew: the object is deleted and made again.
        """


class _Controller:
    """What Deployments and StatefulSets (and ReplicaSets) have in common."""

    kind = ""
    counts = True

    def __init__(self, json: Json, id: GroupId) -> None:
        self.json = json
        self.id = id

    @property
    def name(self) -> str:
        return meta(self.json, "name")

    @property
    def subject(self) -> str:
        return f"{self.kind.lower()}/{self.name}"

    @property
    def template(self) -> Json:
        return dig(self.json, "spec", "template") or {}

    @property
    def asked(self) -> int | None:
        count = dig(self.json, "spec", "replicas")
        return 1 if count is None else int(count)  # the server's default

    @property
    def on_volume(self) -> bool:
        return bool(dig(self.json, "spec", "volumeClaimTemplates"))

    def wanted(self, spec: Wanted) -> Wanted:
        return spec

    def _count(self, key: str) -> int:
        return int(dig(self.json, "status", key) or 0)

    def there(self, pods: Sequence[Pod]) -> int:
        """The status' count of a live object, else what its spec wants."""
        return self._count("replicas") if "status" in self.json else self.asked or 0

    def behind(self) -> Behind | None:
        want, seen = dig(self.json, "metadata", "generation"), self._count("observedGeneration")
        return None if want is None or seen >= want else Behind(want, seen, changed(self.json))

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        return self.behind() is None and self._count("replicas") == wanted.target and self._all_new(wanted)

    def _all_new(self, wanted: Wanted) -> bool:
        return self._count("updatedReplicas") == wanted.target

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        there, left = self.there(pods), (after.asked or 0) if after else 0
        restarts = anew or any(touches(path, ["spec.template"]) for path in paths)
        return Cost(min(there, left) if restarts else 0, max(0, there - left))


class DeploymentMaker(_Controller):
    """A Deployment; also a ReplicaSet, whose refusals it repeats."""

    kind = "Deployment"

    def ready(self, pods: Sequence[Pod]) -> int:
        """While pods of two versions run, no more than the updated ones."""
        return min(self._count("readyReplicas"), self._count("updatedReplicas"))

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        """Those of its present ReplicaSet, which the condition Progressing names.

        Without one (a new Deployment) all count.
        """
        staying = tuple(pod for pod in pods if pod.live)
        match = _QUOTED.search(str(condition(self.json, "Progressing").get("message") or ""))
        return staying if match is None else tuple(pod for pod in staying if match.group(1) in pod.owners)

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        entry, made, wanted = condition(self.json, "ReplicaFailure"), self._count("replicas"), self.asked or 0
        if entry.get("status") != "True" or made >= wanted:
            return None
        since = when(entry.get("lastTransitionTime"))
        event = events.of_replicaset(self.name, "FailedCreate") if events else None
        return Refusal(
            self.subject,
            made,
            wanted,
            str(entry.get("message") or ""),
            "event" if event else self.name,
            event.last if event else since,
            since,
            event.count if event else 1,
        )


class ReplicaSetMaker(DeploymentMaker):
    """Looked at where Deployments may not be read."""

    kind = "ReplicaSet"


class StatefulSetMaker(_Controller):
    kind = "StatefulSet"

    def wanted(self, spec: Wanted) -> Wanted:
        """Its own word: of a suspended cluster Redis goes on where its data is on no volume."""
        return Wanted.fixed(self.asked or 0)

    def ready(self, pods: Sequence[Pod]) -> int:
        return self._count("readyReplicas")

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        newest = dig(self.json, "status", "updateRevision")
        return tuple(p for p in pods if p.live and newest in (None, p.labels.get(_REVISION, newest)))

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        """It has no such condition: its newest event counts while a pod is missing."""
        found = events.about(self.kind, self.json, "FailedCreate") if events else ()
        made, wanted = sum(pod.live for pod in pods), self.asked or 0
        if made >= wanted or not found:
            return None
        last = found[-1]
        return Refusal(self.subject, made, wanted, last.message, "event", last.last, last.first, last.count)

    def _all_new(self, wanted: Wanted) -> bool:
        if dig(self.json, "status", "updateRevision"):  # it drops currentRevision's count when all are new
            return bool(
                dig(self.json, "status", "currentRevision") == dig(self.json, "status", "updateRevision")
            )
        return super()._all_new(wanted)


class StewardMaker:
    """The steward of an autoscaled group: it makes bare pods as Ray's autoscaler wants them.

    Its object is the steward's ConfigMap, where the pod to make stands and, once it runs, its state.
    """

    counts = False
    on_volume = False

    def __init__(self, json: Json, group: str) -> None:
        self.json = json
        self.id: GroupId = worker(group)

    @property
    def subject(self) -> str:
        return "the autoscaler"

    @cached_property
    def template(self) -> Json:
        found: Json = _data(self.json, "pods.json").get(self.id.name) or {}
        return {key: found[key] for key in ("metadata", "spec") if key in found}

    def unattended(self, now: datetime) -> str:
        """Since when nobody makes its pods, where a client has to and none does: a clause; "" otherwise."""
        if _data(self.json, "steward.json").get("acts") != "client":
            return ""
        claim = _data(self.json, "client")
        renewed = when(claim.get("renewed"))
        if renewed is None:
            return "nobody runs raystead autoscale"
        if (now - renewed).total_seconds() <= _CLAIM_SECONDS:
            return ""
        return f"raystead autoscale of {claim.get('who')} was last seen {ago(renewed, now)}"

    @cached_property
    def _spec(self) -> Json:
        groups = dig(_data(self.json, "cluster.json"), "spec", "workerGroupSpecs") or []
        return next((one for one in groups if one.get("groupName") == self.id.name), {})

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        hosts, most = int(self._spec.get("numOfHosts") or 1), self._spec.get("maxReplicas")
        return int(self._spec.get("minReplicas") or 0) * hosts, (_ANY if most is None else int(most)) * hosts

    @cached_property
    def asked(self) -> int:
        """What the autoscaler wants now; before it has said anything, what it begins with."""
        state = dig(_data(self.json, "state"), "groups", self.id.name)
        least, most = self._bounds
        if state:
            return max(least, min(len(state.get("names") or []), most))
        replicas = int(self._spec.get("replicas") or 0) * int(self._spec.get("numOfHosts") or 1)
        return 0 if self._spec.get("suspend") else max(least, min(replicas, most))

    def wanted(self, spec: Wanted) -> Wanted:
        return Wanted(spec.least, max(spec.least, min(self.asked, spec.most)), spec.most)

    def there(self, pods: Sequence[Pod]) -> int:
        return sum(pod.live for pod in pods)

    def ready(self, pods: Sequence[Pod]) -> int:
        return sum(pod.ready for pod in self.current(pods))

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        """Those that were made from the present template."""
        return tuple(pod for pod in pods if pod.live and pod.annotations.get(_TEMPLATE) == self._hash)

    @property
    def _hash(self) -> str:
        return str((dig(self.template, "metadata", "annotations") or {}).get(_TEMPLATE) or "")

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        found, made = _data(self.json, "refusals").get(self.id.name), self.there(pods)
        if not found or made >= self.asked:
            return None
        at = when(found.get("at"))
        return Refusal(self.subject, made, self.asked, str(found.get("text") or ""), self.subject, at, at)

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        return len(self.current(pods)) == wanted.target and all(pod.live for pod in pods)

    def behind(self) -> Behind | None:
        return None

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        there = self.there(pods)
        if not isinstance(after, StewardMaker):
            return Cost(0, there)
        stops = max(0, there - after._bounds[1])
        return Cost(min(there - len(after.current(pods)), there - stops), stops)


class CronJobMaker:
    """A CronJob of a RayCronJob: at each tick it makes a Job with one group's pods, which end with it."""

    counts = False
    on_volume = False

    def __init__(self, json: Json, id: GroupId) -> None:
        self.json = json
        self.id = id

    @property
    def subject(self) -> str:
        return f"cronjob/{meta(self.json, 'name')}"

    @property
    def template(self) -> Json:
        return pod_template(self.json) or {}

    @property
    def asked(self) -> int:
        """The pods of one tick; none while no tick comes."""
        if dig(self.json, "spec", "suspend"):
            return 0
        return int(dig(self.json, "spec", "jobTemplate", "spec", "parallelism") or 0)

    def wanted(self, spec: Wanted) -> Wanted:
        return spec

    def there(self, pods: Sequence[Pod]) -> int:
        return sum(pod.live for pod in pods)

    def ready(self, pods: Sequence[Pod]) -> int:
        return sum(pod.ready for pod in self.current(pods))

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        return tuple(pod for pod in pods if pod.live)

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        return None  # the Job of a tick is refused its pods, not the CronJob its Jobs

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        return True

    def behind(self) -> Behind | None:
        return None

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        """A change counts from the next tick; only without the object the pods go."""
        return Cost(0, self.there(pods)) if after is None else Cost()


@dataclass(frozen=True)
class Absent:
    """Nobody keeps the group's pods: its maker's object is not there, or could not be read."""

    id: GroupId
    subject = ""
    asked = None
    counts = True
    on_volume = False

    @property
    def json(self) -> Json:
        return {}

    @property
    def template(self) -> Json:
        return {}

    def wanted(self, spec: Wanted) -> Wanted:
        return spec

    def there(self, pods: Sequence[Pod]) -> int:
        return sum(pod.live for pod in pods)

    def ready(self, pods: Sequence[Pod]) -> int:
        return sum(pod.ready for pod in pods)

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        return tuple(pod for pod in pods if pod.live)

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        return None

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        return wanted.target == 0

    def behind(self) -> Behind | None:
        return None

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        return Cost()


def _data(config_map: Json, key: str) -> Json:
    """JSON in a ConfigMap's data; {} where there is none, or something else."""
    try:
        found = json.loads((config_map.get("data") or {}).get(key) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _steward(item: Json) -> Iterable[Maker]:
    if (dig(item, "metadata", "labels") or {}).get(labels.ROLE) != "steward":
        return ()
    return [StewardMaker(item, group) for group in _data(item, "pods.json")]


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
    "ConfigMap": _steward,
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
