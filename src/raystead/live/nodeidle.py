"""What each of Ray's nodes does at this moment, as the GCS tells it to Ray's own autoscaler.

Of Ray's HTTP APIs none tells a node's idle time (the dashboard's `idleDurationMs` is that of the node's
registration), so the autoscaler's own call is made, by a Python that has Ray.
"""

from __future__ import annotations

import json

from msgspec import Struct

from raystead.base.times import rounded

__all__ = ["ASK_IDLE", "NodeIdle", "read_idle"]

# for `python -c`; needs RAY_ADDRESS, the GCS' own
ASK_IDLE = """
import json, os
from ray._raylet import GcsClient
from ray.autoscaler.v2.sdk import get_cluster_resource_state
state = get_cluster_resource_state(GcsClient(address=os.environ["RAY_ADDRESS"]))
print(json.dumps([
    [n.instance_id, n.node_id.hex(), n.idle_duration_ms,
     n.total_resources.get("CPU", 0) - n.available_resources.get("CPU", 0)]
    for n in state.node_states
]))
"""


class NodeIdle(Struct, frozen=True):
    """What one node does: seconds it has been idle (0: it is not), and logical CPUs in use."""

    seconds: float
    cpus: float

    @property
    def busy(self) -> bool:
        return self.seconds <= 0

    def __str__(self) -> str:
        if not self.busy:
            return f"idle for {rounded(self.seconds)}"
        return f"busy, {self.cpus:g} CPU in use" if self.cpus else "busy: an actor or objects without CPU"


def read_idle(out: bytes) -> dict[str, NodeIdle]:
    """What `ASK_IDLE` printed, by the pod's name where Ray was told it, and by Ray's id of the node.

    Raises:
        ValueError: it is not that.
    """
    idle: dict[str, NodeIdle] = {}
    try:
        for pod, node_id, milliseconds, cpus in json.loads(out.decode().strip().splitlines()[-1]):
            found = NodeIdle(float(milliseconds) / 1000, float(cpus))
            idle |= {str(key): found for key in (pod, node_id) if key}
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"not a list of nodes: {out[-200:]!r}") from error
    return idle
