"""A cluster for one job: up, whatever the caller does, down; and a lease, should its process be killed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from raystead.base.ownership import owners_of
from raystead.errors import ClusterExists, ClusterNotFound, UsageError
from raystead.kube.api import Api
from raystead.ops.anchor import Anchor
from raystead.ops.bring import bring
from raystead.ops.down import Downed, down, found
from raystead.ops.events import Event, Note
from raystead.ops.lease import Lease
from raystead.ops.planning import Prepared, existing, prepare
from raystead.ops.specs import Desired
from raystead.ops.wait import TIMEOUT
from raystead.spec.flags import Flags, build
from raystead.spec.idle import NEVER, idle_end

__all__ = ["LEAST_LEASE", "named", "temporary"]

LEAST_LEASE = 60  # seconds; a shorter lease is lost in a restart of the API server
_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"  # no vowels: no words
_STEM = 40  # characters of the file's own name that a run's name begins with

Emit = Callable[[Event], None]


def named(text: str | None, filename: str) -> str:
    """A new name for the cluster of one run: the file's own name, or "run", and a random word."""
    return f"{_stem(text, filename)}-{''.join(secrets.choice(_ALPHABET) for _ in range(5))}"


def _stem(text: str | None, filename: str) -> str:
    """The name in the file, or what it is to be generated from; it is checked later."""
    from raystead.spec.load import unpacked
    from raystead.spec.yamlio import read

    for document in (item for whole in read(text or "", filename)[0] for item in unpacked(whole)):
        metadata = document.value.get("metadata") if isinstance(document.value, dict) else None
        if isinstance(metadata, dict) and document.value.get("kind") == "RayCluster":
            name = str(metadata.get("name") or metadata.get("generateName") or "run")
            return name[:_STEM].rstrip("-")
    return "run"


@contextmanager
def temporary(
    api: Api,
    asked: Desired,
    *,
    lease: int,
    view: Callable[[], AbstractContextManager[Emit]],
    note: Callable[[Note], None],
    downed: Callable[[Downed], None],
    check: Callable[[Prepared], None],
    policies: str | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[Anchor]:
    """A ready cluster that is deleted at the end of the block, however that ends.

    Args:
        lease: seconds after which the cluster deletes itself when this process is killed.
        view: opened around each wait; gives what takes that wait's events.
        note: takes a `Note` between the waits.
        downed: gets what was deleted, and what remains.
        check: raises where the cluster would not be whole, before anything is made.
        timeout: seconds to wait for it to be ready.

    Raises:
        ClusterExists: there is a cluster of that name.
        UsageError: the file brings documents that would be left behind.
        NotReady, and what `prepare` and `apply` raise.
    """
    asked = _without_idle_end(asked, note)
    cluster = asked.cluster
    _refuse(api, asked)
    prepared = prepare(api, asked, None, policies=policies)
    prepared.refuse_problems()
    check(prepared)
    with Lease(api, cluster, lease, note) as held:
        made: list[Anchor] = []

        def applied(anchor: Anchor) -> None:
            made.append(anchor)
            held.follow(anchor)

        try:
            with view() as emit:
                leased = replace(prepared, owners=(held.reference,))
                bring(leased, emit, timeout=timeout, applied=applied)
            yield made[0]
        except KeyboardInterrupt:
            api.hurry()  # in an outage the lease deletes what we cannot
            raise
        finally:
            uid = made[0].uid if made else _written(api, cluster.name, held)
            # not there: it never came to be, or somebody was faster
            with suppress(ClusterNotFound), view() as emit:
                if uid is not None:
                    downed(down(api, found(api, cluster.name, uid=uid), keep_data=False, emit=emit))


def _without_idle_end(asked: Desired, note: Callable[[Note], None]) -> Desired:
    """The lease owns the anchor of a run: it has no second end."""
    if idle_end(asked.cluster) is None:
        return asked
    note(Note("the idle timeout has no effect: the cluster ends with this command"))
    return replace(asked, document=build(Flags(idle=NEVER), asked.cluster))


def _written(api: Api, name: str, held: Lease) -> str | None:
    """The uid of the anchor that an `apply` wrote before it failed: it belongs to this run's lease."""
    there = existing(api, name)
    return there.uid if there and held.reference["uid"] in owners_of(there.raw) else None


def _refuse(api: Api, asked: Desired) -> None:
    name = asked.cluster.name
    if existing(api, name) is not None:
        raise ClusterExists(
            f'there is a cluster "{name}" in namespace {api.namespace} already',
            evidence="raystead run makes one of its own and deletes it afterwards",
            remedy=f"raystead submit --name {name}, or another --name",
        )
    if asked.foreign:
        named = ", ".join(f"{item['kind']}/{item['metadata']['name']}" for item in asked.foreign)
        raise UsageError(
            f"the file brings {named}, which raystead run would leave behind",
            remedy="kubectl apply them yourself, and give run the RayCluster alone",
        )
