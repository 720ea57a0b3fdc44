"""Which group of a cluster: its role and its name, and the words that people type and read for it.

`head` and `redis` are the head and Redis. Any other word is the worker group of that name, and `worker/NAME`
always is; a worker group that is itself called `head` or `redis` has only this long form.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from raystead.base import labels

__all__ = ["HEAD", "OTHER", "REDIS", "GroupId", "Role", "group_of", "named", "worker"]

_LONG = "worker/"


class Role(StrEnum):
    REDIS = "redis"
    HEAD = "head"
    WORKER = "worker"
    OTHER = "other"  # a pod of the cluster that is neither Ray's nor our Redis': a cleanup, a probe


_RANKS = {Role.REDIS: 0, Role.HEAD: 1, Role.WORKER: 2, Role.OTHER: 3}


class GroupId(NamedTuple):
    """One group; its text is what people read, and what they may type."""

    role: Role
    name: str

    def __str__(self) -> str:
        clear = self.role is not Role.WORKER or self.name not in (HEAD.name, REDIS.name)
        return self.name if clear else _LONG + self.name

    @property
    def rank(self) -> int:
        """The order of dependence: Redis, the head, the workers."""
        return _RANKS[self.role]

    @property
    def is_worker(self) -> bool:
        return self.role is Role.WORKER


HEAD = GroupId(Role.HEAD, "head")
REDIS = GroupId(Role.REDIS, "redis")
OTHER = GroupId(Role.OTHER, "pod")


def worker(name: str) -> GroupId:
    return GroupId(Role.WORKER, name)


def named(word: str) -> GroupId:
    """The group that a word means; whether the cluster has it is another question."""
    if word.startswith(_LONG):
        return worker(word.removeprefix(_LONG))
    return {HEAD.name: HEAD, REDIS.name: REDIS}.get(word) or worker(word)


def group_of(found: Mapping[str, str]) -> GroupId | None:
    """The group that a pod's labels say; None: not a pod of Ray or of our Redis."""
    kind = found.get(labels.NODE_TYPE)
    if kind == "head":
        return HEAD
    if kind == "worker":
        return worker(found.get(labels.GROUP) or "worker")
    return REDIS if found.get("app") == "redis" else None
