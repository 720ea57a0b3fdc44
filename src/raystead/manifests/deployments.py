"""Deployments: one for the head, one for each fixed worker group."""

from __future__ import annotations

from raystead.base import labels
from raystead.base.groups import HEAD, GroupId, worker
from raystead.manifests.autoscaling import autoscales, with_steward
from raystead.manifests.context import RESTARTED, Context
from raystead.manifests.pods import head_template, worker_template
from raystead.spec.model import Json, WorkerGroup

__all__ = ["head_deployment", "worker_deployments"]

PROGRESS_SECONDS = 900  # as long as `up` waits
_HISTORY = 2


def head_deployment(ctx: Context) -> Json:
    """One head; never two at once, they would share one GCS storage."""
    selector = labels.selector(ctx.cluster.name, None, guide=ctx.guide)
    template = _stamped(ctx, HEAD, head_template(ctx))
    if autoscales(ctx.cluster):
        template = with_steward(ctx, template)
    strategy: Json = {"type": "Recreate"}
    return _deployment(ctx, ctx.names.head, selector, 0 if ctx.suspended else 1, strategy, template)


def worker_deployments(ctx: Context) -> list[Json]:
    out: list[Json] = []
    if autoscales(ctx.cluster):
        return out  # the steward makes their pods
    for index, group in enumerate(ctx.cluster.spec.workers):
        out.append(_worker(ctx, group, index))
    return out


def _worker(ctx: Context, group: WorkerGroup, index: int) -> Json:
    selector = labels.selector(ctx.cluster.name, group.name, guide=ctx.guide, index=index)
    # no surge: a quota that fits the cluster exactly must let it be updated
    # and a restart on request takes one after the other
    at_once = 1 if str(worker(group.name)) in ctx.choices.restarted else "25%"
    strategy: Json = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": at_once}}
    name = ctx.names.worker(group.name, index)
    replicas = 0 if ctx.suspended else group.wanted
    template = _stamped(ctx, worker(group.name), worker_template(ctx, group))
    return _deployment(ctx, name, selector, replicas, strategy, template)


def _stamped(ctx: Context, group: GroupId, template: Json) -> Json:
    """The template with the time of the last restart on request: another time, other pods."""
    when = ctx.choices.restarted.get(str(group))
    if when is None:
        return template
    metadata = template["metadata"]
    annotations = {**(metadata.get("annotations") or {}), RESTARTED: when}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def _deployment(
    ctx: Context, name: str, selector: dict[str, str], replicas: int, strategy: Json, template: Json
) -> Json:
    spec: Json = {
        "replicas": replicas,
        "revisionHistoryLimit": _HISTORY,
        "progressDeadlineSeconds": PROGRESS_SECONDS,
        "selector": {"matchLabels": selector},
        "strategy": strategy,
        "template": template,
    }
    metadata = ctx.metadata(name, selector)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
