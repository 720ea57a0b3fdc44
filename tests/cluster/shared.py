"""A Ray cluster that many tests use: a start costs 13 s of both cores."""

import json
from dataclasses import dataclass, field
from typing import Any

from cli import Cli
from kube import Kube, until

NODES = "ray.io/is-ray-node=yes"


@dataclass
class Running:
    """The built-in cluster in a namespace of its own; `space` is the administrator there, `cli` an edit user."""

    space: Kube
    cli: Cli
    seen: Any = field(default=None, init=False)  # the pods as they were when it was whole

    def mend(self) -> None:
        """Starts it, or brings it back to what it was; costs one request when nothing has happened to it."""
        if self.seen and self._pods() == self.seen:
            return
        self.cli("up", "--workers", "2", timeout=900)
        until(lambda: self._alive() == 3, 180, "three nodes are alive", every=1)
        self.seen = self._pods()

    def _pods(self) -> list[tuple[str, int, bool]]:
        """By UID: restarts and readiness of each pod of Ray's."""
        return sorted(
            (
                pod["metadata"]["uid"],
                sum(c["restartCount"] for c in pod["status"].get("containerStatuses") or []),
                all(c["ready"] for c in pod["status"].get("containerStatuses") or []),
            )
            for pod in self.space.items("pods", "-l", NODES)
        )

    def _alive(self) -> int:
        said = json.loads(self.cli("status", "-o", "json", code=None).stdout or "{}")
        return sum(group["alive"] or 0 for group in said.get("raystead", {}).get("groups", []))
