"""`explain`: reads once what may be read of a cluster, and lets the pure engine say what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from raystead.base import kinds, labels
from raystead.errors import ApiError, Forbidden, RaysteadError
from raystead.explain.engine import explain, needed_accounts, needed_logs
from raystead.explain.model import LOG_LINES, RAYLET, Finding, LogKey, Snapshot
from raystead.explain.view import View
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection, path_of
from raystead.live.autoscaler import AutoscalerReport, report_of
from raystead.live.makers import kinds_that_keep
from raystead.live.pods import Pod
from raystead.live.reading import changed
from raystead.manifests.facts import Facts
from raystead.manifests.living import Living
from raystead.manifests.render import manifests
from raystead.ops.anchor import Anchor
from raystead.ops.ray import asked_now
from raystead.spec.edits import suspended

__all__ = ["Explanation", "accounts_there", "log_of", "look", "objects_of"]

# of the present start and of the one before it, which died
_RAYLET_ERR = (
    "sh",
    "-c",
    "cd /tmp/ray && ls -1dt session_2*/logs/raylet.err | head -n 2 | xargs -r tail -q -n 60",
)
_PARTS = kinds.parts()  # of the snapshot


@dataclass(frozen=True)
class Explanation:
    """What one look found.

    Attributes:
        ready, wanted: pods; with no finding and ready < wanted the cluster is starting.
        unread: sentences on what could not be read, and why.
        runs_on: of a RayJob with a clusterSelector, the cluster that it names; else "".
    """

    name: str
    namespace: str
    findings: tuple[Finding, ...]
    ready: int
    wanted: int
    suspended: bool
    unread: tuple[str, ...]
    now: datetime
    runs_on: str = ""


def look(api: Api, anchor: Anchor) -> Explanation:
    """Everything that is wrong with the cluster now; reads only.

    Raises:
        ApiUnreachable
    """
    unread: list[str] = []
    snapshot = _snapshot(api, anchor, unread)
    if wanted := needed_logs(snapshot):
        texts = parallel(lambda key: _log(api, key, unread), wanted)
        snapshot = replace(snapshot, logs={k: t for k, t in zip(wanted, texts, strict=True) if t is not None})
    snapshot = replace(snapshot, accounts=accounts_there(api, needed_accounts(snapshot)))
    resting = bool(snapshot.cluster and snapshot.cluster.spec.suspend)
    groups = () if resting else View(snapshot).groups
    return Explanation(
        name=anchor.name,
        namespace=api.namespace,
        findings=explain(snapshot),
        ready=sum(min(group.serving, group.asked) for group in groups),
        wanted=sum(group.asked for group in groups),
        suspended=anchor.suspended and not anchor.facts.selected,
        unread=tuple(dict.fromkeys(unread)),
        now=snapshot.now,
        runs_on=str(anchor.facts.selected.get("name") or ""),
    )


def objects_of(api: Api, kind: str, label: str = "") -> tuple[Json, ...]:
    """All objects of a kind in the namespace, with a label where one is given."""
    return tuple(api.list(collection(api.namespace, kind), labels=label))


def accounts_there(api: Api, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the ServiceAccounts that exist; what may not be read counts as not there."""
    there = []
    for name in names:
        with contextlib.suppress(ApiError):
            api.get(path_of(api.namespace, "ServiceAccount", name))
            there.append(name)
    return tuple(there)


def log_of(api: Api, key: LogKey) -> str:
    """The end of one container's log."""
    pod, container, previous = key
    if container.endswith(RAYLET):
        from raystead.kube.execs import Target, run  # asyncio, which only such a start needs

        done = run(api, Target(api.namespace, pod, container.removesuffix(RAYLET)), _RAYLET_ERR)
        return done.out.decode("utf-8", "replace")
    query = {"container": container, "tailLines": LOG_LINES, "previous": "true" if previous else "false"}
    return api.text(f"{path_of(api.namespace, 'Pod', pod)}/log", timeout=10, **query)


def _snapshot(api: Api, anchor: Anchor, unread: list[str]) -> Snapshot:
    ours = f"{labels.OURS}={anchor.name}"

    def part(name: str) -> tuple[Json, ...] | None:
        row = _PARTS[name]
        try:
            return objects_of(api, row.name, "" if row.anybodys else ours)
        except Forbidden as error:
            unread.append(error.what)
            return None

    parts: dict[str, Any] = dict(zip(_PARTS, parallel(part, _PARTS), strict=True))
    read = [row.name for row in _PARTS.values()]
    others = [kind for kind in kinds_that_keep(manifests(anchor.document, Facts())) if kind not in read]
    makers = tuple({**item, "kind": kind} for kind in others for item in objects_of(api, kind, ours))
    cluster = anchor.cluster
    if anchor.is_cron:  # pods of past ticks stay for their logs, and between two ticks there is none
        parts["pods"] = tuple(pod for pod in parts["pods"] or () if not Pod.of(pod).over)
        cluster = cluster if parts["pods"] else suspended(cluster, True)
    nodes, living, autoscaler = _ray(api, anchor, parts["pods"] or (), unread)
    return Snapshot(
        cluster=cluster,
        facts=anchor.with_facts(),
        namespace=api.namespace,
        name=anchor.name,
        now=api.now(),
        namespace_object=_namespace(api),
        ray_nodes=nodes,
        living=living,
        autoscaler=autoscaler,
        api_slow=api.slowest,
        applied=changed(anchor.raw),
        makers=makers,
        **parts,
    )


def _namespace(api: Api) -> Json | None:
    """Not worth a sentence when it may not be read: its end is also seen in refusals."""
    try:
        return api.get(f"/api/v1/namespaces/{api.namespace}")
    except Forbidden:
        return None


def _ray(
    api: Api, anchor: Anchor, pods: tuple[Json, ...], unread: list[str]
) -> tuple[tuple[Json, ...] | None, Living | None, AutoscalerReport | None]:
    """Ray's own list of its nodes, its word of itself and its autoscaler's; None where it cannot be had.

    A head that does not run is not news here.
    """
    try:
        answer = asked_now(api, anchor, pods)
    except RaysteadError as error:
        unread.append(f"Ray's nodes: {error.what}")
        return None, None, None
    if answer is None:
        return None, None, None
    if answer.error is not None:
        unread.append(f"Ray's nodes: {answer.error.what}")
    nodes = None if answer.nodes is None else tuple(answer.nodes.get("summary") or ())
    return nodes, answer.living, report_of(answer.autoscaler)


def _log(api: Api, key: LogKey, unread: list[str]) -> str | None:
    try:
        return log_of(api, key)
    except RaysteadError as error:
        if isinstance(error, Forbidden):
            unread.append(error.what)
        return None
