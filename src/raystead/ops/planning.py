"""From a wanted cluster to its plan: what is rendered, against what is there and the server's own answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from raystead.base import kinds, labels, names, ownership
from raystead.base.groups import GroupId
from raystead.errors import ApiError, Conflict, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.paths import Discovery, collection, path_of
from raystead.live.makers import makers_of
from raystead.manifests.autoscaling import autoscales
from raystead.manifests.demands import PlainObjects
from raystead.manifests.doors import foreign_doors
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.manifests.notes import notes as rendered_notes
from raystead.manifests.render import manifests
from raystead.ops import companions, keepers, rayjobs, secrets
from raystead.ops import facts as asking
from raystead.ops.anchor import Anchor, decoded, document, storable
from raystead.ops.dryrun import dry_run
from raystead.ops.living import LISTED, clusters_of, live_objects, sorted_by_owner
from raystead.ops.restart import stamp, stamps
from raystead.ops.source import SpecSource
from raystead.ops.specs import Desired, built, located
from raystead.plan.make import key_of, make
from raystead.plan.model import Action, Key, Plan
from raystead.spec.builtin import NAME
from raystead.spec.documents import RayDocument
from raystead.spec.flags import Flags
from raystead.spec.model import RayCluster

__all__ = ["Prepared", "Request", "existing", "prepare", "wanted"]

ANCHOR_BYTES = 2**20  # of all values of a ConfigMap together, as the API server counts them


@dataclass(frozen=True)
class Prepared:
    """Everything `up` needs; nothing has been changed yet.

    Attributes:
        anchor: the cluster as it is now; None when there is none.
        document: what to apply, without secrets.
        objects: rendered; owner references stand in them only where the anchor is there already.
        live: what has our label, but for objects of others that the spec does not ask for.
        uids: of every live object that the plan may delete or replace.
        policies: all NetworkPolicies of the namespace.
        owners: what the anchor itself is to belong to (a lease); () keeps what it belongs to.
        refused: objects that the server does not take as they are; the plan says why.
        source: the file that was read, if one was.
    """

    api: Api = field(repr=False)
    anchor: Anchor | None
    document: RayDocument
    facts: Facts
    choices: Choices
    objects: tuple[Json, ...]
    secrets: tuple[secrets.NeededSecret, ...]
    foreign: tuple[Json, ...]
    live: tuple[Json, ...]
    plan: Plan
    force: bool = False
    owners: tuple[Json, ...] = ()
    uids: Mapping[Key, str] = field(default_factory=dict)
    policies: tuple[Json, ...] = ()
    refused: frozenset[Key] = frozenset()
    source: SpecSource | None = None

    @property
    def cluster(self) -> RayCluster:
        """The cluster that the document asks for."""
        return self.document.cluster

    @property
    def anchor_changes(self) -> bool:
        """The anchor has to be written: there is none, or it says something else."""
        return self.anchor is None or self.anchor.raw.get("data") != self.anchor_document()["data"]

    def refuse_problems(self) -> None:
        """Raises all that forbids the whole, before anything is changed.

        Raises:
            Conflict: objects or fields belong to somebody else; perhaps the server refuses others.
            ApiError: the server refuses objects, and that is all.
        """
        if self.plan.problems:
            raise self.forbidden(
                "nothing was changed: ", "raystead plan, with the same options, shows everything"
            )

    def forbidden(self, beginning: str, remedy: str = "") -> ApiError:
        """The plan's problems as one error."""
        replaced = {change.key for change in self.plan.changes if change.action is Action.REPLACE}
        kind = ApiError if len(self.plan.problems) == len(self.refused - replaced) else Conflict
        return kind(beginning + "; ".join(self.plan.problems), remedy=remedy)

    def anchor_document(self) -> Json:
        """The anchor as it is to be."""
        named = [f"{item['kind']}/{item['metadata']['name']}" for item in self.foreign]
        kept = self.anchor.foreign if self.anchor else ()
        out = document(
            self.document,
            self.facts,
            self.anchor,
            list(dict.fromkeys([*kept, *named])),
            choices=self.choices,
        )
        before = self.anchor.raw["metadata"].get("ownerReferences") if self.anchor else None
        if owners := [*self.owners] or before:
            out["metadata"]["ownerReferences"] = owners
        return out

    @property
    def mutates(self) -> bool:
        return self.plan.mutates or self.anchor_changes


