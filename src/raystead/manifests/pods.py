"""Pod templates: the user's, with what a Ray pod needs filled in.

(docs/facts/kuberay.md#names-and-labels, docs/facts/kuberay.md#probes-and-volumes)"""

from __future__ import annotations

from raystead.base import labels
from raystead.base.names import end_mark
from raystead.manifests import scripts
from raystead.manifests.context import TOKEN_DIR, TOKEN_KEY, Context
from raystead.manifests.env import head_address, head_env, merged, without_literal_password, worker_env
from raystead.manifests.probes import with_probes
from raystead.manifests.queues import pod_metadata, scheduler
from raystead.manifests.redis import redis_pod
from raystead.manifests.security import harden_as
from raystead.manifests.sizes import HEAD_SIZE, SIDECAR_SIZE, WORKER_SIZE, memory_of, sized
from raystead.manifests.start import ULIMIT, overwritten, start_command, start_params
from raystead.manifests.storage import PASSWORD_FILE, READ_ONLY_ALL, HeadStorage, head_storage, storage_kind
from raystead.spec.model import GroupSpec, Json, WorkerGroup

__all__ = ["head_template", "worker_template"]

HEAD_DRAIN, HEAD_GRACE = 0, 5  # seconds; the head has nobody to hand its work to
WORKER_DRAIN, WORKER_GRACE = 60, 75
RAY_UID_GROUP = 1000  # of rayproject/ray; a fresh volume is else root's
_ORDER = ("name", "image", "imagePullPolicy", "command", "args", "ports", "env", "envFrom", "resources")


