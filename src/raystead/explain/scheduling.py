"""No node takes the pod: from the scheduler's own sentence, without the right to list nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS
from raystead.base.times import when
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View, condition_evidence, event_evidence
from raystead.live.pods import Pod
from raystead.live.reading import dig

__all__ = ["CAUSES", "find"]

INSUFFICIENT = Cause(
    "insufficient-resources",
    "No node has the CPU, memory or GPU that a pod asks for",
    "no node has {need} free ({nodes})",
    "the pod waits until a node has that much of {resource} unreserved; requests count, not use",
    "{fewer}\n"
    'or send to the administrator: "pods in namespace {namespace} need {need} on one node and none has '
    'it free: please add a node or free one"',
    "The pod's condition PodScheduled is False with reason Unschedulable and the scheduler names "
    "`Insufficient RESOURCE`. Held back while a pod of the same cluster is still ending (it will free "
    "its place), and for 15 minutes after a cluster autoscaler said that it adds a node (its own limit "
    "for a new node).",
)
TOO_MANY_PODS = Cause(
    "too-many-pods",
    "Every node has as many pods as it may run",
    "every node has its full number of pods ({nodes})",
    "a node runs a fixed number of pods, whatever their size (110 where nobody changed it)",
    "{fewer}\n"
    "or send to the administrator: \"namespace {namespace}: no node has a pod's place left: please add a "
    'node"',
    "PodScheduled is False and the scheduler says `Too many pods`.",
)
TAINT = Cause(
    "untolerated-taint",
    "Nodes are tainted and the pods do not tolerate it",
    "the nodes that would fit are tainted{which} ({nodes})",
    "a tainted node takes only pods that say they tolerate the taint; that is how nodes are reserved",
    "{up} --toleration {toleration}\n"
    "or ask the administrator which taint you may tolerate in namespace {namespace}",
    "PodScheduled is False and taints are what keeps nodes away (`untolerated taint`; since Kubernetes "
    "1.34 the scheduler no longer says which). Taints of control planes do not count where another "
    "reason is given.",
)
SELECTOR = Cause(
    "no-matching-node",
    "No node has the labels that the pods ask for",
    "no node matches the pod's {asked} ({nodes})",
    "the pod may only run on nodes with these labels, and none has them all",
    "{up} --node-selector KEY=VALUE      with labels that nodes have\n"
    'or send to the administrator: "which nodes should pods of namespace {namespace} use? none matches '
    '{asked}"',
    "PodScheduled is False and the scheduler says `didn't match Pod's node affinity/selector`.",
)
AFFINITY = Cause(
    "pod-affinity",
    "Rules about which pods share a node leave no node",
    "rules about which pods share a node leave no node: {rule} ({nodes})",
    "affinity, anti-affinity, spread or host ports in the pod template (or in somebody's pods) exclude "
    "every node",
    "change `affinity`, `topologySpreadConstraints` or `hostPort` in the group's template, then {up} -f FILE",
    "PodScheduled is False and the scheduler names pod (anti-)affinity, topology spread or host ports.",
)
CORDONED = Cause(
    "nodes-unavailable",
    "The nodes take no pods at present",
    "the nodes take no pods now ({nodes})",
    "they are cordoned (being serviced) or not ready; nothing in your namespace can change that",
    'send to the administrator: "all nodes for namespace {namespace} are unschedulable: {said}"',
    "PodScheduled is False and every node was `unschedulable`, or tainted as not ready, unreachable, "
    "under pressure or shutting down; or the cluster has no node.",
)
VOLUME_ZONE = Cause(
    "volume-elsewhere",
    "The pod's volume is where the pod cannot go",
    "no node can use the pod's volume: {rule} ({nodes})",
    "the volume is tied to nodes or to a zone, and those nodes do not take the pod",
    'send to the administrator: "volume of claim {claims} in namespace {namespace} cannot be used by any '
    'node that takes the pod: {said}"\n'
    "or, if the state may be lost: raystead down, then {up}",
    "PodScheduled is False and the scheduler names a volume's node affinity, zone, or count.",
)
GATED = Cause(
    "scheduling-gated",
    "Something holds the pod back on purpose",
    "the pod is held back by {gates}",
    "a queue (Kueue, for example) or another controller lets it go when its turn comes",
    'send to the administrator: "pods of namespace {namespace} wait for {gates}: when is it our turn?"',
    "PodScheduled is False with reason SchedulingGated; the pod's `schedulingGates` name who holds it.",
)
OTHER = Cause(
    "unschedulable",
    "The scheduler finds no node, for a reason that is not listed here",
    "no node takes the pod: {said}",
    "the scheduler's sentence says why; it tries again whenever something changes",
    'send to the administrator: "pods of namespace {namespace} cannot be scheduled: {said}"',
    "PodScheduled is False, with a sentence that no other page explains.",
    confidence="likely",
)
CAUSES = (INSUFFICIENT, TOO_MANY_PODS, TAINT, SELECTOR, AFFINITY, CORDONED, VOLUME_ZONE, GATED, OTHER)

_SHORT = re.compile(r"(\d+) Insufficient ([\w./-]*\w)")
_TAINT = re.compile(r"(\d+) node\(s\) had (?:untolerated taint(?:\(s\))?|taint)(?: \{([^}]*)\})?")
_CONTROL = re.compile(r"node-role\.kubernetes\.io/(control-plane|master)")
_AWAY = re.compile(
    r"node\.kubernetes\.io/(not-ready|unreachable|unschedulable|out-of-service|[a-z-]+-pressure)"
    r"|ToBeDeletedByClusterAutoscaler|node\.cloudprovider\.kubernetes\.io/"
)
_RULES = (
    (
        AFFINITY,
        re.compile(r"pod (?:anti-)?affinity rules|existing pods anti-affinity|topology spread|free ports"),
    ),
    (
        VOLUME_ZONE,
        re.compile(
            r"volume node affinity conflict|PersistentVolume's node affinity|no available volume zone"
            r"|max volume count|find available persistent volumes|enough free storage|no available disk"
            r"|non-existent pv|ReadWriteOncePod"
        ),
    ),
    (SELECTOR, re.compile(r"didn't match Pod's node affinity/selector|didn't match node selector")),
)
_CLAIM = re.compile(r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim \"")


def find(view: View) -> Iterator[Finding]:
    ending = any(p.deleted and p.deleted >= view.now for g in view.groups for p in g.pods)
    for group in view.groups:
        for pod in group.live:
            if finding := _pod(view, pod, ending):
                yield finding


def _pod(view: View, pod: Pod, ending: bool) -> Finding | None:
    condition = pod.condition("PodScheduled")
    if pod.node or condition.get("status") != "False":
        return None
    values = {"up": view.up, "namespace": view.snapshot.namespace}
    seen = _evidence(view, pod)
    since = when(condition.get("lastTransitionTime")) or pod.created
    if condition.get("reason") == "SchedulingGated":
        gates = ", ".join(str(g.get("name")) for g in pod.spec.get("schedulingGates") or []) or "a gate"
        return GATED.found(Sighting(pod.group, pod.subject, seen, since), gates=gates, **values)
    message = str(condition.get("message") or "")
    if condition.get("reason") != "Unschedulable" or view.node_coming(pod):
        return None
    reasons = _filter_part(message)
    cause = _cause(reasons)
    if cause is None or (ending and cause in (INSUFFICIENT, TOO_MANY_PODS, AFFINITY, VOLUME_ZONE)):
        return None
    values |= _words(view, pod, cause, reasons)
    return cause.found(Sighting(pod.group, pod.subject, seen, since), said=reasons, **values)


def _filter_part(message: str) -> str:
    """The scheduler's reasons, without what it says about preemption and device claims."""
    return re.split(r"\.? (?:no new claims to deallocate|preemption: )", message)[0].strip().rstrip(",.")


