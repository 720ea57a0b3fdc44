"""What goes into doctor and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from msgspec import Struct, field

from raystead.base import labels
from raystead.base.groups import HEAD, REDIS, GroupId
from raystead.base.kinds import KINDS
from raystead.live.maker import Maker
from raystead.live.makers import makers_of
from raystead.manifests.context import Context
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.spec.model import Json, RayCluster

__all__ = [
    "Check",
    "Client",
    "Objects",
    "Observations",
    "Pods",
    "Verdict",
    "claims_of",
    "unmade",
]

Verdict = Literal["ok", "warn", "fail", "unknown"]
Objects = tuple[Json, ...] | None


@dataclass(frozen=True)
class Check:
    """One answer.

    Attributes:
        name: what was looked at: `quota`, `network` …; several checks may share it.
        verdict: `ok`; `warn`: it works, but know this; `fail`: `up` will not get a whole cluster;
            `unknown`: it could not be found out, and `remedy` says how it can be.
        what: the answer, a clause without its full stop.
        evidence: what was seen, as Kubernetes wrote it.
        remedy: commands, or the sentence for the administrator.
    """

    name: str
    verdict: Verdict
    what: str
    evidence: str = ""
    remedy: str = ""


def unmade(check: Check, pods: Pods) -> Check:
    """A failure of a group that has no pods yet: the cluster is whole without them, so it is a warning."""
    what = check.what.removeprefix(f"{pods.group}: ")
    return replace(check, verdict="warn", what=f"{pods.group} has no pods yet; once it has: {what}")


class Client(Struct, frozen=True):
    """The user's side: our version, and what the Python on their PATH has (None: no such thing)."""

    raystead: str
    python: str | None = None
    ray: str | None = None
    path: str = ""


class Pods(Struct, frozen=True):
    """The pods of one group, all alike.

    Attributes:
        maker: the object that will keep them, as rendered.
        pod: metadata and spec; as the server's dry-run answered where it did, else as rendered.
    """

    group: GroupId
    wanted: int
    maker: Maker
    pod: Json

    @property
    def labels(self) -> dict[str, str]:
        return dict((self.pod.get("metadata") or {}).get("labels") or {})

    @property
    def one(self) -> str:
        """How people call one of them."""
        return {HEAD: "the head", REDIS: "Redis"}.get(self.group, f"{self.group} pod")


class Observations(Struct, frozen=True, dict=True):
    """Everything that was read, as raw JSON. None: could not be read; () was read and is empty.

    Attributes:
        up: the words that bring this very spec up, for remedies.
        exists: a cluster of this name is there and is ours.
        objects: rendered with `facts` and `choices`.
        companions: the other documents of the file, which `up` applies too.
        version: "1.36", and what the server calls itself.
        user: the name by which the server knows them.
        pods: all of the namespace; so are the other lists.
        raycluster: KubeRay's object of our name.
        default_class: the class that a claim without one gets; None there is none, "?" not known.
        claim_refused: why the server refuses such a claim; "" where it does not.
        admission: by group, the server's answer to a dry-run of its pod: the pod, or why it is refused.
        jobs: by name, the server's answer to a dry-run of a Job of ours: the Job, or why it is refused.
        secrets: by name, the keys of a Secret that the pods need; None it is not there; absent not asked.
        configs_missing: ConfigMaps that the pods need and that are not there, of those that were asked for.
    """

    cluster: RayCluster
    facts: Facts
    up: str
    client: Client
    choices: Choices = NO_CHOICES
    objects: tuple[Json, ...] = ()
    companions: tuple[Json, ...] = ()
    exists: bool = False
    version: str = ""
    git_version: str = ""
    user: str | None = None
    namespace: Json | None = None
    pods: Objects = None
    quotas: Objects = None
    limitranges: Objects = None
    policies: Objects = None
    deployments: Objects = None
    statefulsets: Objects = None
    services: Objects = None
    claims: Objects = None
    nodes: Objects = None
    raycluster: Json | None = None
    default_class: str | None = None
    claim_refused: str = ""
    admission: Mapping[GroupId, Json | str] = field(default_factory=dict)
    jobs: Mapping[str, Json | str] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    configs_missing: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.cluster.name

    @cached_property
    def context(self) -> Context:
        return Context(self.cluster, self.facts, self.choices)

    @cached_property
    def groups(self) -> tuple[Pods, ...]:
        """Redis, the head, the workers: in the order in which they need each other."""
        found = []
        for maker in makers_of(*self.objects):
            answer = self.admission.get(maker.id)
            pod = answer if isinstance(answer, dict) else _with_claims(maker)
            found.append(Pods(maker.id, maker.asked or 0, maker, pod))
        return tuple(sorted(found, key=lambda pods: pods.group.rank))

    def there(self, kind: str) -> Objects:
        """The namespace's objects of a kind; None: could not be read, or nobody looked."""
        part = KINDS[kind].part
        found: Objects = getattr(self, part) if part else None
        return found

    def brought(self, kind: str) -> set[str]:
        """Names of the file's own documents of a kind."""
        return {str(item["metadata"]["name"]) for item in self.companions if item.get("kind") == kind}

    def ours(self, item: Json) -> bool:
        return bool(((item.get("metadata") or {}).get("labels") or {}).get(labels.OURS) == self.name)


def claims_of(item: Json) -> dict[str, str]:
    """Volume -> claim that a StatefulSet makes for its first pod."""
    made = (item.get("spec") or {}).get("volumeClaimTemplates") or []
    return {c["metadata"]["name"]: f"{c['metadata']['name']}-{item['metadata']['name']}-0" for c in made}


def _with_claims(maker: Maker) -> Json:
    """The pod template with the volumes that a StatefulSet adds."""
    template, claims = maker.template, claims_of(maker.json)
    added = [{"name": n, "persistentVolumeClaim": {"claimName": c}} for n, c in claims.items()]
    if not added:
        return template
    spec = template["spec"]
    return {**template, "spec": {**spec, "volumes": [*(spec.get("volumes") or []), *added]}}
