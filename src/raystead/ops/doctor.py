"""`doctor`: reads what this user may read, asks the server by dry-runs, and lets the pure checks judge.

No request is made that the rights do not allow, and no more than 25 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import Struct, structs

from raystead.base import kinds
from raystead.base.groups import GroupId
from raystead.doctor import rights as needing
from raystead.doctor.judge import judge
from raystead.doctor.model import Check, Objects, Observations
from raystead.doctor.state import named
from raystead.errors import ApiError, Conflict, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import Discovery, collection, path_of
from raystead.manifests.autoscaling import autoscales
from raystead.manifests.demands import PlainObjects
from raystead.manifests.doors import foreign_doors
from raystead.manifests.facts import NO_CHOICES, Facts
from raystead.manifests.render import manifests
from raystead.manifests.storage import storage_kind
from raystead.ops import secrets
from raystead.ops.anchor import Anchor, storable
from raystead.ops.checking import answers_to, listed_nodes
from raystead.ops.client import client
from raystead.ops.companions import waits_for_role, word
from raystead.ops.dryrun import no_such_namespace
from raystead.ops.facts import Here, namespaced, probe_claim, steward, version_text
from raystead.ops.planning import existing
from raystead.ops.probe import probe
from raystead.ops.rights import Rights, may, rights, user_name
from raystead.ops.specs import Desired, built, located
from raystead.spec.builtin import NAME
from raystead.spec.flags import Flags
from raystead.spec.model import RayCluster

__all__ = ["Examined", "Subject", "examine", "subject_of"]

_REVIEWS = 6  # of the 25 requests for single rights, where the server's list of rights is not complete
_DRY_RUNS = 5  # for pods of different groups
_SECRETS = 3
_CONFIGS = 2
_LISTS = kinds.parts("Event", "ReplicaSet")  # of Seen
_COMPANIONS = 4  # for other documents of the file


class Subject(Struct, frozen=True):
    """The spec that is examined, and who asks; `anchor` is the cluster as it is, if there is one."""

    api: Api
    asked: Desired
    anchor: Anchor | None
    rights: Rights
    held: needing.NeededRights


@dataclass(frozen=True)
class Examined:
    """All that `doctor` says."""

    context: str
    namespace: str
    server: str
    user: str | None
    cluster: str
    checks: tuple[Check, ...]
    requests: int

    def count(self, verdict: str) -> int:
        return sum(check.verdict == verdict for check in self.checks)


def subject_of(
    api: Api, flags: Flags, text: str | None = None, filename: str = "", *, namespace: str | None = None
) -> Subject:
    """What is asked for, and the rights that it needs.

    Raises:
        SpecError: with every problem of the file and the flags.
    """
    asked = None
    if text is not None:
        api, asked = located(api, flags, text, filename, namespace=namespace)
    have = rights(api)
    anchor = None
    if have.allows("get", "configmaps"):
        anchor = existing(api, asked.cluster.name if asked else flags.name or NAME)
    if asked is None:
        asked = Desired(built(flags, anchor))
    asked = replace(asked, autoscale=bool(flags.autoscale))
    return Subject(api, asked, anchor, have, _held(api, asked.cluster, have))


def examine(subject: Subject, *, up: str, policies: str | None, probes: bool) -> Examined:
    """Every check; nothing is changed, but for the Job of a probe, which goes again.

    Args:
        up: the words that would bring this spec up, for remedies.
        policies: as in `up`.
        probes: run a short Job for what only a pod can know.

    Raises:
        ApiUnreachable
    """
    api, (document, password) = subject.api, storable(subject.asked.document)
    cluster = document.cluster
    unread: dict[str, str] = {}
    lists = _lists(subject, unread)
    seen = Observations(
        cluster=cluster,
        facts=Facts(namespace=api.namespace),
        up=up,
        client=client(),
        exists=subject.anchor is not None,
        user=subject.held.user,
        unread=unread,
        companions=subject.asked.foreign,
        **lists,
    )
    seen = structs.replace(seen, **_singles(subject, unread))
    kept = subject.anchor.choices if subject.anchor else NO_CHOICES
    choices = replace(kept, policies=policies or kept.policies)
    seen = structs.replace(seen, facts=_facts(subject, seen), choices=choices)
    seen = structs.replace(seen, objects=tuple(manifests(document, seen.facts, seen.choices)))
    seen = structs.replace(seen, secrets=_secrets(subject, seen, password))
    seen = structs.replace(seen, configs_missing=_configs_missing(subject, seen))
    seen = structs.replace(seen, admission=_admission(subject, seen, unread), jobs=_jobs(subject, seen))
    asked = api.requests
    checks = (*judge(seen, subject.held), *_companions(subject))
    if probes:
        found = probe(api, seen, subject.rights)
        told = {check.name for check in found}
        checks = (*(c for c in checks if c.name not in told or c.verdict == "fail"), *found)
    return Examined(
        context=api.access.context,
        namespace=api.namespace,
        server=seen.version,
        user=seen.user,
        cluster=cluster.name,
        checks=checks,
        requests=asked,
    )


def _companions(subject: Subject) -> tuple[Check, ...]:
    """What the server says of the other documents of the file, by dry-runs."""
    asked, paths = subject.asked, Discovery(subject.api)
    tried = asked.placed[:_COMPANIONS]

    def one(pair: tuple[Json, str]) -> Check | None:
        item, place = pair
        try:
            subject.api.apply(paths.path(item, subject.api.namespace), item, dry_run=True)
        except ApiError as error:
            if error.status in (0, 429, 503, 504):
                raise
            if isinstance(error, ObjectNotFound) and waits_for_role(item, asked.foreign):
                return None
            seen = asked.source.located(error.evidence, item) if asked.source else error.evidence
            return Check("file", "fail", f"{word(item)} ({place}): {error.what}", seen, error.remedy)
        return None

    found = [check for check in parallel(one, tried) if check]
    if len(asked.foreign) > len(tried):
        what = f"{len(tried)} of the file's {len(asked.foreign)} other documents were tried"
        found.append(
            Check("file", "unknown", what, "more would be too many requests", "raystead plan tries all")
        )
    if tried and not found:
        found.append(Check("file", "ok", f"the server takes {', '.join(word(item) for item, _ in tried)}"))
    return tuple(found)


def _held(api: Api, cluster: RayCluster, have: Rights) -> needing.NeededRights:
    """The needed rights against those that the server lists; single ones asked where the list has gaps."""
    needed = needing.needed(cluster)
    lacking: dict[needing.Right, tuple[str, ...]] = {}
    unknown: dict[needing.Right, tuple[str, ...]] = {}
    asked = 0
    for right in needed:
        gone, dark = [], []
        for verb in right.verbs:
            if have.allows(verb, right.resource, right.group):
                continue
            answer: bool | None = False
            if not have.complete:
                answer = may(api, verb, right.resource, right.group) if asked < _REVIEWS else None
                asked += 1
            if answer is None:
                dark.append(verb)
            elif not answer:
                gone.append(verb)
        if gone:
            lacking[right] = tuple(gone)
        if dark:
            unknown[right] = tuple(dark)
    return needing.NeededRights(needed, lacking, unknown, user_name(api))


def _lists(subject: Subject, unread: dict[str, str]) -> dict[str, Any]:
    def one(part: str) -> Objects:
        row = _LISTS[part]
        if not subject.rights.allows("list", row.plural, row.group):
            unread[part] = f"you may not list {row.plural}{f'.{row.group}' if row.group else ''}"
            return None
        found = subject.api.list(collection(subject.api.namespace, row.name))
        return tuple({**item, "kind": row.name} for item in found)

    return dict(zip(_LISTS, parallel(one, _LISTS), strict=True))


def _singles(subject: Subject, unread: dict[str, str]) -> dict[str, Any]:
    """The version, the namespace, KubeRay's cluster of this name, the default StorageClass."""
    api, have = subject.api, subject.rights

    def version() -> Json:
        try:
            version = api.get("/version")
        except ApiError as error:
            unread["version"] = error.what
            return {}
        return {"version": version_text(version), "git_version": str(version.get("gitVersion") or "")}

    def namespace() -> Json:
        if not have.allows("get", "namespaces", name=api.namespace):
            return {}
        try:
            return {"namespace": api.get(f"/api/v1/namespaces/{api.namespace}")}
        except ObjectNotFound as error:
            raise no_such_namespace(api.namespace, error) from error

    def raycluster() -> Json:
        if not have.allows("get", "rayclusters", "ray.io"):
            return {}
        try:
            return {"raycluster": api.get(path_of(api.namespace, "RayCluster", subject.asked.cluster.name))}
        except ObjectNotFound:
            return {}  # none, or no such kind

    def storage() -> Json:
        if subject.anchor or storage_kind(subject.asked.cluster) not in ("redis", "rocksdb"):
            return {}
        if not have.allows("create", "persistentvolumeclaims"):
            unread["default_class"] = "you may not create persistentvolumeclaims"
            return {"default_class": "?"}
        probe = probe_claim(api)
        return {"default_class": probe.storage_class, "claim_refused": probe.refused}

    def nodes() -> Json:
        return {"nodes": listed_nodes(api, have)}

    asks: tuple[Callable[[], Json], ...] = (version, namespace, raycluster, storage, nodes)
    found: Json = {}
    for answer in parallel(lambda ask: ask(), asks):
        found |= answer
    return found


