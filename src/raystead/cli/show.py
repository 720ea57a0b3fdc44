"""How a local cluster's state looks, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from raystead.base.quantities import human_bytes
from raystead.local.model import Event, LocalStatus
from raystead.ui.plain import Reporter, table
from raystead.ui.progress import waiting


def awaited(
    reporter: Reporter, name: str, work: Callable[[Callable[[Event], None]], LocalStatus]
) -> LocalStatus:
    """What `work` answers; while it goes on, a line says what it waits for."""
    with waiting(reporter, f'"{name}"') as shown:

        def take(event: Event) -> None:
            if event.kind == "warning":
                shown.warn(event.text)
            else:
                shown.tell(f'"{name}" waits for its nodes, {event.text}')

        return work(take)


def nodes_text(status: LocalStatus) -> str:
    """One line per node; the head's has the dashboard's address."""
    width = max((len(node.name) for node in status.nodes), default=4)
    lines = []
    for node in status.nodes:
        tail = f"   dashboard {status.dashboard}" if node.name == "head" else ""
        lines.append(
            f"  {node.name.ljust(width)}  pid {node.pid or '-'}   {node.cpus} CPU   "
            f"{human_bytes(node.memory)}{tail}"
        )
    return "\n".join(lines)


def status_text(status: LocalStatus, age: str) -> str:
    """The whole state: a heading, a table of nodes."""
    state = "Ready" if status.ready else "not ready"
    head = f"{status.name}   {state}   Ray {status.ray_version}   local   up {age}   {status.dashboard}"
    rows = [
        (n.name, n.state, str(n.pid or "-"), str(n.cpus), human_bytes(n.memory), str(n.restarts), n.note)
        for n in status.nodes
    ]
    body = table(("NODE", "STATE", "PID", "CPU", "MEM", "RESTARTS", "NOTE"), rows)
    lines = [head, body]
    if status.supervisor_pid is None:
        lines.append(
            "the supervisor is dead: nothing restarts a lost node; "
            f"run: raystead up --local --name {status.name}"
        )
    return "\n".join(lines)


def status_json(status: LocalStatus) -> dict[str, Any]:
    return asdict(status)
