"""What keeps the pods of a group, as one Protocol, and the values that it answers with.

Who has no object of its own is `Absent`; `makers_of` in `live/makers.py` finds those that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from raystead.base.groups import GroupId
from raystead.live.events import Events
from raystead.live.pods import Pod

if TYPE_CHECKING:
    from raystead.spec.model import Json

__all__ = ["Absent", "Behind", "Cost", "Maker", "Refusal", "Wanted"]


class Wanted(NamedTuple):
    """How many pods a group is to have: `target` now, and never fewer than `least` or more than `most`."""

    least: int
    target: int
    most: int

    @classmethod
    def fixed(cls, count: int) -> Wanted:
        return cls(count, count, count)

    def takes(self, count: int) -> bool:
        return self.least <= count <= self.most


@dataclass(frozen=True)
class Refusal:
    """A maker that cannot make its pods.

    Attributes:
        subject: whose refusal it is, `deployment/demo-worker`.
        made: pods that it has, of `wanted`.
        message: the API server's words.
        source: where they were read: `event`, or the object's name.
        at: when they were last seen; `since`: since when it is so; `count`: how often.
    """

    subject: str
    made: int
    wanted: int
    message: str
    source: str
    at: datetime | None = None
    since: datetime | None = None
    count: int = 1

    @property
    def missing(self) -> int:
        return self.wanted - self.made


class Behind(NamedTuple):
    """Nobody has looked at the maker's object since it was changed: its generation, and the one looked at."""

    wanted: int
    seen: int
    since: datetime | None


class Cost(NamedTuple):
    """What a change costs: running pods that restart, and those that end and do not come back."""

    restarts: int = 0
    stops: int = 0


class Maker(Protocol):
    """What keeps the pods of one group."""

    @property
    def id(self) -> GroupId:
        """The group whose pods it keeps."""

    @property
    def subject(self) -> str:
        """What people call it, `deployment/demo-worker`; "" where there is none."""

    @property
    def json(self) -> Json:
        """The object that `up` applies and that tells it what to keep; {} where there is none."""

    @property
    def template(self) -> Json:
        """The pod template of the present version; {} where it is not known."""

    @property
    def asked(self) -> int | None:
        """How many pods it has been told to keep; None: nobody told it."""

    def wanted(self, spec: Wanted) -> Wanted:
        """What its group is to have, where the spec says `spec`: who scales by itself knows better."""

    @property
    def counts(self) -> bool:
        """It counts its pods itself, so that nobody has to list them to know how many there are."""

    @property
    def on_volume(self) -> bool:
        """Its pods' data is on volume claims that it makes and that outlive them."""

    def there(self, pods: Sequence[Pod]) -> int:
        """Pods that it has, of any version; `pods` are those of its group where they are known."""

    def ready(self, pods: Sequence[Pod]) -> int:
        """Ready pods of the present version."""

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        """The pods of the present version that are not on their way out."""

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        """Why it cannot make the pods that are missing; None: nothing refuses them."""

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        """It has seen its newest version, has the pods that are wanted, all of that version, and no other."""

    def behind(self) -> Behind | None:
        """Whether it has not yet looked at its newest version; None: it has, or that cannot be told."""

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        """What becoming `after` costs (None: it is deleted).

        Args:
            paths: the fields of its object that change.
            anew: the object is deleted and made again.
        """


class Absent:
    """Nobody keeps the group's pods: its maker's object is not there, or could not be read."""

    subject = ""
    asked = None
    counts = True
    on_volume = False

    def __init__(self, id: GroupId) -> None:
        self.id = id

    @property
    def json(self) -> Json:
        return {}

    @property
    def template(self) -> Json:
        return {}

    def wanted(self, spec: Wanted) -> Wanted:
        return spec

    def there(self, pods: Sequence[Pod]) -> int:
        return sum(pod.live for pod in pods)

    def ready(self, pods: Sequence[Pod]) -> int:
        return sum(pod.ready for pod in pods)

    def current(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        return tuple(pod for pod in pods if pod.live)

    def refusal(self, pods: Sequence[Pod], events: Events | None = None) -> Refusal | None:
        return None

    def settled(self, wanted: Wanted, pods: Sequence[Pod]) -> bool:
        return wanted.target == 0

    def behind(self) -> Behind | None:
        return None

    def cost(self, after: Maker | None, paths: Sequence[str], *, anew: bool, pods: Sequence[Pod]) -> Cost:
        return Cost()
