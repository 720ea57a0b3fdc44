"""What goes into explain and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from raystead.base.groups import GroupId
from raystead.manifests.facts import Facts
from raystead.manifests.living import Living
from raystead.spec.model import Json, RayCluster

if TYPE_CHECKING:
    from raystead.live.autoscaler import AutoscalerReport

__all__ = ["LOG_LINES", "RAYLET", "Confidence", "Evidence", "Finding", "LogKey", "Snapshot"]

Confidence = Literal["sure", "likely", "unknown"]
LogKey = tuple[str, str, bool]  # pod, container, the container's previous run
LOG_LINES = 500  # of each log; a dying `ray start --block` prints up to 200 lines a process (Ray 2.60)

RAYLET = "/raylet.err"  # after a container's name: the file of that name of its newest Ray sessions

Objects = tuple[Json, ...] | None


@dataclass(frozen=True)
class Evidence:
    """One thing that was seen.

    Attributes:
        text: the message, as Kubernetes or Ray wrote it.
        source: where: `pod/x`, `event`, `log pod/x`.
        at: when it was last seen, where that is known.
        count: how often.
    """

    text: str
    source: str
    at: datetime | None = None
    count: int = 1


@dataclass(frozen=True)
class Finding:
    """One cause, with what it means and what to do.

    Attributes:
        cause: its stable name, also that of its page in docs/causes.
        group: whose trouble it is; None: the whole cluster's.
        subject: the object it was seen at, `pod/x`; one of several when `pods` is more than 1.
        why: what is wrong, a sentence without its full stop.
        means: what follows from it.
        remedy: commands, or the sentence for the administrator.
        confidence: `sure`, `likely`, or `unknown` when a part could not be read.
        evidence: what was seen, most telling first.
        since: since when, where that is known.
        pods: how many pods share it (0: none exists yet).
    """

    cause: str
    group: GroupId | None
    subject: str
    why: str
    means: str
    remedy: str
    confidence: Confidence
    evidence: tuple[Evidence, ...] = ()
    since: datetime | None = None
    pods: int = 1


class Snapshot(Struct, frozen=True):
    """Everything that was read, as raw Kubernetes JSON, at the time `now` (UTC).

    A part that is None could not be read; () was read and is empty.

    Attributes:
        cluster: the spec, None when the anchor could not be read.
        namespace_object: the Namespace itself.
        ray_nodes: entries of `data.summary` of the dashboard's `/nodes?view=summary`.
        makers: further objects that keep pods, with their kinds.
        autoscaler: what Ray's autoscaler says; None: there is none, or it could not be asked.
        living: what the dashboard says of itself; None: it was not asked or did not answer.
        facts: those that the cluster was rendered with.
        logs: the last `LOG_LINES` lines of those that `needed_logs` named; a missing one was not read.
        up: the words that brought the cluster up, `raystead up -f ray.yaml`; "" where they are not known.
        accounts: ServiceAccounts that refusals miss and that are there now.
        applied: when the spec was last written; None: long ago, or by ourselves, and all objects with it.
        api_slow: seconds that the slowest request to the API server took.
    """

    cluster: RayCluster | None
    namespace: str
    name: str
    now: datetime
    pods: Objects = None
    events: Objects = None
    replicasets: Objects = None
    deployments: Objects = None
    statefulsets: Objects = None
    claims: Objects = None
    quotas: Objects = None
    limitranges: Objects = None
    services: Objects = None
    policies: Objects = None
    namespace_object: Json | None = None
    ray_nodes: Objects = None
    makers: tuple[Json, ...] = ()
    living: Living | None = None
    facts: Facts | None = None
    logs: Mapping[LogKey, str] = field(default_factory=dict)
    api_slow: float | None = None
    applied: datetime | None = None
    up: str = ""
    accounts: tuple[str, ...] = ()
    autoscaler: AutoscalerReport | None = None
