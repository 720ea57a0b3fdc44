"""What is wrong with the cluster as a whole, or with what could be read of it."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.groups import GroupId
from raystead.base.text import plural
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View
from raystead.live.groups import Group
from raystead.live.makers import makers_of
from raystead.manifests.render import manifests

__all__ = ["CAUSES", "find", "unexplained"]

API_SECONDS = 5.0  # Kubernetes' own objective: one object within 1 s, a namespace's list within 5 s (99 %)
CONTROLLER_SECONDS = 30  # a controller sees a new object within a second
APPLY_SECONDS = 10  # `up` makes all objects side by side; a slow server answers within a few seconds
UNKNOWN_SECONDS = 300  # the kubelet's slowest retry; all other rules have spoken by then

API_SLOW = Cause(
    "api-server-slow",
    "The API server is slow",
    "the API server took {seconds} s for one request",
    "everything that waits for Kubernetes waits longer; your cluster itself is not concerned",
    "wait\n"
    'or send to the administrator: "the API server took {seconds} s for one request of namespace '
    '{namespace}"',
    "The slowest request took more than 5 s; Kubernetes' own objective is 1 s for one object, and was 5 "
    "s for a namespace's list.",
)
CONTROLLER = Cause(
    "controllers-behind",
    "Kubernetes' controllers do not act",
    "{object} was changed {seconds} s ago and no controller has looked at it",
    "kube-controller-manager is down or far behind; nothing is created until it works",
    'send to the administrator: "controllers do not act on {object} in namespace {namespace}"',
    "status.observedGeneration is behind metadata.generation for more than 30 s.",
)
MISSING = Cause(
    "objects-missing",
    "Objects of the cluster were deleted",
    "{what} does not exist any more",
    "somebody deleted it, or an `up` was interrupted; nothing runs in its place",
    "{up}      makes it again",
    "The spec has the group and no Deployment or StatefulSet makes its pods, 10 s after the spec was applied "
    "(`up` makes all objects at once, within a second or two).",
)
UNREADABLE = Cause(
    "pods-not-readable",
    "The pods cannot be listed",
    "the pods of namespace {namespace} could not be read",
    "why the cluster is not ready cannot be told without them",
    "kubectl auth can-i list pods -n {namespace}      then ask for role `edit` there",
    "Listing pods was refused or failed.",
    confidence="unknown",
)
UNEXPLAINED = Cause(
    "unexplained",
    "Not ready, and no rule knows why",
    "{missing} not ready for {seconds} s, and nothing that was read says why",
    "{unread}",
    "kubectl describe {what}\nraystead logs {pod}",
    "A group lacks ready pods for more than 300 s and no other rule found anything.",
    confidence="unknown",
    symptom=True,
)
CAUSES = (API_SLOW, CONTROLLER, MISSING, UNREADABLE, UNEXPLAINED)


def find(view: View) -> Iterator[Finding]:
    snapshot = view.snapshot
    space = f"namespace/{snapshot.namespace}"
    if snapshot.pods is None:
        yield UNREADABLE.found(Sighting(None, space, ()), namespace=snapshot.namespace)
        return
    if snapshot.api_slow is not None and snapshot.api_slow > API_SECONDS:
        seen = [Evidence(f"{snapshot.api_slow:.1f} s", "API server", view.now)]
        words = {"seconds": f"{snapshot.api_slow:.1f}", "namespace": snapshot.namespace}
        yield API_SLOW.found(Sighting(None, space, seen), **words)
    for group in view.groups:
        yield from _behind(view, group)
    yield from _missing(view)


def _behind(view: View, group: Group) -> Iterator[Finding]:
    behind, name = group.maker.behind(), group.maker.subject
    if behind is None or view.age(behind.since) < CONTROLLER_SECONDS:
        return
    evidence = [Evidence(f"generation {behind.wanted}, observed {behind.seen}", name, behind.since)]
    seconds = round(view.age(behind.since))
    words = {"object": name, "seconds": seconds, "namespace": view.snapshot.namespace}
    yield CONTROLLER.found(Sighting(group.id, name, evidence, behind.since), **words)


def _missing(view: View) -> Iterator[Finding]:
    """Not while an `up` may be at work, which makes them one after another."""
    snapshot, context = view.snapshot, view.context
    if context is None or context.suspended or snapshot.deployments is None or snapshot.statefulsets is None:
        return
    if snapshot.applied is not None and view.age(snapshot.applied) < APPLY_SECONDS:
        return
    for maker in makers_of(*manifests(context.cluster, context.facts)):
        group = view.group(maker.id)
        if group is None or not group.maker.json:
            what = maker.subject
            evidence = [Evidence("not among the objects of the cluster", what)]
            yield MISSING.found(Sighting(maker.id, what, evidence, pods=0), what=what, up=view.up)


def unexplained(view: View, known: set[GroupId | None]) -> Iterator[Finding]:
    """Groups that are late with nothing found; `known` have findings already."""
    unread = [
        n
        for n in ("events", "replicasets", "deployments", "claims", "policies")
        if getattr(view.snapshot, n) is None
    ]
    text = (
        f"these could not be read, so it is not known: {', '.join(unread)}"
        if unread
        else "it may only be slow"
    )
    for group in view.groups:
        late = [p for p in group.live if not p.ready and view.age(p.created) > UNKNOWN_SECONDS]
        late = [p for p in late if not view.node_coming(p)]
        if not late or group.id in known or view.served_since(group.id) is None:
            continue
        pod = late[0]
        served = view.served_since(group.id)
        begins = [max(t for t in (served, p.since("Ready") or p.created) if t) for p in late]
        seconds = round(min(view.age(moment) for moment in begins))
        if seconds < UNKNOWN_SECONDS:
            continue
        verb = "is" if len(late) == 1 else "are"
        words: dict[str, object] = {
            "missing": f"{plural(len(late), 'pod')} {verb}",
            "seconds": seconds,
            "unread": text,
            "what": pod.subject,
            "pod": pod.name,
        }
        evidence = [Evidence(f"phase {pod.phase}", pod.subject, pod.created)]
        seen = Sighting(group.id, pod.subject, evidence, pod.created, len(late))
        yield UNEXPLAINED.found(seen, **words)
