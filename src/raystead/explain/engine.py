"""A snapshot in, ranked findings out: one per problem, causes without their symptoms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from raystead.base.groups import GroupId
from raystead.explain import (
    admission,
    autoscaler,
    crashes,
    images,
    nodes,
    raylogs,
    raystate,
    scheduling,
    storage,
    template,
    waiting,
    whole,
)
from raystead.explain.admission import TERMINATING
from raystead.explain.cause import Cause
from raystead.explain.model import Finding, LogKey, Snapshot
from raystead.explain.view import View

__all__ = ["CAUSES", "explain", "kept", "needed_accounts", "needed_logs"]

# In the order in which a pod comes to life: what stops it early explains what is missing later.
_FAMILIES = (
    whole,
    admission,
    template,
    nodes,
    storage,
    scheduling,
    images,
    crashes,
    raystate,
    waiting,
    autoscaler,
)
CAUSES: dict[str, Cause] = {
    cause.slug: cause
    for family in (
        admission,
        template,
        scheduling,
        storage,
        images,
        crashes,
        raylogs,
        waiting,
        raystate,
        nodes,
        autoscaler,
        whole,
    )
    for cause in family.CAUSES
}
_VAGUE = {raylogs.START_TIMEOUT.slug, waiting.SLOW.slug, waiting.HUNG.slug, whole.UNEXPLAINED.slug}
_FROM_RUNS = {c.slug for family in (crashes, raylogs) for c in family.CAUSES if c not in raylogs.WAITS}
_SURE = {"sure": 0, "likely": 1, "unknown": 2}


def explain(snapshot: Snapshot) -> tuple[Finding, ...]:
    """What keeps the cluster from being Ready, most fundamental first; () for a healthy or starting one."""
    view = View(snapshot)
    if view.context is not None and view.context.suspended:
        return ()
    found = [finding for family in _FAMILIES for finding in family.find(view)]
    found = [f for f in found if f.cause == TERMINATING.slug][:1] or found
    merged = _merged(_one_each(found))
    known = {f.group for f in merged}
    merged += whole.unexplained(view, known)
    return tuple(view.with_file(finding) for finding in _ranked(view, _causes(view, merged)))


def needed_accounts(snapshot: Snapshot) -> tuple[str, ...]:
    """ServiceAccounts whose presence would decide."""
    return admission.wanted_accounts(View(snapshot))


def kept(before: Iterable[Finding], found: Iterable[Finding], snapshot: Snapshot) -> tuple[Finding, ...]:
    """What was found, with a cause that was known a moment ago in place of one that only says "slow".

    A container that is started anew has no log for a while; why its pod is not ready is known all the same.
    """
    view, found = View(snapshot), tuple(found)
    late = {pod.subject for g in view.groups for pod in g.live if not pod.ready}
    telling = {f.group for f in found if f.cause not in _VAGUE}
    old = [f for f in before if f.cause in _FROM_RUNS and f.subject in late and f.group not in telling]
    replaced = {f.group for f in old}
    return tuple(_ranked(view, [*old, *(f for f in found if f.group not in replaced)]))


def needed_logs(snapshot: Snapshot) -> tuple[LogKey, ...]:
    """The logs that would decide, a few: (pod, container, of its previous run)."""
    view = View(snapshot)
    return tuple(dict.fromkeys([*crashes.needed(view), *waiting.needed(view)]))


def _one_each(found: Iterable[Finding]) -> list[Finding]:
    """A subject's first finding: later families see what follows from it. The cluster may have several."""
    out: dict[tuple[str, GroupId | None], Finding] = {}
    for finding in found:
        key = (finding.subject if finding.group else f"{finding.subject} {finding.cause}", finding.group)
        out.setdefault(key, finding)
    return list(out.values())


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """The same cause in several pods of a group is one finding that counts them."""
    out: dict[tuple[str, GroupId | None], Finding] = {}
    for finding in found:
        key = (finding.cause, finding.group)
        first = out.get(key)
        if first is None:
            out[key] = finding
            continue
        times = [t for t in (first.since, finding.since) if t]
        out[key] = replace(first, pods=first.pods + finding.pods, since=min(times) if times else None)
    return list(out.values())


def _causes(view: View, found: list[Finding]) -> list[Finding]:
    """Without symptoms of trouble in a group that theirs depends on."""
    hurt = {f.group for f in found if not CAUSES[f.cause].symptom}
    hurt |= {f.group for f in found if CAUSES[f.cause].symptom and not _follows(view, f, hurt)}
    return [f for f in found if not (CAUSES[f.cause].symptom and _follows(view, f, hurt - {f.group}))]


def _follows(view: View, finding: Finding, hurt: set[GroupId | None]) -> bool:
    return finding.group is not None and any(g.id in hurt for g in view.before(finding.group))


def _ranked(view: View, found: list[Finding]) -> list[Finding]:
    """The whole cluster, Redis, the head, workers; in each the sure before the likely, then the many."""
    order: dict[GroupId | None, int] = {g.id: i for i, g in enumerate(view.groups, 1)}
    return sorted(found, key=lambda f: (order.get(f.group, 0), _SURE[f.confidence], -f.pods))
