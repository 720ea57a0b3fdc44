"""A snapshot as the rules look at it: groups in the order of their dependence, pods, events."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from raystead.base import kinds, labels
from raystead.base.groups import GroupId, group_of
from raystead.base.times import when
from raystead.explain.model import RAYLET, Evidence, Finding, Snapshot
from raystead.live.controllers import ReplicaSetMaker
from raystead.live.events import Events, KubeEvent
from raystead.live.groups import Group, groups
from raystead.live.maker import Refusal
from raystead.live.makers import makers_of
from raystead.live.pods import Container, Pod, pods_of
from raystead.live.reading import dig, meta
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.storage import storage_kind
from raystead.spec.builtin import NAME
from raystead.spec.model import Json

__all__ = ["View"]

_EXCUSES = ("failed to try resolving symlinks", "unable to retrieve container logs")
NODE_SECONDS = 900  # the cluster autoscaler gives a new node 15 min (--max-node-provision-time)


class View:
    """The questions that rules ask of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.now = snapshot.now
        self.name = snapshot.name

    def age(self, moment: datetime | None) -> float:
        """Seconds since then; 0 when it is not known, so that nobody cries wolf."""
        return (self.now - moment).total_seconds() if moment else 0.0

    @property
    def up(self) -> str:
        """`raystead up` for this cluster; only `up` needs the name."""
        if self.snapshot.up:
            return self.snapshot.up
        return "raystead up" if self.name == NAME else f"raystead up --name {self.name}"

    def with_file(self, finding: Finding) -> Finding:
        """The finding, with the file's name in its remedies where that is known."""
        _, option, file = self.up.partition(" -f ")
        if not option:
            return finding
        remedy = finding.remedy.replace(f"{self.up} -f FILE", self.up).replace("-f FILE", f"-f {file}")
        return replace(finding, remedy=remedy)

    @cached_property
    def context(self) -> Context | None:
        if self.snapshot.cluster is None:
            return None
        return Context(self.snapshot.cluster, Facts(namespace=self.snapshot.namespace))

    @property
    def storage(self) -> str | None:
        """`redis`, `external`, `rocksdb`, `none`; None when the spec is not known."""
        return storage_kind(self.snapshot.cluster) if self.snapshot.cluster else None

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Redis, the head, then the worker groups in the spec's order: each needs those before it."""
        snapshot = self.snapshot
        keepers = [
            {**item, "kind": row.name}
            for part, row in kinds.parts().items()
            if row.owned and row.template
            for item in self._ours(getattr(snapshot, part))
        ]
        makers = makers_of(*keepers, *self._ours(snapshot.makers))
        return groups(snapshot.cluster, makers, pods_of(self._ours(snapshot.pods)))

    def group(self, group_id: GroupId) -> Group | None:
        return next((g for g in self.groups if g.id == group_id), None)

    def before(self, group_id: GroupId) -> tuple[Group, ...]:
        """The groups that this one depends on."""
        return tuple(g for g in self.groups if g.id.rank < group_id.rank)

    def refusals(self) -> Iterable[tuple[Group, Refusal]]:
        """Groups whose pods cannot be made."""
        for group in self.groups:
            makers = [group.maker]
            if self.snapshot.deployments is None:  # these repeat what their ReplicaSets say
                makers += [ReplicaSetMaker(json, group.id) for json in self.replicasets(group)]
            for maker in makers:
                if refusal := maker.refusal(group.pods, self.all_events):
                    yield group, refusal

    def served_since(self, group_id: GroupId) -> datetime | None:
        """Since when all that the group depends on is ready; None: not yet, so it rightly waits."""
        latest: datetime | None = None
        for group in self.before(group_id):
            if not group.satisfied:
                return None
            if (since := group.ready_since) and (latest is None or since > latest):
                latest = since
        return latest or datetime.fromtimestamp(0, self.now.tzinfo)

    def waiting_seconds(self, pod: Pod) -> float:
        """How long the pod's containers run, with all they depend on ready, and the pod is not."""
        served = self.served_since(pod.group)
        starts = [c.running_since for c in pod.containers if c.running_since]
        if pod.ready or served is None or not starts:
            return 0.0
        return self.age(max(t for t in (served, max(starts), pod.since("Ready")) if t))

    @cached_property
    def all_events(self) -> Events:
        return Events(self.snapshot.events or ())

    def events(self, kind: str, item: Json, *reasons: str) -> tuple[KubeEvent, ...]:
        """Events about an object, oldest first; only those with one of `reasons`, if any is named."""
        return self.all_events.about(kind, item, *reasons)

    def pod_events(self, pod: Pod, *reasons: str) -> tuple[KubeEvent, ...]:
        return self.events("Pod", pod.json, *reasons)

    def last_event(self, pod: Pod, *reasons: str) -> KubeEvent | None:
        found = self.pod_events(pod, *reasons)
        return found[-1] if found else None

    def node_coming(self, pod: Pod) -> bool:
        """A cluster autoscaler has said that it adds a node for the pod, and may still do so."""
        event = self.last_event(pod, "TriggeredScaleUp")
        return event is not None and self.age(event.last) < NODE_SECONDS

    def log(self, pod: Pod, container: Container, *, previous: bool) -> str:
        """What it printed; "" when it was not read, or the kubelet had an excuse in its place."""
        text = self.snapshot.logs.get((pod.name, container.name, previous), "")
        return "" if text.startswith(_EXCUSES) else text

    def raylet_log(self, pod: Pod) -> str:
        """The end of raylet.err; "" when it was not read."""
        return self.snapshot.logs.get((pod.name, pod.ray.name + RAYLET, True), "")

    def replicasets(self, group: Group) -> tuple[Json, ...]:
        """Those that should have pods."""
        found = (r for r in self._ours(self.snapshot.replicasets) if template_group(r) == group.id)
        return tuple(r for r in found if dig(r, "spec", "replicas"))

    def with_logs(self, group: GroupId) -> tuple[Pod, ...]:
        """The group's pods of which a log was read: a few."""
        return self._with_logs.get(group, ())

    def claim(self, name: str) -> Json | None:
        return next((c for c in self.snapshot.claims or () if meta(c, "name") == name), None)

    def ray_node(self, pod: Pod) -> Json | None:
        """What Ray's dashboard says of the pod's node, the newest entry of its address."""
        found = self._ray_nodes.get(pod.ip, []) if pod.ip else []
        alive = [n for n in found if node_state(n) == "ALIVE"]
        return next(iter([*alive[-1:], *found[-1:]]), None)

    @cached_property
    def _with_logs(self) -> dict[GroupId, tuple[Pod, ...]]:
        read = {pod for pod, _, _ in self.snapshot.logs}
        return {g.id: tuple(p for p in g.live if p.name in read) for g in self.groups}

    @cached_property
    def _ray_nodes(self) -> dict[str, list[Json]]:
        out: dict[str, list[Json]] = {}
        for node in self.snapshot.ray_nodes or ():
            out.setdefault(node_ip(node), []).append(node)
        return out

    def _ours(self, things: Iterable[Json] | None) -> Iterable[Json]:
        for item in things or ():
            found = dig(item, "metadata", "labels") or {}
            inside = dig(item, "spec", "template", "metadata", "labels") or {}
            if self.name in (found.get(labels.OURS), inside.get(labels.OURS)):
                yield item


def template_group(item: Json) -> GroupId | None:
    return group_of(dig(item, "spec", "template", "metadata", "labels") or {})


def node_ip(node: Json) -> str:
    return str(dig(node, "raylet", "nodeManagerAddress") or node.get("ip") or "")


def node_state(node: Json) -> str:
    return str(dig(node, "raylet", "state") or "")


def event_evidence(event: KubeEvent) -> Evidence:
    return Evidence(event.message, "event", event.last, event.count)


def condition_evidence(pod: Pod, kind: str) -> Evidence:
    condition = pod.condition(kind)
    return Evidence(
        str(condition.get("message") or ""), pod.subject, when(condition.get("lastTransitionTime"))
    )


def doubled(quantity: str | None) -> str:
    """Twice a quantity, in its own unit; `MORE` where there is none."""
    match = re.match(r"^(\d+(?:\.\d+)?)([a-zA-Z]*)$", quantity or "")
    return f"{Decimal(match.group(1)) * 2:f}{match.group(2)}" if match else "MORE"


def first_line(text: str, most: int) -> str:
    """The text's first line, shortened for people."""
    line = re.sub(r"\s+", " ", text.strip().split("\n")[0])
    return line if len(line) <= most else line[: most - 1] + "…"
