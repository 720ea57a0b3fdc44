"""A snapshot as the rules look at it: groups in the order of their dependence, pods, events."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from raystead.base import labels
from raystead.explain.model import Evidence, Snapshot
from raystead.explain.objects import Container, Event, Pod, at, dig, meta
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.storage import storage_kind
from raystead.spec.flags import NAME
from raystead.spec.model import Json

__all__ = ["HEAD", "REDIS", "Group", "View"]

REDIS, HEAD = "redis", "head"
_EXCUSES = ("failed to try resolving symlinks", "unable to retrieve container logs")
NODE_SECONDS = 900  # the cluster autoscaler gives a new node 15 min (--max-node-provision-time)


@dataclass(frozen=True)
class Group:
    """Pods that are alike: Redis, the head, one worker group."""

    name: str
    wanted: int
    pods: tuple[Pod, ...] = ()
    owners: tuple[tuple[str, Json], ...] = field(default=())  # (kind, object): what creates its pods

    @cached_property
    def live(self) -> tuple[Pod, ...]:
        return tuple(p for p in self.pods if p.live)

    @cached_property
    def placed(self) -> int:
        """Pods that have a node."""
        return sum(bool(p.node) for p in self.live)

    @cached_property
    def ready(self) -> int:
        return sum(p.ready for p in self.live)

    @property
    def satisfied(self) -> bool:
        return self.ready >= self.wanted

    @cached_property
    def ready_since(self) -> datetime | None:
        """When its last pod became ready; None while it is not satisfied or wants none."""
        times = [t for p in self.live if p.ready and (t := p.since("Ready"))]
        return max(times) if times and self.satisfied else None


def group_of(found: dict[str, str]) -> str | None:
    """The group that labels say; None: not a pod of ours that we know."""
    kind = found.get(labels.NODE_TYPE)
    if kind == "head":
        return HEAD
    if kind == "worker":
        return found.get(labels.GROUP) or "worker"
    return REDIS if found.get("app") == "redis" else None


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
        return "raystead up" if self.name == NAME else f"raystead up --name {self.name}"

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
        pods: dict[str, list[Pod]] = {}
        for json in self._ours(self.snapshot.pods):
            if name := group_of(dig(json, "metadata", "labels") or {}):
                pods.setdefault(name, []).append(Pod(json, name))
        owners = self._owners()
        said = [g.name for g in self.snapshot.cluster.spec.workers] if self.snapshot.cluster else []
        redis = [REDIS] if self.storage == "redis" or REDIS in pods or REDIS in owners else []
        first = [*redis, HEAD, *said]
        names = [*first, *sorted(n for n in {*pods, *owners} if n not in first)]
        return tuple(
            Group(n, self._wanted(n, owners.get(n, ())), tuple(pods.get(n, ())), tuple(owners.get(n, ())))
            for n in names
        )

    def group(self, name: str) -> Group | None:
        return next((g for g in self.groups if g.name == name), None)

    def before(self, name: str) -> tuple[Group, ...]:
        """The groups that this one depends on."""
        rank = {REDIS: 0, HEAD: 1}.get(name, 2)
        return tuple(g for g in self.groups if {REDIS: 0, HEAD: 1}.get(g.name, 2) < rank)

    def served_since(self, name: str) -> datetime | None:
        """Since when all that the group depends on is ready; None: not yet, so it rightly waits."""
        latest: datetime | None = None
        for group in self.before(name):
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

    def events(self, kind: str, thing: Json, *reasons: str) -> tuple[Event, ...]:
        """Events about an object, oldest first; only those with one of `reasons`, if any is named."""
        named = self._events_of.get((kind, meta(thing, "name")), ())
        found = [e for e in named if e.about(thing) and (not reasons or e.reason in reasons)]
        return tuple(sorted(found, key=lambda e: e.last or self.now))

    def pod_events(self, pod: Pod, *reasons: str) -> tuple[Event, ...]:
        return self.events("Pod", pod.json, *reasons)

    def last_event(self, pod: Pod, *reasons: str) -> Event | None:
        found = self.pod_events(pod, *reasons)
        return found[-1] if found else None

    def replicaset_event(self, owner: str, reason: str) -> Event | None:
        """The newest event about a ReplicaSet of that name, or of the Deployment of that name."""
        found = [
            e
            for e in self._events
            if e.reason == reason and e.kind == "ReplicaSet" and f"{e.name}-".startswith(f"{owner}-")
        ]
        return max(found, key=lambda e: e.last or self.now, default=None)

    def node_coming(self, pod: Pod) -> bool:
        """A cluster autoscaler has said that it adds a node for the pod, and may still do so."""
        event = self.last_event(pod, "TriggeredScaleUp")
        return event is not None and self.age(event.last) < NODE_SECONDS

    def log(self, pod: Pod, container: Container, *, previous: bool) -> str:
        """What it printed; "" when it was not read, or the kubelet had an excuse in its place."""
        text = self.snapshot.logs.get((pod.name, container.name, previous), "")
        return "" if text.startswith(_EXCUSES) else text

    def replicasets(self, group: Group) -> tuple[Json, ...]:
        """Those that should have pods."""
        found = (r for r in self._ours(self.snapshot.replicasets) if template_group(r) == group.name)
        return tuple(r for r in found if dig(r, "spec", "replicas"))

    def with_logs(self, group: str) -> tuple[Pod, ...]:
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
    def _with_logs(self) -> dict[str, tuple[Pod, ...]]:
        read = {pod for pod, _, _ in self.snapshot.logs}
        return {g.name: tuple(p for p in g.live if p.name in read) for g in self.groups}

    @cached_property
    def _ray_nodes(self) -> dict[str, list[Json]]:
        out: dict[str, list[Json]] = {}
        for node in self.snapshot.ray_nodes or ():
            out.setdefault(node_ip(node), []).append(node)
        return out

    @cached_property
    def _events_of(self) -> dict[tuple[str, str], list[Event]]:
        """By kind and name: a thousand pods ask for theirs several times."""
        out: dict[tuple[str, str], list[Event]] = {}
        for one in self._events:
            out.setdefault((one.kind, one.name), []).append(one)
        return out

    @cached_property
    def _events(self) -> tuple[Event, ...]:
        return tuple(Event(e) for e in self.snapshot.events or ())

    def _ours(self, things: Iterable[Json] | None) -> Iterable[Json]:
        for thing in things or ():
            found = dig(thing, "metadata", "labels") or {}
            inside = dig(thing, "spec", "template", "metadata", "labels") or {}
            if self.name in (found.get(labels.OURS), inside.get(labels.OURS)):
                yield thing

    def _owners(self) -> dict[str, tuple[tuple[str, Json], ...]]:
        out: dict[str, tuple[tuple[str, Json], ...]] = {}
        kinds = (("Deployment", self.snapshot.deployments), ("StatefulSet", self.snapshot.statefulsets))
        for kind, things in kinds:
            for thing in self._ours(things):
                if name := template_group(thing):
                    out[name] = (*out.get(name, ()), (kind, thing))
        return out

    def _wanted(self, name: str, owners: Iterable[tuple[str, Json]]) -> int:
        said = [int(dig(thing, "spec", "replicas") or 0) for _, thing in owners]
        if said:
            return sum(said)
        cluster = self.snapshot.cluster
        if cluster is None or cluster.spec.suspend:
            return 0
        if name in (REDIS, HEAD):
            return 1
        return sum(g.wanted for g in cluster.spec.workers if g.name == name)


def template_group(thing: Json) -> str | None:
    return group_of(dig(thing, "spec", "template", "metadata", "labels") or {})


def node_ip(node: Json) -> str:
    return str(dig(node, "raylet", "nodeManagerAddress") or node.get("ip") or "")


def node_state(node: Json) -> str:
    return str(dig(node, "raylet", "state") or "")


def changed(thing: Json) -> datetime | None:
    """When somebody last changed what an object wants (its status apart)."""
    fields = dig(thing, "metadata", "managedFields") or []
    times = [at(f.get("time")) for f in fields if f.get("subresource") != "status"]
    return max((t for t in times if t), default=None) or at(meta(thing, "creationTimestamp"))


def plural(count: int, one: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def condition_evidence(pod: Pod, kind: str) -> Evidence:
    said = pod.condition(kind)
    return Evidence(str(said.get("message") or ""), pod.subject, at(said.get("lastTransitionTime")))


def doubled(quantity: str | None) -> str:
    """Twice a quantity, in its own unit; `MORE` where there is none."""
    match = re.match(r"^(\d+(?:\.\d+)?)([a-zA-Z]*)$", quantity or "")
    return f"{Decimal(match.group(1)) * 2:f}{match.group(2)}" if match else "MORE"


def first_line(text: str, most: int = 200) -> str:
    """The text's first line, shortened for people."""
    line = re.sub(r"\s+", " ", text.strip().split("\n")[0])
    return line if len(line) <= most else line[: most - 1] + "…"
