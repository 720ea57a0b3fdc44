"""A plan as values: a change for each object, with what restarts, what stops and what is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Action", "By", "Change", "FieldChange", "Key", "Plan", "makes_pods"]

Key = tuple[str, str]  # (kind, name)


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"  # delete, wait until it is gone, create
    DELETE = "delete"
    UNCHANGED = "unchanged"


class By(StrEnum):
    """Who wants a change: the spec's author, a newer raystead, or it sets right what is not as applied."""

    SPEC = "spec"
    VERSION = "version"
    DRIFT = "drift"


@dataclass(frozen=True)
class FieldChange:
    """One field; `path` is like `spec.template.spec.containers[ray-head].image`, None stands for absent.

    Values of secrets are masked already.
    """

    path: str
    before: Any
    after: Any
    by: By = By.SPEC


@dataclass(frozen=True)
class Change:
    """What happens to one object.

    Attributes:
        restarts: running pods that restart because of it.
        stops: running pods that end and do not come back.
        loses: a sentence on the state that dies with it, empty when none does.
        reason: why it is replaced, deleted or created again; empty where the fields say it.
        by: who wants it, when no field tells (create, delete).
        conflict: a sentence on fields that somebody else manages; empty when none does.
    """

    action: Action
    kind: str
    name: str
    fields: tuple[FieldChange, ...] = ()
    restarts: int = 0
    stops: int = 0
    loses: str = ""
    reason: str = ""
    by: By = By.SPEC
    conflict: str = ""

    @property
    def key(self) -> Key:
        return (self.kind, self.name)


@dataclass(frozen=True)
class Plan:
    """All changes in the order of their application, deletions last; objects left alone are listed too.

    Attributes:
        notes: sentences on what is worth knowing: what a newer raystead changes by itself, what stays behind.
        problems: sentences on what forbids the whole; with one of them nothing may be applied.
    """

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = field(default=())
    problems: tuple[str, ...] = field(default=())

    def of(self, *actions: Action) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action in actions)

    @property
    def mutating(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action is not Action.UNCHANGED)

    @property
    def mutates(self) -> bool:
        return bool(self.mutating)

    @property
    def creates(self) -> int:
        return len(self.of(Action.CREATE))

    @property
    def restarts(self) -> int:
        return sum(change.restarts for change in self.changes)

    @property
    def stops(self) -> int:
        return sum(change.stops for change in self.changes)

    @property
    def losses(self) -> tuple[str, ...]:
        """Each sentence once, in order."""
        return tuple(dict.fromkeys(change.loses for change in self.changes if change.loses))


def makes_pods(change: Change) -> bool:
    """Of an object that keeps pods: new ones are made, for it is new, of another template, or wants more."""
    if change.action in (Action.CREATE, Action.REPLACE):
        return True
    if change.action is not Action.CHANGE:
        return False
    for one in change.fields:
        if one.path.startswith("spec.template"):
            return True
        if one.path == "spec.replicas" and _count(one.after) > _count(one.before):
            return True
    return False


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 1  # the server's default
