"""What a cluster is now, from live objects and from what Ray says. Nothing here is remembered.

`observe` takes Kubernetes' JSON as it came and answers with frozen values; `view_json` is their machine form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from raystead.base.groups import HEAD, GroupId, worker
from raystead.base.rayversions import image_version
from raystead.base.times import instant
from raystead.live.autoscaler import AutoscalerReport, Demand, Obstacle, obstacles
from raystead.live.groups import Group, groups
from raystead.live.idle import IdleState
from raystead.live.makers import makers_of, unattended
from raystead.live.pods import pods_of
from raystead.live.reading import created, dig, name
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.living import Living, token_difference, version_difference
from raystead.manifests.storage import storage_kind
from raystead.plan.groupview import GroupView, NodeView, group_view
from raystead.plan.headloss import HeadLoss, head_loss
from raystead.plan.kuberaystatus import LiveCluster, kuberay_status
from raystead.plan.raynodes import NodeIndex, RayNode
from raystead.spec.model import Json, RayCluster

if TYPE_CHECKING:
    from raystead.live.raycron import CronState
    from raystead.live.rayjob import JobState

__all__ = ["ClusterView", "observe", "view_json"]


@dataclass(frozen=True)
class ClusterView:
    """A cluster as it is at the moment `now` of `observe`.

    Attributes:
        state: "Ready" (all pods wanted are ready, and alive if Ray could be asked), "partly" (the head is and
            something else is not), "not ready", "suspended"; "ended" where a RayJob's cluster is gone, or one
            has ended by itself and left its spec and data; "scheduled" for a RayCronJob between two ticks.
        since: since when it is Ready; None in other states, whose beginning nobody records.
        age: seconds since the anchor was made.
        storage: "redis (volume)", "redis (no volume)", "external", "rocksdb" or "none".
        token: Ray checks tokens; its own word where it could be asked.
        no_token: why the spec has none, a clause; "" where it has one.
        policies: None where we may not see them.
        endpoints: port name to "host:port" as seen from the cluster.
        notes: what could not be known and why.
        document: the RayCluster with the status KubeRay would write.
        job: of a RayJob, how far it is.
        autoscaler: what Ray's autoscaler says; None without one, or where it could not be asked.
        stuck: why its demand stays unmet.
        idle: of a cluster that ends by itself, whether it is idle.
        cron: of a RayCronJob, its ticks.
    """

    name: str
    namespace: str
    state: str
    since: datetime | None
    age: float
    ray_version: str
    image: str
    storage: str
    token: bool
    no_token: str
    policies: bool | None
    groups: tuple[GroupView, ...]
    nodes: tuple[NodeView, ...]
    endpoints: dict[str, str]
    drift: tuple[str, ...]
    last_head_loss: HeadLoss | None
    notes: tuple[str, ...]
    document: Json
    job: JobState | None = None
    autoscaler: AutoscalerReport | None = None
    stuck: tuple[Obstacle, ...] = ()
    idle: IdleState | None = None
    cron: CronState | None = None


def observe(
    *,
    cluster: RayCluster,
    anchor: Json,
    deployments: Sequence[Json],
    statefulsets: Sequence[Json],
    services: Sequence[Json],
    pods: Sequence[Json],
    claims: Sequence[Json] | None = None,
    policies: Sequence[Json] | None = None,
    events: Sequence[Json] | None = None,
    ray_nodes: Sequence[RayNode] | None = None,
    living: Living | None = None,
    autoscaler: AutoscalerReport | None = None,
    drift: Sequence[str] = (),
    missing_rights: Sequence[str] = (),
    makers: Sequence[Json] = (),
    now: datetime,
) -> ClusterView:
    """The state of `cluster`, the applied spec; its anchor tells its age, `now` has a zone.

    Lists hold what carries the cluster's label; None could not be read. `missing_rights` are sentences,
    `makers` further objects that keep pods, with their kinds.
    """
    ctx = Context(cluster, Facts(namespace=anchor["metadata"].get("namespace")))
    keepers = [*({**item, "kind": "Deployment"} for item in deployments), *makers]
    kept_by = makers_of(*keepers)
    alone = "" if ctx.suspended else unattended(kept_by, now)
    every = groups(cluster, kept_by, pods_of(pods))
    shown = [group for group in every if group.id in _shown(cluster)]
    index = None if ray_nodes is None else NodeIndex(ray_nodes)
    views = [group_view(group, index, now) for group in shown]
    lines = tuple(view for view, _ in views)
    state = _state(ctx, lines, statefulsets)
    head = shown[0]
    service = next((s for s in services if name(s) == ctx.head_service), None)
    live = LiveCluster(
        groups=shown,
        all_ready=state == "Ready",
        suspended=ctx.suspended,
        pods_left=sum(not pod.over for group in shown for pod in group.pods),
        since=_since(state, shown),
        born=created(anchor) or now,
        head=head.newest,
        service=service,
    )
    known = living or Living()
    made = dig(head.maker.template, "spec", "containers") or cluster.spec.head.template.containers or [{}]
    image = str(made[0].get("image") or "")
    return ClusterView(
        name=cluster.name,
        namespace=ctx.namespace or "",
        state=state,
        since=live.since,
        age=max(0.0, (now - live.born).total_seconds()),
        ray_version=known.version or image_version(image) or cluster.spec.ray_version or "",
        image=image,
        storage=_storage(cluster, statefulsets),
        token=known.mode == "token" if known.mode else ctx.token,
        no_token=ctx.no_token or "",
        policies=None if policies is None else bool(policies),
        groups=lines,
        nodes=tuple(node for _, nodes in views for node in nodes),
        endpoints=_endpoints(service),
        drift=tuple(drift),
        last_head_loss=head_loss(head, shown[1:], events),
        notes=(
            *([f"autoscaler: nothing scales, {alone}"] if alone else ()),
            *missing_rights,
            *_differences(ctx, known),
            *_notes(lines, missing_rights, claims, statefulsets),
            *_load_balancers(services),
        ),
        document=_document(cluster, anchor, kuberay_status(cluster, live, now), shown),
        autoscaler=autoscaler,
        stuck=tuple(obstacles(autoscaler, cluster, shown)) if autoscaler else (),
    )


def _shown(cluster: RayCluster) -> set[GroupId]:
    """The head and the spec's worker groups: Redis is part of the state, not a group of Ray nodes."""
    return {HEAD, *(worker(group.name) for group in cluster.spec.workers)}


