"""All checks of one look, in the order in which people need them."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from raystead.base.groups import GroupId
from raystead.doctor import (
    admission,
    autoscaling,
    images,
    keeping,
    limits,
    network,
    nodes,
    quota,
    rights,
    state,
    taken,
    versions,
)
from raystead.doctor.model import Check, Observations
from raystead.doctor.rights import NeededRights
from raystead.live.makers import makers_of
from raystead.spec.model import Json

__all__ = ["judge", "standing_in_the_way"]


def judge(seen: Observations, held: NeededRights) -> tuple[Check, ...]:
    """What will go wrong with `up`, and what to know before it."""
    return (
        *versions.check(seen),
        *_terminating(seen),
        *rights.check(held if seen.facts.steward == "role" else autoscaling.without_roles(held)),
        *autoscaling.check(seen, held),
        *taken.check(seen),
        *quota.check(seen),
        *limits.check(seen),
        *nodes.check(seen),
        *admission.check(seen),
        *_later(seen),
        *keeping.check(seen),
        *network.check(seen),
        *state.check(seen),
        *images.check(seen),
    )


def standing_in_the_way(seen: Observations, changing: Collection[GroupId]) -> tuple[Check, ...]:
    """What `plan` and `up` say of the same checks: failures, what nodes make doubtful, and what groups will
    lack that have no pods yet.

    Args:
        changing: the groups whose pods are made anew or become more. What is wrong with the others is left
            to `doctor` and `explain`: they are not touched.
    """
    touched = replace(
        seen, objects=tuple(o for o in seen.objects if _group_of(o) is None or _group_of(o) in changing)
    )
    found = (
        *quota.check(seen),
        *limits.check(touched),
        *nodes.check(touched),
        *admission.check(touched),
        *network.check(seen),
        *state.check(seen),
        *images.check(touched),
    )
    blocking = (check for check in found if check.verdict == "fail" or check.name == "nodes")
    return (*blocking, *_later(touched))


def _later(seen: Observations) -> tuple[Check, ...]:
    """What groups that have no pods yet will lack."""
    return (*admission.later(seen), *state.later(seen))


def _group_of(item: Json) -> GroupId | None:
    return next((maker.id for maker in makers_of(item)), None)


def _terminating(seen: Observations) -> tuple[Check, ...]:
    if not ((seen.namespace or {}).get("metadata") or {}).get("deletionTimestamp"):
        return ()
    what = f"namespace {seen.facts.namespace} is being deleted: nothing new is accepted"
    return (Check("namespace", "fail", what, "deletionTimestamp is set", f"{seen.up} -n NAMESPACE"),)
