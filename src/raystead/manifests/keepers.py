"""Keepers: Jobs with one small pod each that end when their condition holds, and take along what they own.

Owner references form a tree: anchor, keeper of the cluster, keeper of the workers; the keeper of everything
owns the anchor. What hangs on a keeper goes when the keeper's Job ends (ADR 14).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from raystead.base import labels, names
from raystead.manifests.context import TOKEN_DIR, TOKEN_KEY, Context
from raystead.manifests.programs import FOLDER, program_files, program_volume, run_program
from raystead.manifests.security import bounded, harden_as
from raystead.manifests.start import start_params
from raystead.manifests.storage import READ_ONLY_ALL
from raystead.spec.idle import idle_end
from raystead.spec.model import Json

__all__ = [
    "CONTAINER",
    "PARTS",
    "KeeperOrder",
    "as_text",
    "batch_job",
    "idle_objects",
    "keeper_jobs",
    "programs_config",
    "programs_of",
    "token_env",
    "under_workers_keeper",
    "with_programs",
]

PARTS = ("self", "cluster", "workers")  # what a keeper may end; each holds those behind it
CONTAINER = "keeper"
_VOLUME = "raystead-programs"
_SIZE: Json = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"cpu": "100m", "memory": "64Mi"},
}


class KeeperOrder(Struct, frozen=True):
    """One keeper: the part that it ends, and `incluster.keeper`'s Watch as JSON."""

    part: str
    watch: Json

    @property
    def file(self) -> str:
        return f"keeper-{self.part}.json"


def idle_objects(ctx: Context, cluster: Sequence[Json]) -> list[Json]:
    """A RayCluster's objects; with the keeper where it ends by itself when it is idle.

    A keeper of everything owns the anchor. Where data is kept it owns what runs; claims stay the anchor's.
    """
    end = idle_end(ctx.cluster)
    if end is None:
        return list(cluster)
    own = ctx.of_anchor
    params = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
    watch: Json = {
        "name": ctx.cluster.name,
        "address": f"http://{ctx.head_host}:{params['dashboard-port']}",
        "rules": [["idle", end.seconds]],
        "what": "the cluster",
    }
    found = [KeeperOrder("cluster" if end.keeps_data else "self", watch)]
    kept = [_of_anchor(own, item) if item["kind"] == "PersistentVolumeClaim" else item for item in cluster]
    return [
        programs_config(own, found, {}, {}),
        *keeper_jobs(ctx, found, {}, suspended=ctx.suspended, files=programs_of(found, {})),
        *kept,
    ]


def _of_anchor(own: Context, item: Json) -> Json:
    if not item["metadata"].get("ownerReferences"):
        return item
    return {**item, "metadata": {**item["metadata"], "ownerReferences": [own.owner]}}


def programs_name(name: str) -> str:
    return f"raystead-{name}-programs"


def programs_of(found: Sequence[KeeperOrder], orders: Mapping[str, str]) -> list[str]:
    """The files of the ConfigMap: programs, orders, and what each keeper watches."""
    programs = ["keeper", *(["submitter"] if orders else [])]
    return [*program_files(*programs), *orders, *(keeper.file for keeper in found)]


def programs_config(
    own: Context, found: Sequence[KeeperOrder], origin: Mapping[str, str], orders: Mapping[str, str]
) -> Json:
    """The ConfigMap with the programs and their orders; it holds nothing but what the file says openly."""
    data = program_files("keeper", *(["submitter"] if orders else []))
    data |= {**orders, **{keeper.file: as_text(keeper.watch) for keeper in found}}
    metadata = own.metadata(programs_name(own.cluster.name), dict(origin))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def keeper_jobs(
    ctx: Context,
    found: Sequence[KeeperOrder],
    origin: Mapping[str, str],
    *,
    suspended: bool,
    files: Sequence[str],
) -> list[Json]:
    """One Job per part that ends by itself, the outermost first: each has to be there before what it owns."""
    out = []
    for keeper in found:
        container = {
            "name": CONTAINER,
            "image": ctx.cluster.spec.head.template.ray_container.get("image", ""),
            **run_program("keeper", keeper.file),
        }
        container["env"] = [*container["env"], *token_env(ctx)]
        pod: Json = {"restartPolicy": "Never", "automountServiceAccountToken": False}
        if pull := ctx.cluster.spec.head.template.spec.get("imagePullSecrets"):
            pod["imagePullSecrets"] = pull
        pod["containers"] = [bounded(container, _SIZE)]
        pod = with_programs(pod, ctx, files)
        asked = labels.of_objects(ctx.cluster.annotations)  # a namespace may demand some of every pod
        metadata = {"labels": {**asked, **origin, labels.OURS: ctx.cluster.name, labels.ROLE: "keeper"}}
        template = {"metadata": metadata, "spec": harden_as(ctx.cluster, ctx.facts, pod)}
        # A keeper that was killed, evicted or lost with its node begins anew, as often as it takes.
        spec: Json = {"backoffLimit": 2147483647, "ttlSecondsAfterFinished": 0, "template": template}
        if suspended:
            spec["suspend"] = True
        owner = ctx if keeper.part == "workers" else ctx.of_anchor
        name = names.keeper(ctx.cluster.name, keeper.part)
        out.append(batch_job(owner, name, {**origin, labels.ROLE: "keeper"}, spec))
    return out


def under_workers_keeper(ctx: Context, objects: Sequence[Json]) -> list[Json]:
    """The cluster's objects; the workers' with the keeper that ends them alone, where there is one.

    Objects that carry no owner reference (an offline `render`) get none.
    """
    uid, out = ctx.facts.keepers.get("workers"), []
    for item in objects:
        found = (item.get("spec") or {}).get("template", {}).get("metadata", {}).get("labels", {})
        if uid and found.get(labels.NODE_TYPE) == "worker" and item["metadata"].get("ownerReferences"):
            owner = names.reference("Job", names.keeper(ctx.cluster.name, "workers"), uid)
            item = {**item, "metadata": {**item["metadata"], "ownerReferences": [owner]}}
        out.append(item)
    return out


def with_programs(pod: Json, ctx: Context, files: Sequence[str]) -> Json:
    """The pod with the programs and the token in its first container."""
    config = programs_name(ctx.cluster.name)
    volumes = [program_volume(_VOLUME, config, dict.fromkeys(files, ""))]
    mounts = [{"name": _VOLUME, "mountPath": FOLDER, "readOnly": True}]
    if ctx.token:
        items = [{"key": TOKEN_KEY, "path": TOKEN_KEY}]
        secret = {"secretName": ctx.token_secret, "items": items, "defaultMode": READ_ONLY_ALL}
        volumes.append({"name": "ray-token", "secret": secret})
        mounts.append({"name": "ray-token", "mountPath": TOKEN_DIR, "readOnly": True})
    first, *rest = pod["containers"]
    first = {**first, "volumeMounts": [*(first.get("volumeMounts") or []), *mounts]}
    return {**pod, "containers": [first, *rest], "volumes": [*(pod.get("volumes") or []), *volumes]}


def token_env(ctx: Context) -> list[Json]:
    """How Ray's clients, and our programs, find the token."""
    if not ctx.token:
        return []
    path = f"{TOKEN_DIR}/{TOKEN_KEY}"
    return [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN_PATH", "value": path}]


def batch_job(ctx: Context, name: str, extra: dict[str, str], spec: Json) -> Json:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": ctx.metadata(name, extra), "spec": spec}


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=1)
