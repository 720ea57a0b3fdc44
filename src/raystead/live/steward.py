"""The maker of an autoscaled group: its steward makes single pods as Ray's autoscaler wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from raystead.base import labels
from raystead.base.groups import GroupId, worker
from raystead.base.times import ago, when
from raystead.live.events import Events
from raystead.live.maker import Behind, Cost, Maker, Refusal, Wanted
from raystead.live.pods import Pod
from raystead.live.reading import dig

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["StewardMaker", "stewards_of"]

_TEMPLATE = "raystead.io/template"  # annotation of a single pod: the hash of the template it was made from
_ANY = 2147483647  # the CRD's default of maxReplicas
_CLAIM_SECONDS = 30  # twice the time after which another raystead autoscale takes over


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


def stewards_of(item: Json) -> list[Maker]:
    """A maker for each autoscaled group, where the ConfigMap is a steward's; [] otherwise."""
    if (dig(item, "metadata", "labels") or {}).get(labels.ROLE) != "steward":
        return []
    return [StewardMaker(item, group) for group in _data(item, "pods.json")]


def _data(config_map: Json, key: str) -> Json:
    """JSON in a ConfigMap's data; {} where there is none, or something else."""
    try:
        found = json.loads((config_map.get("data") or {}).get(key) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
