"""The rules of a RayCluster: what KubeRay or Kubernetes would refuse, and what has another effect here.

Each rule is a small function over the model, in the module of its subject.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from raystead.spec.documents import parsed
from raystead.spec.finding import SpecFinding
from raystead.spec.model import RayCluster
from raystead.spec.podshape import misshapen
from raystead.spec.rules import (
    amounts,
    auth,
    autoscaling,
    idle,
    metadata,
    names,
    notices,
    params,
    pods,
    policy,
    scale,
    service,
    sources,
    state,
)
from raystead.spec.yamlio import Path

__all__ = ["notes", "problems"]

_RULES = (
    *names.RULES,
    *metadata.RULES,
    *scale.RULES,
    *params.RULES,
    *state.RULES,
    *autoscaling.RULES,
    *auth.RULES,
    *idle.RULES,
    *policy.RULES,
    *pods.RULES,
    *sources.RULES,
    *service.RULES,
    *amounts.RULES,
)
_NOTES = (*notices.NOTES, *pods.NOTES, *service.NOTES, *amounts.NOTES)


def problems(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Every broken rule."""
    wrong = [finding for sure, finding in pods.shapes(cluster) if sure]
    yield from wrong
    unreadable = [finding for finding in wrong if misshapen(finding)]
    readable = _without(cluster, unreadable) if unreadable else cluster
    if readable is not None:
        for rule in _RULES:
            yield from rule(readable)


def notes(cluster: RayCluster) -> Iterator[SpecFinding]:
    """What is read and has no effect, or another one than the user may expect; () where shapes are wrong."""
    shapes = list(pods.shapes(cluster))
    if any(sure for sure, _ in shapes):
        return
    yield from (finding for _, finding in shapes)
    for note in _NOTES:
        yield from note(cluster)


def _without(cluster: RayCluster, unreadable: Iterable[SpecFinding]) -> RayCluster | None:
    """The cluster without what its rules could not read; None where too little is left."""
    value = copy.deepcopy(cluster.document())
    for finding in unreadable:
        _remove(value, finding.path)
    try:
        return parsed(value).cluster
    except ValueError:
        return None


def _remove(value: Any, path: Path) -> None:
    """Removes the field at `path`, or the list in which an item stands there."""
    parts = [value]
    for key in path[:-1]:
        inner = parts[-1]
        if isinstance(inner, dict):
            inner = inner.get(key)
        elif isinstance(inner, list) and isinstance(key, int) and key < len(inner):
            inner = inner[key]
        else:
            return  # it went with what it stood in
        parts.append(inner)
    for part, key in reversed(list(zip(parts, path, strict=True))):
        if isinstance(part, dict):
            part.pop(key, None)
            return
