"""The makers that are Kubernetes' own controllers: Deployments, StatefulSets, CronJobs with their Jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raystead.base.groups import GroupId
from raystead.base.kinds import pod_template
from raystead.base.times import when
from raystead.live.events import Events
from raystead.live.maker import Behind, Cost, Maker, Refusal, Wanted
from raystead.live.pods import Pod
from raystead.live.reading import changed, condition, dig, meta, touches

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["CronJobMaker", "DeploymentMaker", "ReplicaSetMaker", "StatefulSetMaker"]

_QUOTED = re.compile(r'"([^"]+)"')
_REVISION = "controller-revision-hash"


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
