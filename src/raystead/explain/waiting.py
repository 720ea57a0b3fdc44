"""Containers that run and are not ready: the way to the head or to Redis, policies, probes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base.groups import HEAD, REDIS
from raystead.base.labels import OURS
from raystead.explain import policies
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import RAYLET, Evidence, Finding, LogKey
from raystead.explain.raylogs import DNS, HEAD_UNREACHABLE, WAITS, from_log, raylet_said, said
from raystead.explain.view import View, doubled, event_evidence, first_line
from raystead.live.pods import Container, Pod
from raystead.live.reading import dig, meta
from raystead.spec.model import Json

__all__ = ["CAUSES", "find", "needed"]

LOOK_SECONDS = 10  # then its log is asked for: Ray prints its first refusal after 5 s
POLICY_SECONDS = 20  # a node joins within 2 s of the head's start (Ray 2.60), 10 times that
REDIS_SECONDS = 120  # our own loop repeats itself within 50 s, then Ray's first line may take 60 s more
FOREIGN_REDIS_SECONDS = 20  # it ran before the head: that the head had to wait at all says enough
REACH_SECONDS = 60  # gRPC asks a name again after 30 s at most, a node starts in 15 s; and a third
START_SECONDS = 180  # twelve times the slowest start on a quiet machine (15.3 s, Ray 2.60)
LOST_SECONDS = 30  # after the probe's own patience (head 20 s)
REDIS_PORT = 6379

POLICY = Cause(
    "policy-blocks",
    "A NetworkPolicy stands between the pods",
    "{what} is blocked by network policy {names}{ours}",
    "these policies select the pods and none of their rules lets this connection through",
    "{open}",
    "The pod runs but is not ready 20 s after what it needs was, and the NetworkPolicy objects of the "
    "namespace, taken as Kubernetes defines them, allow it on neither or only one side. What a network "
    "plug-in has beside these objects is not seen.",
    confidence="likely",
)
HOST = Cause(
    "policy-blocks-host-network",
    "A NetworkPolicy does not know a pod on its node's network",
    "{what} is blocked by network policy {names}: {who} uses its node's network (hostNetwork)",
    "policies choose pods by their labels, and a pod on its node's network has the node's address and no "
    "labels for them: a rule that lets pods in does not let it in",
    "take hostNetwork out of the template, then {up} -f FILE\n{open}",
    "As policy-blocks, where one of the two pods has `hostNetwork: true`: of the rules only those with an "
    "ipBlock or for everybody count for it.",
    confidence="likely",
)
POLICY_DNS = Cause(
    "policy-blocks-dns",
    "A NetworkPolicy keeps the pods from DNS",
    "the pod cannot ask DNS: network policy {names} allows it no way out on port 53",
    "without DNS the name of the head's Service means nothing to the pod",
    "{up} --policies always      adds a rule for DNS",
    "As above: the policies that select the pod restrict egress, and none of their rules has port 53 or "
    "5353 to other namespaces.",
    confidence="likely",
)
NO_SERVICE = Cause(
    "service-missing",
    "The Service that leads to the head (or to Redis) is not there",
    "Service {service} does not exist, or has no port {port}",
    "the pods know the head, and the head knows Redis, by the Service's name alone",
    "{up}      makes it again",
    "The Services that were read do not have it, and a pod that needs it is not ready.",
)
HUNG = Cause(
    "not-ready-any-more",
    "A pod was ready and is not any more",
    "the pod was ready and has not been for {seconds} s: {probe}",
    "it is busy beyond its CPU, or hangs; the liveness probe restarts it if it stays so",
    "{up} {flag}      more CPU\nraystead logs {pod}",
    "The readiness probe of a running container has failed for 30 s after it had once succeeded.",
    confidence="likely",
    symptom=True,
)
SLOW = Cause(
    "slow-start",
    "A pod does not become ready",
    "the pod has been running for {seconds} s and is not ready: {probe}",
    "{guess}",
    "{up} {flag}      more CPU\nraystead logs {pod}",
    "The container has run for 180 s, with all it needs ready, and was never ready: twelve times the "
    "slowest start that was measured.",
    confidence="likely",
    symptom=True,
)
CAUSES = (NO_SERVICE, POLICY_DNS, HOST, POLICY, HUNG, SLOW)


def find(view: View) -> Iterator[Finding]:
    for group in view.groups:
        for pod in group.live:
            for container in _running(pod):
                if found := _waiting(view, pod, container):
                    yield found
                    break


def needed(view: View) -> Iterator[LogKey]:
    """Logs of two pods of each group that run and are not ready, once what they need is."""
    for group in view.groups:
        late = [p for p in group.live if view.waiting_seconds(p) >= LOOK_SECONDS]
        for pod in late[:2]:
            yield from ((pod.name, c.name, False) for c in _running(pod))
            if view.waiting_seconds(pod) >= START_SECONDS and pod.group != REDIS and pod.ray.running_since:
                yield (pod.name, pod.ray.name + RAYLET, True)


def _running(pod: Pod) -> list[Container]:
    return [c for c in pod.containers if c.running_since and not c.ready] if not pod.ready else []


def _waiting(view: View, pod: Pod, container: Container) -> Finding | None:
    seconds = view.waiting_seconds(pod)
    if found := _service(view, pod) or (_policy(view, pod) if seconds >= POLICY_SECONDS else None):
        return found
    log = view.log(pod, container, previous=False)
    told = said(log)
    if told and told.cause is DNS and _name_works(view, told.caught):
        told = said(log, but=DNS)  # Ray says it once, at its start: DNS may have had a bad moment
    if told and told.cause in WAITS:
        own = pod.group == HEAD and told.cause is HEAD_UNREACHABLE  # the head's own GCS is still starting
        told = told if seconds >= _patience(view, pod) and not own else None
    if told is None and seconds >= START_SECONDS and container.name == pod.ray.name:
        told = raylet_said(view.raylet_log(pod))
    if told:
        return from_log(view, pod, container, told, f"log {pod.name}")
    return _probe(view, pod, container, seconds)


def _patience(view: View, pod: Pod) -> float:
    if pod.group != HEAD:
        return REACH_SECONDS
    return FOREIGN_REDIS_SECONDS if view.storage == "external" else REDIS_SECONDS


def _name_works(view: View, caught: tuple[str, ...]) -> bool:
    """Another worker has found the head by the same name."""
    same = view.context is not None and [c.split(".")[0] for c in caught] == [view.context.head_service]
    return same and any(g.ready for g in view.groups if g.id not in (HEAD, REDIS))


def _service(view: View, pod: Pod) -> Finding | None:
    """What the pod needs by name: the head's Service, or Redis' one."""
    context, services = view.context, view.snapshot.services
    if context is None or services is None or pod.group == REDIS:
        return None
    name, port = context.head_service, int(context.gcs_port)
    if pod.group == HEAD:
        if view.storage != "redis":
            return None
        name, port = context.names.redis, REDIS_PORT
    found = next((s for s in services if meta(s, "name") == name), None)
    ports = [p.get("port") for p in dig(found, "spec", "ports") or []]
    if found is not None and (port in ports or not ports):
        return None
    evidence = [Evidence(f"services: {', '.join(meta(s, 'name') for s in services) or 'none'}", "namespace")]
    words = {"service": name, "port": port, "up": view.up}
    return NO_SERVICE.found(Sighting(pod.group, pod.subject, evidence, pod.created), **words)


def _policy(view: View, pod: Pod) -> Finding | None:
    """The objects of the namespace, against the connection that the pod needs first."""
    objects, context = view.snapshot.policies, view.context
    if not objects or context is None or pod.group == REDIS:
        return None
    port = int(context.gcs_port)
    target, what = view.group(HEAD), f"the way from the pod to the head (TCP {port})"
    if pod.group == HEAD:
        target, port, what = view.group(REDIS), REDIS_PORT, "the way from the head to Redis (TCP 6379)"
    values = {"up": view.up, "what": what}
    if names := policies.blocks_dns(objects, pod) if target else ():
        return _blocked(POLICY_DNS, view, pod, names, values)
    for other in target.live if target else ():
        if names := policies.blocks(objects, pod, other, port, view.snapshot.namespace):
            who = "this pod" if pod.on_host else "the other pod" if other.on_host else ""
            return _blocked(HOST if who else POLICY, view, pod, names, {**values, "who": who})
    return None


def _blocked(cause: Cause, view: View, pod: Pod, names: tuple[str, ...], values: dict[str, str]) -> Finding:
    mine = {meta(p, "name") for p in view.snapshot.policies or () if _is_ours(view, p)}
    others = [name for name in names if name not in mine]
    opening = f"{view.up} --policies never      raystead's own policies go ({', '.join(names)})"
    if others:
        opening = f"{view.up} --policies always      adds rules for all that Ray needs\n"
        opening += f"or ask who owns policy {', '.join(others)} to allow {values['what']}"
    values = {**values, "open": opening, "ours": "" if others else " of raystead's own"}
    evidence = [Evidence("no rule of its policies allows it", f"networkpolicy/{n}") for n in names]
    return cause.found(
        Sighting(pod.group, pod.subject, evidence, pod.created), names=", ".join(names), **values
    )


def _is_ours(view: View, policy: Json) -> bool:
    return bool((dig(policy, "metadata", "labels") or {}).get(OURS) == view.name)


def _probe(view: View, pod: Pod, container: Container, seconds: float) -> Finding | None:
    lost, started = pod.since("Ready"), container.running_since
    was_ready = bool(lost and started and (lost - started).total_seconds() > 1)
    if seconds < (LOST_SECONDS if was_ready else START_SECONDS):
        return None
    event = view.last_event(pod, "Unhealthy")
    probe = first_line(event.message, 160) if event else "its readiness probe does not succeed"
    side = "head" if pod.group == HEAD else "worker"
    flag = f"--{side}-cpu {doubled(container.limit('cpu'))}" if pod.group != REDIS else "-f FILE"
    plain = re.search(r"refused|timed? ?out|deadline|statuscode: 5", probe)
    guess = (
        "a start takes 15 s where there is CPU for it; too little is the usual reason (a head starts twenty "
        "processes)"
        if plain or not event
        else "the probe itself says why; if it is one of your own, it may be the probe that is wrong"
    )
    words: dict[str, object] = {"up": view.up, "pod": pod.name, "probe": probe, "flag": flag, "guess": guess}
    words["seconds"] = round(seconds)
    evidence = [event_evidence(event)] if event else [Evidence("condition Ready is False", pod.subject, lost)]
    cause = HUNG if was_ready else SLOW
    return cause.found(Sighting(pod.group, pod.subject, evidence, lost if was_ready else started), **words)