def view_json(view: ClusterView) -> Json:
    """The RayCluster with KubeRay's status, and under `raystead` what KubeRay does not have; exact times."""
    loss = view.last_head_loss
    known: Json = {
        "state": view.state,
        "since": instant(view.since) if view.since else None,
        "ageSeconds": round(view.age, 3),
        "rayVersion": view.ray_version,
        "image": view.image,
        "storage": view.storage,
        "token": view.token,
        "noToken": view.no_token or None,
        "policies": view.policies,
        "endpoints": view.endpoints,
        "groups": [_camel(group) for group in view.groups],
        "nodes": [_camel(node) for node in view.nodes],
        "drift": list(view.drift),
        "lastHeadLoss": None if loss is None else {**_camel(loss), "at": instant(loss.at)},
        "notes": list(view.notes),
    }
    if view.autoscaler is not None:
        known["autoscaler"] = _autoscaler(view.autoscaler, view.stuck)
    if view.job is not None:
        known["rayJob"] = view.job.kuberay()
    if view.idle is not None:
        known["idle"] = view.idle.json()
    if view.cron is not None:
        known["rayCronJob"] = view.cron.json()
    return {**view.document, "raystead": known}


def _autoscaler(report: AutoscalerReport, stuck: Sequence[Obstacle]) -> Json:
    def demands(found: Sequence[Demand]) -> list[Json]:
        return [
            {
                "kind": one.kind,
                "count": one.count,
                "bundles": [{"resources": dict(s), "count": n} for s, n in one.shapes],
            }
            for one in found
        ]

    return {
        "active": dict(report.active),
        "idle": dict(report.idle),
        "idleSeconds": {pod: round(seconds, 3) for pod, seconds in report.idle_seconds.items()},
        "pending": list(report.pending),
        "failures": list(report.failures),
        "demands": demands(report.demands),
        "requested": demands(report.requested),
        "unmet": [
            {"why": one.kind, "resources": dict(one.shape), "groups": dict(one.groups)} for one in stuck
        ],
    }


