"""A cluster for one job: up, whatever the caller does, down; and a lease, should he be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from raystead.base.ownership import owners_of
from raystead.errors import ClusterExists, ClusterNotFound, UsageError
from raystead.kube.api import Api
from raystead.ops.anchor import Anchor
from raystead.ops.down import Downed, down, found
from raystead.ops.events import Event, Planned
from raystead.ops.lease import Lease
from raystead.ops.planning import existing, prepare
from raystead.ops.specs import Desired
from raystead.ops.up import TIMEOUT, apply, wait

__all__ = ["temporary"]


Emit = Callable[[Event], None]


@contextmanager
def temporary(
    api: Api,
    asked: Desired,
    *,
    lease: int,
    view: Callable[[], AbstractContextManager[Emit]],
    note: Emit,
    downed: Callable[[Downed], None],
    policies: str | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[Anchor]:
    """A ready cluster that is deleted at the end of the block, however that ends.

    Args:
        lease: seconds after which the cluster deletes itself when this process is killed.
        view: opened around each wait; gives what takes that wait's events.
        note: takes a `Note` between the waits.
        downed: gets what was deleted, and what remains.
        timeout: seconds to wait for it to be ready.

    Raises:
        ClusterExists: there is a cluster of that name.
        UsageError: the file brings documents that would be left behind.
        NotReady, and what `prepare` and `apply` raise.
    """
    cluster = asked.cluster
    _refuse(api, asked)
    prepared = prepare(api, asked, None, policies=policies)
    prepared.refuse_problems()
    with Lease(api, cluster, lease, note) as held:
        anchor: Anchor | None = None
        try:
            with view() as emit:
                emit(Planned(prepared.plan))
                anchor = apply(replace(prepared, owners=(held.reference,)), emit)
                held.follow(anchor)
                wait(api, anchor, timeout=timeout, emit=emit)
            yield anchor
        except KeyboardInterrupt:
            api.hurry()  # in an outage the lease deletes what we cannot
            raise
        finally:
            uid = anchor.uid if anchor else _written(api, cluster.name, held)
            # not there: it never came to be, or somebody was faster
            with suppress(ClusterNotFound), view() as emit:
                if uid is not None:
                    downed(down(api, found(api, cluster.name, uid=uid), keep_data=False, emit=emit))


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