def _facts(subject: Subject, seen: Observations) -> Facts:
    """The facts that `up` would find; those of a cluster that is there stand in its anchor."""
    if subject.anchor is not None:
        facts = subject.anchor.with_facts()
    else:
        facts = Facts(
            namespace=subject.api.namespace,
            server_version=seen.version,
            has_default_storage=seen.default_class not in (None, "?"),
        )
    plain = PlainObjects(seen.cluster, facts)
    facts = replace(facts, isolated=bool(plain.isolated_by(seen.policies or ())))
    facts = replace(facts, doors={**facts.doors, **foreign_doors(seen.cluster, subject.asked.foreign)})
    if autoscales(seen.cluster):
        before = facts.steward if subject.anchor and autoscales(subject.anchor.cluster) else ""
        anew = bool(subject.asked.autoscale)
        facts = replace(facts, steward=steward(subject.api, seen.cluster, before, subject.rights, anew=anew))
    if not subject.rights.allows("create", "pods"):
        return facts
    here = Here(seen.namespace or {}, seen.quotas, seen.limitranges)  # {}: who may not read it is not refused
    return namespaced(subject.api, seen.cluster, facts, plain, here)


def _secrets(subject: Subject, seen: Observations, password: str | None) -> dict[str, tuple[str, ...] | None]:
    """Which of the Secrets that the pods name are there; values are not looked at."""
    if not subject.rights.allows("get", "secrets"):
        return {}
    wanted = [need.name for need in secrets.needed(seen.cluster, seen.facts, password)]
    chosen = list(dict.fromkeys((*wanted, *_named(seen, "Secret"))))[:_SECRETS]

    def keys(name: str) -> tuple[str, ...] | None:
        try:
            return tuple(subject.api.get(path_of(subject.api.namespace, "Secret", name)).get("data") or {})
        except ObjectNotFound:
            return None

    return dict(zip(chosen, parallel(keys, chosen), strict=True))


