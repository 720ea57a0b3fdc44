"""The Secrets we make: Ray's token and Redis' password. Values are drawn here and go nowhere else."""

from __future__ import annotations

import base64
import secrets as randomness
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raystead.base import labels, names
from raystead.base.groups import HEAD, REDIS, GroupId, worker
from raystead.base.ownership import owners_of
from raystead.errors import Conflict
from raystead.kube.paths import collection, path_of
from raystead.manifests.context import TOKEN_KEY, Context
from raystead.manifests.facts import Facts
from raystead.manifests.storage import PASSWORD_KEY, storage_kind

if TYPE_CHECKING:
    from raystead.kube.api import Api, Json
    from raystead.ops.anchor import Anchor
    from raystead.spec.model import RayCluster

__all__ = [
    "NeededSecret",
    "differs",
    "lacking",
    "made_anew",
    "make",
    "needed",
    "readers",
    "taken",
    "token_for",
    "token_of",
    "value_of",
]


@dataclass(frozen=True)
class NeededSecret:
    """A Secret; `value` of its key only where the user gave it, else one is drawn when it is made.

    `certificate`: it has a certificate too, which is made with it.
    """

    name: str
    key: str
    value: str | None = field(default=None, repr=False)
    certificate: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        from raystead.manifests.autoscaling import CERTIFICATE  # it imports the models, which `token` spares

        return CERTIFICATE if self.certificate else (self.key,)

    def shape(self, cluster: str) -> Json:
        """The Secret without its value, for the plan."""
        metadata = {"name": self.name, "labels": {labels.OURS: cluster}}
        data = dict.fromkeys(self.keys, "")
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def needed(cluster: RayCluster, facts: Facts, password: str | None) -> list[NeededSecret]:
    """What the objects of `cluster` name and nobody else makes; `password` stood in the file itself."""
    from raystead.manifests.autoscaling import autoscales, steward_name

    ctx = Context(cluster, facts)
    out = []
    auth = cluster.spec.auth
    if ctx.token and not (auth and auth.secret_name) and not facts.token_secret:
        out.append(NeededSecret(ctx.token_secret, TOKEN_KEY))
    if autoscales(cluster):
        out.append(NeededSecret(steward_name(cluster.name), "token", certificate=True))
    if storage_kind(cluster) == "redis" and not facts.redis_secret:
        out.append(NeededSecret(ctx.names.redis_secret, PASSWORD_KEY))
    elif password is not None:
        out.append(NeededSecret(names.Names(cluster.name, False).redis_secret, PASSWORD_KEY, password))
    return out


def readers(cluster: RayCluster, secret: NeededSecret) -> list[GroupId]:
    """The groups whose pods have read the Secret."""
    if secret.certificate:
        return [HEAD]
    if secret.key == TOKEN_KEY:
        return [HEAD, *(worker(group.name) for group in cluster.spec.workers)]
    return [REDIS, HEAD] if storage_kind(cluster) == "redis" else [HEAD]


def made_anew(secret: NeededSecret, live: Sequence[Json]) -> bool:
    """Whether pods of a cluster that is there hold another value than the Secret will have."""
    there = next((item for item in live if item["metadata"]["name"] == secret.name), None)
    data = (there or {}).get("data") or {}
    if not set(secret.keys) <= set(data):
        return True
    return secret.value is not None and data[secret.key] != base64.b64encode(secret.value.encode()).decode()


def make(api: Api, secret: NeededSecret, cluster: str, anchor_uid: str, live: Sequence[Json]) -> None:
    """Creates it, or takes the one that is there; a password from the file replaces another one.

    Raises:
        Conflict: a Secret of that name is there and lacks the key.
    """
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": names.anchor(cluster), "uid": anchor_uid}
    body = secret.shape(cluster)
    body["metadata"]["ownerReferences"] = [{**owner, "blockOwnerDeletion": False}]
    body["type"] = "Opaque"
    value = secret.value if secret.value is not None else randomness.token_urlsafe(32)
    values = {secret.key: value}
    if secret.certificate:
        from raystead.ops.certificate import certificate

        values |= certificate()
    body["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
    there = next((item for item in live if item["metadata"]["name"] == secret.name), None)
    if there is None:
        try:
            api.create(collection(api.namespace, "Secret"), body, again=True)
            return
        except Conflict:
            there = api.get(path_of(api.namespace, "Secret", secret.name))
    other = (there["metadata"].get("labels") or {}).get(labels.OURS)
    if other and other != cluster:
        raise taken(secret, other, cluster)
    if secret.value is not None and (there.get("data") or {}).get(secret.key) != body["data"][secret.key]:
        if anchor_uid not in owners_of(there):
            raise differs(secret)
        path, uid = path_of(api.namespace, "Secret", secret.name), there["metadata"]["uid"]
        api.patch(path, {"data": body["data"]}, uid=uid)
    elif not set(secret.keys) <= set(there.get("data") or {}):
        raise lacking(secret)


def lacking(secret: NeededSecret) -> Conflict:
    return Conflict(
        f"the Secret {secret.name} exists and has no key {secret.key}",
        evidence="this cluster did not make it",
        remedy=f"delete it, or add the key {secret.key}, or give the cluster another name",
    )


def differs(secret: NeededSecret) -> Conflict:
    return Conflict(
        f"the Secret {secret.name} has another password than the file",
        evidence="nothing proves that raystead made it, so it is not changed",
        remedy="take the password out of the file to use the Secret's, or give the cluster another name",
    )


def taken(secret: NeededSecret, owner: str, cluster: str) -> Conflict:
    """Long names that end alike have one token Secret: KubeRay's rule keeps their last 50 characters."""
    return Conflict(
        f'the Secret {secret.name} belongs to the cluster "{owner}": "{cluster}" would share it',
        evidence=f"it has the label {labels.OURS}={owner}; of a long name only the last 50 characters count",
        remedy=f'give "{cluster}" another name, one that differs within its last 50 characters',
    )


def token_of(api: Api, cluster: RayCluster, facts: Facts) -> str | None:
    """Ray's token of this cluster; None where tokens are off.

    Raises:
        Forbidden: this user may not read Secrets.
        ObjectNotFound: the Secret is gone.
    """
    ctx = Context(cluster, facts)
    if not ctx.token:
        return None
    return value_of(api, ctx.token_secret, TOKEN_KEY)


def token_for(api: Api, anchor: Anchor) -> str | None:
    """As `token_of`, of a cluster as it was applied; its spec need not be read for that.

    Raises: as `token_of`.
    """
    if "token" not in anchor.doors:
        return token_of(api, anchor.cluster, anchor.with_facts())
    secret = anchor.doors["token"]
    return None if secret is None else value_of(api, str(secret), TOKEN_KEY)


def value_of(api: Api, name: str, key: str) -> str:
    """One value of a Secret, without the white space that editors leave at its end."""
    data = api.get(path_of(api.namespace, "Secret", name)).get("data") or {}
    if key not in data:
        raise Conflict(f"the Secret {name} has no key {key}", remedy=f"kubectl edit secret {name}")
    return base64.b64decode(data[key]).decode().strip()
