"""Services: the head's, Serve's, and the one that names the hosts of multi-host groups."""

from __future__ import annotations

from raystead.base import labels
from raystead.manifests.context import Context
from raystead.manifests.start import start_params
from raystead.spec.model import Json

__all__ = ["services"]

SERVE_ANNOTATION = "ray.io/enable-serve-service"


def services(ctx: Context) -> list[Json]:
    out = [_head(ctx)]
    if ctx.cluster.annotations.get(SERVE_ANNOTATION) == "true":
        out.append(_serve(ctx))
    if any(group.num_of_hosts > 1 for group in ctx.cluster.spec.workers):
        out.append(_headless(ctx))
    return out


def _head(ctx: Context) -> Json:
    """An ordinary ClusterIP: raylets are back 4 s after a head's crash, 24 s when it is headless."""
    head = ctx.cluster.spec.head
    said = head.head_service or {}
    meta: Json = said.get("metadata") or {}
    own: Json = said.get("spec") or {}
    name = ctx.head_service
    selector = (
        {"app": labels.GUIDE_HEAD["app"]}
        if ctx.guide
        else {labels.CLUSTER: ctx.cluster.name, labels.NODE_TYPE: "head"}
    )
    chosen = selector if ctx.guide else {**selector, labels.OURS: ctx.cluster.name}
    annotations = {**(meta.get("annotations") or {}), **ctx.cluster.spec.head_service_annotations}
    metadata = ctx.metadata(name, {**(meta.get("labels") or {}), **selector}, annotations=annotations)
    spec: Json = {k: v for k, v in own.items() if k not in ("selector", "ports", "type")}
    spec = {"type": own.get("type") or head.service_type or "ClusterIP", **spec}
    spec.setdefault("publishNotReadyAddresses", True)  # raylets must reach a head that is not ready yet
    spec["ports"] = _joined(list(own.get("ports") or []), _ports(ctx))
    spec["selector"] = chosen
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _ports(ctx: Context) -> list[Json]:
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    defaults = {
        "client": int(params["ray-client-server-port"]),
        "dashboard": int(params["dashboard-port"]),
        "gcs-server": int(ctx.gcs_port),
    }
    known = {number: name for name, number in defaults.items()}
    declared: dict[str, int] = {}
    for port in ctx.cluster.spec.head.template.ray_container.get("ports") or []:
        number = int(port["containerPort"])
        name = port.get("name") or (known.get(number) if ctx.guide else None) or f"{number}-port"
        declared[name] = number
    if ctx.guide:  # exactly the guide's three, whatever else the user declares comes after
        declared = {**defaults, **declared}
    elif not declared:
        declared = {**defaults, "metrics": int(params["metrics-export-port"]), "serve": 8000}
    if not ctx.guide:
        declared.setdefault("metrics", int(params["metrics-export-port"]))
    return [_port(name, number, plain=ctx.guide) for name, number in declared.items()]


def _port(name: str, number: int, *, plain: bool) -> Json:
    port: Json = {"name": name, "protocol": "TCP", "port": number, "targetPort": number}
    return port if plain else {**port, "appProtocol": "tcp"}


def _joined(user: list[Json], ours: list[Json]) -> list[Json]:
    """The user's ports, then those of ours whose name and number are free."""
    names = {port.get("name") for port in user}
    numbers = {(port.get("port"), port.get("protocol", "TCP")) for port in user}
    return [*user, *(p for p in ours if p["name"] not in names and (p["port"], "TCP") not in numbers)]


def _serve(ctx: Context) -> Json:
    declared = ctx.cluster.spec.head.template.ray_container.get("ports") or []
    ports = [
        _port(str(p["name"]), int(p["containerPort"]), plain=False)
        for p in declared
        if str(p.get("name") or "") == "serve" or str(p.get("name") or "").startswith("serve-")
    ]
    selector = {labels.CLUSTER: ctx.cluster.name}
    spec: Json = {"type": "ClusterIP"}
    spec["ports"] = ports or [_port("serve", 8000, plain=False)]
    spec["selector"] = {**selector, labels.OURS: ctx.cluster.name}
    metadata = ctx.metadata(
        ctx.names.serve_service, {**selector, "ray.io/serve": f"{ctx.cluster.name}-serve"}
    )
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _headless(ctx: Context) -> Json:
    selector = {labels.CLUSTER: ctx.cluster.name, labels.NODE_TYPE: "worker", labels.OURS: ctx.cluster.name}
    spec: Json = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector}
    extra = {labels.CLUSTER: ctx.cluster.name, "ray.io/headless-worker-svc": ctx.names.headless_service}
    metadata = ctx.metadata(ctx.names.headless_service, extra)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
