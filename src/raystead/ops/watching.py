"""A cluster under watch: what its groups want and have, kept up to date while a verb waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from types import TracebackType

from raystead.base import labels
from raystead.base.groups import REDIS, GroupId
from raystead.base.text import plural
from raystead.errors import Forbidden, KubeConfigError, RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.forward import Forward
from raystead.kube.paths import collection
from raystead.kube.watch import Mirror
from raystead.live.groups import Group, groups, wanted
from raystead.live.makers import kinds_that_keep, makers_of, unattended
from raystead.live.notes import pod_note, summary
from raystead.live.pods import pods_of
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.ops.events import GroupProgress
from raystead.ops.ray import dashboard_port, head_of
from raystead.plan.raynodes import NodeIndex, RayNode, ray_nodes
from raystead.rayapi.nodes import NodesClient
from raystead.spec.model import RayCluster

__all__ = ["Watched"]

_ASK_EVERY = 0.5  # seconds between two questions to the dashboard
_ASK_SHARE = 4  # and so many times what the last answer took: at 1,000 nodes it is 14 MB


class Watched:
    """Pods, controllers and events of one cluster, mirrored; and Ray's own node list, asked when it helps.

    Args:
        token: names Ray's token when it is first needed; may raise.
    """

    def __init__(self, api: Api, cluster: RayCluster, token: Callable[[], str | None]) -> None:
        self.changed = threading.Event()
        self.cluster = cluster
        self.ray: Json | None = None  # the dashboard's last answer
        self.ray_error: RaysteadError | None = None
        self._api, self._token = api, token
        self._stack = contextlib.ExitStack()
        selector = f"{labels.OURS}={cluster.name}"
        self.pods = self._mirror("Pod", selector)
        self.events = self._mirror("Event", "")  # followed once somebody asks why it takes so long
        self._with_events = False
        # by kind, the objects that keep the pods that the spec wants
        kept = kinds_that_keep(manifests(cluster, Facts()))
        self.makers = {kind: self._mirror(kind, selector) for kind in kept}
        self.mirrors = [self.pods, *self.makers.values()]
        self._forward: Forward | None = None
        self._client: NodesClient | None = None
        self._ask_after = 0.0

    def __enter__(self) -> Watched:
        for mirror in self.mirrors:
            self._stack.enter_context(mirror)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client:
            self._client.close()
        self._stack.close()

    def _mirror(self, kind: str, selector: str) -> Mirror:
        path = collection(self._api.namespace, kind)
        return Mirror(self._api, path, labels=selector, changed=self.changed.set)

    @property
    def error(self) -> RaysteadError | None:
        """Why the mirrors may be old."""
        return next((mirror.error for mirror in (*self.mirrors, self.events) if mirror.error), None)

    def follow_events(self) -> None:
        """Begins to read the namespace's events, if that has not begun."""
        if not self._with_events:
            self._with_events = True
            self._stack.enter_context(self.events)

    def listed(self, timeout: float) -> bool:
        """Waits until all that readiness needs has been read once; events are not needed for it.

        Raises:
            Forbidden: it may not be read.
            KubeConfigError: the login is refused.
        """
        for mirror in self.mirrors:
            if isinstance(mirror.error, Forbidden | KubeConfigError):
                raise mirror.error
        deadline = time.monotonic() + timeout
        return all(m.listed.wait(max(0.0, deadline - time.monotonic())) for m in self.mirrors)

    def live(self) -> tuple[Group, ...]:
        """Redis (ours), head and worker groups of the spec at this moment."""
        spec = wanted(self.cluster)
        keepers = [{**item, "kind": kind} for kind, mirror in self.makers.items() for item in mirror.items]
        makers = makers_of(*keepers)
        found = groups(self.cluster, makers, pods_of(self.pods.items))
        if unattended(makers, self._api.now()):  # nobody will make them: that is said, and not waited for
            found = tuple(group for group in found if not group.id.is_worker)
        return tuple(group for group in found if group.id in spec)

    def groups(self) -> tuple[GroupProgress, ...]:
        """The same for people, without Ray's view."""
        now = self._api.now()
        return tuple(_progress(group, now) for group in self.live())

    def settled(self) -> bool:
        """Every maker has seen its newest version and has all its pods of it, and no other pod is left."""
        return all(group.settled for group in self.live())

    def overtaken(self) -> bool:
        """A maker is gone or wants other numbers than our spec: somebody else is at work."""
        nodes = [group for group in self.live() if group.id != REDIS]
        return any(g.maker.asked is None or not g.wanted.takes(g.maker.asked) for g in nodes)

    def with_ray(self, groups: tuple[GroupProgress, ...]) -> tuple[GroupProgress, ...]:
        """The groups with the nodes alive in Ray; unknown, not 0, while the dashboard does not answer."""
        if time.monotonic() >= self._ask_after:
            begun = time.monotonic()
            self._ask()
            now = time.monotonic()
            self._ask_after = now + max(_ASK_EVERY, _ASK_SHARE * (now - begun))
        if self.ray is None:
            return groups
        alive = self._alive()
        return tuple(g if g.id == REDIS else replace(g, alive=alive[g.id]) for g in groups)

    def _alive(self) -> Counter[GroupId]:
        return Counter(group for group, _ in self._alive_nodes())

    def alive_nodes(self) -> list[RayNode]:
        """Ray's nodes of the pods that stay; one that drains on a pod being deleted is not among them."""
        return [node for _, node in self._alive_nodes()]

    def _alive_nodes(self) -> Iterator[tuple[GroupId, RayNode]]:
        index = NodeIndex(ray_nodes(self.ray or {}))
        for pod in pods_of(self.pods.items):
            if pod.deleted or pod.group == REDIS:
                continue
            found = index.find(pod.name, pod.ip, pod.ray.running_since)
            if found and found.alive:
                yield pod.group, found

    def _ask(self) -> None:
        try:
            if self._client is None:
                port = dashboard_port(self.cluster)
                self._forward = self._stack.enter_context(
                    Forward(self._api, self._api.namespace, self._head_name, port)
                )
                self._client = NodesClient(self._forward.url, self._token())
            self.ray = self._client.nodes()
            self.ray_error = None
        except RaysteadError as error:
            self.ray = None
            self.ray_error = (self._forward.last_error if self._forward else None) or error

    def _head_name(self) -> str:
        head = head_of(self.pods.items)
        return str(head["metadata"]["name"]) if head else "no-head-pod"


def _progress(group: Group, now: datetime) -> GroupProgress:
    wanted = group.wanted
    notes = [note for pod in group.standing if not pod.ready and (note := pod_note(pod, now))]
    text = summary(notes, now)
    if not text and len(group.pods) < wanted.target:
        missing = wanted.target - len(group.pods)
        text = f"{plural(missing, 'pod')} not created yet" if group.pods else "no pod yet"
    return GroupProgress(
        group.id,
        wanted.target,
        sum(pod.running for pod in group.pods),
        group.ready - sum(pod.ready and pod.shaky(now) for pod in group.current),
        note=text,
        most=wanted.most,
        outdated=len(group.outdated),
    )
