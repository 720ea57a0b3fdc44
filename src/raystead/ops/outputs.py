"""Which jobs' output goes with pods that a verb is about to end: Ray keeps it on the driver's node alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raystead.base import labels
from raystead.base.groups import REDIS, GroupId, group_of
from raystead.errors import RaysteadError
from raystead.kube.paths import collection
from raystead.live.makers import makers_of
from raystead.plan.make import key_of

if TYPE_CHECKING:
    from raystead.ops.planning import Prepared
    from raystead.rayapi.jobs import Job

__all__ = ["going_with", "words"]


def going_with(prepared: Prepared, jobs: Callable[[], list[Job]] | None = None) -> str | None:
    """ "the output of 3 finished jobs goes with these pods", or None; where Ray cannot be asked, None.

    Args:
        jobs: lists the cluster's jobs; by default Ray is asked.
    """
    from raystead.ops.drivers import ended_on

    groups = _ending(prepared)
    if not groups or prepared.anchor is None:
        return None
    try:
        found = {group: _addresses(prepared, group) for group in groups}
        all_jobs = (jobs or (lambda: _jobs(prepared)))()
    except RaysteadError:
        return None
    number = ended_on(all_jobs, {address for addresses in found.values() for address in addresses})
    if not number:
        return None
    # of a group that shrinks nobody knows yet which pods go
    certain = all(number_of_pods >= len(found[group]) for group, number_of_pods in groups.items())
    return words(number, "these pods", up_to=not certain)


def words(number: int, places: str, *, up_to: bool = False) -> str:
    """That the output of so many finished jobs goes with the places where it is."""
    some = f"{'up to ' if up_to else ''}{number} finished job{'s' if number > 1 else ''}"
    return f"the output of {some} goes with {places}, except what clients that followed them have kept"


def _ending(prepared: Prepared) -> dict[GroupId, int]:
    """Groups of Ray nodes with pods that end, and how many."""
    changes = {change.key: change for change in prepared.plan.mutating}
    out: dict[GroupId, int] = {}
    for item in prepared.objects:
        change = changes.get(key_of(item))
        for maker in makers_of(item):
            if change and maker.id != REDIS and (ends := change.stops + change.restarts):
                out[maker.id] = out.get(maker.id, 0) + ends
    return out


def _addresses(prepared: Prepared, group: GroupId) -> set[str]:
    selector = f"{labels.OURS}={prepared.cluster.name}"
    pods = prepared.api.list(collection(prepared.api.namespace, "Pod"), labels=selector)
    mine = [pod for pod in pods if group_of(pod["metadata"].get("labels") or {}) == group]
    return {ip for pod in mine if (ip := (pod.get("status") or {}).get("podIP"))}


def _jobs(prepared: Prepared) -> list[Job]:
    from raystead.ops import secrets
    from raystead.ops.ray import head_forward
    from raystead.rayapi.jobs import JobClient

    api, anchor = prepared.api, prepared.anchor
    assert anchor is not None
    token = secrets.token_for(api, anchor)
    with head_forward(api, anchor) as forward, JobClient(forward.url, token, timeout=5, tries=1) as client:
        return client.list()
