"""PodSecurity `restricted` and resource bounds, filled in where the user said nothing."""

from __future__ import annotations

from raystead.spec.model import Json

__all__ = ["SMALL", "bounded", "harden"]

SMALL: Json = {  # for containers whose owner said nothing; quota namespaces refuse containers without
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}


def bounded(container: Json, default: Json) -> Json:
    """Requests and limits of CPU and memory: the missing one from the other, else the default."""
    said: Json = container.get("resources") or {}
    requests: Json = dict(said.get("requests") or {})
    limits: Json = dict(said.get("limits") or {})
    for key in ("cpu", "memory"):
        if key not in requests:
            requests[key] = limits.get(key, default["requests"][key])
        if key not in limits:
            given = key in (said.get("requests") or {})
            limits[key] = requests[key] if given else default["limits"][key]
    return {**container, "resources": {**said, "requests": requests, "limits": limits}}


def harden(spec: Json) -> Json:
    """The pod's spec with the fields `restricted` asks for; no user id is fixed, the user's settings win."""
    pod: Json = dict(spec.get("securityContext") or {})
    if pod.get("runAsUser") != 0:
        pod.setdefault("runAsNonRoot", True)
    pod.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    out = {**spec, "securityContext": pod}
    for key in ("initContainers", "containers"):
        if spec.get(key):
            out[key] = [_container(c) for c in spec[key]]
    return out


def _container(container: Json) -> Json:
    said: Json = dict(container.get("securityContext") or {})
    if said.get("runAsUser") == 0:
        said.setdefault("runAsNonRoot", False)
    if not said.get("privileged") and "SYS_ADMIN" not in ((said.get("capabilities") or {}).get("add") or []):
        said.setdefault("allowPrivilegeEscalation", False)
    said.setdefault("capabilities", {"drop": ["ALL"]})
    return {**container, "securityContext": said}
