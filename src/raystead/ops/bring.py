"""How every verb brings a cluster about: refuse, let idle workers go first, apply, wait, say who went.

`planning.prepare` comes first, a step of its own, because a command line shows the plan and asks in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raystead.kube.api import Api
from raystead.ops import changes
from raystead.ops.anchor import Anchor
from raystead.ops.changes import Went
from raystead.ops.events import Done, Event, Planned
from raystead.ops.keepers import in_use
from raystead.ops.planning import Prepared
from raystead.ops.up import apply
from raystead.ops.wait import TIMEOUT, wait

__all__ = ["Brought", "awaited", "bring"]

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Brought:
    """What `bring` has done.

    Attributes:
        anchor: the cluster as it was applied.
        done: how the wait ended; None where nobody waited.
        went: workers that ended because their groups shrank, known after a wait.
    """

    anchor: Anchor
    done: Done | None = None
    went: tuple[Went, ...] = ()


def bring(
    prepared: Prepared,
    emit: Emit,
    *,
    waits: bool = True,
    timeout: float = TIMEOUT,
    applied: Callable[[Anchor], None] | None = None,
    up: str = "",
) -> Brought:
    """Makes the cluster what was planned, and waits until it is ready.

    Args:
        waits: False returns as soon as everything is applied; for a RayCronJob there is nothing to wait for.
        timeout: seconds to wait.
        applied: called between the apply and the wait.
        up: the words that bring this spec up, for advice; "" where they are not known.

    Raises:
        Conflict: the plan has problems; nothing was changed.
        Busy: another raystead changed the cluster in the meantime.
        NotReady: it is not ready within `timeout`.
        ApiError: the server refuses something that its dry-run did not.
    """
    prepared.refuse_problems()
    emit(Planned(prepared.plan))
    api, name = prepared.api, prepared.cluster.name
    shrinks = waits and bool(changes.shrinking(prepared))
    before = changes.workers_of(api, name) if shrinks else []
    idle = changes.prefer_idle(prepared, emit)
    anchor = apply(prepared, emit)
    if applied is not None:
        applied(anchor)
    if not waits or anchor.kept.get("kind") == "RayCronJob":
        return Brought(anchor)
    done = awaited(api, anchor, emit, timeout=timeout, up=up)
    went = changes.went(before, changes.workers_of(api, name), idle) if shrinks else []
    return Brought(anchor, done, tuple(went))


def awaited(api: Api, anchor: Anchor, emit: Emit, *, timeout: float = TIMEOUT, up: str = "") -> Done:
    """Waits until the cluster is ready; that of a RayJob until its job has begun, for it may end before.

    Raises:
        NotReady, Busy: as `wait`.
    """

    def begun() -> bool:
        from raystead.ops.rayjobs import state

        return state(api, anchor.name).submitted

    of_a_job = anchor.kept.get("kind") == "RayJob"
    with in_use(api, anchor):  # a long start is no idleness
        return wait(api, anchor, timeout=timeout, emit=emit, until=begun if of_a_job else None, up=up)
