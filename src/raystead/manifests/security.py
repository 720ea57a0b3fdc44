"""PodSecurity `restricted`, filled in where the file says nothing and somebody wants it.

What the file says wins. What it does not say is filled in for our own Redis, for the Ray container of a
rayproject image, and for every container where the namespace enforces `restricted` or the annotation
`raystead.io/hardening: always` asks for it; `never` leaves everything as the file has it. A root image, an
init container that calls chown and a program that calls sudo run as they do under KubeRay.
"""

from __future__ import annotations

import re

from raystead.manifests.facts import Facts
from raystead.spec.model import Json, RayCluster

__all__ = [
    "HARDENING_ANNOTATION",
    "REQUIRED_CAPABILITY",
    "SMALL",
    "bounded",
    "harden",
    "harden_as",
    "harden_ray",
    "hardening",
]

HARDENING_ANNOTATION = "raystead.io/hardening"
REQUIRED_CAPABILITY = "NET_BIND_SERVICE"  # the only one that `restricted` lets a container add
SMALL: Json = {  # for containers of our own
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}
# their images run as user 1000 and need no capability
_RAYPROJECT = re.compile(r"(^|/)rayproject/ray(-[a-z]+)?([:@]|$)")
_SUDO = re.compile(r"(^|[\s;&|(/])sudo(\s|$)")


def bounded(container: Json, default: Json) -> Json:
    """A container of our own with requests and limits of CPU and memory.

    The missing one comes from the other, else from `default`.
    """
    resources: Json = container.get("resources") or {}
    requests: Json = dict(resources.get("requests") or {})
    limits: Json = dict(resources.get("limits") or {})
    for key in ("cpu", "memory"):
        if key not in requests:
            requests[key] = limits.get(key, default["requests"][key])
        if key not in limits:
            given = key in (resources.get("requests") or {})
            limits[key] = requests[key] if given else default["limits"][key]
    return {**container, "resources": {**resources, "requests": requests, "limits": limits}}


def hardening(cluster: RayCluster, facts: Facts) -> str:
    """`all` containers, the `ray` container, or `none`: what is hardened in the pods of Ray."""
    mode = cluster.annotations.get(HARDENING_ANNOTATION, "auto")
    if mode == "never":
        return "none"
    return "all" if mode == "always" or facts.hardens_all else "ray"


def harden_as(cluster: RayCluster, facts: Facts, spec: Json) -> Json:
    """The spec of a Ray pod, hardened as the annotation and the namespace want it."""
    kind = hardening(cluster, facts)
    if kind == "all":
        return harden(spec)
    return harden_ray(spec) if kind == "ray" else spec


def harden(spec: Json) -> Json:
    """The pod's spec with the fields `restricted` asks for; no user id is fixed, the user's settings win."""
    pod: Json = dict(spec.get("securityContext") or {})
    if pod.get("runAsUser") != 0:
        pod.setdefault("runAsNonRoot", True)
    pod.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    out = {**spec, "securityContext": pod}
    for key in ("initContainers", "containers"):
        if spec.get(key):
            out[key] = [_hardened(c) for c in spec[key]]
    return out


def harden_ray(spec: Json) -> Json:
    """The pod's spec with its Ray container hardened, if that is of rayproject and asks for nothing else.

    Alone in its pod it hardens the pod; beside others it carries all of it itself, and the others run as
    the file has them.
    """
    ray, *others = spec["containers"]
    if not _RAYPROJECT.search(str(ray.get("image") or "")) or _wants_more(ray, spec):
        return spec
    if not others and not spec.get("initContainers"):
        return harden(spec)
    pod: Json = spec.get("securityContext") or {}
    context = dict(_hardened(ray)["securityContext"])
    if "runAsNonRoot" not in pod:
        context.setdefault("runAsNonRoot", True)
    if "seccompProfile" not in pod:
        context.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    return {**spec, "containers": [{**ray, "securityContext": context}, *others]}


def _wants_more(ray: Json, spec: Json) -> bool:
    """The file gives the Ray container rights that hardening would take away again."""
    own: Json = ray.get("securityContext") or {}
    context: Json = {**(spec.get("securityContext") or {}), **own}
    words = [*(ray.get("command") or []), *(ray.get("args") or [])]
    return (
        context.get("runAsUser") == 0
        or context.get("runAsNonRoot") is False
        or bool(own.get("privileged") or own.get("allowPrivilegeEscalation"))
        or bool(_added(own))
        or any(_SUDO.search(str(word)) for word in words)
    )


def _added(context: Json) -> set[str]:
    """Capabilities that the file adds, without the prefix CAP_ that some write."""
    added = (context.get("capabilities") or {}).get("add") or []
    return {str(name).upper().removeprefix("CAP_") for name in added}


def _hardened(container: Json) -> Json:
    """With the fields that are missing; never a combination that the server refuses as invalid.

    A container that adds capabilities, is privileged or may escalate keeps them: dropping them beside would
    take away what it was given for.
    """
    context: Json = dict(container.get("securityContext") or {})
    if context.get("runAsUser") == 0:
        context.setdefault("runAsNonRoot", False)
    added = _added(context)
    if context.get("privileged") or context.get("allowPrivilegeEscalation") or added - {REQUIRED_CAPABILITY}:
        return {**container, "securityContext": context}
    context.setdefault("allowPrivilegeEscalation", False)
    context["capabilities"] = {"drop": ["ALL"], **(context.get("capabilities") or {})}
    return {**container, "securityContext": context}
