"""The anchor: the ConfigMap that owns a cluster and keeps what was applied. Pure.

Its data: `format` (a number, a newer one is refused), `version` (of the raystead that wrote it), `document`
(what the cluster comes from, a RayCluster, as JSON), `facts`, `choices` (JSON), `foreign`, `hash`. Nothing
secret: a password in a spec moves to a Secret first.

Format 1 had the RayCluster in `spec`, and knew groups by the label `ray.io/group`: a worker group called
`headgroup` was not told from the head. It is read, and the next `up` writes format 2; that restarts nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

from raystead.base import labels, names
from raystead.base.groups import HEAD, worker
from raystead.base.version import NEWER, __version__
from raystead.errors import NewerFormat, SpecError, StateError
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.storage import inline_password
from raystead.spec.documents import cluster_json, parsed

if TYPE_CHECKING:
    from raystead.spec.documents import RayDocument
    from raystead.spec.model import Json, RayCluster

__all__ = ["ANCHOR_SELECTOR", "FORMAT", "Anchor", "decoded", "document", "storable"]

FORMAT = 2
ROLE = labels.ROLE
WRITES = "raystead.io/writes"  # how often the anchor was written: each write is a new version, so a lock
ANCHOR_SELECTOR = labels.ANCHORS
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # kubectl keeps the whole file there


_READABLE = 2**18  # characters up to which the document is indented; a ConfigMap takes 1 MiB


@dataclass(frozen=True)
class Anchor:
    """One cluster as it was applied last.

    Attributes:
        resource_version: the lock: a write that names an older one is refused by the server.
        written_by: version of the raystead that wrote it.
        kept: the document as JSON.
        doors: what a client needs to connect, as it was applied: the token's Secret, None without one, and
            the ports of dashboard and client. {} where an older raystead wrote the anchor.
        foreign: "Kind/name" of what its file brought along; applied, not owned.
        raw: the ConfigMap itself.
    """

    name: str
    namespace: str
    uid: str
    resource_version: str
    written_by: str
    kept: Json = field(repr=False)
    facts: Facts
    choices: Choices
    foreign: tuple[str, ...]
    hash: str
    raw: Json
    doors: Json = field(default_factory=dict)

    @property
    def spec(self) -> Json:
        """The RayCluster as JSON; what only needs a few of its fields reads them there."""
        return cluster_json(self.kept)

    @cached_property
    def document(self) -> RayDocument:
        """What the cluster comes from, as a model, which takes longer to import than a request takes.

        Raises:
            StateError: it is damaged.
        """
        try:
            return parsed(self.kept)
        except ValueError as error:
            raise _damaged(self.raw["metadata"]["name"], str(error)[:200]) from None

    @property
    def cluster(self) -> RayCluster:
        """The cluster that the document asks for.

        Raises:
            StateError: it is damaged.
        """
        return self.document.cluster

    @property
    def is_cron(self) -> bool:
        """It is of a RayCronJob: pods come and go with its ticks."""
        return self.kept.get("kind") == "RayCronJob"

    @property
    def suspended(self) -> bool:
        return bool(self.spec["spec"].get("suspend"))

    @property
    def groups(self) -> list[str]:
        """The worker groups' names."""
        return [str(group["groupName"]) for group in self.spec["spec"].get("workerGroupSpecs") or ()]

    def with_facts(self) -> Facts:
        """Facts for rendering: the kept ones, with what only the anchor itself can tell."""
        namespace = self.facts.storage_namespace or self.uid
        return replace(self.facts, anchor_uid=self.uid, storage_namespace=namespace)


