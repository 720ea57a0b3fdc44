"""A RayJob on a cluster that is there already: which one, and what its submitter has to know of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raystead.base.names import check_name
from raystead.errors import ClusterNotFound
from raystead.kube.api import Api
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.policies import head_behind_policy
from raystead.manifests.start import start_params
from raystead.ops.anchor import decoded
from raystead.ops.clusters import undecoded
from raystead.spec.builtin import builtin
from raystead.spec.documents import RayDocument
from raystead.spec.rayjob import RayJob

__all__ = ["attached", "guessed"]


def attached(api: Api, document: RayDocument) -> tuple[RayDocument, dict[str, Any], list[str]]:
    """A RayJob with the head of the cluster that it selects, the facts of that, and notes on it.

    Others stay as they are.

    Raises:
        ClusterNotFound: there is no such cluster in the namespace.
    """
    if not isinstance(document, RayJob) or not document.selected:
        return document, {}, []
    job = document
    there = undecoded(api)
    if job.selected not in there or job.selected == job.name:
        known = ", ".join(name for name in there if name != job.name) or "none"
        raise ClusterNotFound(
            f'RayJob {job.name} is to run on the cluster "{job.selected}", which does not exist',
            evidence=f"clusters of namespace {api.namespace}: {known}",
            remedy=f"raystead up --name {job.selected}, or another ray.io/cluster in clusterSelector",
        )
    anchor = decoded(there[job.selected])
    ctx = Context(anchor.cluster, anchor.with_facts(), anchor.choices)
    port = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)["dashboard-port"]
    selected = {
        "name": anchor.name,
        "address": f"http://{ctx.head_host}:{port}",
        "port": port,
        "head": head_behind_policy(ctx),
    }
    found = {"selected": selected, "token_secret": ctx.token_secret}
    resume = f"`raystead resume --name {anchor.name}`"
    rests = (
        [f"the cluster {anchor.name} is suspended: the job waits for {resume}"] if anchor.suspended else []
    )
    return job.on(anchor.cluster), found, rests


def guessed(document: RayDocument, facts: Facts) -> tuple[RayDocument, Facts, str]:
    """The same without a look at the cluster, for `render`; and a sentence that says so, "" for others."""
    if not isinstance(document, RayJob) or not document.selected:
        return document, facts, ""
    facts = replace(facts, token_secret=facts.token_secret or check_name(document.selected))
    what = f"image and token are guessed: only raystead up sees the cluster {document.selected}"
    return document.on(builtin()), facts, what
