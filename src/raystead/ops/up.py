"""`up` writes what was planned: the anchor first, then everything else at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from raystead.base import labels, names
from raystead.base.groups import HEAD
from raystead.base.kinds import pod_template
from raystead.base.ownership import owners_of
from raystead.errors import Busy, Conflict, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import Discovery, collection, path_of
from raystead.live.makers import makers_of
from raystead.manifests.autoscaling import autoscales
from raystead.manifests.facts import Facts
from raystead.manifests.keepers import PARTS
from raystead.manifests.render import manifests
from raystead.ops import keepers, secrets
from raystead.ops.anchor import Anchor, decoded
from raystead.ops.events import Applied, Event
from raystead.ops.keepers import claims_go_along
from raystead.ops.planning import Prepared, existing, prepare
from raystead.ops.room import wait_for_room
from raystead.ops.specs import Desired
from raystead.ops.writes import apply_over, busy, delete, delete_and_wait
from raystead.plan.make import key_of
from raystead.plan.model import Action, Change, Key, makes_pods

__all__ = ["apply", "still_ours"]

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class _Step:
    change: Change
    item: Json


def apply(prepared: Prepared, emit: Emit) -> Anchor:
    """Makes the cluster what was planned; returns the new anchor. Killed midway, it may be run again.

    Raises:
        Busy: another raystead changed the cluster in the meantime.
        Conflict, ApiError: the server refuses something that its dry-run did not.
    """
    api, plan = prepared.api, prepared.plan
    anchor = _write_anchor(prepared) if prepared.mutates else prepared.anchor
    assert anchor is not None
    facts = anchor.with_facts()
    changes = {change.key: change for change in plan.mutating}
    live_secrets = [item for item in prepared.live if item["kind"] == "Secret"]
    for secret in prepared.secrets:
        secrets.make(api, secret, prepared.cluster.name, anchor.uid, live_secrets)
        if change := changes.get(("Secret", secret.name)):
            emit(Applied(change.kind, change.name, change.action))
    paths = Discovery(api)
    keeping = _Keeping(prepared, anchor, paths)
    keeping.let_go()
    facts = replace(facts, keepers=keeping.make(facts))
    for change in (changes[key] for key in keeping.made if key in changes):
        emit(Applied(change.kind, change.name, change.action))
    # what was planned holds, unless the anchor's uid, which all owner references name, was not known then
    same = facts == prepared.facts
    rendered = prepared.objects if same else manifests(prepared.document, facts, prepared.choices)
    if facts.keepers != prepared.facts.keepers:  # the plan knew other owners: all are written
        parallel(
            lambda item: apply_over(prepared, paths, item),
            [item for item in rendered if key_of(item) not in changes and item["kind"] != "Job"],
        )
    objects = (*rendered, *prepared.foreign)
    steps = [_Step(changes[key_of(item)], item) for item in objects if key_of(item) in changes]
    steps = [step for step in steps if step.change.key not in keeping.made]

    def one(step: _Step) -> None:
        path = paths.path(step.item, api.namespace)
        if step.change.action is Action.CHANGE:
            apply_over(prepared, paths, step.item)
        else:
            if step.change.action is Action.REPLACE:
                delete_and_wait(api, path, prepared.uids[step.change.key], anchor.name)
            api.apply(path, step.item, force=prepared.force)
        emit(Applied(step.change.kind, step.change.name, step.change.action))

    first, workers = _in_turn(steps)
    parallel(one, [step for step in first if step.item["kind"] != "RoleBinding"])
    parallel(one, [step for step in first if step.item["kind"] == "RoleBinding"])  # its Role has to be there
    if workers:
        wait_for_room(api, [step.item for step in first if _at_once(step)], emit)
        parallel(one, workers)
    for change in plan.of(Action.DELETE):
        with contextlib.suppress(Conflict):  # another one has that name by now: it is not ours to delete
            delete(api, path_of(api.namespace, change.kind, change.name), prepared.uids[change.key])
        emit(Applied(change.kind, change.name, change.action))
    if uid := facts.keepers.get("cluster"):
        keeping.hang_pods(names.reference("Job", names.keeper(anchor.name, "cluster"), uid), {anchor.uid})
    if "self" in facts.keepers:
        claims_go_along(api, anchor, [item for item in rendered if item["kind"] == "StatefulSet"])
    if prepared.anchor is not None and autoscales(prepared.anchor.cluster):
        _end_bare_pods(prepared, anchor, emit)
    if plan.mutates:
        try:
            still_ours(api, anchor)
        except Busy:
            _give_way(api, anchor.name, emit)
            raise
    return anchor


def _end_bare_pods(prepared: Prepared, anchor: Anchor, emit: Emit) -> None:
    """Deletes the pods of a steward that is gone: the cluster is suspended, or no longer autoscaled."""
    cluster = prepared.cluster
    if autoscales(cluster) and not cluster.spec.suspend:
        return
    api = prepared.api
    selector = f"{labels.OURS}={cluster.name},{labels.NODE_TYPE}=worker"
    found = api.list(collection(api.namespace, "Pod"), labels=selector)
    owners = {anchor.uid, *prepared.facts.keepers.values()}
    for pod in found:
        metadata = pod["metadata"]
        if owners_of(pod) & owners and not metadata.get("deletionTimestamp"):
            delete(api, path_of(api.namespace, "Pod", metadata["name"]), metadata["uid"])
            emit(Applied("Pod", metadata["name"], Action.DELETE))


class _Keeping:
    """The keepers of what is applied: those that are no longer wanted let go first, the others are made.

    Attributes:
        made: the keys of the Jobs that are applied here.
    """

    def __init__(self, prepared: Prepared, anchor: Anchor, paths: Discovery) -> None:
        self._prepared, self._anchor, self._paths = prepared, anchor, paths
        self._api = prepared.api
        self.made: set[Key] = set()
        jobs = {("Job", names.keeper(anchor.name, part)): part for part in PARTS}
        changes = prepared.plan.of(Action.DELETE, Action.REPLACE)
        self._leaving = {jobs[c.key]: prepared.uids[c.key] for c in changes if c.key in jobs}

    def let_go(self) -> None:
        """Gives what a keeper owns to the anchor, before that keeper's Job is deleted and takes it along."""
        if not self._leaving:
            return
        leaving = set(self._leaving.values())
        if owners_of(self._anchor.raw) & leaving:
            references = self._anchor.raw["metadata"]["ownerReferences"]
            self._own([one for one in references if one["uid"] not in leaving])
        theirs = {key_of(item) for item in self._prepared.live if owners_of(item) & leaving}
        objects = manifests(self._prepared.document, self._anchor.with_facts(), self._prepared.choices)
        theirs_now = [item for item in objects if key_of(item) in theirs and item["kind"] != "Job"]
        parallel(lambda item: apply_over(self._prepared, self._paths, item), theirs_now)
        self.hang_pods(
            names.reference("ConfigMap", names.anchor(self._anchor.name), self._anchor.uid), leaving
        )

    def hang_pods(self, owner: Json, before: set[str]) -> None:
        """Gives the single pods of a steward, which hang on one of `before`, to another owner."""
        api, name = self._api, self._prepared.cluster.name
        if self._prepared.anchor is None or not autoscales(self._prepared.anchor.cluster):
            return
        selector = f"{labels.OURS}={name},{labels.NODE_TYPE}=worker"
        for pod in api.list(collection(api.namespace, "Pod"), labels=selector):
            if owners_of(pod) & before and owner["uid"] not in owners_of(pod):
                path, uid = path_of(api.namespace, "Pod", pod["metadata"]["name"]), pod["metadata"]["uid"]
                with contextlib.suppress(ObjectNotFound, Conflict):  # it has ended meanwhile
                    api.patch(path, {"metadata": {"ownerReferences": [owner]}}, uid=uid)

    def make(self, facts: Facts) -> dict[str, str]:
        """Makes them, the outermost first, for each has to be there before what it owns.

        Returns:
            Their uids by the part that each ends. The one that ends everything owns the anchor.
        """
        document = self._prepared.document
        uids = {part: uid for part, uid in self._prepared.facts.keepers.items() if part not in self._leaving}
        for part in keepers.wanted(document):
            key = ("Job", names.keeper(document.name, part))
            objects = manifests(document, replace(facts, keepers=uids), self._prepared.choices)
            job = next((item for item in objects if key_of(item) == key), None)
            if job is None:
                continue
            if part in self._leaving:  # the plan's uid is that of the one before
                path = path_of(self._api.namespace, *key)
                delete_and_wait(self._api, path, self._leaving[part], self._anchor.name)
                made = self._api.apply(path, job, force=self._prepared.force)
            else:
                made = apply_over(self._prepared, self._paths, job)
            uids[part] = str(made["metadata"]["uid"])
            self.made.add(key)
            if part == "self" and uids[part] not in owners_of(self._anchor.raw):
                self._own([names.reference(*key, uids[part])])
        return uids

    def _own(self, references: Sequence[Json]) -> None:
        path = path_of(self._api.namespace, "ConfigMap", names.anchor(self._anchor.name))
        self._api.patch(path, {"metadata": {"ownerReferences": [*references]}}, uid=self._anchor.uid)


