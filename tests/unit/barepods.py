"""A maker of bare pods, as autoscaling brings one: pods of a group that no Deployment keeps.

What it is to keep stands in a ConfigMap; a pod carries the hash of the template that it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import explain_kit as kit

from raystead.base.groups import GroupId, worker
from raystead.live.events import Events
from raystead.live.maker import Behind, Cost, Maker, Refusal, Wanted
from raystead.live.pods import Pod

Json = dict[str, Any]
HASH = "raystead.io/template-hash"
LEAST, TARGET, MOST = 1, 3, 5
QUOTA = 'pods "demo-worker-x" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2'


def template(image: str = "rayproject/ray:2.60.0") -> Json:
    container = kit.pod("worker")["spec"]["containers"][0] | {"image": image}
    return {"metadata": {"labels": kit.labels("worker")}, "spec": {"containers": [container]}}


def hashed(what: Json) -> str:
    return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def keeper(image: str = "rayproject/ray:2.60.0", *, refused: str = "") -> Json:
    """The object that says what is to be kept."""
    metadata = {
        "name": "demo-worker-pods",
        "namespace": kit.SPACE,
        "labels": {"raystead.io/cluster": kit.NAME},
    }
    data = {"group": "worker", "template": json.dumps(template(image)), "refused": refused}
    metadata["creationTimestamp"] = kit.ago(3600)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pods(count: int, *, image: str = "rayproject/ray:2.60.0", first: int = 0, **more: Any) -> list[Json]:
    """Pods made from the template with that image, ready unless told, owned by the anchor."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"raystead-{kit.NAME}", "uid": "u"}
    return [
        kit.pod(
            "worker",
            f"demo-auto-worker-{number}",
            metadata={"annotations": {HASH: hashed(template(image))}, "ownerReferences": [owner], "namespace": kit.SPACE},
            **{"ready": True, "age": 600, **more},
        )
        for number in range(first, first + count)
    ]  # fmt: skip


class BarePods:
    """The maker."""

    counts = False
    on_volume = False
    asked = TARGET

    def __init__(self, json: Json) -> None:
        self.json = json
        self.id: GroupId = worker(json["data"]["group"])

    @property
    def subject(self) -> str:
        return "autoscaler"

    @property
    def template(self) -> Json:
        return json.loads(self.json["data"]["template"])

    @property
    def hash(self) -> str:
        return hashed(self.template)

    def wanted(self, spec: Wanted) -> Wanted:
        return Wanted(LEAST, TARGET, MOST)

    def there(self, pods: Sequence[Pod]) -> int:
        return sum(pod.live for pod in pods)

    def ready(self, pods: Sequence[Pod]) -> int:
        return sum(pod.ready for pod in self.current(pods))

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        return tuple(pod for pod in pods if pod.live and pod.annotations.get(HASH) == self.hash)

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        message = self.json["data"]["refused"]
        made = self.there(pods)
        return Refusal(self.subject, made, self.asked, message, self.subject) if message else None

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        there = self.there(pods)
        return wanted.takes(there) and len(self.current(pods)) == there >= wanted.target

    def behind(self) -> Behind | None:
        return None

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        there = self.there(pods)
        if after is None:
            return Cost(0, there)
        same = isinstance(after, BarePods) and len(after.current(pods))
        return Cost(there - same, 0)


def makers(json: Json) -> Iterable[Maker]:
    """What a ConfigMap stands for: most are plain ones."""
    return (BarePods(json),) if "template" in (json.get("data") or {}) else ()
