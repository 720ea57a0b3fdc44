"""What nodes do to pods: eviction, preemption, rejection, loss, and pods that do not go."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base.groups import HEAD, REDIS
from raystead.base.times import span, when
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View, doubled, event_evidence
from raystead.live.groups import Group
from raystead.live.pods import Pod
from raystead.live.reading import dig

__all__ = ["CAUSES", "find"]

STUCK_SECONDS = 60  # over the grace period, at whose end the kubelet kills; a busy node needs up to 40 s more
RECENT_SECONDS = 600

EVICTED = Cause(
    "evicted",
    "A node in need threw the pod out",
    "the node evicted the pod: it was low on {resource}{use}",
    "pods that use more than they request go first; a pod whose request covers its use is safe",
    '{up} {flag}\nor send to the administrator: "node {node} runs out of {resource}"',
    "The pod's phase is Failed with reason Evicted and `The node was low on resource`, its group lacks a "
    "pod, and it happened in the last 10 minutes.",
)
OVER_LIMIT = Cause(
    "evicted-over-limit",
    "The pod wrote more to local disk or memory volumes than its limit",
    "the pod was evicted: {said}",
    "what it writes to /tmp (logs, spilled objects, packages) or /dev/shm counts; it is started again and "
    "will do the same",
    "raise the limit (ephemeral-storage, or the emptyDir's sizeLimit) in the file, then {up} -f FILE",
    "The pod's phase is Failed with reason Evicted and a text on ephemeral storage or an emptyDir, in "
    "the last 10 minutes, and its group lacks a pod.",
)
PREEMPTED = Cause(
    "preempted",
    "A pod of higher priority took the place",
    "the pod was removed for a pod of higher priority",
    "the cluster is full and others go first; the pod comes back when there is room",
    "set priorityClassName in the file, if you may, then {up} -f FILE\n"
    'or send to the administrator: "pods of namespace {namespace} are preempted: is there a priority '
    'class for us?"',
    "The pod's condition DisruptionTarget has reason PreemptionByScheduler, or event Preempted; its "
    "group lacks a pod.",
)
REJECTED = Cause(
    "node-rejected-pod",
    "The node refused the pod after it was placed there",
    "the node refused the pod: {said}",
    "the controller makes another pod; if it happens again and again, the node's state is wrong",
    'send to the administrator: "node {node} rejects pods: {said}"',
    "The pod's phase is Failed with `Pod was rejected` (OutOfcpu, UnexpectedAdmissionError, NodeAffinity "
    "…) in the last 10 minutes, and its group lacks a pod.",
)
NODE_LOST = Cause(
    "node-lost",
    "The node does not answer any more",
    "node {node} does not answer any more",
    "Kubernetes moves the pod 5 min after the loss (the pod's toleration of an unreachable node); until "
    "then nothing else runs in its place",
    "kubectl delete pod {pod} --force --grace-period=0      moves it now, if the node is surely off\n"
    'or send to the administrator: "node {node} is not ready"',
    "Event NodeNotReady on the pod while it is not ready, or pod reason NodeLost.",
)
DEADLINE = Cause(
    "deadline-exceeded",
    "The pod has run as long as it may",
    "the pod was ended after {span}, the longest that it may run (activeDeadlineSeconds: {seconds})",
    "{who}. Kubernetes makes another pod, which ends after as long; what ran in this one is lost, and a "
    "head's loss is survived where its state is kept",
    "{remedy}",
    "The pod's phase is Failed with reason DeadlineExceeded and its group lacks a pod. Whether the template "
    "has `activeDeadlineSeconds` is known from the group's controller. `raystead status` says beforehand "
    "when each pod ends, and `raystead doctor` finds the rule by its dry-run of a pod.",
)
STUCK = Cause(
    "pod-stuck-terminating",
    "A pod does not go",
    "the pod should be gone for {seconds} s: {said}",
    "its successor waits for it (a head, or Redis), or it keeps its resources",
    "kubectl delete pod {pod} --force --grace-period=0      if its node is surely off\n"
    'or send to the administrator: "pod {pod} in namespace {namespace} does not terminate on node {node}"',
    "deletionTimestamp (the deletion plus the grace period) passed more than 60 s ago.",
)
CAUSES = (NODE_LOST, EVICTED, OVER_LIMIT, PREEMPTED, REJECTED, DEADLINE, STUCK)

_LOW = re.compile(r"The node was low on resource: ([\w-]+)")
_USE = re.compile(r"(?:Container|Pod) (\S+) was using ([^,]+), request is ([^,]+),")
_REJECTED = re.compile(
    r"^Out[oO]f|^UnexpectedAdmissionError|^NodeAffinity|^NodePorts|^Preempting|^AppArmor|^Topology"
)


def find(view: View) -> Iterator[Finding]:
    for group in view.groups:
        if group.satisfied:
            continue
        for pod in group.pods:
            if found := (_going(view, group, pod) if pod.deleted else _failed(view, pod) or _lost(view, pod)):
                yield found


def _failed(view: View, pod: Pod) -> Finding | None:
    message, reason = str(pod.status.get("message") or ""), str(pod.status.get("reason") or "")
    ended = max((c.ended.finished for c in pod.containers if c.ended and c.ended.finished), default=None)
    since = (
        when(pod.condition("DisruptionTarget").get("lastTransitionTime"))
        or ended
        or pod.since("Ready")
        or pod.created
    )
    if pod.phase != "Failed" or view.age(since) > RECENT_SECONDS:
        return None
    values = {"up": view.up, "namespace": view.snapshot.namespace, "node": pod.node, "said": message.strip()}
    evidence = [Evidence(message or reason, pod.subject, since)]
    if pod.condition("DisruptionTarget").get("reason") == "PreemptionByScheduler":
        return PREEMPTED.found(Sighting(pod.group, pod.subject, evidence, since), **values)
    if reason == "DeadlineExceeded":
        return DEADLINE.found(Sighting(pod.group, pod.subject, evidence, since), **_deadline(view, pod))
    if reason == "Evicted":
        if match := _LOW.search(message):
            words = {"resource": match.group(1), "use": _use(message), "flag": _flag(pod, match.group(1))}
            return EVICTED.found(Sighting(pod.group, pod.subject, evidence, since), **values, **words)
        return OVER_LIMIT.found(Sighting(pod.group, pod.subject, evidence, since), **values)
    if _REJECTED.search(reason) or "Pod was rejected" in message:
        return REJECTED.found(Sighting(pod.group, pod.subject, evidence, since), **values)
    return None


def _deadline(view: View, pod: Pod) -> dict[str, object]:
    """Whose rule it was: the template's, or that of whoever changes pods in this namespace."""
    group, seconds = view.group(pod.group), pod.deadline or 0
    mine = group is not None and dig(group.maker.template, "spec", "activeDeadlineSeconds") is not None
    who = "the file's template says so"
    remedy = f"take activeDeadlineSeconds out of the template, then {view.up} -f FILE"
    if not mine:
        who = "the spec does not say so: a rule of the cluster's administrator adds it to every new pod"
        remedy = 'send to the administrator: "pods of namespace '
        remedy += f'{view.snapshot.namespace} are ended after {span(seconds)}: may ours run longer?"'
    return {"span": span(seconds), "seconds": seconds, "who": who, "remedy": remedy}


