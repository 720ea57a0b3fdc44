"""Where a job's driver runs: on a worker where there is one, so that the job survives its head.

(docs/facts/ray.md#jobs, docs/adr/0007-drivers-on-workers.md)

Ray puts a driver on the head unless the job names resources or a node's labels. A label selector costs no
resource, so a driver waits for no busy worker; `ray.io/node-group` is the group that our pods are started
with. Rays before 2.54 know no such selector: there a crumb of one worker's own `node:IP` resource does it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from raystead.base import labels
from raystead.base.rayversions import version_of
from raystead.errors import RaysteadError
from raystead.rayapi.jobs import JobClient

__all__ = ["DriverNeeds", "Placement", "place"]

_SELECTOR_SINCE = (2, 54)
_NOT_THE_HEAD = {"ray.io/node-group": f"!{labels.HEAD_GROUP}"}
_CRUMB = 0.001  # of a resource that each node has 1 of


@dataclass(frozen=True)
class DriverNeeds:
    """What the user asked for the driver itself; memory in bytes."""

    num_cpus: float = 0
    num_gpus: float = 0
    memory: float = 0
    resources: dict[str, float] = field(default_factory=dict)

    def met_by(self, total: dict[str, float]) -> bool:
        wanted = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory, **self.resources}
        return all(total.get(name, 0) >= amount for name, amount in wanted.items() if amount)

    @property
    def any(self) -> bool:
        return bool(self.num_cpus or self.num_gpus or self.memory or self.resources)


@dataclass(frozen=True)
class Placement:
    """What to add to a job's request; both empty leaves the choice to Ray, which takes the head."""

    on_worker: bool = False
    label_selector: dict[str, str] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)


def place(client: JobClient, needs: DriverNeeds) -> Placement:
    """On a worker if one is alive that could hold the driver; asked at the moment of the submission.

    A cluster whose workers are not there (yet) runs the job on the head: it must not wait for a worker that a
    quota may never allow.
    """
    version = version_of(str(client.version().get("ray_version", "")))
    try:
        workers = [
            node
            for node in client.workers(limit=10_000 if needs.any else 1)
            if needs.met_by(node.get("resources_total") or {})
        ]
    except RaysteadError:
        return Placement()  # a Ray without this question: its own choice
    if not workers:
        return Placement()
    if version is None or version >= _SELECTOR_SINCE:
        return Placement(True, label_selector=_NOT_THE_HEAD)
    return Placement(True, resources={f"node:{workers[0]['node_ip']}": _CRUMB})
