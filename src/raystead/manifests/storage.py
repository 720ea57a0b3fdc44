"""Where the GCS keeps its state: our Redis, somebody's Redis, RocksDB on a claim, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raystead.manifests.context import Context
from raystead.manifests.start import overwritten

if TYPE_CHECKING:
    from raystead.spec.model import GcsStorage, Json, RayCluster, RedisPassword

__all__ = [
    "STORAGE_ANNOTATION",
    "HeadStorage",
    "gcs_claim",
    "head_storage",
    "inline_password",
    "storage_kind",
]

STORAGE_ANNOTATION = "raystead.io/storage"
PASSWORD_KEY = "password"
PASSWORD_DIR = "/etc/raystead/redis"
PASSWORD_FILE = f"{PASSWORD_DIR}/{PASSWORD_KEY}"
GCS_PATH = "/data/gcs"  # KubeRay's
REDIS_USERS_SINCE = (2, 41)  # `ray start --redis-username`
READ_ONLY_ALL = 0o444  # Secret files: any user id may read them, none is fixed


@dataclass(frozen=True)
class HeadStorage:
    """What the head's pod needs: `env` gives way to the user's, `params` are of `ray start`."""

    kind: str
    env: list[Json] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    volumes: list[Json] = field(default_factory=list)
    mounts: list[Json] = field(default_factory=list)
    secret: Json | None = None  # Secret and key of the password
    fenced: bool = False  # the head takes Redis for itself before it starts (scripts.take_redis)

    @property
    def redis(self) -> bool:
        return self.kind in ("redis", "external")


def storage_kind(cluster: RayCluster) -> str:
    """`redis` (ours), `external`, `rocksdb` or `none`."""
    kind = cluster.annotations.get(STORAGE_ANNOTATION)
    if kind in ("redis", "rocksdb", "external", "none"):
        return kind
    options = cluster.spec.gcs_fault_tolerance
    if options is not None:
        return "rocksdb" if options.backend == "rocksdb" else "external"
    return "external" if _env(cluster, "RAY_REDIS_ADDRESS") is not None else "none"


def inline_password(cluster: RayCluster) -> str | None:
    """The Redis password that stands in the spec itself; it belongs in a Secret, never in another object."""
    options = cluster.spec.gcs_fault_tolerance
    if options and options.redis_password and options.redis_password.value:
        return options.redis_password.value
    param = cluster.spec.head.ray_start_params.get("redis-password", "").strip("'\"")
    if param and "$" not in param:
        return param
    env = _env(cluster, "REDIS_PASSWORD")
    return str(env["value"]) if env and env.get("value") else None


def head_storage(ctx: Context) -> HeadStorage:
    kind = storage_kind(ctx.cluster)
    if kind == "rocksdb":
        return _rocksdb(ctx)
    if kind == "none":
        return HeadStorage(kind)
    options = ctx.cluster.spec.gcs_fault_tolerance
    env: list[Json] = []
    if kind == "redis":
        env.append({"name": "RAY_REDIS_ADDRESS", "value": f"{ctx.names.redis}:6379"})
        secret: Json | None = {"name": ctx.facts.redis_secret or ctx.names.redis_secret, "key": PASSWORD_KEY}
    else:
        if options and options.redis_address:
            env.append({"name": "RAY_REDIS_ADDRESS", "value": options.redis_address})
        secret = _external_secret(ctx)
    env.append({"name": "RAY_external_storage_namespace", "value": _namespace(ctx)})
    params: dict[str, str] = {}
    if options and options.redis_username:
        env.append(_variable("REDIS_USERNAME", options.redis_username))
        params["redis-username"] = "$REDIS_USERNAME"
    if secret is None and options and options.redis_password and options.redis_password.value_from:
        env.append(_variable("REDIS_PASSWORD", options.redis_password))
        params["redis-password"] = "$REDIS_PASSWORD"
    if secret is None:
        return HeadStorage(kind, env, params)
    mount = {"name": "redis-password", "mountPath": PASSWORD_DIR, "readOnly": True}
    fenced = (
        kind == "redis"
        and ctx.since(*REDIS_USERS_SINCE)
        and not overwritten(ctx.cluster, ctx.cluster.spec.head)
    )
    if fenced:
        params |= {"redis-username": '"$REDIS_USERNAME"', "redis-password": '"$REDIS_PASSWORD"'}
    else:
        params["redis-password"] = f'"$(cat {PASSWORD_FILE})"'
    return HeadStorage(kind, env, params, [password_volume(secret)], [mount], secret, fenced)


def password_volume(secret: Json) -> Json:
    items = [{"key": secret["key"], "path": PASSWORD_KEY}]
    return {
        "name": "redis-password",
        "secret": {"secretName": secret["name"], "items": items, "defaultMode": READ_ONLY_ALL},
    }


def gcs_claim(ctx: Context) -> Json | None:
    """RocksDB's claim, unless the spec names one that exists."""
    if storage_kind(ctx.cluster) != "rocksdb":
        return None
    storage = _storage(ctx)
    if storage.claim_name:
        return None
    spec: Json = {"accessModes": storage.access_modes or ["ReadWriteOnce"]}
    spec["resources"] = {"requests": {"storage": str(storage.size or "1Gi")}}
    storage_class = storage.storage_class_name or ctx.facts.storage_class
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    metadata = ctx.metadata(ctx.names.gcs_claim, owned=storage.deletion_policy != "Retain")
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _rocksdb(ctx: Context) -> HeadStorage:
    storage = _storage(ctx)
    env = [
        {"name": "RAY_gcs_storage", "value": "rocksdb"},
        {"name": "RAY_gcs_storage_path", "value": GCS_PATH},
    ]
    claim = {"claimName": storage.claim_name or ctx.names.gcs_claim}
    mount: Json = {"name": "gcs-storage", "mountPath": GCS_PATH}
    if storage.sub_path:
        mount["subPath"] = storage.sub_path
    volumes = [{"name": "gcs-storage", "persistentVolumeClaim": claim}]
    return HeadStorage("rocksdb", env, {}, volumes, [mount])