def _cause(message: str) -> Cause | None:
    """The reason that a user can act on; None: the storage rules know it better."""
    if _CLAIM.search(message):
        return None
    short = [resource for _, resource in _SHORT.findall(message)]
    taints = [what for _, what in _TAINT.findall(message)]
    own = [t for t in taints if not _CONTROL.search(t) and not _AWAY.search(t)]
    if short and not (own and all("/" in resource for resource in short)):
        return INSUFFICIENT  # nodes short of a device are plain ones; the ones with it are often tainted
    if "Too many pods" in message:
        return TOO_MANY_PODS
    rule = next((cause for cause, form in _RULES if form.search(message)), None)
    if rule and not (rule is SELECTOR and any(own)):
        return rule  # a taint that is named and is not a control plane's keeps the very nodes that were meant
    if own or (taints and not any(_AWAY.search(t) for t in taints)):
        return TAINT
    if taints or "unschedulable" in message or "no nodes available" in message or message.startswith("0/0"):
        return CORDONED
    return OTHER


def _words(view: View, pod: Pod, cause: Cause, message: str) -> dict[str, str]:
    nodes = _nodes(message)
    if cause in (INSUFFICIENT, TOO_MANY_PODS):
        short = list(dict.fromkeys(resource for _, resource in _SHORT.findall(message)))
        need = " and ".join(_amount(pod, r) for r in short)
        fewer = _smaller(view, pod, short)
        return {"nodes": nodes, "need": need, "resource": " and ".join(short), "fewer": fewer}
    if cause is TAINT:
        named = list(dict.fromkeys(t for _, t in _TAINT.findall(message) if t and not _CONTROL.search(t)))
        key = re.sub(r":? *$", "", named[0]).replace(": ", "=") if named else "KEY"
        which = f": {', '.join(t.rstrip(': ') for t in named)}" if named else ""
        return {"nodes": nodes, "which": which, "toleration": key}
    if cause is SELECTOR:
        labels = dig(pod.spec, "nodeSelector") or {}
        asked = ", ".join(f"{k}={v}" for k, v in sorted(labels.items()))
        return {"nodes": nodes, "asked": f"nodeSelector {asked}" if asked else "node affinity"}
    rule = next((m.group(0) for _, form in _RULES if (m := form.search(message))), "")
    claims = [str(dig(v, "persistentVolumeClaim", "claimName") or "") for v in pod.spec.get("volumes") or []]
    return {"nodes": nodes, "rule": rule, "claims": ", ".join(c for c in claims if c)}


