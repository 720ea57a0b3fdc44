"""Ray's probes ask by HTTP, so an image needs neither wget nor bash; none of these paths asks for a token."""

from __future__ import annotations

from raystead.manifests.context import Context
from raystead.spec.model import Json

__all__ = ["ready_once", "with_probes"]

_HEALTHZ_SINCE = (2, 53)  # the agent's /api/healthz, which looks at the GCS too
_METRICS = "metrics-export-port"


def with_probes(ctx: Context, container: Json, params: dict[str, str], *, head: bool) -> Json:
    """The container with the metrics port and those of the two probes that the file does not give."""
    agent = _port(params.get("dashboard-agent-listen-port"), 52365)
    live = "/api/healthz" if head and ctx.since(*_HEALTHZ_SINCE) else "/api/local_raylet_healthz"
    ready = _get("/api/local_raylet_healthz", agent)
    if head and params.get("include-dashboard") != "false":
        ready = _get("/api/gcs_healthz", _port(params.get("dashboard-port"), 8265))
    timeout = 5 if head else 2
    out = dict(container)
    # A worker's probe does not look at the GCS: an outage of the head must not restart the workers.
    if not container.get("livenessProbe"):
        liveness = {"initialDelaySeconds": 30, "periodSeconds": 5, "timeoutSeconds": timeout}
        out["livenessProbe"] = {**_get(live, agent), **liveness, "failureThreshold": 120}
    if not container.get("readinessProbe"):
        readiness = {"initialDelaySeconds": 2, "periodSeconds": 2, "timeoutSeconds": timeout}
        out["readinessProbe"] = {**ready, **readiness, "failureThreshold": 10}
    ports: list[Json] = list(container.get("ports") or [])
    metrics = _port(params.get(_METRICS), 8080)
    if not any(p.get("containerPort") == metrics or p.get("name") == "metrics" for p in ports):
        out["ports"] = [*ports, {"name": "metrics", "containerPort": metrics}]
    return out


def ready_once(command: list[str], seconds: int) -> Json:
    """A startupProbe: ready from the command's first success on, which is tried every so many seconds.

    A readinessProbe would start its processes for as long as the container lives: Redis' every two seconds
    took a quarter of a core (docs/figures.md). A container that is slow is never restarted for it.
    """
    return {
        "exec": {"command": command},
        "periodSeconds": seconds,
        "timeoutSeconds": 5,
        "failureThreshold": 2147483647,
    }


def _get(path: str, port: int) -> Json:
    return {"httpGet": {"path": path, "port": port}}


def _port(value: str | None, default: int) -> int:
    return int(value) if value and value.isdigit() else default
