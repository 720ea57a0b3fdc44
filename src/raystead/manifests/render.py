"""From spec and facts to the list of Kubernetes objects, in the order in which they can be applied."""

from __future__ import annotations

import copy
import shlex

from raystead.manifests.autoscaling import autoscales, steward_config, steward_rights
from raystead.manifests.context import TOKEN_KEY, Context
from raystead.manifests.deployments import head_deployment, worker_deployments
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.manifests.keepers import idle_objects
from raystead.manifests.policies import policies, selected_policies
from raystead.manifests.redis import redis_objects
from raystead.manifests.services import services
from raystead.manifests.storage import PASSWORD_KEY, gcs_claim, inline_password, storage_kind
from raystead.spec.documents import RayDocument
from raystead.spec.model import Json, RayCluster

__all__ = ["manifests", "secret_commands"]

# 48 random bytes as letters and digits: safe in a URL, a shell and redis.conf
_RANDOM = "head -c 48 /dev/urandom | base64 | tr -d '/+=\\n'"


def manifests(document: RayDocument, facts: Facts, choices: Choices = NO_CHOICES) -> list[Json]:
    """The objects of a RayCluster (policies, storage, Services, Deployments), of a RayJob or of a RayCronJob.

    Nothing of it is secret.
    """
    ctx = Context(document.cluster, facts, choices)
    if document.kind == "RayCronJob":
        found = [*policies(ctx), *_of_ticks(document, ctx)]
    else:
        of_job = document.kind == "RayJob"
        found = _with_job(document, ctx) if of_job else idle_objects(ctx, _of_cluster(ctx))
    # own copies: nobody who changes an object changes the spec or another object
    return [copy.deepcopy(item) for item in found]


def _of_cluster(ctx: Context) -> list[Json]:
    claim = gcs_claim(ctx)
    return [
        *policies(ctx),
        *redis_objects(ctx),
        *([claim] if claim else []),
        *services(ctx),
        *_autoscaling(ctx),
        head_deployment(ctx),
        *worker_deployments(ctx),
    ]


def _with_job(document: RayDocument, ctx: Context) -> list[Json]:
    """Imported when there is one: most verbs are about clusters without a job, and are to be quick."""
    from raystead.manifests.rayjob import job_objects
    from raystead.spec.rayjob import RayJob

    assert isinstance(document, RayJob)
    return job_objects(document, ctx, selected_policies(ctx) if document.selected else _of_cluster(ctx))


def _of_ticks(document: RayDocument, ctx: Context) -> list[Json]:
    from raystead.manifests.raycron import cron_objects
    from raystead.spec.rayjob import RayCronJob

    assert isinstance(document, RayCronJob)
    return cron_objects(document, ctx)


def _autoscaling(ctx: Context) -> list[Json]:
    """What the steward needs beside the head's pod; the rights where nobody has given them already."""
    if not autoscales(ctx.cluster):
        return []
    return [*(steward_rights(ctx) if ctx.facts.steward == "role" else ()), steward_config(ctx)]


def secret_commands(cluster: RayCluster, facts: Facts) -> list[str]:
    """kubectl commands that make the Secrets which the objects name and we would make at `up`.

    No value stands in a command line: each is read from a pipe.
    """
    ctx = Context(cluster, facts)
    out: list[str] = []
    auth = cluster.spec.auth
    if ctx.token and not (auth and auth.secret_name) and not facts.token_secret:
        out.append(_command(ctx, _RANDOM, ctx.token_secret, TOKEN_KEY))
    name = facts.redis_secret or ctx.names.redis_secret
    kind = storage_kind(cluster)
    if facts.redis_secret or kind not in ("redis", "external"):
        return out
    if kind == "redis":
        out.append(_command(ctx, _RANDOM, name, PASSWORD_KEY))
    elif inline_password(cluster):
        source = 'read -rs -p "Redis password: " p && printf %s "$p"'
        out.append(_command(ctx, f"{{ {source}; }}", name, PASSWORD_KEY))
    return out


def _command(ctx: Context, source: str, secret: str, key: str) -> str:
    namespace = f" --namespace {shlex.quote(ctx.namespace)}" if ctx.namespace else ""
    make = f"kubectl create secret generic {shlex.quote(secret)}{namespace}"
    return f"{source} | {make} --from-file={key}=/dev/stdin"
