"""What only a cluster can tell, and what somebody wished beside the spec; the anchor keeps both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NO_CHOICES", "Choices", "Facts"]

_ALL_SIZES = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


@dataclass(frozen=True)
class Choices:
    """What somebody wished that stands in no spec; it holds until they wish otherwise.

    Attributes:
        policies: `auto` (ingress always, egress if isolated), `always` (both) or `never`.
        restarted: when a group was last restarted on request, or because a Secret that it had read was made
            again, as a time; by the word for it: `head`, `redis`, `small`, `worker/head`.
        resumed: how often a RayJob went on after it was suspended; each time it is a new run.
    """

    policies: str = "auto"
    restarted: Mapping[str, str] = field(default_factory=dict)
    resumed: int = 0


NO_CHOICES = Choices()


@dataclass(frozen=True)
class Facts:
    """Found out at the first `up` and never changed unseen. The defaults are those of an offline `render`.

    Attributes:
        namespace: where the objects go; None leaves it to `kubectl apply -n`.
        anchor_uid: the anchor's UID; None means no ownerReferences.
        server_version: Kubernetes' version, for example `1.30`.
        isolated: the namespace already restricts egress.
        storage_class: class of the claims we make; None takes the default class.
        has_default_storage: a claim without a class gets a volume.
        token_secret: Secret with key `auth_token`.
        redis_secret: Secret with key `password`.
        storage_namespace: Ray's key prefix in Redis, set once.
        restricted: the namespace enforces PodSecurity `restricted`, or refuses pods that are not hardened.
        demanded: sizes without which a quota or LimitRange refuses a pod: "limits.memory", "requests.cpu" …
        gives_user_ids: the namespace gives pods their user ids itself, as OpenShift does.
        filled: the anchor was once of format 1: every container was given sizes and was hardened, and
            Redis had a readiness probe. Such a cluster keeps all that, for a change would restart its pods.
        schedulers: batch schedulers that the API server serves kinds of: `volcano`, `kai-scheduler`.
        steward: whose rights the autoscaler's steward has: `role`, one that we make; `account`, those that
            the head's ServiceAccount has already; `client`, none: `raystead autoscale` acts for it.
        doors: by "Kind/name" of the file's other documents, the ports that they lead to: "head:8265",
            "workers:8000".
        selected: of a RayJob on a cluster that is there: `name`, `address` of its dashboard, its `port`, and
            `head`, the labels of its head where policies restrict who reaches that.
        keepers: the uids of the Jobs that end a part of a RayJob or of an idle cluster (`self`, `cluster`,
            `workers`); never kept in the anchor.
    """

    namespace: str | None = None
    anchor_uid: str | None = None
    server_version: str | None = None
    isolated: bool = False
    storage_class: str | None = None
    has_default_storage: bool = True
    token_secret: str | None = None
    redis_secret: str | None = None
    storage_namespace: str | None = None
    restricted: bool = False
    demanded: Sequence[str] = ()
    gives_user_ids: bool = False
    filled: bool = False
    schedulers: Sequence[str] = ()
    steward: str = "role"
    doors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    selected: Mapping[str, Any] = field(default_factory=dict)
    keepers: Mapping[str, str] = field(default_factory=dict)

    @property
    def needed_sizes(self) -> Sequence[str]:
        """The sizes that every container is given."""
        return _ALL_SIZES if self.filled else self.demanded

    @property
    def hardens_all(self) -> bool:
        """Every container is hardened, unless the file says otherwise."""
        return self.filled or self.restricted

    def __post_init__(self) -> None:
        """JSON has no tuples: what was read from an anchor equals what was found again."""
        for name in ("demanded", "schedulers"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "doors", {key: tuple(ports) for key, ports in self.doors.items()})
