"""Idle clusters that end by themselves: the time, and who else decides about their end."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.times import in_seconds
from raystead.spec.finding import SpecFinding
from raystead.spec.idle import IDLE_ANNOTATION, LEAST_IDLE, NEVER
from raystead.spec.model import RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_OPTIONS: Path = ("spec", "idleTerminationOptions")
_ANNOTATION: Path = ("metadata", "annotations", IDLE_ANNOTATION)


def _idle(cluster: RayCluster) -> Iterator[SpecFinding]:
    options, text = cluster.spec.idle_termination_options, cluster.annotations.get(IDLE_ANNOTATION)
    if options is not None and text is not None:
        yield SpecFinding(_ANNOTATION, "the time is set here and in idleTerminationOptions", "keep one")
    if options is not None and options.timeout_seconds < LEAST_IDLE:
        what = f"expected {LEAST_IDLE} seconds or more, got {options.timeout_seconds}"
        yield SpecFinding((*_OPTIONS, "timeoutSeconds"), what, "for example 1800")
    if text is not None and text != NEVER:
        seconds = in_seconds(text)
        if seconds is None:
            yield SpecFinding(_ANNOTATION, f'"{text}" is not a time span', "for example 30m")
        elif seconds < LEAST_IDLE:
            yield SpecFinding(_ANNOTATION, f"expected {LEAST_IDLE} s or more, got {text}", "for example 30m")


RULES = (_idle,)
