"""Services: the head's, Serve's, and the one that names the hosts of multi-host groups."""

from __future__ import annotations

from raystead.base import labels
from raystead.manifests.context import Context
from raystead.manifests.start import start_params
from raystead.spec.model import Json

__all__ = ["SERVE_PORT", "head_type", "is_serve", "serve_ports", "serves", "services"]

SERVE_ANNOTATION = "ray.io/enable-serve-service"
SERVE_PORT = 8000  # Ray Serve's default
_OUTSIDE = ("NodePort", "LoadBalancer")


def services(ctx: Context) -> list[Json]:
    out = [_head(ctx)]
    if serves(ctx):
        out.append(_serve(ctx))
    if any(group.num_of_hosts > 1 for group in ctx.cluster.spec.workers):
        out.append(_headless(ctx))
    return out


def head_type(ctx: Context) -> str:
    """The type of the head's Service."""
    own: Json = (ctx.cluster.spec.head.head_service or {}).get("spec") or {}
    return str(own.get("type") or ctx.cluster.spec.head.service_type or "ClusterIP")


def is_serve(port: Json) -> bool:
    """KubeRay's rule: the port is named `serve` or `serve-…`."""
    name = str(port.get("name") or "")
    return name == "serve" or name.startswith("serve-")


def serve_ports(ctx: Context) -> list[Json]:
    """The head's ports for Serve: the named ones; 8000 where it declares no port at all."""
    declared = ctx.cluster.spec.head.template.ray_container.get("ports") or []
    if not declared:
        return [{"name": "serve", "containerPort": SERVE_PORT}]
    return [port for port in declared if is_serve(port)]


def serves(ctx: Context) -> bool:
    """There is a Service of Serve's own: it is asked for and has a port."""
    asked = ctx.cluster.annotations.get(SERVE_ANNOTATION, "").lower() == "true"
    return asked and bool(serve_ports(ctx))


def _head(ctx: Context) -> Json:
    """An ordinary ClusterIP: raylets are back 4 s after a head's crash, 24 s when it is headless."""
    head = ctx.cluster.spec.head
    service = head.head_service or {}
    meta: Json = service.get("metadata") or {}
    own: Json = service.get("spec") or {}
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
    spec = {"type": head_type(ctx), **spec}
    if spec["type"] in _OUTSIDE and spec.get("clusterIP") == "None":
        del spec["clusterIP"]  # the server refuses the two together
    spec.setdefault("publishNotReadyAddresses", True)  # raylets must reach a head that is not ready yet
    spec["ports"] = _joined([_leading(ctx, port) for port in own.get("ports") or []], _ports(ctx))
    spec["selector"] = chosen
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _leading(ctx: Context, port: Json) -> Json:
    """The port of the user's Service; a name that no container has leads to the port's own number."""
    target = port.get("targetPort")
    containers = ctx.cluster.spec.head.template.containers
    known = {one.get("name") for container in containers for one in container.get("ports") or []}
    if isinstance(target, str) and not target.isdigit() and target not in {*known, "metrics"}:
        return {**port, "targetPort": port["port"]}
    return port


def _ports(ctx: Context) -> list[Json]:
    """What the head's container declares, and always the GCS', the dashboard's and the client's port."""
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    defaults = {
        "client": int(params["ray-client-server-port"]),
        "dashboard": int(params["dashboard-port"]),
        "gcs-server": int(ctx.gcs_port),
    }
    known = {number: name for name, number in defaults.items()}
    declared: dict[str, tuple[int, str]] = {}
    for port in ctx.cluster.spec.head.template.ray_container.get("ports") or []:
        number = int(port["containerPort"])
        name = port.get("name") or (known.get(number) if ctx.guide else None) or f"{number}-port"
        declared[name] = (number, str(port.get("protocol") or "TCP"))
    wanted = dict(defaults)
    if not ctx.guide:
        wanted["metrics"] = int(params["metrics-export-port"])
        if not declared:
            wanted["serve"] = SERVE_PORT
    taken = {number for number, protocol in declared.values() if protocol == "TCP"}
    ours: dict[str, tuple[int, str]] = {}
    for name, number in wanted.items():
        if number not in taken:
            ours[name if name not in declared else f"{number}-port"] = (number, "TCP")
        elif ctx.guide and name in declared:
            ours[name] = declared[name]  # the guide's three keep their places
    ports = {**ours, **declared} if ctx.guide else {**declared, **ours}
    return [_port(name, *one, plain=ctx.guide) for name, one in ports.items()]


def _port(name: str, number: int, protocol: str = "TCP", *, plain: bool) -> Json:
    port: Json = {"name": name, "protocol": protocol, "port": number, "targetPort": number}
    return port if plain or protocol != "TCP" else {**port, "appProtocol": "tcp"}


def _joined(user: list[Json], ours: list[Json]) -> list[Json]:
    """The user's ports, then those of ours whose name and number are free."""
    names = {port.get("name") for port in user}
    numbers = {(port.get("port"), port.get("protocol", "TCP")) for port in user}
    return [
        *user,
        *(p for p in ours if p["name"] not in names and (p["port"], p["protocol"]) not in numbers),
    ]


def _serve(ctx: Context) -> Json:
    """Serve's Service, of the type of the head's group as under KubeRay."""
    service_type = ctx.cluster.spec.head.service_type
    selector = {labels.CLUSTER: ctx.cluster.name}
    spec: Json = {"type": service_type if service_type in _OUTSIDE else "ClusterIP"}
    spec["ports"] = [_port(str(p["name"]), int(p["containerPort"]), plain=False) for p in serve_ports(ctx)]
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