class Request(NamedTuple):
    """What is asked for, of an API server in the namespace that is meant; `anchor`: the cluster as it is."""

    api: Api
    asked: Desired
    anchor: Anchor | None


def wanted(
    api: Api, flags: Flags, text: str | None = None, filename: str = "", *, namespace: str | None = None
) -> Request:
    """What the user asks for, and the cluster as it is: a file replaces the spec, flags change parts.

    `namespace` is the one they chose in words; else a file's own namespace counts, as in kubectl.

    Raises:
        SpecError: with every problem of the file and the flags.
    """
    if text is None:
        anchor = existing(api, flags.name or NAME)
        return Request(api, Desired(built(flags, anchor), autoscale=bool(flags.autoscale)), anchor)
    api, asked = located(api, flags, text, filename, namespace=namespace)
    asked = replace(asked, autoscale=bool(flags.autoscale))
    return Request(api, asked, existing(api, asked.cluster.name))


def existing(api: Api, name: str) -> Anchor | None:
    """The cluster's anchor, if there is one."""
    try:
        return decoded(api.get(path_of(api.namespace, "ConfigMap", names.anchor(name))))
    except ObjectNotFound:
        return None


def prepare(
    api: Api,
    asked: Desired,
    anchor: Anchor | None,
    *,
    policies: str | None = None,
    force: bool = False,
    restart: Mapping[GroupId, str] | None = None,
    reveal: bool = False,
) -> Prepared:
    """Renders, reads what is there, asks the server what an apply would do, and compares.

    Args:
        policies: auto, always, never, or None for what the cluster has (auto at first).
        restart: groups whose pods are to be replaced, with the time that marks them.
        reveal: show values in the plan that may be secrets.

    Raises:
        ClusterExists: the name belongs to a Ray cluster that is not ours.
        ApiError: the namespace is missing or being deleted, or the server refuses an object.
    """
    known: dict[str, Any] = {}
    elsewhere: list[str] = []
    if asked.document.kind == "RayJob":
        from raystead.ops.selecting import attached

        job, known, elsewhere = attached(api, asked.document)
        asked = replace(asked, document=job)
    wish, password = storable(asked.document)
    cluster = wish.cluster
    found = live_objects(api, cluster.name)
    policies_here = found.pop("NetworkPolicy")
    live = [item for items in found.values() for item in items]
    live += [policy for policy in policies_here if ownership.labelled(policy, cluster.name)]
    facts, choices, notes = _settings(
        api, replace(asked, document=wish), anchor, policies_here, restart or {}
    )
    facts, choices = replace(facts, **known), replace(choices, policies=policies or choices.policies)
    needed = () if known else tuple(secrets.needed(cluster, facts, password))
    given = _given_secrets(api, cluster.name, needed, live)
    live = [item for item in live if not (item["kind"] == "Secret" and item["metadata"]["name"] in given)]
    if anchor is not None:
        makes = [secret for secret in needed if secret.name not in given]
        anew, told = _read_anew(makes, live, cluster, anchor.cluster)
        choices = replace(choices, restarted={**choices.restarted, **anew})
        notes += told
    objects = tuple(manifests(wish, facts, choices))
    previous = _previous(anchor, wish, facts, choices, objects) if anchor else None
    made = kinds.made_by([*objects, *(previous or ())])
    rare = [kind for kind in kinds.owned(made) if kind not in LISTED]
    live += [item for items in live_objects(api, cluster.name, rare).values() for item in items]
    live, owned, left = sorted_by_owner(
        live, cluster.name, anchor, (*objects, *asked.foreign, *_shapes(needed, cluster))
    )
    tried = dry_run(api, Discovery(api), objects, asked, live, force=force)
    there = [*live, *tried.strangers]
    counted = all(maker.counts for maker in makers_of(*live))
    ours = f"{labels.OURS}={cluster.name}"
    pods = [] if counted else api.list(collection(api.namespace, "Pod"), labels=ours)
    plan = make(
        [*(s.shape(cluster.name) for s in needed if s.name not in given), *objects, *asked.foreign],
        there,
        tried.answers,
        desired=cluster,
        applied=anchor.cluster if anchor else None,
        refusals=tried.refusals,
        rendered_by=anchor.written_by if anchor else "",
        previous=previous,
        pods=pods,
        reveal=reveal,
    )
    problems = [*plan.problems, *_unproved(plan, there, owned)]
    problems += asking.caught(api, cluster.name, objects)
    problems += companions.refusals(asked.placed, clusters_of(there, owned))
    problems += rayjobs.refusals(api, wish, anchor)
    added = tried.imposed(objects)
    problems += [f"{addition.what} ({addition.evidence})" for addition in added if addition.ends]
    notes += [f"{addition.what} ({addition.evidence})" for addition in added if not addition.ends]
    every = (*elsewhere, *notes, *left, *rendered_notes(cluster, facts), *plan.notes)
    plan = replace(plan, notes=every, problems=tuple(problems))
    plan = tried.marked(plan)
    uids = {key_of(item): str(item["metadata"]["uid"]) for item in there}
    prepared = Prepared(
        api,
        anchor,
        wish,
        facts,
        choices,
        objects,
        needed,
        asked.foreign,
        tuple(live),
        plan,
        force,
        uids=uids,
        policies=tuple(policies_here),
        refused=frozenset(tried.refusals),
        source=asked.source,
    )
    large = too_large(prepared.anchor_document())
    return replace(prepared, plan=replace(plan, problems=(*plan.problems, *large)))