def _storage(ctx: Context) -> GcsStorage:
    from raystead.spec.model import GcsStorage  # imported late: storage_kind is asked by verbs in a hurry

    options = ctx.cluster.spec.gcs_fault_tolerance
    return (options.storage if options else None) or GcsStorage()


def _external_secret(ctx: Context) -> Json | None:
    if inline_password(ctx.cluster):
        return {"name": ctx.facts.redis_secret or ctx.names.redis_secret, "key": PASSWORD_KEY}
    options = ctx.cluster.spec.gcs_fault_tolerance
    password = options.redis_password if options else None
    ref = (password.value_from or {}).get("secretKeyRef") if password else None
    return {"name": ref["name"], "key": ref["key"]} if ref else None


def _namespace(ctx: Context) -> str:
    """Ray's key prefix: the spec's, the anchor's, else one that two namespaces do not share."""
    options = ctx.cluster.spec.gcs_fault_tolerance
    namespace = options.external_storage_namespace if options else None
    namespace = namespace or ctx.cluster.annotations.get("ray.io/external-storage-namespace")
    own = f"{ctx.namespace}-{ctx.cluster.name}" if ctx.namespace else ctx.cluster.name
    return namespace or ctx.facts.storage_namespace or own


def _variable(name: str, password: RedisPassword) -> Json:
    if password.value_from:
        return {"name": name, "valueFrom": password.value_from}
    return {"name": name, "value": password.value or ""}


def _env(cluster: RayCluster, name: str) -> Json | None:
    entries = cluster.spec.head.template.ray_container.get("env") or []
    return next((entry for entry in entries if entry.get("name") == name), None)
