"""Which workers of this machine a smaller number ends: the idle ones first, and what is lost with them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raystead.live.nodeidle import ASK_IDLE, NodeIdle, read_idle
from raystead.local.loopback import open_directly
from raystead.local.model import ClusterPlan, NodePlan

__all__ = ["Ask", "Shrinking", "alive_nodes", "asker", "chosen", "shrinking"]

_TIMEOUT = 20.0  # seconds for Ray's Python to start and to be answered, on a busy machine
Ask = Callable[[str], Any]


@dataclass(frozen=True)
class Shrinking:
    """Workers that end.

    Attributes:
        nodes: by name, what Ray says of each at this moment; None where it says nothing.
        outputs: finished jobs whose output goes with them.
    """

    nodes: Mapping[str, NodeIdle | None] = field(default_factory=dict)
    outputs: int = 0

    @property
    def costs(self) -> str:
        """`worker: 2 nodes stop (worker/1 is busy, 1 CPU in use)`; "" where they do nothing."""
        if not any(node is None or node.busy for node in self.nodes.values()):
            return ""
        groups: dict[str, list[str]] = {}
        for name in self.nodes:
            groups.setdefault(name.rpartition("/")[0], []).append(name)
        return "; ".join(self._cost(group, names) for group, names in groups.items())

    def _cost(self, group: str, names: Sequence[str]) -> str:
        stop = "1 node stops" if len(names) == 1 else f"{len(names)} nodes stop"
        busy = [f"{name} is {node}" for name in names if (node := self.nodes[name]) and node.busy]
        unknown = [name for name in names if self.nodes[name] is None]
        told = [*busy, *([f"what {', '.join(unknown)} does is not known"] if unknown else [])]
        return f"{group}: {stop}" + (f" ({'; '.join(told)})" if told else "")


def asker(plan: ClusterPlan, token: str) -> Ask:
    """Asks the cluster's dashboard for the JSON at a path; raises OSError or ValueError."""

    def ask(path: str) -> Any:
        url = f"http://127.0.0.1:{plan.dashboard_port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with open_directly(request, timeout=3) as answer:
            return json.load(answer)

    return ask


def shrinking(plan: ClusterPlan, counts: Mapping[str, int], ask: Ask) -> Shrinking:
    """What ends when each group has `counts` workers; Ray is only asked where something does."""
    too_many = {
        group: excess for group, count in counts.items() if (excess := len(_workers(plan, group)) - count) > 0
    }
    if not too_many:
        return Shrinking()
    ids, jobs, idle = _ids(plan, ask), _ended_jobs(ask), _idle(plan)
    doing = {node.name: idle.get(ids.get(node.name, "")) for node in plan.nodes}
    nodes = {
        name: doing[name]
        for group, excess in too_many.items()
        for name in chosen(_workers(plan, group), excess, doing)
    }
    going = {ids[name] for name in nodes if name in ids}
    return Shrinking(nodes, sum(job.get("driver_node_id") in going for job in jobs))


def chosen(nodes: Sequence[NodePlan], count: int, doing: Mapping[str, NodeIdle | None]) -> list[str]:
    """The `count` nodes whose end costs least: unknown to Ray, the longest idle, little used, the last."""

    def cost(at: int) -> tuple[float, float, int]:
        known = doing.get(nodes[at].name) or NodeIdle(float("inf"), 0.0)
        return -known.seconds, known.cpus, -at

    return [nodes[at].name for at in sorted(range(len(nodes)), key=cost)[:count]]


def _workers(plan: ClusterPlan, group: str) -> list[NodePlan]:
    return [node for node in plan.nodes if node.group == group and node.name != "head"]


def alive_nodes(ask: Ask) -> dict[int, str]:
    """Ray's ids of the nodes that are alive, by their node manager's port; {} where Ray does not answer."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        raylets = [entry["raylet"] for entry in ask("/nodes?view=summary")["data"]["summary"]]
        return {int(r["nodeManagerPort"]): str(r["nodeId"]) for r in raylets if r.get("state") == "ALIVE"}
    return {}


def _ids(plan: ClusterPlan, ask: Ask) -> dict[str, str]:
    """Ray's ids of the nodes that are alive, by our names for them."""
    alive = alive_nodes(ask)
    return {node.name: alive[node.manager_port] for node in plan.nodes if node.manager_port in alive}


def _ended_jobs(ask: Ask) -> list[Mapping[str, Any]]:
    with contextlib.suppress(OSError, ValueError):
        return [job for job in ask("/api/jobs/") if job.get("status") in ("SUCCEEDED", "FAILED", "STOPPED")]
    return []


def _idle(plan: ClusterPlan) -> dict[str, NodeIdle]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    env |= {**plan.env, "RAY_ADDRESS": f"127.0.0.1:{plan.gcs_port}"}
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(
            [sys.executable, "-c", ASK_IDLE], env=env, capture_output=True, timeout=_TIMEOUT, check=True
        )
        return read_idle(done.stdout)
    return {}