def _settings(
    api: Api,
    asked: Desired,
    anchor: Anchor | None,
    policies_here: Sequence[Json],
    restart: Mapping[GroupId, str],
) -> tuple[Facts, Choices, list[str]]:
    """What the namespace demands, what was chosen before and now, and notes on what became different."""
    cluster = asked.cluster
    if anchor is None:
        asking.refuse_foreign(api, cluster.name)
        facts, notes = asking.first_facts(api, cluster, policies_here)
        choices = NO_CHOICES
    else:
        facts, notes = _facts_now(api, anchor, cluster, policies_here)
        restarted = stamps(anchor.choices.restarted, anchor.cluster, cluster, restart)
        goes_on = asked.document.kind == "RayJob" and anchor.suspended and not cluster.spec.suspend
        choices = Choices(anchor.choices.policies, restarted, anchor.choices.resumed + goes_on)
    facts = replace(facts, doors={**facts.doors, **foreign_doors(cluster, asked.foreign)})
    if autoscales(cluster):
        before = anchor.facts.steward if anchor is not None and autoscales(anchor.cluster) else ""
        facts = replace(facts, steward=asking.steward(api, cluster, before, anew=bool(asked.autoscale)))
        may = "client"
        if asked.autoscale is not None and (before, facts.steward) == ("client", "client"):
            may = asking.steward(api, cluster, before, anew=True)
        notes += asking.notes_on_steward(before, facts.steward, cluster.name, api.namespace, may)
    if parts := keepers.wanted(asked.document):
        facts = replace(facts, keepers=keepers.there(api, cluster.name, anchor, parts))
    return facts, choices, notes


def _previous(
    anchor: Anchor, wish: RayDocument, facts: Facts, choices: Choices, objects: Sequence[Json]
) -> Sequence[Json]:
    """What this raystead renders for the document that was applied last; mostly that is `objects` again."""
    kept = replace(anchor.with_facts(), keepers=facts.keepers)
    if autoscales(wish.cluster) and "client" not in (facts.steward, kept.steward):
        kept = replace(kept, steward=facts.steward)  # a Role that we may not see is not compared
    if (kept, anchor.choices) == (facts, choices) and anchor.document.document() == wish.document():
        return objects
    return manifests(anchor.document, kept, anchor.choices)


