"""`logs` of a cluster in a namespace: which pods, in which order, under which names."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raystead.base.groups import named as word
from raystead.errors import ApiError, ObjectNotFound, UsageError
from raystead.kube.api import Api, Json
from raystead.kube.logs import Follow, Line, Source, containers_of, read
from raystead.ops.anchor import Anchor
from raystead.ops.pods import groups, named, pods_of, selector, short_name, unknown

__all__ = ["LogSelection", "SourceNames", "follow", "past"]


@dataclass(frozen=True)
class LogSelection:
    """Which logs are meant.

    Attributes:
        what: a group, a pod's name or its short one; None: all pods.
        container: None: all of each pod.
        since: seconds; None: from the beginning.
        tail: only that many last lines of each container.
    """

    what: str | None = None
    container: str | None = None
    since: int | None = None
    tail: int | None = None

    def containers(self, pod: Json) -> list[str]:
        """The pod's containers that are meant."""
        if self.what is not None and not named(pod, self.what):
            return []
        return [name for name in containers_of(pod) if self.container in (None, name)]


class SourceNames:
    """What sources are called in the margin: `head`, `worker/7wq2k`; `…/container` if a pod has several."""

    def __init__(self, pods: list[Json] | None = None) -> None:
        self._known: dict[Source, str] = {}
        for pod in pods or []:
            self.learn(pod)

    def learn(self, pod: Json) -> None:
        several = len(containers_of(pod)) > 1
        for container in containers_of(pod):
            source = Source(pod["metadata"]["name"], container, pod["metadata"]["uid"])
            self._known[source] = f"{short_name(pod)}/{container}" if several else short_name(pod)

    def of(self, source: Source, find: Callable[[Source], Json | None] = lambda source: None) -> str:
        if source not in self._known:
            pod = find(source)
            if pod is None:
                return source.pod
            self.learn(pod)
        return self._known[source]


def past(
    api: Api, anchor: Anchor, wanted: LogSelection, *, previous: bool, skipped: Callable[[str, str], None]
) -> tuple[SourceNames, Iterator[Line]]:
    """What the logs hold now, by time over all pods; `skipped` is told a name and why it has no log.

    Raises:
        UsageError: there is no such group, pod or container.
    """
    pods = pods_of(api, anchor)
    meant = [(pod, name) for pod in pods for name in wanted.containers(pod)]
    if not meant:
        _must_exist(anchor, wanted, pods)
    names = SourceNames(pods)
    streams = []
    for pod, container in meant:
        source = Source(pod["metadata"]["name"], container, pod["metadata"]["uid"])
        lines = read(
            api, anchor.namespace, source, previous=previous, since_seconds=wanted.since, tail=wanted.tail
        )
        try:
            first = next(lines, None)
        except (ObjectNotFound, ApiError) as error:
            skipped(names.of(source), error.evidence)
            continue
        if first is not None:
            streams.append(_again(first, lines))
    return names, heapq.merge(*streams, key=lambda line: line.time)


def follow(api: Api, anchor: Anchor, wanted: LogSelection) -> Follow:
    """The logs from now on, pods that come later included.

    Raises:
        UsageError: there is no such group, pod or container.
    """
    if wanted.what is not None or wanted.container is not None:
        pods = pods_of(api, anchor)
        if not any(wanted.containers(pod) for pod in pods):
            _must_exist(anchor, wanted, pods)
    return Follow(
        api,
        anchor.namespace,
        selector(anchor.name),
        wanted=wanted.containers,
        since_seconds=wanted.since,
        tail=wanted.tail,
    )


def _again(first: Line, rest: Iterator[Line]) -> Iterator[Line]:
    yield first
    yield from rest


def _must_exist(anchor: Anchor, wanted: LogSelection, pods: list[Json]) -> None:
    """An empty choice is an error where what was named is not there at all."""
    what = wanted.what
    if what is not None and word(what) not in groups(anchor) and not any(named(pod, what) for pod in pods):
        raise unknown(what, anchor, pods)
    if wanted.container is not None and pods:
        there = sorted({name for pod in pods for name in containers_of(pod)})
        raise UsageError(
            f'no pod has a container "{wanted.container}"', evidence=f"containers: {', '.join(there)}"
        )
