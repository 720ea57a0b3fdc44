"""A few words on a pod that is not what it should be, and on many of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from raystead.base.times import ago, span
from raystead.live.pods import Pod
from raystead.live.reading import first_sentence
from raystead.spec.model import Json

__all__ = ["PodNote", "pod_note", "summary"]

RECENT = 3600.0  # seconds; an older restart is history, not news
_IMAGE = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_STARTING = {"ContainerCreating", "PodInitializing"}


class PodNote(Struct, frozen=True):
    """A few words on a pod; `at` is when it happened, None for what is so now."""

    text: str
    at: datetime | None = None


def pod_note(pod: Pod, now: datetime) -> PodNote | None:
    """Why the pod is not what it should be; None when there is nothing to say."""
    if pod.deleted:
        return PodNote("being deleted")
    if pod.over:
        return _ended(pod)
    if pod.phase == "Pending":
        scheduled = pod.condition("PodScheduled")
        if scheduled.get("status") == "False":
            return PodNote(
                f"not scheduled: {first_sentence(scheduled.get('message') or scheduled.get('reason'))}"
            )
    init = _waiting_init(pod.status)
    if init:
        return PodNote(init)
    return _of_container(pod, now) or _ends(pod, now)


def _ends(pod: Pod, now: datetime) -> PodNote | None:
    """That its time is limited, for the group must live with that."""
    if pod.ends is None:
        return None
    left = max(0.0, (pod.ends - now).total_seconds())
    return PodNote(f"ends in {span(left)} (activeDeadlineSeconds: {pod.deadline})")


def summary(notes: Iterable[PodNote], now: datetime) -> str:
    """Many pods' notes in one line: "2 pods restarting: OOMKilled (limit 4 GB), 3 min ago"."""
    count: dict[str, int] = {}
    newest: dict[str, datetime] = {}
    for note in notes:
        count[note.text] = count.get(note.text, 0) + 1
        if note.at is not None:
            newest[note.text] = max(note.at, newest.get(note.text, note.at))
    parts = []
    for text, number in sorted(count.items(), key=lambda item: -item[1]):
        since = f", {ago(newest[text], now)}" if text in newest else ""
        parts.append(f"{number} pod{'s' if number > 1 else ''} {text}{since}")
    return "; ".join(parts)


def _ended(pod: Pod) -> PodNote:
    reason, message = pod.status.get("reason"), pod.status.get("message")
    ended = pod.ray.ended
    at = (ended.finished if ended else None) or pod.since("DisruptionTarget")
    if reason == "Evicted":
        return PodNote(f"evicted: {first_sentence(message)}", at)
    if reason:
        return PodNote(f"ended: {reason}", at)
    return PodNote(f"ended: {pod.ray.cause}", at)


def _waiting_init(status: Json) -> str:
    for entry in status.get("initContainerStatuses") or ():
        waiting = (entry.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _STARTING:
            return f"init container {entry.get('name')}: {waiting['reason']}"
    return ""


def _of_container(pod: Pod, now: datetime) -> PodNote | None:
    ray = pod.ray
    at = ray.ended.finished if ray.ended else None
    if ray.waiting in _IMAGE:
        return PodNote(f"image cannot be pulled: {ray.status.get('image')}")
    if ray.down or ray.waiting == "CrashLoopBackOff":
        return PodNote(f"restarting: {ray.cause}", at)
    if ray.waiting and ray.waiting not in _STARTING:
        return PodNote(f"cannot start: {first_sentence(ray.message or ray.waiting)}")
    if ray.running_since is None:
        return PodNote("starting")
    recent = at is not None and (now - at).total_seconds() < RECENT
    if not pod.ready:
        return PodNote(f"restarting: {ray.cause}", at) if recent else PodNote("running, not ready yet")
    return PodNote(f"restarted: {ray.cause}", at) if recent else None
