"""Namespaces as they are in the world, for any test: `place("company")`.

What is cluster-wide (admission policies) is bound by the namespace label `raystead.test/place`, is the same for every
test, and stays: nobody else's namespace is touched by it.
"""

import json
from typing import Any

from kube import Kube, pod, until

Json = dict[str, Any]
LABEL = "raystead.test/place"
PLACES = ("free", "company", "university", "openshift-like")
QUEUE = "example.edu/queue"  # the label that the university demands on every pod
UID = "openshift.io/sa.scc.uid-range"
POLICIES = "admissionregistration.k8s.io/v1"
DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


def quota(**hard: str) -> Json:
    spec = {"hard": {name.replace("_", "."): value for name, value in hard.items()}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": spec}


def objects(place: str) -> list[Json]:
    """What stands in a namespace of that kind before anybody works there."""
    if place == "company":
        limit = {
            "type": "Container",
            "default": {"cpu": "200m", "memory": "256Mi"},
            "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
            "max": {"cpu": "4", "memory": "8Gi"},
            "maxLimitRequestRatio": {"cpu": "10", "memory": "4"},
        }
        limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}}
        room = {
            "pods": "12",
            "requests_cpu": "4",
            "limits_cpu": "12",
            "requests_memory": "12Gi",
            "limits_memory": "16Gi",
        }
        return [DENY_ALL, limits | {"spec": {"limits": [limit]}}, quota(**room, persistentvolumeclaims="4")]
    if place == "university":
        return [
            quota(pods="12", requests_cpu="6", limits_cpu="16", requests_memory="16Gi", limits_memory="24Gi")
        ]
    return []


def labels(place: str) -> dict[str, str]:
    security = {"company": "restricted", "openshift-like": "restricted"}.get(place, "baseline")
    return {LABEL: place, "pod-security.kubernetes.io/enforce": security}


def annotations(place: str, number: int) -> dict[str, str]:
    """OpenShift gives every namespace ten thousand user ids of its own."""
    return {UID: f"{1_000_000_000 + number * 10_000}/10000"} if place == "openshift-like" else {}


def _policy(place: str, name: str, kind: str, resource: tuple[str, str], spec: Json) -> list[Json]:
    """An admission policy on the creation of one resource, and its binding to the places of a kind."""
    group, plural = resource
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [plural]}
    binding: Json = {"policyName": name}
    binding["matchResources"] = {"namespaceSelector": {"matchLabels": {LABEL: place}}}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail", **spec}
    if kind == "ValidatingAdmissionPolicy":
        binding["validationActions"] = ["Deny"]
    else:
        spec["reinvocationPolicy"] = "Never"
    return [
        {"apiVersion": POLICIES, "kind": kind, "metadata": {"name": name}, "spec": spec},
        {"apiVersion": POLICIES, "kind": f"{kind}Binding", "metadata": {"name": name}, "spec": binding},
    ]


def _fills(
    place: str, name: str, resource: tuple[str, str], unless: str, expression: str, **more: Any
) -> list[Json]:
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    condition = {"name": "not-said", "expression": f"!({unless})"}
    spec = {"matchConditions": [condition], "mutations": [mutation], **more}
    return _policy(place, name, "MutatingAdmissionPolicy", resource, spec)


def _demands(
    place: str, name: str, resource: tuple[str, str], message: str, expression: str, **more: Any
) -> list[Json]:
    validation = {"expression": expression, "message": message}
    return _policy(place, name, "ValidatingAdmissionPolicy", resource, {"validations": [validation], **more})


def policies() -> list[Json]:
    """All admission policies of all places."""
    pods, jobs = ("", "pods"), ("batch", "jobs")
    first = f"int(namespaceObject.metadata.annotations['{UID}'].split('/')[0])"
    user = "has(object.spec.securityContext) && has(object.spec.securityContext.runAsUser)"
    group = "has(object.spec.securityContext) && has(object.spec.securityContext.fsGroup)"
    every = "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : [])"
    own = "c.securityContext.runAsUser >= variables.first && c.securityContext.runAsUser < variables.first + 10000"
    variables = [{"name": "first", "expression": first}]
    inside = "object.spec.securityContext.%s >= variables.first && object.spec.securityContext.%s < variables.first + 10000"
    return [
        *_fills(
            "university", "university-pods-end", pods, "has(object.spec.activeDeadlineSeconds)",
            "Object{spec: Object.spec{activeDeadlineSeconds: 21600}}",
        ),
        *_fills(
            "university", "university-jobs-go", jobs, "has(object.spec.ttlSecondsAfterFinished)",
            "Object{spec: Object.spec{ttlSecondsAfterFinished: 300}}",
        ),
        *_demands(
            "university", "university-queue", pods, f"every pod needs the label {QUEUE}",
            f"has(object.metadata.labels) && '{QUEUE}' in object.metadata.labels",
        ),
        *_fills(
            "openshift-like", "openshift-like-user", pods, user,
            f"Object{{spec: Object.spec{{securityContext: Object.spec.securityContext{{runAsUser: {first}}}}}}}",
        ),
        *_fills(
            "openshift-like", "openshift-like-group", pods, group,
            f"Object{{spec: Object.spec{{securityContext: Object.spec.securityContext{{fsGroup: {first}}}}}}}",
        ),
        *_demands(
            "openshift-like", "openshift-like-users", pods,
            "unable to validate against any security context constraint: runAsUser is not in the namespace's range",
            f"(!({user}) || {inside % ('runAsUser', 'runAsUser')}) && "
            f"({every}).all(c, !has(c.securityContext) || !has(c.securityContext.runAsUser) || {own})",
            variables=variables,
        ),
        *_demands(
            "openshift-like", "openshift-like-groups", pods,
            "unable to validate against any security context constraint: fsGroup is not in the namespace's range",
            f"!({group}) || {inside % ('fsGroup', 'fsGroup')}",
            variables=variables,
        ),
    ]  # fmt: skip


def install(admin: Kube) -> None:
    """The admission policies; they hold a moment after they are there: see `await_policies`."""
    admin.apply(*policies())


def await_policies(kube: Kube, place: str) -> None:
    """Returns once the place's policies hold in this namespace."""
    probe = pod("probe", "none", ["x"])
    if place == "openshift-like":
        probe["spec"]["securityContext"] = {"runAsUser": 1}
    if place not in ("university", "openshift-like"):
        return

    def refused() -> bool:
        done = kube.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe), check=False)
        return "ValidatingAdmissionPolicy" in done.stderr

    until(refused, 30, f"the policies of {place} hold")