def _configs_missing(subject: Subject, seen: Observations) -> tuple[str, ...]:
    """Those of the first ConfigMaps that the pods name which are not there, nor made here."""
    if not subject.rights.allows("get", "configmaps"):
        return ()
    made = {item["metadata"]["name"] for item in seen.objects if item["kind"] == "ConfigMap"}
    chosen = [name for name in _named(seen, "ConfigMap") if name not in made][:_CONFIGS]

    def missing(name: str) -> bool:
        try:
            subject.api.get(path_of(subject.api.namespace, "ConfigMap", name))
        except ObjectNotFound:
            return True
        return False

    return tuple(name for name, gone in zip(chosen, parallel(missing, chosen), strict=True) if gone)


def _named(seen: Observations, kind: str) -> list[str]:
    """Names of a kind that the pods need and that the file does not bring; first of groups with pods."""
    groups = sorted(seen.groups, key=lambda pods: not pods.wanted)
    found = [name for pods in groups for of, name in named(pods.pod["spec"]) if of == kind]
    return [name for name in dict.fromkeys(found) if name not in seen.brought(kind)]


def _jobs(subject: Subject, seen: Observations) -> Mapping[str, Json | str]:
    """By name, what the server makes of the Jobs of this spec; nothing is made."""
    if not subject.rights.allows("patch", "jobs", "batch"):
        return {}
    paths, out = Discovery(subject.api), dict[str, Json | str]()
    for job in (item for item in seen.objects if item["kind"] == "Job"):
        name = str(job["metadata"]["name"])
        try:
            out[name] = subject.api.apply(
                paths.path(job, subject.api.namespace), job, dry_run=True, force=True
            )
        except Conflict:  # it is there, and immutable in what the spec changes
            continue
        except ApiError as error:
            if error.status == 0:
                raise
            if "immutable" not in error.evidence:
                out[name] = error.evidence or error.what
    return out


def _admission(subject: Subject, seen: Observations, unread: dict[str, str]) -> Mapping[GroupId, Json | str]:
    """By group, what the server answers to the creation of one pod that is not made."""
    if not subject.rights.allows("create", "pods"):
        unread["admission"] = "you may not create pods, so none could be tried"
        return {}
    tried = sorted(seen.groups, key=lambda pods: not pods.wanted)[:_DRY_RUNS]
    if len(seen.groups) > len(tried):
        unread["admission"] = f"{len(tried)} groups were tried, more would be too many requests"

    return answers_to(subject.api, tried, (*seen.objects, *seen.companions), subject.asked.source)
