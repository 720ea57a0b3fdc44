"""The rights that one spec needs, which of them are there, and the Role to ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from raystead.base.kinds import ROWS, made_by
from raystead.doctor.model import Check
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.spec.model import Json, RayCluster

__all__ = ["NeededRights", "Right", "check", "needed", "role"]


class Right(Struct, frozen=True):
    """Verbs on one resource, and what cannot be done without them; `must` False: the cluster runs without."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    must: bool = True

    @property
    def name(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


_OF_PODS = (
    Right("", "pods/log", ("get",), "logs and explanations"),
    # newer API servers ask for create where older ones ask for get
    Right("", "pods/portforward", ("get", "create"), "submit, status of Ray's nodes, dashboard"),
    Right(
        "", "pods/exec", ("get", "create"), "commands in a pod, and choosing idle workers to end", must=False
    ),
)


class NeededRights(Struct, frozen=True):
    """The needed rights: all, with the verbs that are lacking, and those that nobody could tell."""

    needed: tuple[Right, ...]
    lacking: dict[Right, tuple[str, ...]] = field(default_factory=dict)
    unknown: dict[Right, tuple[str, ...]] = field(default_factory=dict)
    user: str | None = None


def needed(cluster: RayCluster) -> tuple[Right, ...]:
    """For this spec, from `up` to `down`; nothing outside the namespace."""
    made = made_by(manifests(cluster, Facts()))
    out = []
    for row in ROWS:
        verbs = row.verbs if row.idle_verbs is None or row.name in made else row.idle_verbs
        if verbs:
            out.append(Right(row.group, row.plural, verbs, row.purpose, row.must))
        if row.name == "Pod":
            out += _OF_PODS
    return tuple(out)


def check(rights: NeededRights) -> Iterator[Check]:
    """One line when all are there, else one for each resource on which some are missing."""
    for right, verbs in rights.lacking.items():
        what = f"you may not {_and(verbs)} {right.name}: needed for {right.purpose}"
        remedy = "raystead doctor --rbac prints the Role to ask for"
        yield Check("rights", "fail" if right.must else "warn", what, "SelfSubjectRulesReview", remedy)
    for right, verbs in rights.unknown.items():
        command = f"kubectl auth can-i {verbs[0]} {right.name}"
        what = f"whether you may {_and(verbs)} {right.name} is not known ({right.purpose})"
        yield Check(
            "rights", "unknown", what, "an authorizer of this cluster does not list its rules", command
        )
    if not rights.lacking and not rights.unknown:
        yield Check("rights", "ok", f"all {len(rights.needed)} that this cluster needs")


def role(rights: NeededRights, namespace: str) -> list[Json]:
    """Role and RoleBinding with exactly what the spec needs, for an administrator to apply."""
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for right in rights.needed:
        rules.setdefault((right.group, right.verbs), []).append(right.resource)
    metadata = {"name": "raystead", "namespace": namespace}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": dict(metadata),
            "rules": [
                {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
                for (group, verbs), resources in rules.items()
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "raystead"},
            "subjects": [_subject(rights.user)],
        },
    ]


def _subject(user: str | None) -> Json:
    parts = (user or "").split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return {"kind": "ServiceAccount", "namespace": parts[2], "name": parts[3]}
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user or "YOUR-USER-NAME"}


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