def too_large(anchor: Json) -> list[str]:
    """That the anchor would be refused for its size, if it would: before anything is changed."""
    size = sum(len(text.encode()) for text in anchor["data"].values())
    if size <= ANCHOR_BYTES:
        return []
    return [
        f"the spec is too large to be kept: ConfigMap/{anchor['metadata']['name']} would hold "
        f"{size / 2**20:.2f} MiB and the API server takes 1 MiB; move what is long in the file "
        "(scripts, env, annotations) to ConfigMaps of your own"
    ]


def _read_anew(
    needed: Sequence[secrets.NeededSecret], live: Sequence[Json], cluster: RayCluster, before: RayCluster
) -> tuple[dict[str, str], list[str]]:
    """Restarts of the groups that are there and have read a Secret that is made again; and why."""
    there = {maker.id for maker in makers_of(*live)}
    ours = [item for item in live if item["kind"] == "Secret"]
    needed = [secret for secret in needed if not secret.certificate or autoscales(before)]
    anew: dict[str, str] = {}
    notes = []
    for secret in needed:
        groups = [str(group) for group in secrets.readers(cluster, secret) if group in there]
        if groups and secrets.made_anew(secret, ours):
            anew |= dict.fromkeys(groups, stamp())
            named = " and ".join(groups)
            notes.append(
                f"Secret/{secret.name} gets a new value: {named} restart, for they have read the old one"
            )
    return anew, notes


def _shapes(needed: Sequence[secrets.NeededSecret], cluster: RayCluster) -> list[Json]:
    return [secret.shape(cluster.name) for secret in needed]


def _unproved(plan: Plan, live: Sequence[Json], owned: frozenset[str]) -> Iterator[str]:
    """Objects that would be deleted or replaced and are not proved to be this cluster's."""
    uids = {key_of(item): item["metadata"]["uid"] for item in live}
    for change in plan.of(Action.DELETE, Action.REPLACE):
        if uids.get(change.key) not in owned:
            yield (
                f"{change.kind}/{change.name} would be {change.action}d, and nothing proves that raystead "
                "made it (it has no owner reference to the cluster); delete it yourself if it may go"
            )


def _facts_now(
    api: Api, anchor: Anchor, cluster: RayCluster, policies_here: Sequence[Json]
) -> tuple[Facts, list[str]]:
    """The kept facts, but for an isolation that came or went, and what the namespace demands now."""
    kept, notes = anchor.with_facts(), []
    plain = PlainObjects(cluster, kept)
    restricting = plain.isolated_by(policies_here)
    facts = replace(kept, isolated=bool(restricting))
    if facts.isolated and not kept.isolated:
        notes.append(
            f"the namespace restricts egress now ({', '.join(restricting)}): egress policies are added"
        )
    elif kept.isolated and not facts.isolated:
        notes.append("the namespace no longer restricts egress: the egress policies go")
    facts = asking.namespaced(api, cluster, facts, plain)
    return facts, [*notes, *asking.notes_on_changes(kept, facts)]


def _given_secrets(
    api: Api, cluster: str, needed: Sequence[secrets.NeededSecret], live: Sequence[Json]
) -> set[str]:
    """Secrets of a name we need that somebody else made (`render` prints how): used as they are.

    Raises:
        Conflict: such a Secret lacks the key, is another cluster's, or has another password than the file.
    """
    made = [item for item in live if item["kind"] == "Secret" and ownership.anchor_uids([item], cluster)]
    ours = {item["metadata"]["name"] for item in made}
    given = set()
    for secret in needed:
        if secret.name in ours:
            continue
        try:
            there = api.get(path_of(api.namespace, "Secret", secret.name))
        except ObjectNotFound:
            continue
        owner = (there["metadata"].get("labels") or {}).get(labels.OURS)
        if owner and owner != cluster:
            raise secrets.taken(secret, owner, cluster)
        if not set(secret.keys) <= set(there.get("data") or {}):
            raise secrets.lacking(secret)
        if secrets.made_anew(secret, [there]):
            raise secrets.differs(secret)
        given.add(secret.name)
    return given
