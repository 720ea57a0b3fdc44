"""Feeds `explain` while a verb waits: a snapshot of what can be read, the logs it asks for."""

from __future__ import annotations

import time
from typing import Any

from raystead.base import kinds
from raystead.errors import RaysteadError
from raystead.explain.admission import ACCOUNT, OVER, QUOTA
from raystead.explain.engine import explain, kept, needed_accounts, needed_logs
from raystead.explain.model import Finding, LogKey, Snapshot
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.live.pods import Pod
from raystead.ops.anchor import Anchor
from raystead.ops.explain import accounts_there, log_of, objects_of
from raystead.ops.nudging import nudge, nudge_pods, refused_volume
from raystead.ops.watching import Watched

__all__ = ["Explainer"]

_EVERY = 1.0  # seconds between two looks
_EXTRAS_EVERY = 10.0, 60.0  # seconds between two readings of what is not mirrored: at first, at last
_LOGS_EVERY = 5.0
_WAKE_EVERY = 10.0
_CHANGING = {QUOTA.slug, ACCOUNT.slug}  # what they name may be fixed at any moment
_EXTRAS = kinds.parts("Pod", "Event", "Deployment", "StatefulSet")  # the others are mirrored


class Explainer:
    """Explains a watched cluster again and again; reads more only where something is wrong."""

    def __init__(self, api: Api, anchor: Anchor, watched: Watched, up: str = "") -> None:
        self.latest: tuple[Finding, ...] = ()
        self._api, self._anchor, self._watched, self._up = api, anchor, watched, up
        self._extras: dict[str, Any] = {}  # by part of the snapshot; None could not be read
        self._extras_at = self._logs_at = self._looked = self._woken = -1000.0
        self._accounts: tuple[str, ...] = ()
        self._nudged: set[str] = set()  # pods, by uid
        self._extras_pause = _EXTRAS_EVERY[0]
        self._logs: dict[LogKey, str] = {}

    def look(self) -> tuple[Finding, ...] | None:
        """New findings, or None when they are the same as before or it is too early to look again."""
        now = time.monotonic()
        if now - self._looked < _EVERY or not self._watched.listed(0):
            return None
        self._looked = now
        found = explain(self._snapshot())
        if self._suspicious() or found:
            self._read_more(now)
            found = explain(self._snapshot())
        before, self.latest = self.latest, kept(self.latest, found, self._snapshot())
        found = self.latest
        self._wake(now)
        same = [(f.cause, f.group, f.why, f.pods) for f in before] == [
            (f.cause, f.group, f.why, f.pods) for f in found
        ]
        return None if same else found

    def _wake(self, now: float) -> None:
        """Lets controllers try at once whose refusals are over; they would wait up to minutes."""
        over = [f.group for f in self.latest if f.cause == OVER.slug and f.group is not None]
        if over and now - self._woken > _WAKE_EVERY:
            self._woken = now
            nudge(self._api, self._anchor.name, self._anchor.uid, over)
        if self._watched.events.items:
            self._wake_kubelets()

    def _wake_kubelets(self) -> None:
        """Each pod once: whoever is refused twice has another trouble."""
        found = refused_volume(tuple(self._watched.pods.items), self._watched.events.items)
        if new := [pod for pod in found if pod["metadata"]["uid"] not in self._nudged]:
            self._nudged |= {str(pod["metadata"]["uid"]) for pod in new}
            nudge_pods(self._api, self._anchor.name, self._anchor.uid, new)

    def _suspicious(self) -> bool:
        """Something was refused or failed, and of a pod it is not over yet."""
        pods = {pod.name: pod for pod in map(Pod.of, self._watched.pods.items)}
        return any(
            event.get("type") == "Warning" and not _over(event, pods) for event in self._watched.events.items
        )

    def _read_more(self, now: float) -> None:
        if now - self._extras_at >= self._extras_pause:
            if self._extras and not any(f.cause in _CHANGING for f in self.latest):
                self._extras_pause = min(self._extras_pause * 2, _EXTRAS_EVERY[1])
            self._extras_at = now
            self._extras = dict(zip(_EXTRAS, parallel(self._read, _EXTRAS), strict=True))
            self._accounts = accounts_there(self._api, needed_accounts(self._snapshot()))
        if now - self._logs_at >= _LOGS_EVERY and (wanted := needed_logs(self._snapshot())):
            self._logs_at = now
            texts = parallel(self._log, wanted)
            self._logs = {key: text for key, text in zip(wanted, texts, strict=True) if text is not None}

    def _read(self, part: str) -> tuple[Json, ...] | None:
        try:
            return objects_of(self._api, _EXTRAS[part].name)
        except RaysteadError:
            return None

    def _log(self, key: LogKey) -> str | None:
        try:
            return log_of(self._api, key)
        except RaysteadError:
            return None

    def _snapshot(self) -> Snapshot:
        watched = self._watched
        kept = {kind: tuple(mirror.items) for kind, mirror in watched.makers.items()}
        return Snapshot(
            cluster=watched.cluster,
            namespace=self._api.namespace,
            name=self._anchor.name,
            now=self._api.now(),
            pods=tuple(watched.pods.items),
            events=tuple(watched.events.items),
            deployments=kept.pop("Deployment", ()),
            statefulsets=kept.pop("StatefulSet", ()),
            makers=tuple({**item, "kind": kind} for kind, items in kept.items() for item in items),
            ray_nodes=tuple((watched.ray or {}).get("summary") or ()) if watched.ray is not None else None,
            logs=self._logs,
            api_slow=self._api.slowest,
            up=self._up,
            accounts=self._accounts,
            **self._extras,
        )


def _over(event: Json, pods: dict[str, Pod]) -> bool:
    """A pod's trouble that has passed, or is none: a probe that fails while a pod starts."""
    about = event.get("involvedObject") or {}
    if about.get("kind") != "Pod":
        return False
    pod = pods.get(str(about.get("name")))
    if pod is None or pod.ready or event.get("reason") == "Unhealthy":
        return True
    return event.get("reason") == "FailedScheduling" and bool(pod.node)
