"""Network policies (design 11): a cluster's pods among themselves, DNS, Redis; else only what is named."""

from __future__ import annotations

from dataclasses import dataclass

from raystead.base import labels
from raystead.manifests.context import Context
from raystead.manifests.start import start_params
from raystead.manifests.storage import storage_kind
from raystead.spec.allow import ALLOW_ANNOTATION, Allowed, parse_all
from raystead.spec.model import Json, PolicyRules

__all__ = ["policies"]

POLICIES_ANNOTATION = "raystead.io/policies"
_REDIS_PORT = 6379
_HEAD_METRICS = (44217, 44227)  # of the autoscaler and of the dashboard
_DNS: Json = {  # to any destination: CoreDNS listens on 53, OpenShift's pods on 5353
    "ports": [{"protocol": p, "port": n} for n in (53, 5353) for p in ("UDP", "TCP")],
}


@dataclass(frozen=True)
class _Side:
    """The pods of one policy and the rules that the user adds to them."""

    guide_name: str
    name: str
    selector: dict[str, str]
    ingress: list[Json]
    egress: list[Json]


def policies(ctx: Context) -> list[Json]:
    ingress, egress = _directions(ctx)
    out: list[Json] = []
    for side in _sides(ctx):
        rules: dict[str, list[Json]] = {}
        if ingress:
            rules["Ingress"] = [{"from": _peers(ctx)}, *side.ingress]
        if egress:
            rules["Egress"] = [{"to": _peers(ctx)}, _DNS, *side.egress]
        if ctx.guide:
            out += [
                _policy(ctx, f"{side.guide_name}-{k.lower()}", side.selector, {k: rules[k]}) for k in rules
            ]
        elif rules:
            out.append(_policy(ctx, side.name, side.selector, rules))
    if ingress and storage_kind(ctx.cluster) == "redis":
        out.append(_redis(ctx))
    return out


def _directions(ctx: Context) -> tuple[bool, bool]:
    """Ingress and egress are restricted."""
    said = ctx.cluster.spec.network_policy
    wish = ctx.facts.policies
    if wish == "auto":  # the command line goes before the file
        wish = ctx.cluster.annotations.get(POLICIES_ANNOTATION, "auto")
    if wish == "never":
        return False, False
    if wish == "always":
        return True, True
    if said is None:
        return True, ctx.facts.isolated
    mode = said.mode or "DenyAll"
    return mode != "DenyAllEgress", mode != "DenyAllIngress"


def _sides(ctx: Context) -> list[_Side]:
    said = ctx.cluster.spec.network_policy
    head = (said.head if said else None) or PolicyRules()
    worker = (said.worker if said else None) or PolicyRules()
    own = {group.name: group for group in (said.worker_groups if said else [])}
    selector = _selector(ctx, None)
    egress = [*_redis_egress(ctx), *head.egress_rules]
    name = f"{ctx.cluster.name}-head"
    let_in, metrics = _let_in(ctx, head=True), _let_in(ctx, head=False)
    out = [_Side("ray-head", name, selector, [*let_in, *head.ingress_rules], egress)]
    if ctx.guide:
        rules: list[PolicyRules] = []
        for group in ctx.cluster.spec.workers:  # one policy for all of them
            if (rule := own.get(group.name, worker)) not in rules:
                rules.append(rule)
        into = [*metrics, *(r for rule in rules for r in rule.ingress_rules)]
        outof = [r for rule in rules for r in rule.egress_rules]
        return [*out, _Side("ray-worker", "", {"app": labels.GUIDE_WORKER["app"]}, into, outof)]
    for group in ctx.cluster.spec.workers:
        rule = own.get(group.name, worker)
        name = f"{ctx.cluster.name}-workers-{group.name}".lower()
        into = [*metrics, *rule.ingress_rules]
        out.append(_Side("", name, _selector(ctx, group.name), into, rule.egress_rules))
    return out


def _let_in(ctx: Context, *, head: bool) -> list[Json]:
    """Ingress rules for the peers of `--allow-from`; workers have metrics alone."""
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    metrics = [int(params["metrics-export-port"])]
    doors = {"metrics": metrics}
    if head:
        doors["metrics"] = [*metrics, *_HEAD_METRICS]
        doors["dashboard"] = [int(params["dashboard-port"])]
        doors["client"] = [int(params["ray-client-server-port"])]
    rules = []
    for allowed in parse_all(ctx.cluster.annotations.get(ALLOW_ANNOTATION, "")):
        ports = [number for door in allowed.to for number in doors.get(door, [])]
        if ports:
            port_list = [{"protocol": "TCP", "port": number} for number in ports]
            rules.append({"from": [_outside(allowed)], "ports": port_list})
    return rules


def _outside(allowed: Allowed) -> Json:
    peer: Json = {}
    if allowed.namespace:
        peer["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": allowed.namespace}}
    if allowed.pods or not peer:
        peer["podSelector"] = {"matchLabels": dict(allowed.pods)}
    return peer


def _selector(ctx: Context, group: str | None) -> dict[str, str]:
    if ctx.guide:
        return {"app": labels.GUIDE_HEAD["app"]}
    return {**labels.selector(ctx.cluster.name, group, guide=False), labels.OURS: ctx.cluster.name}


def _peers(ctx: Context) -> list[Json]:
    """Every pod of this cluster, on all ports: Train, NCCL and vLLM bind what they like."""
    if not ctx.guide:
        ours = {labels.CLUSTER: ctx.cluster.name, labels.OURS: ctx.cluster.name}
        return [{"podSelector": {"matchLabels": ours}}]
    apps = [labels.GUIDE_HEAD["app"], labels.GUIDE_WORKER["app"]]
    return [{"podSelector": {"matchLabels": {"app": app}}} for app in apps]


def _redis_egress(ctx: Context) -> list[Json]:
    kind = storage_kind(ctx.cluster)
    if kind == "redis":
        to = {"podSelector": {"matchLabels": labels.redis_labels(ctx.cluster.name)}}
        return [{"to": [to], "ports": [{"protocol": "TCP", "port": _REDIS_PORT}]}]
    if kind == "external":  # it may be anywhere, in the cluster or outside: only its port is known
        return [{"ports": [{"protocol": "TCP", "port": _external_port(ctx)}]}]
    return []


def _external_port(ctx: Context) -> int:
    options = ctx.cluster.spec.gcs_fault_tolerance
    env = ctx.cluster.spec.head.template.ray_container.get("env") or []
    values = {e.get("name"): str(e.get("value") or "") for e in env}
    said = (options.redis_address if options else None) or values.get("RAY_REDIS_ADDRESS", "")
    tail = said.split(",")[0].split("://")[-1].rpartition(":")[2]
    return int(tail) if tail.isdigit() else _REDIS_PORT


def _redis(ctx: Context) -> Json:
    selector = labels.redis_labels(ctx.cluster.name)
    peer = {"podSelector": {"matchLabels": _selector(ctx, None)}}
    rule: Json = {"from": [peer], "ports": [{"protocol": "TCP", "port": _REDIS_PORT}]}
    return _policy(ctx, f"{ctx.names.redis}-ingress", selector, {"Ingress": [rule]})


def _policy(ctx: Context, name: str, selector: dict[str, str], rules: dict[str, list[Json]]) -> Json:
    spec: Json = {"podSelector": {"matchLabels": selector}, "policyTypes": list(rules)}
    spec.update({key.lower(): value for key, value in rules.items()})
    metadata = ctx.metadata(name)
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
