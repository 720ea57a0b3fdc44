"""The rules of a RayCluster: what KubeRay or Kubernetes would refuse, and what has another effect here.

Each rule is a small function over the model, in the module of its subject.
"""

from __future__ import annotations

from collections.abc import Iterator

from raystead.spec.finding import SpecFinding
from raystead.spec.model import RayCluster
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
    state,
)

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
    *service.RULES,
    *amounts.RULES,
)
_NOTES = (*notices.NOTES, *pods.NOTES, *service.NOTES, *amounts.NOTES)


def problems(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Every broken rule."""
    for rule in _RULES:
        yield from rule(cluster)


def notes(cluster: RayCluster) -> Iterator[SpecFinding]:
    """What is read and has no effect, or another one than the user may expect."""
    for note in _NOTES:
        yield from note(cluster)
