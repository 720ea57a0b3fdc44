"""What Ray says of its nodes, and which pod each node is.

The source is one request, `/nodes?view=summary` of the dashboard: states are live, used CPUs and GPUs at most
5 s old (Ray's monitor reports that often). An entry is 14 kB in Ray 2.60, most of it padded command lines.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from raystead.spec.model import Json


__all__ = ["NodeIndex", "RayNode", "ray_nodes"]

_USED = re.compile(r"^([\d.]+)/([\d.]+) (CPU|GPU)\b", re.MULTILINE)
_SKEW = 5.0  # seconds that two machines' clocks may differ


class RayNode(Struct, frozen=True):
    """One node as Ray sees it.

    Attributes:
        pod: the pod's name where Ray was told (RAY_CLOUD_INSTANCE_ID), else "".
        started: when it registered, seconds since the epoch.
        draining: it takes no more work.
        cpu_used: logical CPUs; None where the dashboard does not know. GPUs alike.
        mem_used: bytes of the pod's own memory (its cgroup), not Ray's logical resource.
    """

    node_id: str
    ip: str
    alive: bool
    head: bool
    pod: str = ""
    started: float = 0.0
    draining: bool = False
    cpu_used: float | None = None
    cpu_total: float | None = None
    gpu_used: float | None = None
    gpu_total: float | None = None
    mem_used: float | None = None
    mem_total: float | None = None


def ray_nodes(data: Mapping[str, object]) -> tuple[RayNode, ...]:
    """The nodes, dead ones included, from `data` of the dashboard's answer; unknown fields stay None."""
    usage = data.get("nodeLogicalResources")
    summary = data.get("summary")
    used = usage if isinstance(usage, dict) else {}
    return tuple(_node(entry, used) for entry in (summary if isinstance(summary, list) else ()))


def _node(entry: Json, usage: Json) -> RayNode:
    raylet: Json = entry.get("raylet") or {}
    node_id = str(raylet.get("nodeId") or "")
    total: Json = raylet.get("resourcesTotal") or {}
    used = {kind: float(part) for part, _, kind in _USED.findall(str(usage.get(node_id) or ""))}
    memory = entry.get("mem") or []  # total, available, percent, used
    known = len(memory) == 4
    return RayNode(
        node_id=node_id,
        ip=str(raylet.get("nodeManagerAddress") or entry.get("ip") or ""),
        alive=raylet.get("state") == "ALIVE",
        head=bool(raylet.get("isHeadNode")),
        pod=str(raylet.get("instanceId") or ""),
        started=float(raylet.get("startTimeMs") or 0) / 1000,
        draining=(raylet.get("stateSnapshot") or {}).get("state") == "DRAINING",
        # a node that lacks the resource has none of it: Ray leaves zeros out
        cpu_used=used.get("CPU", None if total.get("CPU") else 0.0),
        cpu_total=float(total.get("CPU", 0.0)) if total else None,
        gpu_used=used.get("GPU", None if total.get("GPU") else 0.0),
        gpu_total=float(total.get("GPU", 0.0)) if total else None,
        mem_used=float(memory[3]) if known else None,
        mem_total=float(memory[0]) if known else None,
    )


class NodeIndex:
    """Finds the Ray node of a pod: by the pod's name where Ray knows it, else by address."""

    def __init__(self, nodes: Sequence[RayNode]) -> None:
        self._by_pod: dict[str, list[RayNode]] = defaultdict(list)
        self._by_ip: dict[str, list[RayNode]] = defaultdict(list)
        for node in nodes:
            if node.pod:
                self._by_pod[node.pod].append(node)
            else:
                self._by_ip[node.ip].append(node)

    def find(self, pod: str, ip: str, since: datetime | None) -> RayNode | None:
        """The node of the pod whose container runs since `since`.

        An entry that is older than the container is the raylet before its restart, which Ray has not missed
        yet: it is not this node.
        """
        found = _newest(self._by_pod.get(pod, ())) or _newest(self._by_ip.get(ip, ()) if ip else ())
        if found is None or (since is not None and found.started + _SKEW < since.timestamp()):
            return None
        return found


def _newest(nodes: Iterable[RayNode]) -> RayNode | None:
    return max(nodes, key=lambda n: (n.alive, n.started), default=None)
