"""The first step of `bring`: a plan with all that forbids it. Apart, for `plan` imports no watching."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from raystead.base.groups import GroupId
from raystead.kube.api import Api
from raystead.ops.anchor import Anchor
from raystead.ops.planning import Prepared, prepare
from raystead.ops.specs import Desired

__all__ = ["CHECKS", "Check", "planned"]

Check = Callable[[Prepared], Iterable[str]]  # sentences that forbid the change; none where all is well
# What is checked before every change, beside what the server's dry-run refuses.
CHECKS: tuple[Check, ...] = ()


def planned(
    api: Api,
    asked: Desired,
    anchor: Anchor | None,
    *,
    policies: str | None = None,
    force: bool = False,
    restart: Mapping[GroupId, str] | None = None,
    reveal: bool = False,
    checks: Sequence[Check] | None = None,
) -> Prepared:
    """What a change would do, with all that forbids it among the plan's problems; nothing is changed.

    Args:
        checks: asked only where something would change; default: `CHECKS`.

    Raises:
        As `prepare`, whose arguments the others are.
    """
    prepared = prepare(api, asked, anchor, policies=policies, force=force, restart=restart, reveal=reveal)
    if not prepared.mutates:
        return prepared
    found = [text for check in (CHECKS if checks is None else checks) for text in check(prepared)]
    if not found:
        return prepared
    plan = replace(prepared.plan, problems=tuple(dict.fromkeys((*prepared.plan.problems, *found))))
    return replace(prepared, plan=plan)
