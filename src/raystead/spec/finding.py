"""What a rule finds in a spec, before it has a file's name and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from raystead.spec.model import GroupSpec, Json, RayCluster
from raystead.spec.yamlio import Path

__all__ = ["SpecFinding", "env_of", "groups", "whole"]

_WHOLE = re.compile(r"^[0-9]{1,30}$")


class SpecFinding(NamedTuple):
    """Where, what is wrong, what to write instead; `other` is a second place that it is about."""

    path: Path
    what: str
    instead: str = ""
    other: Path = ()


def groups(cluster: RayCluster) -> list[tuple[Path, GroupSpec]]:
    """Head and worker groups with their paths."""
    head: list[tuple[Path, GroupSpec]] = [(("spec", "headGroupSpec"), cluster.spec.head)]
    return head + [(("spec", "workerGroupSpecs", i), g) for i, g in enumerate(cluster.spec.workers)]


def env_of(at: Path, group: GroupSpec) -> Iterator[tuple[Path, Json]]:
    """The variables of the group's Ray container, each with its path."""
    for i, entry in enumerate(group.template.ray_container.get("env") or []):
        yield (*at, "template", "spec", "containers", 0, "env", i), entry


def whole(text: str) -> int | None:
    """The whole number that a text is, of at most 30 ASCII digits; None for anything else."""
    return int(text) if _WHOLE.match(text) else None
