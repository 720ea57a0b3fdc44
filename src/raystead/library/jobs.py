"""Attaching to a job or a tick, whoever started it and wherever: its state, its output, its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.live.raycron import Tick
    from raystead.ops.anchor import Anchor
    from raystead.ops.drivers import Drivers
    from raystead.ops.raycrons import Ticks
    from raystead.rayapi.jobs import Job, JobClient

__all__ = ["JobHandle", "TickHandle", "clients", "ignore", "to_stdout"]


def ignore(event: object) -> None:
    """Takes an event that nobody asked for."""


def to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def clients(api: Api, anchor: Anchor) -> Iterator[tuple[JobClient, Drivers]]:
    """The job API of a cluster, and who looks after its drivers."""
    from raystead.ops.drivers import NamespaceDrivers
    from raystead.ops.jobs import job_client

    with job_client(api, anchor) as client:
        yield client, NamespaceDrivers(api, anchor, client)


class JobHandle:
    """One job of a cluster by its id; made by `Cluster.job`. Each call asks anew, nothing is kept open.

    Attributes:
        id: the submission id.
    """

    def __init__(self, api: Api, cluster: str, job_id: str) -> None:
        self.id = job_id
        self._api = api
        self._cluster = cluster

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    def status(self) -> Job:
        """The job as Ray tells it now.

        Raises:
            JobNotFound, RayUnreachable, WrongState (the cluster is suspended)
        """
        with self._clients() as (client, _):
            return client.get(self.id)

    def logs(self) -> str:
        """The driver's output so far.

        Raises:
            JobNotFound
            OutputGone: the worker that had it is gone.
        """
        from raystead.ops.drivers import output_of

        with self._clients() as (client, drivers):
            return output_of(client, drivers, client.get(self.id))

    def wait(self, *, output: Callable[[str], None] = to_stdout) -> Job:
        """Follows the job to its end; `output` gets what the driver writes, from the beginning.

        Raises:
            JobNotFound, JobFailed (Ray has forgotten the job), RayUnreachable
        """
        from raystead.ops.following import follow

        with self._clients() as (client, drivers):
            return follow(client, self.id, write=output, tell=ignore, fate=drivers.fate)

    def cancel(self) -> bool:
        """Stops it: SIGTERM, then SIGKILL; False where it had ended already.

        Raises:
            JobNotFound
        """
        with self._clients() as (client, _):
            return client.stop(self.id)

    @contextmanager
    def _clients(self) -> Iterator[tuple[JobClient, Drivers]]:
        from raystead.ops.clusters import anchor_of

        with clients(self._api, anchor_of(self._api, self._cluster)) as both:
            yield both


class TickHandle:
    """One tick of a RayCronJob by its id; made by `Cluster.tick`. Each call asks anew, nothing is kept open.

    Attributes:
        id: the submission id, `nightly-29928523` unless the file gives another.
    """

    def __init__(self, api: Api, cluster: str, tick_id: str) -> None:
        self.id = tick_id
        self._api = api
        self._cluster = cluster

    def __repr__(self) -> str:
        return f"TickHandle({self.id!r})"

    def status(self) -> Tick:
        """When it was due, and how its driver is: `tick.word`, `tick.why`, `tick.state`.

        Raises:
            JobNotFound: its Job is gone.
        """
        return self._ticks().meant(self.id)

    def logs(self) -> str:
        """The driver's output so far.

        Raises:
            JobNotFound
            OutputGone: it went with its pod, or has not begun.
        """
        ticks, lines = self._ticks(), list[str]()
        ticks.output(ticks.meant(self.id), lines.append)
        return "".join(lines)

    def wait(self, *, output: Callable[[str], None] = to_stdout) -> Tick:
        """Follows the tick to its end; `output` gets what the driver writes, from the beginning.

        Raises:
            JobNotFound: its Job is gone: another tick replaced it, or somebody deleted it.
        """
        ticks = self._ticks()
        tick = ticks.meant(self.id)
        if tick.state.over:
            ticks.output(tick, output)
            return tick
        return ticks.follow(tick, write=output, tell=ignore)

    def cancel(self) -> bool:
        """Stops its job: SIGTERM, then SIGKILL; False where it had ended already.

        Raises:
            JobNotFound
        """
        ticks = self._ticks()
        tick = ticks.meant(self.id)
        if tick.state.over:
            return False
        with clients(self._api, ticks.anchor) as (client, _):
            return client.stop(tick.id)

    def _ticks(self) -> Ticks:
        from raystead.ops.clusters import anchor_of
        from raystead.ops.raycrons import ticks_of

        return ticks_of(self._api, anchor_of(self._api, self._cluster))
