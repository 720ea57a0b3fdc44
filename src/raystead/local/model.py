"""The local place's values: what runs, and the plan on disk that the supervisor reads."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MARKER = "RAYSTEAD_LOCAL_CLUSTER"


@dataclass(frozen=True)
class Event:
    """One thing that happened; `kind` is "warning", or "progress" for what is waited for now."""

    kind: str
    text: str
    seconds: float | None = None


@dataclass(frozen=True)
class NodeState:
    """One Ray node: `memory` in bytes, `state` alive, starting, restarting or dead."""

    name: str
    group: str
    pid: int | None
    cpus: int
    memory: int
    state: str
    restarts: int
    note: str


@dataclass(frozen=True)
class LocalStatus:
    """A local cluster as it is now; `started` in seconds since the epoch."""

    name: str
    ready: bool
    dashboard: str
    gcs_address: str
    nodes: tuple[NodeState, ...]
    supervisor_pid: int | None
    ray_version: str
    started: float
    session_dir: str


@dataclass(frozen=True)
class NodePlan:
    """How one node is started; `env` is added to the cluster's."""

    name: str
    group: str
    command: tuple[str, ...]
    env: dict[str, str]
    cpus: int
    memory: int

    @property
    def manager_port(self) -> int:
        """The raylet's port: it tells the node apart from the others of this machine."""
        flag = "--node-manager-port="
        return next(int(w.removeprefix(flag)) for w in self.command if w.startswith(flag))


@dataclass(frozen=True)
class ClusterPlan:
    """What the supervisor keeps running. Nothing secret: the token is a file."""

    name: str
    uid: str
    root: str
    gcs_port: int
    dashboard_port: int
    agent_port: int
    ray_version: str
    started: float
    env: dict[str, str]
    nodes: tuple[NodePlan, ...]

    def save(self, path: Path) -> None:
        write_atomically(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> ClusterPlan:
        """The plan that `save` wrote.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not one.
        """
        data = json.loads(path.read_text())
        try:
            nodes = tuple(NodePlan(**{**node, "command": tuple(node["command"])}) for node in data["nodes"])
            plan = cls(**{**data, "nodes": nodes})
            complete = plan.nodes[0].name == "head" and all(node.manager_port for node in plan.nodes)
            complete = complete and isinstance(plan.started, int | float) and dict(plan.env) == plan.env
        except (LookupError, TypeError, AttributeError, StopIteration, RuntimeError):
            complete = False
        if not complete:
            raise ValueError("its fields are not those of a cluster's plan")
        return plan


def write_atomically(path: Path, value: Any) -> None:
    """JSON that a reader sees whole or not at all, readable by its owner only."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(value, stream, indent=1)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk is not filled further
        raise
