"""What one pod's JSON says: which container is Ray's, does it run, why not, why it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from raystead.base import quantities
from raystead.base.times import ago, when

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = [
    "Note",
    "cause",
    "condition",
    "created",
    "deleted",
    "deleted_at",
    "first_sentence",
    "last_end",
    "name",
    "over",
    "pod_note",
    "ray_state",
    "ready",
    "ready_since",
    "running",
    "short_bytes",
    "slim",
    "started",
    "summary",
]

RECENT = 3600.0  # seconds; an older restart is history, not news
_IMAGE = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_STARTING = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True)
class Note:
    """A few words on a pod; `at` is when it happened, None for what is so now."""

    text: str
    at: datetime | None = None


def name(item: Json) -> str:
    return str(item["metadata"]["name"])


def slim(pod: Json) -> Json:
    """The pod without what nobody here reads: a third of its size, which counts when there are thousands."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    containers = [
        {key: value for key, value in container.items() if key in ("name", "resources")}
        for container in spec.get("containers") or ()
    ]
    return {
        "metadata": {k: v for k, v in metadata.items() if k not in ("managedFields", "annotations")},
        "spec": {"nodeName": spec.get("nodeName"), "containers": containers},
        "status": status,
    }


def created(item: Json) -> datetime | None:
    return when(item["metadata"].get("creationTimestamp"))


def deleted(pod: Json) -> bool:
    """On its way out: it serves nobody any more, whatever its phase says."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def deleted_at(pod: Json) -> datetime | None:
    """When its deletion was asked for: Kubernetes writes down when the grace ends."""
    end = when(pod["metadata"].get("deletionTimestamp"))
    grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return end - timedelta(seconds=grace) if end else None


def condition(item: Json, kind: str) -> Json:
    """The condition of that type, {} where there is none."""
    for entry in (item.get("status") or {}).get("conditions") or ():
        if entry.get("type") == kind:
            return dict(entry)
    return {}


def ready(pod: Json) -> bool:
    return not deleted(pod) and condition(pod, "Ready").get("status") == "True"


def ready_since(pod: Json) -> datetime | None:
    """When it became ready; None while it is not."""
    entry = condition(pod, "Ready")
    return when(entry.get("lastTransitionTime")) if entry.get("status") == "True" else None


def over(pod: Json) -> bool:
    """It ended and will not run again (evicted, or the node shut down): another pod takes its place."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def running(pod: Json) -> bool:
    return not deleted(pod) and (pod.get("status") or {}).get("phase") == "Running"


def ray_state(pod: Json) -> Json:
    """The status of the Ray container (the spec's first); {} before the kubelet said anything."""
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    wanted = containers[0].get("name")
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") == wanted:
            return dict(status)
    return {}


def started(pod: Json) -> datetime | None:
    """Since when the Ray container runs; None while it does not."""
    return when(((ray_state(pod).get("state") or {}).get("running") or {}).get("startedAt"))


def last_end(pod: Json) -> Json:
    """The newest `terminated` of the Ray container: the present one, else the one before the restart."""
    status = ray_state(pod)
    for key in ("state", "lastState"):
        ended = (status.get(key) or {}).get("terminated")
        if ended:
            return dict(ended)
    return {}


def cause(ended: Json, pod: Json) -> str:
    """Why a container ended: "OOMKilled (limit 2 GB)", "exit code 1", "lost with its node"."""
    reason, code = ended.get("reason"), ended.get("exitCode")
    if reason == "OOMKilled":
        limit = _memory_limit(pod)
        return f"OOMKilled (limit {short_bytes(limit)})" if limit else "OOMKilled"
    if reason in ("ContainerStatusUnknown", "Unknown"):
        return "lost with its node or runtime"
    if code is None:
        return "cause not recorded"
    return "exit code 137 (killed)" if code == 137 else f"exit code {code}"


def pod_note(pod: Json, now: datetime) -> Note | None:
    """Why the pod is not what it should be; None when there is nothing to say."""
    status = pod.get("status") or {}
    if deleted(pod):
        return Note("being deleted")
    if over(pod):
        return _ended(status, pod)
    if status.get("phase") == "Pending":
        scheduled = condition(pod, "PodScheduled")
        if scheduled.get("status") == "False":
            return Note(
                f"not scheduled: {first_sentence(scheduled.get('message') or scheduled.get('reason'))}"
            )
    init = _waiting_init(status)
    if init:
        return Note(init)
    return _of_container(pod, now)


def summary(notes: Iterable[Note], now: datetime) -> str:
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


def short_bytes(value: float, unit: str = "") -> str:
    """Bytes with at most one decimal: 2 GB, 1.2 GB, 512 MB; in `unit` (without naming it) when given."""
    sizes = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    named = unit or next((u for u in reversed(sizes) if value >= 0.9995 * sizes[u]), "B")
    number = f"{value / sizes[named]:.1f}".removesuffix(".0")
    return number if unit else f"{number} {named}"


def _ended(status: Json, pod: Json) -> Note:
    reason, message = status.get("reason"), status.get("message")
    ended = last_end(pod)
    at = when(ended.get("finishedAt")) or when(condition(pod, "DisruptionTarget").get("lastTransitionTime"))
    if reason == "Evicted":
        return Note(f"evicted: {first_sentence(message)}", at)
    if reason:
        return Note(f"ended: {reason}", at)
    return Note(f"ended: {cause(ended, pod)}", at)


def _waiting_init(status: Json) -> str:
    for entry in status.get("initContainerStatuses") or ():
        waiting = (entry.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _STARTING:
            return f"init container {entry.get('name')}: {waiting['reason']}"
    return ""


def _of_container(pod: Json, now: datetime) -> Note | None:
    status = ray_state(pod)
    state = status.get("state") or {}
    ended = last_end(pod)
    at = when(ended.get("finishedAt"))
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason in _IMAGE:
        return Note(f"image cannot be pulled: {status.get('image')}")
    if state.get("terminated") or reason == "CrashLoopBackOff":
        return Note(f"restarting: {cause(ended, pod)}", at)
    if waiting and reason not in _STARTING:
        return Note(f"cannot start: {first_sentence(waiting.get('message') or reason)}")
    if not state.get("running"):
        return Note("starting")
    recent = at is not None and (now - at).total_seconds() < RECENT
    if not ready(pod):
        return Note(f"restarting: {cause(ended, pod)}", at) if recent else Note("running, not ready yet")
    return Note(f"restarted: {cause(ended, pod)}", at) if recent else None


def first_sentence(message: object) -> str:
    """The first sentence of Kubernetes' words; the scheduler's second is on preemption."""
    return " ".join(str(message or "no reason given").split(". ")[0].split()).rstrip(".")


def _memory_limit(pod: Json) -> float | None:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    limit = ((containers[0].get("resources") or {}).get("limits") or {}).get("memory")
    return float(quantities.parse(limit)) if limit is not None else None
