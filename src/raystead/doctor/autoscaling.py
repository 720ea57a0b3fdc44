"""Who will make the workers of an autoscaled cluster, with the rights that this user has."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from raystead.base import kinds
from raystead.doctor.model import Check, Observations
from raystead.doctor.rights import NeededRights
from raystead.manifests.autoscaling import autoscales, steward_name

__all__ = ["check", "without_roles"]

_OF_A_ROLE = {row.plural for row in kinds.ROWS if row.name in ("Role", "RoleBinding", "ServiceAccount")}


def check(seen: Observations, held: NeededRights) -> Iterator[Check]:
    """One line where the cluster is autoscaled."""
    if not autoscales(seen.cluster):
        return
    name, rung = seen.cluster.name, seen.facts.steward
    if rung == "role":
        yield Check("autoscaling", "ok", "a steward in the head makes the workers, with a Role that up makes")
    elif rung == "account":
        account = seen.cluster.spec.head.template.spec.get("serviceAccountName") or steward_name(name)
        what = f"a steward in the head makes the workers, with the rights of ServiceAccount {account}"
        yield Check("autoscaling", "ok", what)
    elif seen.exists and not any(right.resource in _OF_A_ROLE for right in (*held.lacking, *held.unknown)):
        yield Check(
            "autoscaling",
            "warn",
            f"workers are made only while raystead autoscale {name} runs: whoever made the cluster had no "
            "rights to give, and you have",
            remedy=f"raystead up --name {name} --autoscale gives them to the steward; the head restarts once",
        )
    else:
        yield Check(
            "autoscaling",
            "warn",
            f"workers are made only while raystead autoscale {name} runs: you may not make a Role",
            "create on roles, rolebindings and serviceaccounts is not among your rights",
            f"raystead autoscale {name} --rbac prints what to ask an administrator for",
        )


def without_roles(held: NeededRights) -> NeededRights:
    """The rights, without those that only a steward with a Role of its own needs."""
    return replace(
        held,
        lacking={right: verbs for right, verbs in held.lacking.items() if right.resource not in _OF_A_ROLE},
        unknown={right: verbs for right, verbs in held.unknown.items() if right.resource not in _OF_A_ROLE},
    )
