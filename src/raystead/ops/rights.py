"""What this user may do in this namespace, from one SelfSubjectRulesReview."""

from __future__ import annotations

from msgspec import Struct

from raystead.errors import Forbidden, ObjectNotFound, RaysteadError
from raystead.kube.api import Api, Json

__all__ = ["Rights", "explained", "may", "rights", "user_name"]


class Rights(Struct, frozen=True):
    """The rules as the server lists them; `complete` is False where an authorizer could not list its own."""

    rules: tuple[Json, ...]
    complete: bool

    def allows(self, verb: str, resource: str, group: str = "", name: str = "") -> bool:
        """Whether a rule allows it; `resource` may be "pods/exec". False may mean unknown if not complete."""
        main, _, sub = resource.partition("/")
        shapes = {resource, "*"} | ({f"{main}/*", f"*/{sub}"} if sub else set())
        for rule in self.rules:
            named = rule.get("resourceNames") or []
            if (
                {verb, "*"} & set(rule.get("verbs") or [])
                and {group, "*"} & set(rule.get("apiGroups") or [])
                and shapes & set(rule.get("resources") or [])
                and (not named or name in named)
            ):
                return True
        return False


def rights(api: Api) -> Rights:
    """Asks the server; every authenticated user may. Null lists, as some servers send, count as empty."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": api.namespace},
    }
    status = api.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body).get("status") or {}
    return Rights(tuple(status.get("resourceRules") or ()), not status.get("incomplete"))


def explained(api: Api, error: Forbidden, origin: str = "") -> Forbidden:
    """A refusal in the namespace as what the user has there and the one thing to ask for; details after it.

    Args:
        origin: where the namespace was taken from, if not from the user's own words.
    """
    here = error.namespace
    if not here:
        return error
    try:
        have, user = rights(api.inside(here)), user_name(api)
    except RaysteadError:
        return error
    binding = f"kubectl create rolebinding raystead-edit --clusterrole=edit {_subject(user)} -n {here}"
    seen = "; ".join(part for part in (error.what, error.evidence) if part)
    if not have.complete and not have.allows("get", "pods"):
        return error  # an authorizer that cannot list its rules: nobody knows what is allowed
    if not (have.allows("get", "pods") or have.allows("get", "configmaps")):
        what = f"there is no namespace {here}, or you have no role in it{origin}"
        choose = (
            "leave that line out and choose one of yours with -n" if origin else "choose one of yours with -n"
        )
        remedy = f"{choose}\nor ask an administrator: {binding}"
    elif not (have.allows("create", "deployments", "apps") or have.allows("patch", "deployments", "apps")):
        what = f"you have `view` in namespace {here}{origin}, and this needs `edit`"
        remedy = f"ask an administrator: {binding}"
    else:
        return error
    return Forbidden(
        what,
        evidence=seen,
        remedy=remedy,
        status=error.status,
        reason=error.reason,
        verb=error.verb,
        resource=error.resource,
        namespace=here,
    )


def _subject(user: str | None) -> str:
    if user and user.startswith("system:serviceaccount:"):
        return f"--serviceaccount={user.removeprefix('system:serviceaccount:')}"
    return f"--user={user or 'YOU'}"


def may(api: Api, verb: str, resource: str, group: str = "") -> bool | None:
    """One right, asked by itself, where the list is not complete; None when nobody could tell."""
    main, _, sub = resource.partition("/")
    what = {"namespace": api.namespace, "verb": verb, "group": group, "resource": main}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**what, **({"subresource": sub} if sub else {})}},
    }
    status = api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).get("status") or {}
    if status.get("allowed"):
        return True
    return None if status.get("evaluationError") and not status.get("denied") else False


def user_name(api: Api) -> str | None:
    """Who we are to the server; None where it is older than 1.28 and cannot say."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    except (ObjectNotFound, Forbidden):
        return None
    name: str | None = ((answer.get("status") or {}).get("userInfo") or {}).get("username")
    return name
