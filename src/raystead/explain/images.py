"""The image cannot be pulled: no such tag, no access, no registry, or a pull that takes for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base.groups import REDIS
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.tags import better, complaint
from raystead.explain.view import View, event_evidence
from raystead.live.pods import Container, Pod

__all__ = ["CAUSES", "find"]

SLOW_SECONDS = 180  # 1 GB, the size of Ray's image, takes 160 s at 50 Mbit/s

NOT_FOUND = Cause(
    "image-not-found",
    "The image does not exist",
    "image {image} cannot be pulled: not found",
    "{hint}",
    "{up} {flag} {better}",
    "The container waits with ErrImagePull or ImagePullBackOff and the registry's answer is `not found`, "
    "`manifest unknown` or `name unknown`. The tag is then looked at for slips: a letter O or l for a "
    "digit, `v` in front, a missing patch version, `py3.11` for `py311`.",
)
DENIED = Cause(
    "image-denied",
    "The registry does not let the pod's node in",
    "image {image} cannot be pulled: {said}",
    "the registry wants a login, or the repository does not exist (Docker Hub answers the same to "
    "both){hint}",
    "kubectl create secret docker-registry pull --docker-server={registry} --docker-username=… "
    "--docker-password=…\n"
    "{up} --pull-secret pull",
    "The container waits with ErrImagePull or ImagePullBackOff and the registry answered `pull access "
    "denied`, 401 or 403.",
)
LIMITED = Cause(
    "image-rate-limit",
    "The registry gives no more images for now",
    "image {image} cannot be pulled: the registry's rate limit is reached",
    "Docker Hub counts pulls by address or account; the kubelet tries again by itself, at most 5 min apart",
    "{up} --pull-secret SECRET      of an account with more pulls\n"
    "{up} {flag} MIRROR/{name}      from a mirror that your administrator names",
    "The registry answered `toomanyrequests` or 429.",
)
UNREACHABLE = Cause(
    "registry-unreachable",
    "The node does not reach the registry",
    "image {image} cannot be pulled: registry {registry} cannot be reached from the node",
    "the node's network, a proxy or DNS keeps it from {registry}; network policies of your namespace do "
    "not matter: the node pulls, not the pod",
    "{up} {flag} MIRROR/{name}      from the registry that your cluster uses\n"
    'or send to the administrator: "nodes cannot reach {registry}: {said}"',
    "The pull failed with a network error: `no such host`, `i/o timeout`, `connection refused`, a "
    "certificate that is not trusted, 5xx.",
)
PLATFORM = Cause(
    "image-platform",
    "The image is for another kind of processor",
    "image {image} has nothing for this node's processor: {said}",
    "the image was built for another architecture (amd64 against arm64)",
    "{up} --node-selector kubernetes.io/arch=amd64\n"
    "or {up} {flag} IMAGE      one that is built for these nodes",
    "The pull failed with `no match for platform`, or the container ended with `exec format error`.",
)
NAME = Cause(
    "image-name-invalid",
    "The image's name is not one",
    "image {image} is not a name that a registry can have{said}",
    "nothing is asked of any registry until the name is right",
    "{up} {flag} {better}",
    "Container state InvalidImageName.",
)
NEVER = Cause(
    "image-never-pulled",
    "The image is not on the node and may not be pulled",
    "image {image} is not on the node, and imagePullPolicy Never forbids to pull it",
    "only images that somebody put on the node are used",
    "set imagePullPolicy: IfNotPresent in the file, then {up} -f FILE",
    "Container state ErrImageNeverPull.",
)
DISK = Cause(
    "node-disk-full",
    "The node's disk is full",
    "image {image} does not fit on the node's disk",
    "the node has to make room first; the kubelet removes unused images by itself, if there are any",
    'send to the administrator: "node {node} has no disk space left for {image}"',
    "The pull failed with `no space left on device`.",
)
FAILED = Cause(
    "image-pull-failed",
    "The image cannot be pulled, for a reason that is not listed here",
    "image {image} cannot be pulled: {said}",
    "the kubelet tries again by itself, at most 5 min apart",
    '{up} {flag} IMAGE      another image\nor send to the administrator: "{image} cannot be pulled: {said}"',
    "The container waits with ErrImagePull, ImagePullBackOff, ImageInspectError or RegistryUnavailable "
    "and a text that no other page explains.",
    confidence="likely",
)
SLOW = Cause(
    "image-slow",
    "The image takes a long time to pull",
    "image {image} has been pulling for {seconds} s",
    "Ray's images are about 1 GB; the first pull on a node is slow, later ones are not needed",
    "wait, or {up} {flag} MIRROR/{name}      from a registry near the nodes",
    "Event Pulling without Pulled or Failed after it, for more than 180 s: 1 GB takes 160 s at 50 Mbit/s.",
    confidence="likely",
)
CAUSES = (NAME, NOT_FOUND, DENIED, LIMITED, PLATFORM, DISK, UNREACHABLE, NEVER, FAILED, SLOW)

_WAITS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_TEXTS: tuple[tuple[Cause, str], ...] = (
    (LIMITED, r"toomanyrequests|429 Too Many|rate limit"),
    (DISK, r"no space left on device"),
    (PLATFORM, r"no match for platform|does not match the specified platform|no matching manifest"),
    (
        DENIED,
        r"pull access denied|insufficient_scope|unauthorized|authentication required|access forbidden"
        r"|40[13] (?:Forbidden|Unauthorized)|status:? 40[13]\b|denied:|no basic auth credentials",
    ),
    (
        UNREACHABLE,
        r"no such host|i/o timeout|connection refused|no route to host|network is unreachable|x509|tls:"
        r"|server misbehaving|certificate|deadline exceeded|proxyconnect|connection reset|50[0234] "
        r"|TLS handshake|unexpected EOF",
    ),
    (NOT_FOUND, r"not found|manifest unknown|name unknown|NotFound|404 "),
)


def find(view: View) -> Iterator[Finding]:
    for group in view.groups:
        for pod in group.live:
            for container in pod.containers:
                if found := _container(view, pod, container):
                    yield found
                    break


def _container(view: View, pod: Pod, container: Container) -> Finding | None:
    values = _words(view, pod, container)
    since = view.pod_events(pod, "Failed")[:1]
    begin = since[0].first if since else pod.since("PodScheduled")
    evidence = [_evidence(view, pod, container)]
    if container.waiting == "InvalidImageName":
        return NAME.found(Sighting(pod.group, pod.subject, evidence, begin), **values, said=_why(container))
    if container.waiting == "ErrImageNeverPull":
        return NEVER.found(Sighting(pod.group, pod.subject, evidence, begin), **values)
    if container.waiting in _WAITS:
        text = _text(view, pod, container)
        cause = next((c for c, form in _TEXTS if re.search(form, text)), FAILED)
        hint = complaint(container.image, view.snapshot.cluster)
        if cause is NOT_FOUND:
            hint = hint or "the repository has no such tag; look for the tags it has in the registry"
        elif hint:
            hint = f"; {hint}"
        return cause.found(
            Sighting(pod.group, pod.subject, evidence, begin), **values, hint=hint, said=_short(text)
        )
    return _slow(view, pod, container, values)


def _slow(view: View, pod: Pod, container: Container, values: dict[str, str]) -> Finding | None:
    if container.waiting not in ("ContainerCreating", "PodInitializing", "") or container.running_since:
        return None
    events = view.pod_events(pod, "Pulling", "Pulled", "Failed")
    mine = [e for e in events if f'"{container.image}"' in e.message]
    if not mine or mine[-1].reason != "Pulling" or (seconds := view.age(mine[-1].last)) < SLOW_SECONDS:
        return None
    seen = [event_evidence(mine[-1])]
    return SLOW.found(Sighting(pod.group, pod.subject, seen, mine[-1].last), seconds=round(seconds), **values)


def _words(view: View, pod: Pod, container: Container) -> dict[str, str]:
    image = container.image
    first, _, rest = image.partition("/")
    registry = first if rest and ("." in first or ":" in first or first == "localhost") else "docker.io"
    flag = "--redis-image" if pod.group == REDIS else "--image"
    return {
        "image": image,
        "up": view.up,
        "flag": flag,
        "registry": registry,
        "name": image if registry == "docker.io" else rest,
        "node": pod.node,
        "better": better(image, view.snapshot.cluster) or "IMAGE      one that exists",
    }


def _text(view: View, pod: Pod, container: Container) -> str:
    """The registry's answer: in the state; before Kubernetes 1.32, while it backs off, only in an event."""
    events = [e.message for e in view.pod_events(pod, "Failed") if f'"{container.image}"' in e.message]
    told = [m for m in events if m.startswith("Failed to pull image")]
    return "\n".join([container.message, *told[-1:]])


def _evidence(view: View, pod: Pod, container: Container) -> Evidence:
    events = [e for e in view.pod_events(pod, "Failed") if f'"{container.image}"' in e.message]
    told = [e for e in events if e.message.startswith("Failed to pull image")]
    return event_evidence(told[-1]) if told else Evidence(container.message, pod.subject, pod.since("Ready"))


def _short(text: str) -> str:
    """The end of a chain of errors: `a: b: c` says c."""
    line = text.strip().split("\n")[-1]
    line = re.sub(
        r"^.*?(?:failed to pull and unpack image|failed to resolve (?:reference|image)) \"[^\"]+\": ",
        "",
        line,
    )
    line = re.sub(r"^.*failed to resolve reference \"[^\"]+\": ", "", line)
    parts = [p for p in line.split(": ") if p]
    return ": ".join(parts[-3:])[:240]


def _why(container: Container) -> str:
    match = re.search(
        r"couldn't parse image name \"[^\"]*\": (.*)|: (invalid reference format.*)", container.message
    )
    reason = (match.group(1) or match.group(2)) if match else ""
    return f": {reason}" if reason else ""
