"""The last time the head was lost: when, why, how long, and what it cost.

Two traces tell. A container that restarts in place leaves `lastState` in its pod; a replaced pod is younger
than the end of the Deployment's last rollout. Why a pod went is told by the pod itself where it still lies
there (evicted, node lost), else by events, which Kubernetes keeps for an hour; after that the cause is not
known, and we say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from raystead.base.times import when
from raystead.live.groups import Group
from raystead.live.pods import Pod
from raystead.live.reading import condition, first_sentence
from raystead.spec.model import Json

__all__ = ["EVENTS", "UNKNOWN_CAUSE", "HeadLoss", "head_loss"]

# The field selector of the events that tell of a loss; a large cluster's start leaves thousands of others.
_USUAL = ("Scheduled", "Pulling", "Pulled", "Created", "Started", "FailedScheduling", "BackOff", "Unhealthy")
EVENTS = ",".join(["involvedObject.kind=Pod", *(f"reason!={reason}" for reason in _USUAL)])
UNKNOWN_CAUSE = "cause not recorded"
_AFTER_CHANGE = timedelta(seconds=60)  # a pod this young after a change of the spec was asked for
_CAUSED = timedelta(seconds=60)  # a worker that ends within this after the head's return ended because of it
_NEAR = timedelta(seconds=120)  # an event this close to the new pod's birth tells of the old one's end
_CONTROLLERS = {"kube-controller-manager", "kubelet"}
# the most telling first: an eviction also kills containers
_REASONS = {
    "Evicted": "evicted: {message}",
    "Preempted": "preempted by a pod of higher priority",
    "TaintManagerEviction": "node lost",
    "NodeNotReady": "node lost",
    "Killing": "pod deleted",
}


@dataclass(frozen=True)
class HeadLoss:
    """One loss of the head.

    Attributes:
        at: when it ended, as near as Kubernetes recorded it (whole seconds).
        cause: "OOMKilled (limit 2 GB)", "pod deleted", "evicted: …", "exit code 1", "node lost",
            "cause not recorded".
        back_after: seconds until the head was ready again; None while it is not.
        workers_restarted: worker containers that ended between the loss and a minute after the return.
    """

    at: datetime
    cause: str
    back_after: float | None
    workers_restarted: int


def head_loss(heads: Group, workers: Sequence[Group], events: Sequence[Json] | None) -> HeadLoss | None:
    """The newest loss; None when nothing shows one. Head pods that are gone or failed tell, too."""
    head = max(heads.live, key=lambda pod: pod.born, default=None)
    found = _in_place(head, _complete(heads), events) if head else None
    if found is None:
        found = _replaced(head, heads, events)
    if found is None:
        return None
    at, cause = found
    back = head.ready_since if head else None
    if back is not None and back < at:  # readiness never dropped: the restart was quicker than the kubelet
        back = head.ray.running_since if head else None
    after = max(0.0, (back - at).total_seconds()) if back else None
    return HeadLoss(
        at, cause, after, _ended_workers([pod for group in workers for pod in group.pods], at, back)
    )


def _complete(heads: Group) -> datetime | None:
    """When the newest head was ready first; None: not yet, so there is none to lose."""
    rollout = condition(heads.maker.json, "Progressing")
    return when(rollout.get("lastUpdateTime")) if rollout.get("reason") == "NewReplicaSetAvailable" else None


def _in_place(
    head: Pod, complete: datetime | None, events: Sequence[Json] | None
) -> tuple[datetime, str] | None:
    ended = head.ray.ended
    at = ended.finished if ended else None
    if ended is None or at is None:
        return None
    if complete is None or at < complete:
        return None  # a start that failed
    cause = head.ray.cause
    if ended.reason != "OOMKilled" and _liveness(head.name, at, events):
        cause = f"liveness probe failed, {cause}"
    return at, cause


def _liveness(pod: str, at: datetime, events: Sequence[Json] | None) -> bool:
    return any(
        _object(event) == pod
        and event.get("reason") == "Killing"
        and "liveness" in str(event.get("message"))
        and abs(_time(event, at) - at) < _NEAR
        for event in events or ()
    )


def _replaced(head: Pod | None, heads: Group, events: Sequence[Json] | None) -> tuple[datetime, str] | None:
    deployment = heads.maker.json
    complete = _complete(heads)
    if complete is None or not heads.asked:
        return None  # never up yet, or suspended: no head to lose
    born = head.created if head else _gone_since(heads.pods, deployment)
    changed = _changed(deployment)
    if born is None or born <= complete:
        return None
    if changed is not None and complete < changed and born < changed + _AFTER_CHANGE:
        return None  # resumed: a change without a rollout, and no loss
    dead = _dead(heads.pods, born)
    if dead:
        return dead
    name = head.name if head else ""
    return _from_events(f"{deployment['metadata']['name']}-", name, born, events)


def _gone_since(heads: Sequence[Pod], deployment: Json) -> datetime | None:
    """No head pod stands: since when."""
    known = [moment for pod in heads if (moment := pod.deletion_asked) is not None]
    if known:
        return max(known)
    entry = condition(deployment, "Available")
    return when(entry.get("lastTransitionTime")) if entry.get("status") == "False" else None


def _dead(heads: Sequence[Pod], born: datetime) -> tuple[datetime, str] | None:
    """What a failed head pod that still lies there tells."""
    best: tuple[datetime, str] | None = None
    for pod in heads:
        if pod.phase != "Failed":
            continue
        entry, ended = pod.condition("DisruptionTarget"), pod.ray.ended
        at = (ended.finished if ended else None) or pod.since("DisruptionTarget") or born
        if abs(at - born) > _NEAR:
            continue  # an older loss
        words = first_sentence(pod.status.get("message"))
        reason = str(pod.status.get("reason") or "")
        cause = pod.ray.cause
        if reason == "Evicted":
            cause = f"evicted: {words}"
        elif entry.get("reason") == "DeletionByTaintManager":
            cause = "node lost"
        elif entry.get("reason") == "PreemptionByScheduler":
            cause = _REASONS["Preempted"]
        elif reason:
            cause = f"{reason}: {words}" if pod.status.get("message") else reason
        if best is None or at > best[0]:
            best = (at, cause)
    return best


def _from_events(
    prefix: str, current: str, born: datetime, events: Sequence[Json] | None
) -> tuple[datetime, str]:
    """The most telling event on a former head pod near `born`, else an honest answer."""
    near = [
        event
        for event in events or ()
        if _object(event).startswith(prefix)
        and _object(event) != current
        and event.get("reason") in _REASONS
        and abs(_time(event, born) - born) < _NEAR
    ]
    for reason, text in _REASONS.items():
        of_it = [event for event in near if event.get("reason") == reason]
        if of_it:
            event = min(of_it, key=lambda e: abs(_time(e, born) - born))
            words = first_sentence(event.get("message"))
            return min(_time(event, born), born), text.format(message=words)
    return born, UNKNOWN_CAUSE


def _ended_workers(workers: Sequence[Pod], at: datetime, back: datetime | None) -> int:
    until = back + _CAUSED if back else None
    ends = (pod.ray.ended.finished for pod in workers if pod.ray.ended)
    return sum(1 for end in ends if end is not None and end >= at and (until is None or end <= until))


def _changed(deployment: Json) -> datetime | None:
    """When somebody other than a controller last changed the Deployment; None when nobody recorded it."""
    times = [
        when(entry.get("time"))
        for entry in deployment["metadata"].get("managedFields") or ()
        if entry.get("manager") not in _CONTROLLERS
    ]
    return max((moment for moment in times if moment is not None), default=None)


def _object(event: Json) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return str(about.get("name") or "") if about.get("kind") == "Pod" else ""


def _time(event: Json, default: datetime) -> datetime:
    series = event.get("series") or {}
    for value in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
    ):
        moment = when(value)
        if moment is not None:
            return moment
    return default
