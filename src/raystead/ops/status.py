"""`status` and `list`: reads what this user may read, says what they may not, and lets `plan` judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from raystead.base import kinds, labels
from raystead.base.times import span
from raystead.errors import Forbidden, RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection
from raystead.live.autoscaler import AutoscalerReport, report_of
from raystead.live.makers import kinds_that_keep
from raystead.live.pods import Pod, slim
from raystead.manifests.living import Living
from raystead.manifests.render import manifests
from raystead.ops import keepers
from raystead.ops.listing import clusters
from raystead.ops.living import live_objects
from raystead.ops.ray import asked_now
from raystead.plan.drift import drift_of, missing
from raystead.plan.headloss import EVENTS
from raystead.plan.observed import ClusterView, observe
from raystead.plan.raynodes import RayNode, ray_nodes
from raystead.spec.edits import suspended

if TYPE_CHECKING:
    from raystead.live.raycron import CronState
    from raystead.live.rayjob import JobState
    from raystead.ops.anchor import Anchor

__all__ = ["clusters", "view"]

# In `status` what has our label; Secrets and ConfigMaps are not looked at, Services tell the addresses.
_SHOWN = kinds.names(row for row in kinds.ROWS if row.owned and row.part)
_KINDS = (*_SHOWN, "Event")


def view(api: Api, anchor: Anchor, *, ray: bool = True) -> ClusterView:
    """The cluster as it is now; `ray` False does not ask Ray.

    With fewer rights than `edit` it says less, and which right is missing.
    """
    wanting: list[str] = []
    job, cron = _job_of(api, anchor), _ticks_of(api, anchor)
    rendered = manifests(anchor.document if cron else anchor.cluster, anchor.with_facts(), anchor.choices)
    others = [kind for kind in kinds_that_keep(rendered) if kind not in _KINDS]
    here, pods = _read(api, anchor.name, (*_KINDS, *others), wanting)
    if cron is not None:  # those of earlier ticks stay for their logs
        pods = [pod for pod in pods if not Pod.of(pod).over]
    nodes, living, report = _alive(api, anchor, pods, wanting) if ray else (None, None, None)
    ours = [
        item
        for kind in (*_SHOWN, *others)
        for item in here.get(kind) or ()
        if kind != kinds.CLAIM and (item["metadata"].get("labels") or {}).get(labels.OURS) == anchor.name
    ]
    wanted = [i for i in rendered if here.get(i["kind"]) is not None]
    claims = here.get(kinds.CLAIM) or ()  # controllers write into them: that is no drift
    end = keepers.idle_of(anchor)
    over = job.over if job is not None else bool(end and end.keeps_data)
    ended = over and here.get("Deployment") == []
    resting = ended or (cron is not None and not pods)
    seen = observe(
        cluster=suspended(anchor.cluster, True) if resting else anchor.cluster,
        anchor=anchor.raw,
        deployments=here.get("Deployment") or (),
        statefulsets=here.get("StatefulSet") or (),
        services=here.get("Service") or (),
        pods=pods,
        claims=here.get("PersistentVolumeClaim"),
        policies=here.get("NetworkPolicy"),
        events=here.get("Event"),
        ray_nodes=nodes,
        living=living,
        autoscaler=report,
        drift=() if ended else (*missing(wanted, (*ours, *claims)), *drift_of(ours, wanted)),
        missing_rights=wanting,
        makers=[item for kind in others for item in here.get(kind) or ()],
        now=api.now(),
    )
    if job is not None and (on := anchor.facts.selected.get("name")):
        note = f"runs on the cluster {on}, of which nothing is the job's own"
        state = "ended" if job.over else job.deployment_status
        return replace(seen, job=job, state=state, groups=(), drift=(), notes=(note,))
    if job is not None or ended:
        seen = replace(seen, job=job, state="ended" if ended else seen.state)
    if end is not None and not ended:
        seen = replace(seen, idle=keepers.idle(api, anchor, pods))
    if ended and job is None and end is not None:
        kept = f"it ended by itself after {span(end.seconds)} without work; spec and data are kept"
        seen = replace(seen, notes=(*seen.notes, kept))
    if cron is not None:
        seen = replace(seen, cron=cron, state=seen.state if pods else _between(cron))
    if not anchor.foreign:
        return seen
    brought = f"came with the file: {', '.join(anchor.foreign)} (raystead down -f FILE removes them too)"
    return replace(seen, notes=(*seen.notes, brought))


def _job_of(api: Api, anchor: Anchor) -> JobState | None:
    if anchor.kept.get("kind") != "RayJob":
        return None
    from raystead.ops import rayjobs

    return rayjobs.state(api, anchor.name)


def _ticks_of(api: Api, anchor: Anchor) -> CronState | None:
    if not anchor.is_cron:
        return None
    from raystead.ops import raycrons

    return raycrons.Ticks(api, anchor).state()


def _between(cron: CronState) -> str:
    return "suspended" if cron.suspended else "scheduled"


def _read(
    api: Api, name: str, which: Sequence[str], wanting: list[str]
) -> tuple[dict[str, list[Json] | None], Sequence[Json]]:
    """By kind what may be read; None and a sentence where the right is missing. Pods must be readable."""

    def one(kind: str) -> list[Json] | Forbidden:
        try:
            if kind == "Event":
                return api.list(collection(api.namespace, kind), fields=EVENTS)
            if kind == "Pod":
                return api.list(collection(api.namespace, kind), labels=f"{labels.OURS}={name}", keep=slim)
            return live_objects(api, name, (kind,))[kind]
        except Forbidden as error:
            return error

    found: dict[str, list[Json] | None] = {}
    for kind, answer in zip((*which, "Pod"), parallel(one, (*which, "Pod")), strict=True):
        if isinstance(answer, Forbidden):
            if kind == "Pod":
                raise answer
            wanting.append(f"{kind}: {answer.what}")
            found[kind] = None
        else:
            found[kind] = answer
    return found, found.pop("Pod") or ()


def _alive(
    api: Api, anchor: Anchor, pods: Sequence[Json], wanting: list[str]
) -> tuple[Sequence[RayNode] | None, Living | None, AutoscalerReport | None]:
    """Ray's view of its nodes, itself and its autoscaler; None where it cannot be had, with the reason."""
    try:
        answer = asked_now(api, anchor, pods)
    except Forbidden as error:
        rights = "get on secrets, and " if "secrets" in error.what else ""
        wanting.append(f"alive: needs {rights}get and create on pods/portforward")
        return None, None, None
    except RaysteadError as error:
        wanting.append(f"alive: {error.what}")
        return None, None, None
    if answer is None:
        return None, None, None
    if answer.error is not None:
        wanting.append(f"alive: {answer.error.what}")
    nodes = None if answer.nodes is None else ray_nodes(answer.nodes)
    return nodes, answer.living, _report(api, anchor, pods, answer.autoscaler, wanting)


def _report(
    api: Api, anchor: Anchor, pods: Sequence[Json], text: str, wanting: list[str]
) -> AutoscalerReport | None:
    """What the autoscaler says, with the idle times of its nodes where some are idle."""
    if not anchor.cluster.spec.enable_in_tree_autoscaling:
        return None
    report = report_of(text)
    if report is None:
        wanting.append("autoscaler: it has not said anything yet, or this Ray's dashboard does not tell")
        return None
    if not any(report.idle.values()):
        return report
    from raystead.ops.idle import idle_times  # asyncio, which only this needs

    try:
        idle = idle_times(api, pods)
    except RaysteadError as error:
        wanting.append(f"autoscaler: idle times: {error.what}")
        return report
    workers = {
        str(p["metadata"]["name"]) for p in pods if p["metadata"]["labels"].get(labels.NODE_TYPE) == "worker"
    }
    seconds = {pod: one.seconds for pod, one in idle.items() if one.seconds > 0 and pod in workers}
    return structs.replace(report, idle_seconds=seconds)
