"""What only a cluster can tell; chosen at the first `up` and kept in the anchor, never changed unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Facts"]


@dataclass(frozen=True)
class Facts:
    """The defaults are those of an offline `render`.

    Attributes:
        namespace: where the objects go; None leaves it to `kubectl apply -n`.
        anchor_uid: the anchor's UID; None means no ownerReferences.
        server_version: Kubernetes' version, for example `1.30`.
        isolated: the namespace already restricts egress.
        policies: `auto` (ingress always, egress if isolated), `always` (both) or `never`.
        storage_class: class of the claims we make; None takes the default class.
        has_default_storage: a claim without a class gets a volume.
        token_secret: Secret with key `auth_token`.
        redis_secret: Secret with key `password`.
        storage_namespace: Ray's key prefix in Redis, set once.
        restarted: when a group was last restarted on request, or because a Secret that it had read was made
            anew, as a time; by the word for it: `head`, `redis`, `small`, `worker/head`.
    """

    namespace: str | None = None
    anchor_uid: str | None = None
    server_version: str | None = None
    isolated: bool = False
    policies: str = "auto"
    storage_class: str | None = None
    has_default_storage: bool = True
    token_secret: str | None = None
    redis_secret: str | None = None
    storage_namespace: str | None = None
    restarted: Mapping[str, str] = field(default_factory=dict)
