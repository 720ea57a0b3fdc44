"""Environment of Ray's container: KubeRay's, and what makes a cluster survive its head.

(docs/facts/kuberay.md#environment, docs/facts/ray.md#head-loss)"""

from __future__ import annotations

from raystead.manifests.context import TOKEN_DIR, TOKEN_KEY, TOKEN_MODE_SINCE, Context
from raystead.manifests.storage import HeadStorage
from raystead.spec.model import Json

__all__ = ["head_address", "head_env", "merged", "without_literal_password", "worker_env"]

RECONNECT_SECONDS = "600"  # Ray's 60 kills raylets and drivers in a longer head outage
TICK_RECONNECT_SECONDS = "20"  # the head of a RayCronJob's tick does not come back
CONNECT_SECONDS = "30"  # Ray's 5 end a worker's or driver's start while a head is slow or being replaced
# Ray's 2000 and 1000 leave raylets asleep for 1.8 s when the GCS is back (bench/survival.py).
BACKOFF_MS, CHECK_MS = "500", "250"
# The client port's server forks while gRPC runs in its threads, and gRPC's own handlers of a fork then kill
# one new client in twenty (ray-project/ray#63202; 2 of 44 here, with this 0 of 44). On the head only: a
# worker's user code may fork without exec and need them.
NO_FORK_HANDLERS = {"name": "GRPC_ENABLE_FORK_SUPPORT", "value": "0"}
_ALWAYS = {  # KubeRay sets these over a user's value
    "FQ_RAY_IP",
    "KUBERAY_GEN_RAY_START_CMD",
    "RAY_CLOUD_INSTANCE_ID",
    "RAY_CLUSTER_NAME",
    "RAY_IP",
    "RAY_NODE_TYPE_NAME",
}


def merged(container: Json, ours: list[Json]) -> list[Json]:
    """The user's entries first, ours after; the user's win but for those that KubeRay always sets."""
    always = {e["name"] for e in ours} & _ALWAYS
    user = [e for e in container.get("env") or [] if e.get("name") not in always]
    have = {e.get("name") for e in user}
    return [*user, *(e for e in ours if e["name"] not in have)]


def head_env(ctx: Context, command: str, storage: HeadStorage, drain: int, overwritten: bool) -> list[Json]:
    common = _common(ctx, command, f"127.0.0.1:{ctx.gcs_port}", drain)
    env = [*common, NO_FORK_HANDLERS, *_autoscaler(ctx), *storage.env]
    if storage.secret and (overwritten or _literal_password(ctx)):
        ref = {"name": storage.secret["name"], "key": storage.secret["key"]}
        env.append({"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": ref}})
    return env


def _autoscaler(ctx: Context) -> list[Json]:
    """Which of Ray's two autoscalers; where the file does not say, Ray's own default."""
    spec = ctx.cluster.spec
    version = (spec.autoscaler_options or {}).get("version") if spec.enable_in_tree_autoscaling else None
    return [{"name": "RAY_enable_autoscaler_v2", "value": "1" if version == "v2" else "0"}] if version else []


def head_address(ctx: Context) -> list[Json]:
    """Where the head is: for workers, and for all init containers, which may put it into a certificate."""
    return [
        {"name": "FQ_RAY_IP", "value": ctx.head_host},
        {"name": "RAY_IP", "value": ctx.head_name},
    ]


def worker_env(ctx: Context, command: str, drain: int) -> list[Json]:
    return [*head_address(ctx), *_common(ctx, command, f"{ctx.head_host}:{ctx.gcs_port}", drain)]


def _common(ctx: Context, command: str, address: str, drain: int) -> list[Json]:
    from_field = {
        "RAY_CLUSTER_NAME": "metadata.labels['ray.io/cluster']",
        "RAY_CLUSTER_NAMESPACE": "metadata.namespace",
        "RAY_CLOUD_INSTANCE_ID": "metadata.name",
        "RAY_NODE_TYPE_NAME": "metadata.labels['ray.io/group']",
    }
    fields: list[Json] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in from_field.items()
    ]
    values = {
        "KUBERAY_GEN_RAY_START_CMD": command,
        "RAY_PORT": ctx.gcs_port,
        "RAY_ADDRESS": address,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE": "1",
        "RAY_gcs_rpc_server_reconnect_timeout_s": TICK_RECONNECT_SECONDS
        if ctx.ticking
        else RECONNECT_SECONDS,
        "RAY_gcs_rpc_server_connect_timeout_s": CONNECT_SECONDS,
        "RAY_gcs_grpc_max_reconnect_backoff_ms": BACKOFF_MS,
        "RAY_grpc_client_check_connection_status_interval_milliseconds": CHECK_MS,
        "RAY_grpc_client_keepalive_time_ms": "20000",
        "RAY_grpc_client_keepalive_timeout_ms": "10000",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(drain),
        **_auth(ctx),
    }
    return [*fields, *({"name": name, "value": value} for name, value in values.items())]


def _auth(ctx: Context) -> dict[str, str]:
    if not ctx.since(*TOKEN_MODE_SINCE):
        return {}
    if not ctx.token:
        return {"RAY_AUTH_MODE": "disabled"}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"{TOKEN_DIR}/{TOKEN_KEY}"}


def _literal_password(ctx: Context) -> bool:
    env = ctx.cluster.spec.head.template.ray_container.get("env") or []
    return any(e.get("name") == "REDIS_PASSWORD" and e.get("value") for e in env)


def without_literal_password(container: Json) -> Json:
    """The container without a password written into it; the same variable comes back from a Secret."""
    env = [
        e for e in container.get("env") or [] if not (e.get("name") == "REDIS_PASSWORD" and e.get("value"))
    ]
    return {**container, "env": env}
