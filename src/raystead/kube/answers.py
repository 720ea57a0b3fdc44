"""What an answer of the API server means: its Status as one of our errors. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from raystead.errors import ApiError, Conflict, Forbidden, KubeConfigError, ObjectNotFound, RaysteadError

__all__ = ["STARTING", "Gone", "error_of", "is_outage", "message_of", "status_of"]

_RIGHT = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_OTHER_UID = re.compile(r"metadata\.uid: Invalid value: .*field is immutable", re.DOTALL)
_NO_ROLES = re.compile(r'RBAC: .*clusterrole\.rbac\.authorization\.k8s\.io "system:[^"]*" not found')
STARTING = "Starting"
_NOT_APPLICABLE = re.compile(
    r"field not declared in schema|duplicate entries for key|expected [\w ()]+, got "
)
_OWNER = re.compile(r'conflicts? with "(?P<manager>[^"]+)"')


class Gone(ApiError):
    """HTTP 410: a list or watch went on from a version that the server has forgotten; kube starts over."""


def status_of(text: str) -> dict[str, Any]:
    """The Kubernetes Status in a body, or {} where a proxy or the like answered."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and value.get("kind") == "Status" else {}


def is_outage(code: int, text: str) -> bool:
    """Whether the server is in trouble, not the request: it answers 500 to typos in an apply, too."""
    return code >= 500 and not (code == 500 and _NOT_APPLICABLE.search(message_of(code, text)))


def message_of(code: int, text: str) -> str:
    """The server's sentence; where a proxy or the like answered, what there is of its text."""
    return str(status_of(text).get("message") or text.strip()[:500] or f"HTTP {code}")


def error_of(code: int, text: str, *, what: str, context: str) -> RaysteadError:
    """The error that an answer of `code` with body `text` is; `what` names the request ("get pods/x").

    A 403 is `Forbidden` only when a right is missing: quotas, PodSecurity and terminating namespaces answer
    403 too, and are an `ApiError` that says so. A server that has just started refuses everybody until it has
    read its roles; it says that even its own are missing, and that is a 503 with the reason `STARTING`.
    """
    status = status_of(text)
    message = message_of(code, text)
    reason = str(status.get("reason") or "")
    if code == 401:
        return KubeConfigError(
            "the API server does not accept our credentials",
            evidence=f"{what}: HTTP 401 {message}",
            remedy=f"log in again for the context {context}, as you do for kubectl",
        )
    if code == 403 and _NO_ROLES.search(message):
        return ApiError(
            "the API server is starting: it does not know its own roles yet",
            evidence=f"{what}: {message}",
            remedy="wait a moment and repeat the command",
            status=503,
            reason=STARTING,
        )
    if code == 403 and (right := _RIGHT.search(message)):
        where = f" in namespace {right['namespace']}" if right["namespace"] else ""
        named = f"{right['resource']}.{right['group']}" if right["group"] else right["resource"]
        return Forbidden(
            f"you may not {right['verb']} {named}{where}",
            evidence=f"{what}: {message}",
            remedy=f'ask for the right "{right["verb"]}" on "{named}"{where}: raystead doctor --rbac',
            status=code,
            reason=reason,
            verb=right["verb"],
            resource=named,
            namespace=right["namespace"] or "",
        )
    if "because it is being terminated" in message:
        return ApiError(
            "the namespace is being deleted",
            evidence=f"{what}: {message}",
            remedy="wait until it is gone, or use another one with -n",
            status=code,
            reason="NamespaceTerminating",
        )
    if code == 404:
        return ObjectNotFound(f"{what}: not found", evidence=message, status=code, reason=reason)
    if code == 409:
        return _conflict(message, status, what)
    if code == 422 and _OTHER_UID.search(message):  # a patch names the object that it means by its uid
        what = f"{what}: another object has this name by now"
        return Conflict(what, evidence=message, status=code, reason="UidMismatch")
    if code == 500 and not is_outage(code, text):
        remedy = "correct the field in the file, and run the command again"
        return ApiError(
            f"the API server refuses to {what}", evidence=message, remedy=remedy, status=422, reason="Invalid"
        )
    return ApiError(
        f"the API server refuses to {what}", evidence=message, status=code, reason=reason or str(code)
    )


def _conflict(message: str, status: dict[str, Any], what: str) -> Conflict:
    causes = (status.get("details") or {}).get("causes") or []
    fields = [str(c.get("field")) for c in causes if c.get("reason") == "FieldManagerConflict"]
    if fields:
        managers = {m["manager"] for c in causes if (m := _OWNER.search(str(c.get("message"))))}
        owners = " and ".join(sorted(managers)) or "another manager"
        return Conflict(
            f"{what}: {', '.join(fields)} belong{'s' if len(fields) == 1 else ''} to {owners}",
            evidence=message,
            remedy="change it there, or take it over: the same command with --force-conflicts",
            status=409,
            reason="FieldManagerConflict",
        )
    return Conflict(f"{what}: {message}", status=409, reason=str(status.get("reason") or "Conflict"))
