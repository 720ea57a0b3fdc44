"""Doors that the file itself opens: the policies let in whom they are for, and the plan says so.

A Service of type LoadBalancer or NodePort, a port named serve, and an Ingress, Route or Service among the
file's other documents lead from outside to a port of ours. No label names those who come through them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from raystead.base import labels
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.pods import head_template, worker_template
from raystead.manifests.services import head_type, is_serve, serve_ports, serves, services
from raystead.manifests.start import start_params
from raystead.spec.allow import ALLOW_ANNOTATION
from raystead.spec.model import Json, RayCluster

__all__ = ["Door", "doors", "foreign_doors", "lets_through", "notes", "ports_for"]

HEAD, WORKERS = "head", "workers"
_OUTSIDE = ("NodePort", "LoadBalancer")


class Door(Struct, frozen=True):
    """What opens which TCP ports to everybody: `head`, `workers`, or the name of a worker group."""

    source: str
    side: str
    ports: tuple[int, ...]


def doors(ctx: Context) -> list[Door]:
    """All of them; none where the file has network policies of its own, which then decide."""
    return [] if ctx.cluster.spec.network_policy is not None else _of_file(ctx)


def _of_file(ctx: Context) -> list[Door]:
    out: list[Door] = []
    if (kind := head_type(ctx)) in _OUTSIDE:
        out.append(Door(f"Service {ctx.head_service}, {kind}", HEAD, _named_ports(ctx)))
    named = [
        port for port in ctx.cluster.spec.head.template.ray_container.get("ports") or [] if is_serve(port)
    ]
    chosen = serve_ports(ctx) if serves(ctx) else named
    numbers = tuple(int(port["containerPort"]) for port in chosen)
    if numbers:
        out.append(Door("a port named serve", HEAD, numbers))
    if serves(ctx):
        out.append(Door(f"Service {ctx.names.serve_service}", WORKERS, numbers))
    for group in ctx.cluster.spec.workers:
        own = [p for p in group.template.ray_container.get("ports") or [] if is_serve(p)]
        if own:
            out.append(Door("a port named serve", group.name, tuple(int(p["containerPort"]) for p in own)))
    for source, targets in ctx.facts.doors.items():
        for side in (HEAD, WORKERS):
            found = [t.partition(":")[2] for t in targets if t.startswith(f"{side}:")]
            if found:
                out.append(Door(source, side, tuple(int(number) for number in found)))
    return out


def ports_for(ctx: Context, group: str | None) -> list[int]:
    """The ports that are open to everybody on the head (None) or on a worker group, sorted."""
    sides = (HEAD,) if group is None else (WORKERS, group)
    return sorted({port for door in doors(ctx) if door.side in sides for port in door.ports})


def notes(ctx: Context) -> Iterator[str]:
    """One line: what is open to everybody, through what, and whether a token guards it."""
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    guarded = {int(ctx.gcs_port), int(params["dashboard-port"]), int(params["ray-client-server-port"])}
    guarded = guarded if ctx.token else set()
    for door in doors(ctx):
        parts = []
        for ports, words in (
            ([p for p in door.ports if p in guarded], "the token guards"),
            ([p for p in door.ports if p not in guarded], "no token guards"),
        ):
            if ports:
                parts.append(f"{', '.join(map(str, ports))} ({words} {'it' if len(ports) == 1 else 'them'})")
        yield f"open to everybody on {door.side} by {door.source}: {' and '.join(parts)}"
    yield from _shut(ctx)


def _shut(ctx: Context) -> Iterator[str]:
    """Doors that lead nowhere, for the file's own `networkPolicy` lets nobody come to their ports."""
    policy = ctx.cluster.spec.network_policy
    if policy is None or policy.mode == "DenyAllEgress" or ALLOW_ANNOTATION in ctx.cluster.annotations:
        return
    for door in _of_file(ctx):
        allowed = policy.head if door.side == HEAD else policy.worker
        rules = list(allowed.ingress_rules) if allowed else []
        if door.side != HEAD:
            rules += [rule for group in policy.worker_groups for rule in group.ingress_rules]
        if shut := [str(port) for port in door.ports if not lets_through(rules, port)]:
            where = f"port{'s' if len(shut) > 1 else ''} {', '.join(shut)} of {door.side}"
            shuts = "networkPolicy lets nobody in there from outside the cluster: it needs an ingress rule"
            yield f"{door.source} leads to {where}, and {shuts}"


