"""The groups of a cluster: what each wants, who keeps its pods, and the pods that are there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

from msgspec import Struct

from raystead.base.groups import HEAD, OTHER, REDIS, GroupId, worker
from raystead.live.events import Events
from raystead.live.maker import Absent, Maker, Refusal, Wanted
from raystead.live.pods import Pod
from raystead.manifests.storage import storage_kind
from raystead.spec.model import RayCluster

__all__ = ["Group", "groups", "wanted"]


class Group(Struct, frozen=True, dict=True):
    """Pods that are alike: Redis, the head, one worker group.

    Attributes:
        wanted: as the spec says.
        pods: all of them, those of older versions and those on their way out too.
    """

    id: GroupId
    wanted: Wanted
    maker: Maker
    pods: tuple[Pod, ...] = ()

    @property
    def asked(self) -> int:
        """Pods that its maker was told to keep, which somebody may have changed by hand; else the spec's."""
        return self.wanted.target if self.maker.asked is None else self.maker.asked

    @cached_property
    def live(self) -> tuple[Pod, ...]:
        """Those that are meant to run."""
        return tuple(pod for pod in self.pods if pod.live)

    @cached_property
    def standing(self) -> tuple[Pod, ...]:
        """All but those that ended and have been replaced: an evicted pod's object may stay for days."""
        return tuple(pod for pod in self.pods if not (pod.over and self.satisfied))

    @cached_property
    def current(self) -> tuple[Pod, ...]:
        """The live ones of the present version."""
        return self.maker.current(self.pods)

    @cached_property
    def outdated(self) -> tuple[Pod, ...]:
        """The live ones of an older version."""
        kept = {id(pod) for pod in self.current}
        return tuple(pod for pod in self.live if id(pod) not in kept)

    @cached_property
    def ready(self) -> int:
        """Ready pods of the present version."""
        return sum(pod.ready for pod in self.current)

    @cached_property
    def serving(self) -> int:
        """Ready pods of any version."""
        return sum(pod.ready for pod in self.live)

    @cached_property
    def running(self) -> int:
        return sum(pod.running for pod in self.current)

    @cached_property
    def placed(self) -> int:
        """Pods that have a node."""
        return sum(bool(pod.node) for pod in self.live)

    @property
    def newest(self) -> Pod | None:
        return max(self.current, key=lambda pod: pod.born, default=None)

    @property
    def satisfied(self) -> bool:
        """As many serve as its maker was told to keep, whatever their version."""
        return self.serving >= self.asked

    @property
    def done(self) -> bool:
        """At least the target is ready, none is of an older version, and no more live than may."""
        return self.ready >= self.wanted.target and not self.outdated and self.wanted.takes(len(self.live))

    @property
    def settled(self) -> bool:
        """Its maker has nothing left to do."""
        return self.maker.settled(self.wanted, self.pods)

    @cached_property
    def ready_since(self) -> datetime | None:
        """When its last pod became ready; None while it is not satisfied or wants none."""
        times = [t for pod in self.live if pod.ready and (t := pod.since("Ready"))]
        return max(times) if times and self.satisfied else None

    def refusal(self, events: Events | None = None) -> Refusal | None:
        """Why its missing pods cannot be made."""
        return self.maker.refusal(self.pods, events)


def wanted(cluster: RayCluster) -> dict[GroupId, Wanted]:
    """What the spec wants of each group, in the order of dependence; Redis where it is ours."""
    off = bool(cluster.spec.suspend)
    single = Wanted.fixed(0 if off else 1)
    out = {REDIS: single} if storage_kind(cluster) == "redis" else {}
    out[HEAD] = single
    for group in cluster.spec.workers:
        count = 0 if off else group.wanted
        out[worker(group.name)] = Wanted.fixed(count)
        if cluster.spec.enable_in_tree_autoscaling and not off and not group.suspend:
            hosts = group.num_of_hosts
            out[worker(group.name)] = Wanted(group.min_replicas * hosts, count, group.max_replicas * hosts)
    return out


def groups(cluster: RayCluster | None, makers: Iterable[Maker], pods: Iterable[Pod]) -> tuple[Group, ...]:
    """Redis, the head, then the worker groups in the spec's order, then those that the spec does not have.

    `cluster` None: the spec is not known. Pods without a group are left out.
    """
    kept: dict[GroupId, Maker] = {}
    for maker in makers:
        kept[maker.id] = maker
    found: dict[GroupId, list[Pod]] = {}
    for pod in pods:
        if pod.group != OTHER:
            found.setdefault(pod.group, []).append(pod)
    spec = wanted(cluster) if cluster else {}
    others = {HEAD, *kept, *found} - set(spec)
    ids = sorted([*spec, *sorted(others, key=lambda group: group.name)], key=lambda group: group.rank)
    return tuple(_group(group, spec.get(group), kept.get(group), found.get(group, ())) for group in ids)


def _group(group: GroupId, spec: Wanted | None, maker: Maker | None, pods: Iterable[Pod]) -> Group:
    maker = maker or Absent(group)
    return Group(group, maker.wanted(spec or Wanted.fixed(maker.asked or 0)), maker, tuple(pods))