def document(
    what: RayDocument,
    facts: Facts,
    previous: Anchor | None = None,
    foreign: Sequence[str] = (),
    *,
    choices: Choices,
) -> Json:
    """The ConfigMap for this document, these facts and choices; with `previous` it replaces that version.

    `foreign`: "Kind/name" of the file's other documents, which we apply and do not own.
    """
    text = _written(what.document())
    kept = asdict(replace(facts, anchor_uid=None))
    del kept["keepers"]
    if previous and kept["storage_namespace"] == previous.uid:
        kept["storage_namespace"] = None
    facts_text = json.dumps(kept, sort_keys=True)
    choices_text = json.dumps(asdict(choices), sort_keys=True)
    metadata: Json = {
        "name": names.anchor(what.name),
        "namespace": facts.namespace,
        "labels": {
            **labels.of_objects(what.cluster.annotations),
            labels.OURS: what.name,
            labels.ROLE: "anchor",
        },
    }
    if previous:
        before = previous.raw["metadata"].get("annotations") or {}
        count = str(before.get(WRITES, "0"))
        writes = int(count) + 1 if count.isdecimal() else 1
        metadata["annotations"] = {**before, WRITES: str(writes)}
        metadata["resourceVersion"] = previous.resource_version
        metadata["uid"] = previous.uid
    data = {
        "format": str(FORMAT),
        "version": __version__,
        "document": text,
        "facts": facts_text,
        "choices": choices_text,
        "doors": json.dumps(_doors(what.cluster, facts), sort_keys=True),
        "foreign": json.dumps(list(foreign)),
        "hash": hashlib.sha256(f"{text}\n{facts_text}\n{choices_text}\n{foreign}".encode()).hexdigest(),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _written(value: Json) -> str:
    """As JSON: for people to read, or as small as can be where the server's limit may matter."""
    text = json.dumps(value, sort_keys=True, indent=1)
    if len(text) <= _READABLE:
        return text
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _doors(cluster: RayCluster, facts: Facts) -> Json:
    from raystead.manifests.context import Context
    from raystead.manifests.start import start_params

    ctx, params = Context(cluster, facts), start_params(cluster, cluster.spec.head, head=True)
    return {
        "token": ctx.token_secret if ctx.token else None,
        "dashboard": params.get("dashboard-port"),
        "client": params.get("ray-client-server-port"),
    }


def name_of(raw: Json) -> str:
    """The name of the cluster that a ConfigMap is the anchor of, whatever else it holds."""
    metadata = raw["metadata"]
    return str((metadata.get("labels") or {}).get(labels.OURS) or metadata["name"].removeprefix("raystead-"))


def decoded(raw: Json) -> Anchor:
    """The anchor in a ConfigMap.

    Raises:
        NewerFormat: a newer raystead wrote it.
        StateError: it is damaged.
    """
    metadata, data = raw["metadata"], raw.get("data") or {}
    name = name_of(raw)
    try:
        number = int(data["format"])
    except (KeyError, ValueError):
        raise _damaged(metadata["name"], "its format number is missing") from None
    if number > FORMAT:
        raise NewerFormat(
            f'the cluster "{name}" was written by a newer raystead ({data.get("version", "unknown")})',
            evidence=f"ConfigMap {metadata['name']} has format {number}; {__version__} reads up to {FORMAT}",
            remedy=NEWER,
        )
    try:
        kept = json.loads(data["document" if number > 1 else "spec"])
        spec = cluster_json(kept)
        _ = spec["metadata"]["name"], spec["spec"]["headGroupSpec"]
        doors = dict(json.loads(data.get("doors") or "{}"))
        facts, choices = _split(json.loads(data["facts"]), json.loads(data.get("choices") or "{}"))
        if number == 1:
            facts = replace(facts, filled=True)
            choices = replace(choices, restarted=_restarted(choices.restarted, spec))
        foreign = tuple(map(str, json.loads(data.get("foreign") or "[]")))
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(metadata["name"], f"{type(error).__name__}: {str(error)[:200]}") from None
    return Anchor(
        name=name,
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        written_by=str(data.get("version", "")),
        kept=kept,
        facts=facts,
        choices=choices,
        foreign=foreign,
        hash=str(data.get("hash", "")),
        raw=raw,
        doors=doors,
    )


def storable(document: RayDocument) -> tuple[RayDocument, str | None]:
    """The document without a Redis password in it, and that password if one was written there.

    The password is replaced by a reference to the Secret that we make for it.

    Raises:
        SpecError: the password stands where no reference can (rayStartParams, env).
    """
    out, cluster = document.document(), document.cluster
    password = inline_password(cluster)
    options = cluster_json(out)["spec"].get("gcsFaultToleranceOptions") or {}
    if (options.get("redisPassword") or {}).get("value") is not None:
        secret = names.Names(cluster.name, False).redis_secret
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}}
    elif password:
        raise SpecError(
            "the file has a Redis password where everybody who may read pods can read it",
            evidence="rayStartParams.redis-password or env REDIS_PASSWORD of the head has a literal value",
            remedy="use gcsFaultToleranceOptions.redisPassword.valueFrom.secretKeyRef",
        )
    (out["metadata"].get("annotations") or {}).pop(_LAST_APPLIED, None)
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"):
        out["metadata"].pop(key, None)
    return parsed(out), password


def _split(facts: Json, choices: Json) -> tuple[Facts, Choices]:
    """Both as values; choices stood among the facts once."""
    old = {key: facts.pop(key) for key in (one.name for one in fields(Choices)) if key in facts}
    return Facts(**facts), Choices(**{**old, **choices})


def _restarted(by_label: Mapping[str, str], cluster: Json) -> dict[str, str]:
    """Format 1's stamps by groups: what the head and a worker group called `headgroup` shared is both's."""
    workers = {worker(group["groupName"]) for group in cluster["spec"].get("workerGroupSpecs") or ()}
    out = {str(worker(label)): when for label, when in by_label.items() if worker(label) in workers}
    if labels.HEAD_GROUP in by_label:
        out[str(HEAD)] = by_label[labels.HEAD_GROUP]
    return out


def _damaged(name: str, why: str) -> StateError:
    return StateError(
        f"the ConfigMap {name} does not hold a cluster that can be read",
        evidence=why,
        remedy=f"raystead up -f FILE creates it again, kubectl delete configmap {name} deletes the cluster",
    )