def head_template(ctx: Context) -> Json:
    group = ctx.cluster.spec.head
    storage = head_storage(ctx)
    own = overwritten(ctx.cluster, group)
    params = start_params(ctx.cluster, group, head=True)
    params.update(storage.params)
    command = start_command(params, True)
    ray = without_literal_password(group.template.ray_container)
    if not own:
        over = _over(ctx, "head", "127.0.0.1", params["dashboard-port"])
        ray = _with_command(ray, command, _before(ctx, storage, params), over)
    ray["env"] = merged(ray, head_env(ctx, command, storage, HEAD_DRAIN, own))
    ray = with_probes(ctx, sized(ray, HEAD_SIZE, ctx.facts.needed_sizes), params, head=True)
    spec = _spec(ctx, group, ray, storage.volumes, storage.mounts)
    if _alone(ray, group):
        spec["terminationGracePeriodSeconds"] = _grace(group, HEAD_GRACE)
    if storage.kind == "rocksdb" and not ctx.facts.gives_user_ids:
        group_id = {"fsGroup": RAY_UID_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
        context = spec.get("securityContext") or {}
        spec["securityContext"] = {**context, **{key: v for key, v in group_id.items() if key not in context}}
    return {"metadata": _metadata(ctx, group, None, storage), "spec": spec}


def worker_template(ctx: Context, group: WorkerGroup) -> Json:
    params = start_params(ctx.cluster, group, head=False)
    if "address" not in group.ray_start_params:
        params["address"] = f"{ctx.head_host}:{ctx.gcs_port}"
    command = start_command(params, False)
    ray = dict(group.template.ray_container)
    if not overwritten(ctx.cluster, group):
        heads = start_params(ctx.cluster, ctx.cluster.spec.head, head=True)
        ray = _with_command(ray, command, "", _over(ctx, "worker", ctx.head_host, heads["dashboard-port"]))
    grace = _grace(group, WORKER_GRACE)
    drain = max(0, min(WORKER_DRAIN, grace - (WORKER_GRACE - WORKER_DRAIN)))
    ray["env"] = merged(ray, worker_env(ctx, command, drain))
    ray = with_probes(ctx, sized(ray, WORKER_SIZE, ctx.facts.needed_sizes), params, head=False)
    spec = _spec(ctx, group, ray, [], [])
    spec["terminationGracePeriodSeconds"] = grace
    return {"metadata": _metadata(ctx, group, group.name, None), "spec": spec}


def _grace(group: GroupSpec, default: int) -> int:
    """Seconds between SIGTERM and SIGKILL; the template's, if it says any."""
    grace = group.template.spec.get("terminationGracePeriodSeconds")
    return default if grace is None else int(grace)


def _alone(ray: Json, group: GroupSpec) -> bool:
    """Nothing in the pod needs the time between SIGTERM and SIGKILL but Ray itself."""
    beside = len(group.template.containers) > 1 or any(
        c.get("restartPolicy") == "Always" for c in group.template.spec.get("initContainers") or []
    )
    return not beside and not (ray.get("lifecycle") or {}).get("preStop")


def _before(ctx: Context, storage: HeadStorage, params: dict[str, str]) -> str:
    if storage.kind == "none":
        return ""
    wait = scripts.WAIT_FOR_REDIS if storage.redis else ""
    if storage.fenced:
        wait = scripts.take_redis(PASSWORD_FILE)
    port = params["dashboard-agent-listen-port"]
    return wait + scripts.fail_dead_jobs(port, direct=not ctx.facts.filled)


def _over(ctx: Context, role: str, host: str, port: str) -> str:
    """How a pod of a RayJob's cluster learns at its end that the cluster ends; "" for other clusters.

    A head that is lost comes back with its state, and a worker may be drained then; without, nothing is left.
    """
    if not ctx.of_job:
        return ""
    mark = end_mark(ctx.cluster.name, ctx.facts.anchor_uid, role)
    forgets = role == "worker" and storage_kind(ctx.cluster) == "none"
    return scripts.cluster_over(host, port, mark, ctx.gcs_port if forgets else "")


def _with_command(container: Json, command: str, before: str, over: str) -> Json:
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    run = scripts.ray_start(f"{ULIMIT}; {command}", may_be_over=bool(over))
    user = " ".join(str(word) for word in words).rstrip()  # bash refuses `&&` at the beginning of a line
    if before:
        text = f"{user} &&\n" if user else ""
        # a failing user command must not start Ray: the group keeps `&&` in force for all that follows
        text = f"{text}{{\n{before}{run}\n}}\n" if user else f"{before}{run}\n"
    else:
        text = f"{user} && {run}" if user else run
    return {**container, "command": ["/bin/bash", "-c", "--"], "args": [over + text]}


def _metadata(ctx: Context, group: GroupSpec, name: str | None, storage: HeadStorage | None) -> Json:
    metadata = dict(group.template.metadata)
    redis = redis_pod(ctx) if storage_kind(ctx.cluster) == "redis" else None
    fixed = labels.node_labels(ctx.cluster.name, name, guide=ctx.guide)
    merged_labels = {**fixed, **(metadata.get("labels") or {}), **group.labels}
    queues, annotated = pod_metadata(ctx, fixed[labels.GROUP], redis)
    merged_labels = {**queues, **merged_labels}
    keep = {
        **labels.selector(ctx.cluster.name, name, guide=True),
        **{key: fixed[key] for key in labels.FIXED},
    }
    merged_labels.update(keep if ctx.guide else {key: fixed[key] for key in labels.FIXED})
    out: Json = {"labels": merged_labels}
    annotations = {**annotated, **(metadata.get("annotations") or {})}
    if storage is not None:
        annotations["ray.io/ft-enabled"] = "false" if storage.kind == "none" else "true"
    if annotations:
        out["annotations"] = annotations
    return out


def _spec(ctx: Context, group: GroupSpec, ray: Json, volumes: list[Json], mounts: list[Json]) -> Json:
    """The pod's spec with volumes, hardened where it is wanted; restartPolicy is what a Deployment allows."""
    pod_spec = group.template.spec
    volumes, mounts = list(volumes), list(mounts)
    have = [str(m.get("mountPath", "")).rstrip("/") for m in ray.get("volumeMounts") or []]
    names = {v.get("name") for v in pod_spec.get("volumes") or []}
    if "/dev/shm" not in have and "plasma-directory" not in group.ray_start_params:
        name = "dshm" if ctx.guide else "shared-mem"
        if name not in names:  # KubeRay too mounts a volume of that name that the user made, with their size
            shared: Json = {"medium": "Memory"}
            if memory := memory_of(ray):
                shared["sizeLimit"] = memory
            volumes.append({"name": name, "emptyDir": shared})
        mounts.append({"name": name, "mountPath": "/dev/shm"})
    if "/tmp" not in have:  # docs/facts/ray.md#memory-and-disk
        name = _free("tmp", names)
        volumes.append({"name": name, "emptyDir": {}})
        mounts.append({"name": name, "mountPath": "/tmp"})
    if ctx.token:
        items = [{"key": TOKEN_KEY, "path": TOKEN_KEY}]
        secret = {"secretName": ctx.token_secret, "items": items, "defaultMode": READ_ONLY_ALL}
        volumes.append({"name": "ray-token", "secret": secret})
        mounts.append({"name": "ray-token", "mountPath": TOKEN_DIR, "readOnly": True})
    ray = {**ray, "volumeMounts": [*(ray.get("volumeMounts") or []), *mounts]}
    ray.setdefault("name", "ray-head" if group is ctx.cluster.spec.head else "ray-worker")
    ray = {key: ray[key] for key in sorted(ray, key=_rank)}
    demanded = ctx.facts.needed_sizes
    others = [sized(c, SIDECAR_SIZE, demanded) for c in group.template.containers[1:]]
    out: Json = {**pod_spec, "restartPolicy": "Always", "containers": [ray, *others]}
    if chosen := scheduler(ctx):
        out.setdefault("schedulerName", chosen)
    if pod_spec.get("initContainers"):
        where = head_address(ctx)
        out["initContainers"] = [
            {**sized(c, SIDECAR_SIZE, demanded), "env": merged(c, where)} for c in pod_spec["initContainers"]
        ]
    out["volumes"] = [*(pod_spec.get("volumes") or []), *volumes]
    return harden_as(ctx.cluster, ctx.facts, out)


def _rank(key: str) -> int:
    """Where people look for a key of a container; keys we do not know keep their order, last."""
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _free(name: str, taken: set[object]) -> str:
    return name if name not in taken else f"raystead-{name}"
