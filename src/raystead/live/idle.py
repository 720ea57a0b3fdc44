"""How idle a cluster is, by the last line that its keeper wrote. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from raystead.base.times import instant, when
from raystead.spec.idle import IdleEnd

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["IdleState", "idle_state"]

_IDLE = re.compile(r"idle since (\S+); .* ends at (\S+)$")


class IdleState(NamedTuple):
    """Whether a cluster is idle, and what follows.

    Attributes:
        end: what is agreed.
        since: since when it has been idle; None: it is not, or that is not known.
        ends_at: when it ends, if nothing comes.
        why: why it is not idle, or why that is not known, a clause.
    """

    end: IdleEnd
    since: datetime | None = None
    ends_at: datetime | None = None
    why: str = ""

    def json(self) -> Json:
        """For machines; times as Kubernetes writes them."""
        return {
            "timeoutSeconds": self.end.seconds,
            "policy": "Suspend" if self.end.keeps_data else "Delete",
            "since": _text(self.since),
            "endsAt": _text(self.ends_at),
            "why": self.why or None,
        }


def idle_state(end: IdleEnd, pod: Json | None, line: str) -> IdleState:
    """The state that the keeper's newest pod and its log's last line tell."""
    if pod is None:
        return IdleState(end, why="its keeper has no pod")
    text = line.strip().partition(" ")[2]  # behind the time of the line
    if found := _IDLE.search(text):
        return IdleState(end, when(found[1]), when(found[2]))
    if text:
        return IdleState(end, why=text)
    return IdleState(end, why=_waits(pod))


def _waits(pod: Json) -> str:
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or []:
        if waiting := (one.get("state") or {}).get("waiting"):
            return f"its keeper waits: {waiting.get('reason')}"
    for one in status.get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"its keeper is not scheduled: {one.get('message') or one.get('reason')}"
    return "its keeper has said nothing yet"


def _text(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None