def _camel(value: GroupView | NodeView | HeadLoss) -> Json:
    """A flat dataclass as JSON, names as Kubernetes spells them (`asdict` copies deeply, far slower)."""
    return {_spelled(key): item for key, item in vars(value).items()}


def _spelled(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.upper() if word == "ip" else word.capitalize() for word in rest)


def _differences(ctx: Context, living: Living) -> Iterator[str]:
    if found := token_difference(ctx, living):
        yield f"token: {found}"
    if found := version_difference(ctx, living):
        yield f"version: {found}"


def _state(ctx: Context, groups: Sequence[GroupView], statefulsets: Sequence[Json]) -> str:
    if ctx.suspended:
        return "suspended"
    head, *rest = (g.ready >= g.wanted and (g.alive is None or g.alive >= g.wanted) for g in groups)
    stores = all(
        int((s.get("status") or {}).get("readyReplicas") or 0)
        >= int((s.get("spec") or {}).get("replicas", 1))
        for s in statefulsets
    )
    if not head:
        return "not ready"
    return "Ready" if stores and all(rest) else "partly"


def _since(state: str, groups: Sequence[Group]) -> datetime | None:
    """When the last pod became ready: since then the cluster is."""
    if state != "Ready":
        return None
    moments = [pod.ready_since for group in groups for pod in group.current]
    return max((moment for moment in moments if moment is not None), default=None)


def _storage(cluster: RayCluster, statefulsets: Sequence[Json]) -> str:
    kind = storage_kind(cluster)
    if kind != "redis":
        return kind
    on_volume = any((s.get("spec") or {}).get("volumeClaimTemplates") for s in statefulsets)
    return "redis (volume)" if on_volume else "redis (no volume)"


def _endpoints(service: Json | None) -> dict[str, str]:
    if service is None:
        return {}
    host = _address(service) or f"{name(service)}.{service['metadata'].get('namespace')}.svc"
    ports = (service.get("spec") or {}).get("ports") or ()
    return {str(x.get("name") or x["port"]): f"{host}:{x['port']}" for x in ports}


def _address(service: Json) -> str:
    """What a load balancer has given to the Service; "" while it has none."""
    given = (dig(service, "status", "loadBalancer", "ingress") or [{}])[0]
    return str(given.get("hostname") or given.get("ip") or "")


def _load_balancers(services: Sequence[Json]) -> Iterator[str]:
    for service in services:
        if dig(service, "spec", "type") == "LoadBalancer":
            none = "its load balancer has given no address; raystead connect needs none"
            yield f"Service {name(service)}: {_address(service) or none}"


def _notes(
    groups: Sequence[GroupView],
    missing_rights: Sequence[str],
    claims: Sequence[Json] | None,
    statefulsets: Sequence[Json],
) -> list[str]:
    out = []
    if not missing_rights and any(group.alive is None for group in groups):
        why = "Ray's dashboard could not be asked" if groups[0].ready else "the head is not ready"
        out.append(f"alive: unknown, {why}")
    for claim in claims or ():
        phase = (claim.get("status") or {}).get("phase")
        if phase not in ("Bound", None):
            out.append(f"state: the volume claim {name(claim)} is {phase}")
    for item in statefulsets:
        wanted = int((item.get("spec") or {}).get("replicas", 1))
        have = int((item.get("status") or {}).get("readyReplicas") or 0)
        if have < wanted:
            out.append(f"state: {name(item)} is not ready: the head cannot start or be restarted")
    return out


def _document(cluster: RayCluster, anchor: Json, status: Json, groups: Sequence[Group]) -> Json:
    kept = cluster.document()
    metadata = dict(kept["metadata"])
    metadata["namespace"] = anchor["metadata"].get("namespace")
    for key in ("uid", "creationTimestamp", "resourceVersion"):
        if anchor["metadata"].get(key):
            metadata[key] = anchor["metadata"][key]
    # a spec of ours has no generation: the makers' together grow with every change of it
    metadata["generation"] = sum(
        int(dig(group.maker.json, "metadata", "generation") or 0) for group in groups
    )
    document = {"apiVersion": kept["apiVersion"], "kind": kept["kind"], "metadata": metadata}
    return {**document, "spec": kept["spec"], "status": status}
