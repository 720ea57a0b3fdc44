"""Network policies: a cluster's pods among themselves, DNS, Redis, and what is named or the file opens."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from raystead.base import labels
from raystead.manifests.context import Context
from raystead.manifests.doors import lets_through, ports_for
from raystead.manifests.services import SERVE_PORT, serve_ports
from raystead.manifests.start import start_params
from raystead.manifests.storage import storage_kind
from raystead.spec.allow import ALLOW_ANNOTATION, Allowed, parse_all
from raystead.spec.model import Json, PolicyRules, WorkerGroup

__all__ = ["added_to_the_files_rules", "head_behind_policy", "policies", "selected_policies"]

POLICIES_ANNOTATION = "raystead.io/policies"
_REDIS_PORT = 6379
_DNS_PORT = 53
_DNS_NAMES = ("dns", "dns-tcp", 5353)
_API_SERVER = (443, 6443)  # its Service's port, and those that it listens on almost everywhere
_HEAD_METRICS = (44217, 44227)  # of the autoscaler and of the dashboard
_DNS: Json = {  # to any destination: CoreDNS listens on 53, OpenShift's pods on 5353
    "ports": [{"protocol": p, "port": n} for n in (53, 5353) for p in ("UDP", "TCP")],
}


class _Side(Struct, frozen=True):
    """The pods of one policy and the rules that the user adds to them."""

    guide_name: str
    name: str
    selector: dict[str, str]
    ingress: list[Json]
    egress: list[Json]
    own_dns: bool = False  # the file's own rules let it ask a DNS server


def policies(ctx: Context) -> list[Json]:
    ingress, egress = _directions(ctx)
    out: list[Json] = []
    for side in _sides(ctx):
        rules: dict[str, list[Json]] = {}
        if ingress:
            rules["Ingress"] = [{"from": _peers(ctx)}, *side.ingress]
        if egress:
            rules["Egress"] = [{"to": _peers(ctx)}, *([] if side.own_dns else [_DNS]), *side.egress]
        if ctx.guide:
            out += [
                _policy(ctx, f"{side.guide_name}-{k.lower()}", side.selector, {k: rules[k]}) for k in rules
            ]
        elif rules:
            out.append(_policy(ctx, side.name, side.selector, rules))
    if egress and ctx.asked_over_http:
        to = {"podSelector": {"matchLabels": _selector(ctx, None)}}
        out.append(_policy(ctx, f"{ctx.cluster.name}-programs", {}, {"Egress": [{"to": [to]}, _DNS]}))
        out[-1]["spec"]["podSelector"] = _programs(ctx)["podSelector"]
    if ingress and storage_kind(ctx.cluster) == "redis":
        out.append(_redis(ctx))
    return out


def selected_policies(ctx: Context) -> list[Json]:
    """What lets the submitter of a RayJob reach a cluster that is not its own.

    Policies add up, so nothing of the other cluster is changed. Where nothing restricts its head there is
    none: one rule would shut out everybody else.
    """
    head = ctx.facts.selected.get("head")
    if not head:
        return []
    name, port = ctx.cluster.name, _tcp([int(ctx.facts.selected["port"])])
    into = [{"from": [_programs(ctx)], "ports": port}]
    out = [_policy(ctx, f"{name}-to-head", dict(head), {"Ingress": into})]
    if ctx.facts.isolated:
        to: Json = {"to": [{"podSelector": {"matchLabels": dict(head)}}], "ports": port}
        out.append(_policy(ctx, f"{name}-programs", {}, {"Egress": [to, _DNS]}))
        out[-1]["spec"]["podSelector"] = _programs(ctx)["podSelector"]
    return out


def head_behind_policy(ctx: Context) -> dict[str, str] | None:
    """The labels of the head, where our policies restrict who reaches it; the cluster's own is among them."""
    return {**_selector(ctx, None), labels.OURS: ctx.cluster.name} if _directions(ctx)[0] else None


def _directions(ctx: Context) -> tuple[bool, bool]:
    """Ingress and egress are restricted."""
    policy = ctx.cluster.spec.network_policy
    wish = ctx.choices.policies
    if wish == "auto":  # the command line goes before the file
        wish = ctx.cluster.annotations.get(POLICIES_ANNOTATION, "auto")
    if wish == "never":
        return False, False
    if wish == "always":
        return True, True
    if policy is None:
        return True, ctx.facts.isolated
    mode = policy.mode or "DenyAll"
    return mode != "DenyAllEgress", mode != "DenyAllIngress"


