"""A cluster under watch: what its groups want and have, kept up to date while a verb waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from types import TracebackType

from raystead.base import labels, names
from raystead.errors import Forbidden, RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.forward import Forward
from raystead.kube.paths import collection
from raystead.kube.watch import Mirror
from raystead.manifests.storage import storage_kind
from raystead.ops.events import GroupProgress
from raystead.ops.ray import dashboard_port, head_of
from raystead.plan import pods as reading
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
        self._names = names.Names(
            cluster.name, cluster.annotations.get(names.NAMES_ANNOTATION) == names.GUIDE
        )
        selector = f"{labels.OURS}={cluster.name}"
        self.pods = self._mirror("Pod", selector)
        self.deployments = self._mirror("Deployment", selector)
        self.events = self._mirror("Event", "")  # followed once somebody asks why it takes so long
        self._with_events = False
        self.mirrors = [self.pods, self.deployments]
        self.statefulsets: Mirror | None = None
        if storage_kind(cluster) == "redis":
            self.statefulsets = self._mirror("StatefulSet", selector)
            self.mirrors.append(self.statefulsets)
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
        """
        for mirror in self.mirrors:
            if isinstance(mirror.error, Forbidden):
                raise mirror.error
        deadline = time.monotonic() + timeout
        return all(m.listed.wait(max(0.0, deadline - time.monotonic())) for m in self.mirrors)

    def groups(self) -> tuple[GroupProgress, ...]:
        """Redis (ours), head and worker groups at this moment, without Ray's view."""
        spec = self.cluster.spec
        off = bool(spec.suspend)
        out = []
        if self.statefulsets is not None:
            item = self.statefulsets.objects.get(self._names.redis) or {}
            wanted = int(item.get("spec", {}).get("replicas", 0 if off else 1))
            mine = [p for p in self.pods.items if labels.NODE_TYPE not in p["metadata"]["labels"]]
            out.append(_progress("redis", wanted, mine, self._api.now()))
        out.append(self._of("head", labels.HEAD_GROUP, 0 if off else 1))
        out += [self._of(group.name, group.name, 0 if off else group.wanted) for group in spec.workers]
        return tuple(out)

    def settled(self) -> bool:
        """Every controller has seen its newest spec and has all its pods of it, and no other pod is left."""
        return all(_settled(self.deployments.objects.get(name), n) for name, n in self._wanted.items()) and (
            self.statefulsets is None or all(_settled(item, None) for item in self.statefulsets.items)
        )

    def overtaken(self) -> bool:
        """A Deployment is gone or wants other numbers than our spec: somebody else is at work."""

        def other(item: Json | None, wanted: int) -> bool:
            return item is None or int(item["spec"].get("replicas", 1)) != wanted

        return any(other(self.deployments.objects.get(name), n) for name, n in self._wanted.items())

    @property
    def _wanted(self) -> dict[str, int]:
        """The Deployments' names and how many pods each is to have."""
        spec, off = self.cluster.spec, bool(self.cluster.spec.suspend)
        out = {self._names.head: 0 if off else 1}
        for index, group in enumerate(spec.workers):
            out[self._names.worker(group.name, index)] = 0 if off else group.wanted
        return out

    def _of(self, shown: str, group: str, wanted: int) -> GroupProgress:
        mine = [p for p in self.pods.items if p["metadata"]["labels"].get(labels.GROUP) == group]
        return _progress(shown, wanted, mine, self._api.now())

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
        return tuple(g if g.name == "redis" else replace(g, alive=alive.get(g.name, 0)) for g in groups)

    def _alive(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for group, _ in self._alive_nodes():
            shown = "head" if group == labels.HEAD_GROUP else group
            counts[shown] = counts.get(shown, 0) + 1
        return counts

    def alive_nodes(self) -> list[RayNode]:
        """Ray's nodes of the pods that stay; one that drains on a pod being deleted is not among them."""
        return [node for _, node in self._alive_nodes()]

    def _alive_nodes(self) -> Iterator[tuple[str, RayNode]]:
        index = NodeIndex(ray_nodes(self.ray or {}))
        for pod in self.pods.items:
            group = pod["metadata"]["labels"].get(labels.GROUP)
            if not group or reading.deleted(pod):
                continue
            found = index.find(
                reading.name(pod), (pod.get("status") or {}).get("podIP") or "", reading.started(pod)
            )
            if found and found.alive:
                yield str(group), found

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


def _progress(shown: str, wanted: int, pods: list[Json], now: datetime) -> GroupProgress:
    notes = [note for pod in pods if not reading.ready(pod) and (note := reading.pod_note(pod, now))]
    running = sum(map(reading.running, pods))
    text = reading.summary(notes, now)
    if not text and len(pods) < wanted:
        text = "no pod yet" if not pods else f"{wanted - len(pods)} pods not created yet"
    return GroupProgress(shown, wanted, running, sum(map(reading.ready, pods)), None, text)


def _settled(controller: Json | None, wanted: int | None) -> bool:
    """`wanted` None: what the controller itself wants."""
    if controller is None:
        return wanted == 0
    status, spec = controller.get("status") or {}, controller["spec"]
    wanted = int(spec.get("replicas") or 0) if wanted is None else wanted
    if int(status.get("observedGeneration") or 0) < int(controller["metadata"].get("generation") or 0):
        return False
    if int(status.get("replicas") or 0) != wanted:
        return False
    if "updateRevision" in status:  # a StatefulSet drops currentRevision's count when all are new
        return bool(status.get("currentRevision") == status["updateRevision"])
    return int(status.get("updatedReplicas") or 0) == wanted
