"""Which jobs' output goes with pods that a verb is about to end: Ray keeps it on the driver's node alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raystead.base import labels, names
from raystead.errors import RaysteadError
from raystead.kube.paths import collection

if TYPE_CHECKING:
    from raystead.ops.planning import Prepared
    from raystead.rayapi.jobs import Job

__all__ = ["going_with"]


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
    some = f"{'' if certain else 'up to '}{number} finished job{'s' if number > 1 else ''}"
    return f"the output of {some} goes with these pods, but for what clients kept that followed them"


def _ending(prepared: Prepared) -> dict[str, int]:
    """Groups of Ray nodes with pods that end, `headgroup` among them, and how many."""
    cluster = prepared.cluster
    name = names.Names(cluster.name, cluster.annotations.get(names.NAMES_ANNOTATION) == names.GUIDE)
    groups = {name.worker(group.name, index): group.name for index, group in enumerate(cluster.spec.workers)}
    groups[name.head] = labels.HEAD_GROUP
    return {
        groups[change.name]: change.stops + change.restarts
        for change in prepared.plan.mutating
        if change.kind == "Deployment" and change.name in groups and change.stops + change.restarts
    }


def _addresses(prepared: Prepared, group: str) -> set[str]:
    selector = f"{labels.OURS}={prepared.cluster.name},{labels.GROUP}={group}"
    pods = prepared.api.list(collection(prepared.api.namespace, "Pod"), labels=selector)
    return {ip for pod in pods if (ip := (pod.get("status") or {}).get("podIP"))}


def _jobs(prepared: Prepared) -> list[Job]:
    from raystead.ops import secrets
    from raystead.ops.ray import head_forward
    from raystead.rayapi.jobs import JobClient

    api, anchor = prepared.api, prepared.anchor
    assert anchor is not None
    token = secrets.token_for(api, anchor)
    with head_forward(api, anchor) as forward, JobClient(forward.url, token, timeout=5, tries=1) as client:
        return client.list()