def _use(message: str) -> str:
    match = _USE.search(message)
    return f"; {match.group(1)} used {match.group(2)}, its request is {match.group(3)}" if match else ""


def _flag(pod: Pod, resource: str) -> str:
    if pod.group == REDIS or resource not in ("memory",):
        return "-f FILE      with larger requests"
    limits = [c.limit("memory") for c in pod.containers]
    return f"--{'head' if pod.group == HEAD else 'worker'}-memory {doubled(limits[0] if limits else None)}"


def _lost(view: View, pod: Pod) -> Finding | None:
    event = view.last_event(pod, "NodeNotReady")
    gone = pod.status.get("reason") == "NodeLost"
    lost = pod.since("Ready")
    if pod.ready or not pod.node or not (gone or (event and lost and event.last and event.last >= lost)):
        return None
    evidence = [event_evidence(event)] if event else [Evidence("NodeLost", pod.subject, lost)]
    values = {"node": pod.node, "pod": pod.name}
    return NODE_LOST.found(Sighting(pod.group, pod.subject, evidence, lost), **values)


def _going(view: View, group: Group, pod: Pod) -> Finding | None:
    seconds = view.age(pod.deleted)
    if seconds < STUCK_SECONDS:
        return None
    finalizers = ", ".join(pod.json.get("metadata", {}).get("finalizers") or [])
    event = view.last_event(pod, "FailedKillPod", "NodeNotReady")
    words = (
        f"finalizer {finalizers}"
        if finalizers
        else event.message
        if event
        else f"node {pod.node} has not ended it"
    )
    values = {"pod": pod.name, "node": pod.node or "(none)", "namespace": view.snapshot.namespace}
    evidence = [Evidence("deletionTimestamp is past", pod.subject, pod.deleted)]
    return STUCK.found(
        Sighting(group.id, pod.subject, evidence, pod.deleted), seconds=round(seconds), said=words, **values
    )