def _nodes(message: str) -> str:
    """`of 3 nodes: 2 Insufficient cpu, 1 …`."""
    match = re.match(r"0/(\d+) nodes are available: *(.*)", message, re.DOTALL)
    if not match:
        return message
    total, rest = match.groups()
    rest = rest.replace("node(s) ", "")
    return f"of {total} {'node' if total == '1' else 'nodes'}: {rest}" if rest else f"of {total} nodes"


def _amount(pod: Pod, resource: str) -> str:
    total = Decimal(0)
    for container in pod.spec.get("containers") or []:
        if (request := dig(container, "resources", "requests", resource)) is not None:
            total += quantities.parse(request)
    if not total:
        return resource
    if resource == "cpu":
        return f"{quantities.millis(total)} CPU"
    if resource in ("memory", "ephemeral-storage"):
        size = quantities.human_bytes(float(total))
        return size if resource == "memory" else f"{size} of local disk"
    return f"{total.normalize():f} {resource}"


def _smaller(view: View, pod: Pod, short: list[str]) -> str:
    """The command that asks for less."""
    group = view.group(pod.group)
    placed = group.placed if group else 0
    commands = []
    if pod.group not in (HEAD, REDIS) and placed:
        commands.append(f"{view.up} --workers {placed}")
    side = "head" if pod.group == HEAD else "worker"
    flags = {"cpu": f"--{side}-cpu LESS", "memory": f"--{side}-memory LESS", "nvidia.com/gpu": "--gpus FEWER"}
    if pod.group != REDIS:
        commands += [f"{view.up} {flags[r]}" for r in short if r in flags]
    return "\nor ".join(commands) or "ask for less in the spec"


def _evidence(view: View, pod: Pod) -> list[Evidence]:
    event = view.last_event(pod, "FailedScheduling")
    condition = condition_evidence(pod, "PodScheduled")
    return [event_evidence(event)] if event and event.message == condition.text else [condition]
