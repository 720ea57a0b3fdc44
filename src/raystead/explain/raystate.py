"""Where Kubernetes and Ray disagree: pods that are Ready but not nodes of the cluster, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.groups import HEAD, REDIS
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View, event_evidence, node_state
from raystead.live.pods import Pod
from raystead.live.reading import dig
from raystead.manifests.living import token_difference, version_difference

__all__ = ["CAUSES", "find"]

JOIN_SECONDS = (
    60  # raylets are back within 31 s of a head's loss (Ray 2.60), the dashboard's list within 10 more
)
LOST_SECONDS = 30

NOT_IN_RAY = Cause(
    "ready-but-not-in-ray",
    "A pod is Ready but Ray does not have its node",
    "the pod is Ready but Ray {state}",
    "Kubernetes sees a healthy agent, the head does not see the node: it takes no work. A worker's probe "
    "does not look at the head, so that an outage of the head does not restart it",
    "kubectl delete pod {pod}      a new one joins\nraystead logs {pod}",
    "The pod has been Ready, and the head too, for 60 s, and Ray's node list (dashboard) has no living "
    "node with its address: raylets are back within 31 s of a head's loss.",
    confidence="likely",
)
NOT_READY = Cause(
    "in-ray-but-not-ready",
    "Ray uses a node whose pod is not Ready",
    "Ray uses this node, but its pod has not been Ready for {seconds} s",
    "work goes on; the dashboard agent, which answers the probe, does not. The liveness probe restarts "
    "the pod after 10 min of this, and with it what runs there",
    "raystead logs {pod}\n{up} --worker-cpu MORE      if the node is busy beyond its CPUs",
    "The pod lost its readiness more than 30 s ago, its container runs, and Ray's node list has it ALIVE.",
    confidence="likely",
)
OTHER_TOKEN = Cause(
    "token-not-as-expected",
    "Ray checks tokens otherwise than the spec says",
    "{difference}",
    "{means}",
    "{remedy}",
    "The dashboard's answer to `/api/authentication_mode`, which asks for no token, against `authOptions`, "
    "RAY_AUTH_MODE in the head's env, and the version in the tag of an image that ends in /ray, else "
    "`rayVersion`; tokens came with Ray 2.52.",
)
OTHER_VERSION = Cause(
    "ray-version-not-as-expected",
    "Another Ray runs than the spec says",
    "{difference}",
    "what depends on the version (tokens, parameters of `ray start`, probes) was chosen for the other one",
    "{up} --ray-version {version}      or an image that has the version that you want",
    "The dashboard's answer to `/api/version` against the tag of the head's image, else `rayVersion`.",
)
CAUSES = (NOT_IN_RAY, NOT_READY, OTHER_TOKEN, OTHER_VERSION)


def find(view: View) -> Iterator[Finding]:
    yield from _otherwise(view)
    nodes = view.snapshot.ray_nodes
    head = view.group(HEAD)
    if not nodes or head is None or not head.satisfied:
        return
    for group in view.groups:
        if group.id in (HEAD, REDIS):
            continue
        for pod in group.live:
            if found := _pod(view, pod):
                yield found


def _otherwise(view: View) -> Iterator[Finding]:
    """What the running Ray says of itself and the spec does not."""
    living, context = view.snapshot.living, view.context
    if living is None or context is None:
        return
    seen = Sighting(
        HEAD, f"ray of {view.name}", [Evidence(f"authentication_mode: {living.mode}", "dashboard")]
    )
    if difference := token_difference(context, living):
        means = "whoever reaches the dashboard or the client port runs code in the cluster"
        remedy = f"{view.up} --image IMAGE      one with Ray 2.52 or newer"
        if not context.token:
            means = "submit, status and connect send no token and are turned away"
            remedy = "remove authOptions.mode: disabled or RAY_AUTH_MODE from the file, then "
            remedy += f"{view.up} -f FILE"
        yield OTHER_TOKEN.found(seen, difference=difference, means=means, remedy=remedy)
    if difference := version_difference(context, living):
        seen = Sighting(
            HEAD, f"ray of {view.name}", [Evidence(f"ray_version: {living.version}", "dashboard")]
        )
        yield OTHER_VERSION.found(seen, difference=difference, up=view.up, version=living.version)


def _pod(view: View, pod: Pod) -> Finding | None:
    node, since = view.ray_node(pod), pod.since("Ready")
    state = node_state(node) if node else ""
    served = view.served_since(pod.group)
    if pod.ready and state != "ALIVE":
        if served is None or since is None or view.age(max(since, served)) < JOIN_SECONDS:
            return None
        message = str(dig(node, "raylet", "stateMessage") or "") if node else ""
        words = {
            "pod": pod.name,
            "state": f"says it is dead: {message}" if message else "does not list it as alive",
        }
        evidence = [Evidence(message or "no living node with this address", f"ray node {pod.ip}", since)]
        return NOT_IN_RAY.found(Sighting(pod.group, pod.subject, evidence, since), **words)
    running = [c.running_since for c in pod.containers if c.running_since]
    if not pod.ready and state == "ALIVE" and since and running and max(running) < since:
        if (seconds := view.age(since)) < LOST_SECONDS:
            return None
        seconds_words: dict[str, object] = {"pod": pod.name, "seconds": round(seconds), "up": view.up}
        event = view.last_event(pod, "Unhealthy")
        evidence = [event_evidence(event)] if event else [Evidence("Ray says ALIVE", f"ray node {pod.ip}")]
        return NOT_READY.found(Sighting(pod.group, pod.subject, evidence, since), **seconds_words)
    return None
