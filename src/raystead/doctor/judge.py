"""All checks of one look, in the order in which people need them."""

from __future__ import annotations

from raystead.doctor import admission, images, limits, network, quota, rights, state, taken, versions
from raystead.doctor.model import Check, Seen
from raystead.doctor.rights import Rights

__all__ = ["judge"]


def judge(seen: Seen, held: Rights) -> tuple[Check, ...]:
    """What will go wrong with `up`, and what to know before it."""
    return (
        *versions.check(seen),
        *_terminating(seen),
        *rights.check(held),
        *taken.check(seen),
        *quota.check(seen),
        *limits.check(seen),
        *admission.check(seen),
        *network.check(seen),
        *state.check(seen),
        *images.check(seen),
    )


def _terminating(seen: Seen) -> tuple[Check, ...]:
    if not ((seen.namespace or {}).get("metadata") or {}).get("deletionTimestamp"):
        return ()
    what = f"namespace {seen.facts.namespace} is being deleted: nothing new is accepted"
    return (Check("namespace", "fail", what, "deletionTimestamp is set", f"{seen.up} -n NAMESPACE"),)
