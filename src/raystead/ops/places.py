"""Where clusters are: in a namespace, or on this machine. What a place cannot do it says itself.

Imports nothing heavy: `list` and `token` are typed often.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple, Protocol

from raystead.errors import StateError, Unsupported

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor
    from raystead.ops.drivers import Drivers
    from raystead.ops.raycrons import Ticks
    from raystead.plan.listing import ListRow
    from raystead.rayapi.jobs import JobClient

__all__ = ["Jobs", "Namespace", "Place", "ThisMachine"]

# What cannot be done to a cluster on this machine, and what to do instead. The only place that says it.
_NOT_HERE = {
    "doctor": ("doctor looks at a namespace; this machine is checked by up itself", "raystead up --local"),
    "plan": ("plan compares with a namespace, not with this machine", "raystead up --local"),
    "run": (
        "a local cluster is not made for one job",
        "raystead up --local\nraystead submit --local -- python train.py",
    ),
    "restart": ("a local cluster is not restarted", "raystead down --local && raystead up --local"),
    "suspend": ("a local cluster cannot be suspended", "raystead down --local"),
    "resume": ("a local cluster cannot be suspended", "raystead up --local"),
    "verify": ("verify works on a cluster in a namespace", "raystead up && raystead verify"),
    "explain": (
        "explain looks at a cluster in a namespace, this one is on this machine",
        "raystead status --local\nraystead logs --local",
    ),
    "exec": (
        "a local cluster has no pods: its processes are this machine's",
        "raystead connect --local -- CMD runs a command with Ray's address and token set",
    ),
    "autoscale": ("nothing is autoscaled on this machine", "raystead scale 2 --local"),
}


class Jobs(NamedTuple):
    """The job API of one cluster and who looks after its drivers; `uid` tells clusters of one name apart."""

    client: JobClient
    drivers: Drivers
    uid: str


class Place(Protocol):
    """Where clusters are. `name` None means the only one that is there."""

    @property
    def here(self) -> bool:
        """It is this machine."""

    @property
    def patience(self) -> float:
        """Seconds that Ray may be silent there before a command gives up."""

    def door(self, verb: str) -> Api:
        """The API server, for a verb that cannot do without one.

        Raises:
            Unsupported: there is none.
            KubeConfigError: nobody said that this machine was meant, and nothing runs on it.
        """

    def rows(self, *, everywhere: bool = False) -> tuple[ListRow, ...]:
        """A row for each cluster; `everywhere`: of all namespaces."""

    def token(self, name: str | None) -> str | None:
        """What the cluster's dashboard and job API ask for; None: nothing."""

    def jobs(self, name: str | None, *, uses: bool = False) -> AbstractContextManager[Jobs]:
        """The job API while the block lasts; `uses`: for work, so that an idle cluster counts anew."""

    def ticks(self, name: str | None) -> Ticks | None:
        """The ticks of a RayCronJob; None: it is another kind of cluster, with one job API."""


class Namespace:
    """A namespace of a Kubernetes cluster."""

    here = False
    patience = 900.0  # a head may need a new node and its image

    def __init__(self, api: Api) -> None:
        self._api = api
        self._anchors: dict[str | None, Anchor] = {}

    def door(self, verb: str) -> Api:
        return self._api

    def rows(self, *, everywhere: bool = False) -> tuple[ListRow, ...]:
        from raystead.ops.listing import clusters

        return clusters(self._api, all_namespaces=everywhere)

    def token(self, name: str | None) -> str | None:
        from raystead.ops.clusters import anchor_of
        from raystead.ops.secrets import token_for

        return token_for(self._api, anchor_of(self._api, name))

    def _anchor(self, name: str | None) -> Anchor:
        """Read once: a command asks first what it is, then for its jobs."""
        from raystead.ops.clusters import anchor_of

        if name not in self._anchors:
            self._anchors[name] = anchor_of(self._api, name)
        return self._anchors[name]

    def ticks(self, name: str | None) -> Ticks | None:
        anchor = self._anchor(name)
        if anchor.kept.get("kind") != "RayCronJob":
            return None
        from raystead.ops.raycrons import Ticks

        return Ticks(self._api, anchor)

    @contextmanager
    def jobs(self, name: str | None, *, uses: bool = False) -> Iterator[Jobs]:
        from raystead.ops.drivers import NamespaceDrivers
        from raystead.ops.jobs import job_client
        from raystead.ops.keepers import in_use

        anchor = self._anchor(name)
        held = in_use(self._api, anchor) if uses else nullcontext()
        with held, job_client(self._api, anchor) as client:
            yield Jobs(client, NamespaceDrivers(self._api, anchor, client), anchor.uid)


class ThisMachine:
    """Clusters whose nodes are processes of this machine.

    `guessed`: nobody named this machine, there is only no kubeconfig.
    """

    here = True
    patience = 120.0  # a local head is back in ten seconds or never

    def __init__(self, *, guessed: bool = False) -> None:
        self._guessed = guessed

    def door(self, verb: str) -> Api:
        if self._guessed:
            self._none_meant()
        what, remedy = _NOT_HERE[verb]
        raise Unsupported(what, remedy=remedy)

    def _none_meant(self) -> None:
        """Without a local cluster either, the lack of a kubeconfig is what keeps the verb from its work.

        Raises:
            KubeConfigError: there is neither.
        """
        from raystead.kube.access import load
        from raystead.local.place import LocalPlace

        if not LocalPlace.names():
            load()

    def rows(self, *, everywhere: bool = False) -> tuple[ListRow, ...]:
        from raystead.local.place import LocalPlace

        return tuple(map(_local_row, LocalPlace.names()))

    def token(self, name: str | None) -> str | None:
        from raystead.ops.clusters import local_place

        return local_place(name).token()

    def ticks(self, name: str | None) -> Ticks | None:
        return None

    @contextmanager
    def jobs(self, name: str | None, *, uses: bool = False) -> Iterator[Jobs]:
        from raystead.ops.clusters import local_place
        from raystead.ops.drivers import RayDrivers
        from raystead.rayapi.jobs import JobClient

        place = local_place(name)
        with JobClient(place.address, place.token(), why=place.unreachable) as client:
            yield Jobs(client, RayDrivers(client), place.uid)


def _local_row(name: str) -> ListRow:
    """One local cluster's row; what cannot be read of it is said there, so that it hides no other."""
    from raystead.local.place import LocalPlace
    from raystead.plan.listing import DAMAGED, ListRow

    try:
        status = LocalPlace(name).status()
    except StateError as error:
        return ListRow("", name, DAMAGED, 0, 0, 0, "", 0.0, problem=error.diagnostics())
    head, *workers = status.nodes
    partly = "partly" if head.state == "alive" else "not ready"
    return ListRow(
        namespace="",
        name=name,
        state="Ready" if status.ready else partly,
        ready=sum(1 for node in workers if node.state == "alive"),
        wanted=len(workers),
        cpu=sum(node.cpus for node in status.nodes),
        ray_version=status.ray_version,
        age=max(0.0, time.time() - status.started),
    )
