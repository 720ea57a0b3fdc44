"""When an idle cluster ends by itself, and whether its state stays; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from raystead.base.times import in_seconds

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = ["IDLE_ANNOTATION", "LEAST_IDLE", "NEVER", "IdleEnd", "idle_end", "idle_end_of"]

IDLE_ANNOTATION = "raystead.io/idle-timeout"
LEAST_IDLE = 10  # seconds; the keeper looks every 3
NEVER = "never"  # what `--idle` takes for: not at all


class IdleEnd(NamedTuple):
    """What happens to a cluster that has been idle for `seconds`.

    Attributes:
        keeps_data: head, workers and Redis go; the spec, the Secrets and the claim of the state stay, and the
            next `up` brings the cluster back (KubeRay's policy Suspend). Else all of it goes (Delete).
    """

    seconds: int
    keeps_data: bool = False


def idle_end(cluster: RayCluster) -> IdleEnd | None:
    """The cluster's own wish; None: it never ends by itself."""
    options = cluster.spec.idle_termination_options
    if options is not None:
        return IdleEnd(options.timeout_seconds, options.policy == "Suspend")
    return _annotated(cluster.annotations)


def idle_end_of(document: Json) -> IdleEnd | None:
    """The same of a RayCluster as JSON, for what does not import the models."""
    spec: dict[str, Any] = document.get("spec") or {}
    options = spec.get("idleTerminationOptions")
    if isinstance(options, dict) and options.get("timeoutSeconds") is not None:
        return IdleEnd(int(options["timeoutSeconds"]), options.get("policy", "Suspend") == "Suspend")
    return _annotated((document.get("metadata") or {}).get("annotations") or {})


def _annotated(annotations: dict[str, str]) -> IdleEnd | None:
    text = annotations.get(IDLE_ANNOTATION)
    seconds = in_seconds(text) if text and text != NEVER else None
    return None if seconds is None else IdleEnd(int(seconds))