def lets_through(rules: Sequence[Json], port: int, names: Collection[int | str] | None = None) -> bool:
    """Some rule of a NetworkPolicy has that port, or all ports, whomever it names.

    Args:
        names: what else the port is called there; None: any name may be its.
    """

    def covers(entry: Json) -> bool:
        first, last = entry.get("port"), entry.get("endPort")
        if isinstance(first, int) and isinstance(last, int):
            return first <= port <= last
        named = isinstance(first, str) if names is None else first in names
        return first is None or first == port or named

    return any(not rule.get("ports") or any(map(covers, rule["ports"])) for rule in rules)


def foreign_doors(cluster: RayCluster, foreign: Sequence[Json]) -> dict[str, list[str]]:
    """By "Kind/name", where the file's other documents lead to: "head:8265", "workers:8000"."""
    if not foreign:
        return {}
    ctx = Context(cluster, Facts())
    sides = [(HEAD, head_template(ctx))]
    sides += [(WORKERS, worker_template(ctx, group)) for group in cluster.spec.workers]
    known: dict[str, Json] = {item["metadata"]["name"]: item for item in services(ctx)}
    out: dict[str, list[str]] = {}
    named = [
        item for item in foreign if isinstance(item.get("metadata"), dict) and item["metadata"].get("name")
    ]
    for item in named:
        if item.get("kind") == "Service":
            known.setdefault(str(item["metadata"]["name"]), item)
    for item in named:
        try:
            targets = sorted(set(_of_document(item, known, sides)))
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # not the shape of its kind: the server says so
        if targets:
            out[f"{item.get('kind')}/{item['metadata']['name']}"] = targets
    return out


def _of_document(item: Json, known: Mapping[str, Json], sides: Sequence[tuple[str, Json]]) -> Iterator[str]:
    kind, spec = str(item.get("kind")), item.get("spec") or {}
    if kind == "Service" and spec.get("type") in _OUTSIDE:
        for port in spec.get("ports") or []:
            yield from _targets(item, port.get("port"), sides)
    for service, wanted in _backends(kind, spec):
        if service in known:
            yield from _targets(known[service], wanted, sides)


def _named_ports(ctx: Context) -> tuple[int, ...]:
    """Those that the file names for the head's Service; where it names none, those that people come for."""
    head = ctx.cluster.spec.head
    declared = [int(p["containerPort"]) for p in head.template.ray_container.get("ports") or []]
    own = ((head.head_service or {}).get("spec") or {}).get("ports") or []
    named = {p.get("name"): int(p["containerPort"]) for p in head.template.ray_container.get("ports") or []}
    for port in own:
        target = port.get("targetPort", port["port"])
        declared.append(int(target) if str(target).isdigit() else named.get(str(target), int(port["port"])))
    if declared:
        return tuple(sorted(set(declared)))
    params = start_params(ctx.cluster, head, head=True)
    ports = {int(params["dashboard-port"]), int(params["ray-client-server-port"])}
    return tuple(sorted(ports | {int(port["containerPort"]) for port in serve_ports(ctx)}))


def _backends(kind: str, spec: Json) -> Iterator[tuple[str, Any]]:
    """Names of Services, with a port's number or name, that an Ingress or a route leads to."""
    if kind == "Ingress":
        found = [spec.get("defaultBackend") or spec.get("backend")]
        for rule in spec.get("rules") or []:
            found += [path.get("backend") for path in (rule.get("http") or {}).get("paths") or []]
        for backend in filter(None, found):
            service = backend.get("service") or {}
            port = service.get("port") or {}
            yield (
                str(service.get("name") or backend.get("serviceName")),
                port.get("number") or port.get("name") or backend.get("servicePort"),
            )
    elif kind == "Route":
        for to in (spec.get("to"), *(spec.get("alternateBackends") or [])):
            if to:
                yield str(to.get("name")), (spec.get("port") or {}).get("targetPort")
    elif kind in ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"):
        for rule in spec.get("rules") or []:
            for ref in rule.get("backendRefs") or []:
                yield str(ref.get("name")), ref.get("port")


def _targets(service: Json, wanted: Any, sides: Sequence[tuple[str, Json]]) -> Iterator[str]:
    """The pods' ports behind a Service's port; all of its ports where none is wanted by number or name."""
    spec: Mapping[str, Any] = service.get("spec") or {}
    selector = spec.get("selector")
    if not selector:
        return
    for port in spec.get("ports") or []:
        target = port.get("targetPort", port.get("port"))
        if wanted is not None and wanted not in (port.get("port"), port.get("name"), target):
            continue
        for side, template in sides:
            if not labels.matches({"matchLabels": selector}, template["metadata"]["labels"]):
                continue
            declared = [p for c in template["spec"]["containers"] for p in c.get("ports") or []]
            names = {p.get("name"): p["containerPort"] for p in declared}
            number = target if str(target).isdigit() else names.get(target)
            if number is not None:
                yield f"{side}:{number}"