def _in_turn(steps: Sequence[_Step]) -> tuple[list[_Step], list[_Step]]:
    """What the head and Redis need goes before the workers: who comes first gets a quota's room.

    Of CronJobs the head's comes last: a tick in between may have workers without a head, which end, but no
    head without workers.
    """
    later = [s for s in steps if _at_once(s) and any(m.id.is_worker for m in makers_of(s.item))]
    later += [
        s for s in steps if s.item["kind"] == "CronJob" and any(m.id == HEAD for m in makers_of(s.item))
    ]
    return [step for step in steps if step not in later], later


def _at_once(step: _Step) -> bool:
    """A controller makes its pods as soon as it is applied; the steward and CronJobs do not."""
    template = pod_template(step.item) is not None and step.item["kind"] != "CronJob"
    return makes_pods(step.change) and template


def _give_way(api: Api, name: str, emit: Emit) -> None:
    """Brings the objects to the spec that came after ours: what we wrote last may be older than it."""
    now = existing(api, name)
    if now is not None:
        apply(prepare(api, Desired(now.document), now), emit)


def _write_anchor(prepared: Prepared) -> Anchor:
    """Creates or replaces the anchor, before every change of an object, a repair included.

    The version that was read is the lock: the second writer is refused before anything older goes over it.
    """
    api = prepared.api
    body = prepared.anchor_document()
    name = body["metadata"]["name"]
    try:
        if prepared.anchor is None:
            return decoded(api.create(collection(api.namespace, "ConfigMap"), body, again=True))
        return decoded(api.replace(path_of(api.namespace, "ConfigMap", name), body))
    except (Conflict, ObjectNotFound):
        now = existing(api, prepared.cluster.name)
        # the other one wants the same, for the same owner; or it is our own write whose answer was lost
        if now is not None and now.hash == body["data"]["hash"] and owners_of(body) <= owners_of(now.raw):
            return now
        raise busy(prepared.cluster.name, "it changed the anchor between our plan and our apply") from None


def still_ours(api: Api, anchor: Anchor) -> None:
    """Refuses to go on where the anchor is no longer the one that we wrote.

    Raises:
        Busy: another raystead has changed or deleted the cluster.
    """
    now = existing(api, anchor.name)
    if now is None or now.uid != anchor.uid:
        raise busy(anchor.name, "the cluster was deleted in the meantime")
    if now.hash != anchor.hash:
        raise busy(anchor.name, "another spec than ours has been applied in the meantime")