def _sides(ctx: Context) -> list[_Side]:
    policy = ctx.cluster.spec.network_policy
    head = (policy.head if policy else None) or PolicyRules()
    worker = (policy.worker if policy else None) or PolicyRules()
    own = {group.name: group for group in (policy.worker_groups if policy else [])}
    selector = _selector(ctx, None)
    egress = [*_redis_egress(ctx, head.egress_rules), *_api_server_egress(ctx), *head.egress_rules]
    name = f"{ctx.cluster.name}-head"
    into = [*_let_in(ctx, None), *head.ingress_rules]
    out = [_Side("ray-head", name, selector, into, egress, _reaches(head.egress_rules, _DNS_PORT))]
    if ctx.guide:
        rules: list[PolicyRules] = []
        for group in ctx.cluster.spec.workers:  # one policy for all of them
            if (rule := own.get(group.name, worker)) not in rules:
                rules.append(rule)
        let_in: list[Json] = []
        for group in ctx.cluster.spec.workers:
            let_in += [one for one in _let_in(ctx, group) if one not in let_in]
        into = [*let_in, *(r for rule in rules for r in rule.ingress_rules)]
        outof = [r for rule in rules for r in rule.egress_rules]
        own_dns = bool(rules) and all(_reaches(rule.egress_rules, _DNS_PORT) for rule in rules)
        return [*out, _Side("ray-worker", "", {"app": labels.GUIDE_WORKER["app"]}, into, outof, own_dns)]
    for group in ctx.cluster.spec.workers:
        rule = own.get(group.name, worker)
        name = f"{ctx.cluster.name}-workers-{group.name}".lower()
        into = [*_let_in(ctx, group), *rule.ingress_rules]
        own_dns = _reaches(rule.egress_rules, _DNS_PORT)
        out.append(_Side("", name, _selector(ctx, group.name), into, rule.egress_rules, own_dns))
    return out


def added_to_the_files_rules(ctx: Context) -> list[str]:
    """What a file's own `networkPolicy` lacks for a cluster to work, and we add; a line."""
    _, egress = _directions(ctx)
    if ctx.cluster.spec.network_policy is None or not egress:
        return []
    without = [side.name or side.guide_name for side in _sides(ctx) if not side.own_dns]
    out = []
    if without:
        out.append(f"DNS on 53 and 5353 for {', '.join(without)}")
    head = ctx.cluster.spec.network_policy.head or PolicyRules()
    if _redis_egress(ctx, head.egress_rules):
        out.append("the head's way to Redis")
    return [f"networkPolicy has no rule for it, so it is added: {' and '.join(out)}"] if out else []


def _reaches(rules: Sequence[Json], port: int) -> bool:
    """Some egress rule lets that port out, to whomever it names."""
    return lets_through(rules, port, _DNS_NAMES if port == _DNS_PORT else ())


def _let_in(ctx: Context, group: WorkerGroup | None) -> list[Json]:
    """Ingress rules for the peers of `--allow-from` and for what the file itself opens; None is the head.

    Workers have no dashboard and no client port.
    """
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    metrics = [int(params["metrics-export-port"])]
    serve = [int(port["containerPort"]) for port in serve_ports(ctx)] or [SERVE_PORT]
    known = {"metrics": metrics, "serve": serve}
    if group is None:
        known["metrics"] = [*metrics, *_HEAD_METRICS]
        known["dashboard"] = [int(params["dashboard-port"])]
        known["client"] = [int(params["ray-client-server-port"])]
    rules = []
    if group is None and ctx.asked_over_http:
        rules.append({"from": [_programs(ctx)], "ports": _tcp(known["dashboard"])})
    for allowed in parse_all(ctx.cluster.annotations.get(ALLOW_ANNOTATION, "")):
        ports = [n for door in allowed.to for n in ([int(door)] if door.isdigit() else known.get(door, []))]
        if ports:
            rules.append({"from": [_outside(allowed)], "ports": _tcp(ports)})
    if opened := ports_for(ctx, group.name if group else None):
        rules.append({"ports": _tcp(opened)})
    return rules


def _tcp(ports: Sequence[int]) -> list[Json]:
    return [{"protocol": "TCP", "port": number} for number in ports]


def _programs(ctx: Context) -> Json:
    """Our own programs beside the cluster: a submitter, keepers."""
    roles = {"key": labels.ROLE, "operator": "In", "values": list(labels.PROGRAM_ROLES)}
    return {"podSelector": {"matchLabels": {labels.OURS: ctx.cluster.name}, "matchExpressions": [roles]}}


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


def _redis_egress(ctx: Context, own: Sequence[Json]) -> list[Json]:
    """The head's way to Redis; none is added where the file's own rules have one to that port."""
    kind = storage_kind(ctx.cluster)
    if kind == "redis":
        to = {"podSelector": {"matchLabels": labels.redis_labels(ctx.cluster.name)}}
        return [{"to": [to], "ports": [{"protocol": "TCP", "port": _REDIS_PORT}]}]
    if kind == "external" and not _reaches(
        own, _external_port(ctx)
    ):  # it may be anywhere, in the cluster or outside: only its port is known
        return [{"ports": [{"protocol": "TCP", "port": _external_port(ctx)}]}]
    return []


def _api_server_egress(ctx: Context) -> list[Json]:
    """The steward's way to the API server, whose addresses a user of one namespace cannot know."""
    acts = ctx.cluster.spec.enable_in_tree_autoscaling and ctx.facts.steward != "client"
    return [{"ports": _tcp(_API_SERVER)}] if acts else []


def _external_port(ctx: Context) -> int:
    options = ctx.cluster.spec.gcs_fault_tolerance
    env = ctx.cluster.spec.head.template.ray_container.get("env") or []
    values = {e.get("name"): str(e.get("value") or "") for e in env}
    address = (options.redis_address if options else None) or values.get("RAY_REDIS_ADDRESS", "")
    tail = address.split(",")[0].split("://")[-1].rpartition(":")[2]
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
