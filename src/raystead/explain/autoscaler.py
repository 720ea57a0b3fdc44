"""An autoscaled cluster that does not grow: nobody makes workers, all are there, or none is large enough."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.groups import HEAD, worker
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View
from raystead.live.autoscaler import Obstacle, obstacles
from raystead.live.makers import unattended

__all__ = ["CAUSES", "find"]

UNATTENDED = Cause(
    "autoscaler-unattended",
    "Nobody makes the workers that Ray's autoscaler wants",
    "nothing scales: {why}",
    "the steward in the head has no right to make pods, for whoever ran up may not make a Role: it hands "
    "what the autoscaler wants to raystead autoscale, with the rights of whoever runs it",
    "raystead autoscale {name}\n"
    "raystead autoscale {name} --rbac      what an administrator applies, so that the steward acts itself",
    "The steward's ConfigMap says that a client acts, and holds no claim of one, or one that was not renewed "
    "for 30 s: twice what another client waits for, six times the pause between two renewals.",
)
MAXIMUM = Cause(
    "autoscaler-at-maximum",
    "Demand waits, and the groups that could take it have their most workers",
    "{demand} waits: {groups}",
    "Ray's autoscaler adds no worker above maxReplicas",
    "raystead scale {scale}      or wait until a worker is free",
    "The autoscaler's own list of pending demands (dashboard, `/api/cluster_status`), against the resources "
    "of the spec's groups: each group whose worker could take the bundle has maxReplicas workers.",
)
INFEASIBLE = Cause(
    "autoscaler-infeasible",
    "Demand waits that no worker could ever take",
    "{demand} waits, and no group's worker has {needed}",
    "Ray's autoscaler adds only workers that could take what waits, so it never will",
    "{up} -f FILE      with a group whose worker has {needed}; or ask for less",
    "The autoscaler's own list of pending demands (dashboard, `/api/cluster_status`), against the resources "
    "of the spec's groups, taken as Ray's autoscaler does: rayStartParams, else the Ray container's limits.",
    confidence="likely",
)
CAUSES = (UNATTENDED, INFEASIBLE, MAXIMUM)


def find(view: View) -> Iterator[Finding]:
    snapshot = view.snapshot
    head = view.group(HEAD)
    alone = unattended([group.maker for group in view.groups], view.now)
    if alone and head is not None and head.satisfied:
        seen = Sighting(
            None, f"the autoscaler of {snapshot.name}", [Evidence(alone, "the steward's ConfigMap")]
        )
        yield UNATTENDED.found(seen, why=alone, name=snapshot.name)
    if snapshot.autoscaler is None or snapshot.cluster is None:
        return
    told: set[tuple[str, str]] = set()
    for one in obstacles(snapshot.autoscaler, snapshot.cluster, view.groups):
        key = (one.kind, one.needed)
        if key not in told:
            told.add(key)
            yield _finding(view, one)


def _finding(view: View, one: Obstacle) -> Finding:
    subject = f"the autoscaler of {view.snapshot.name} ({one.needed})"
    seen = Sighting(None, subject, [Evidence(str(one.demand), "dashboard")])
    if one.kind == "infeasible":
        return INFEASIBLE.found(seen, demand=one.demand, needed=one.needed, up=view.up)
    groups = ", ".join(f"group {name} is at its maximum, {count}" for name, count in one.groups)
    name, count = one.groups[0]
    group = view.group(worker(name))
    scale = f"{name}={group.wanted.least if group else 0}..{count + one.demand.count}"
    return MAXIMUM.found(seen, demand=one.demand, groups=groups, scale=scale)
