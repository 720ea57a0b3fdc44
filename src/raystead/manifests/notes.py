"""What the user should know of what is rendered: what is off, missing, open, or has no effect here."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.rayversions import dotted
from raystead.base.times import span
from raystead.manifests import doors, queues
from raystead.manifests.context import Context, image_version, stated_version
from raystead.manifests.facts import Facts
from raystead.manifests.policies import added_to_the_files_rules
from raystead.manifests.sizes import missing
from raystead.manifests.storage import storage_kind
from raystead.spec.idle import idle_end
from raystead.spec.model import RayCluster

__all__ = ["notes", "version_note"]


def notes(cluster: RayCluster, facts: Facts) -> list[str]:
    """A line each, for render, plan and up."""
    ctx = Context(cluster, facts)
    return [
        *version_note(cluster),
        *_token(ctx),
        *doors.notes(ctx),
        *added_to_the_files_rules(ctx),
        *queues.notes(ctx),
        *_sizes(ctx),
        *_idle(ctx),
    ]


def version_note(cluster: RayCluster) -> Iterator[str]:
    """One line where `rayVersion` is not the version of the head's image."""
    stated, image = stated_version(cluster), image_version(cluster)
    if stated and image and stated != image:
        yield (
            f"rayVersion is {cluster.spec.ray_version} and the head's image is Ray {dotted(image)}: "
            "the image counts"
        )


def _token(ctx: Context) -> Iterator[str]:
    if ctx.no_token:
        yield f"no token: {ctx.no_token}. Whoever reaches the dashboard or the client port runs code there"


def _sizes(ctx: Context) -> Iterator[str]:
    """Groups whose Ray takes what the node has, in one line."""
    found = []
    for name, group in (("head", ctx.cluster.spec.head), *((g.name, g) for g in ctx.cluster.spec.workers)):
        lacking = [what for what in missing(group.template.ray_container) if what.endswith("limit")]
        lacking = [what for what in lacking if _demand(what) not in ctx.facts.needed_sizes]
        if lacking:
            found.append(f"{name} ({', '.join(lacking)})")
    if found:
        yield f"no limits are given, so Ray may take what its node has: {', '.join(found)}"


def _idle(ctx: Context) -> Iterator[str]:
    """When the cluster ends by itself, and what stays then."""
    end = idle_end(ctx.cluster)
    if end is None:
        return
    kind = storage_kind(ctx.cluster)
    lost = "" if end.keeps_data else "nothing of it stays"
    if end.keeps_data:
        on_volume = ctx.facts.has_default_storage or ctx.facts.storage_class is not None
        kept = kind in ("external", "rocksdb") or (kind == "redis" and on_volume)
        state = (
            "its spec and its state stay" if kept else "its spec stays, its state is kept nowhere and goes"
        )
        lost = f"{state}; the next raystead up brings it back"
    elif kind == "external":
        lost = "its keys in the Redis that is not its own stay"
    yield f"the cluster ends by itself after {span(end.seconds)} without a job, a client or an actor: {lost}"


def _demand(what: str) -> str:
    key, _, side = what.lower().partition(" ")
    return f"{side}s.{key}"
