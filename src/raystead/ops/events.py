"""What the waits of up, down and scale tell, as typed values; `ui` draws them, a Python caller reads them."""

from __future__ import annotations

from dataclasses import dataclass

from raystead.base.groups import GroupId
from raystead.explain.model import Finding
from raystead.plan.model import Action, Plan

__all__ = [
    "Applied",
    "Done",
    "Event",
    "Explained",
    "GroupProgress",
    "Note",
    "Planned",
    "Progress",
]


@dataclass(frozen=True)
class GroupProgress:
    """One group at one moment: pods wanted, running, ready, and nodes alive in Ray (None: not asked).

    Attributes:
        note: what the group waits for, for example `pulling rayproject/ray:2.60.0`; empty when nothing.
        most: pods that it may have, where an autoscaler may add to `wanted`; None: no more than wanted.
        outdated: pods of an older version that are still there; they count as running.
    """

    id: GroupId
    wanted: int
    running: int
    ready: int
    alive: int | None = None
    note: str = ""
    most: int | None = None
    outdated: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return str(self.id)

    @property
    def done(self) -> bool:
        """As many pods as wanted are ready, no more run than may, and Ray, if it was asked, knows as many."""
        most = self.wanted if self.most is None else self.most
        known = self.alive is None or self.wanted <= self.alive <= most
        return self.wanted <= self.ready and self.running <= most and not self.outdated and known


@dataclass(frozen=True)
class Planned:
    """The comparison is done; nothing is changed yet."""

    plan: Plan


@dataclass(frozen=True)
class Applied:
    """The server has taken one object."""

    kind: str
    name: str
    action: Action


@dataclass(frozen=True)
class Progress:
    """All groups, `seconds` after the wait began; sent when one of them changes and every second or so."""

    groups: tuple[GroupProgress, ...]
    seconds: float


@dataclass(frozen=True)
class Note:
    """Something worth a line that is not an error."""

    text: str


@dataclass(frozen=True)
class Explained:
    """Why the wait takes so long: all that is known now, replacing what was said before."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Done:
    """The wait has ended well: cluster `name` has `nodes` alive with `cpus` in all (both 0 after down)."""

    name: str
    seconds: float
    nodes: int
    cpus: float


Event = Planned | Applied | Progress | Note | Explained | Done
