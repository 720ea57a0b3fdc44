"""`down`: what is proved to be the cluster's and nothing else; controllers first, the anchor last.

In that order it may be interrupted anywhere and run again. What has the cluster's label without being proved
its own (base.ownership) is left, and named.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from raystead.base import kinds, labels, names
from raystead.base.kinds import CLAIM
from raystead.base.ownership import anchor_uids, labelled, owned, owners_of
from raystead.errors import ClusterNotFound, Conflict, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection, path_of
from raystead.kube.watch import Mirror
from raystead.live.pods import slim
from raystead.manifests.context import Context
from raystead.manifests.render import manifests
from raystead.ops import rayjobs, rediskeys
from raystead.ops.anchor import Anchor
from raystead.ops.events import Applied, Event, Note
from raystead.ops.living import live_objects
from raystead.ops.planning import existing
from raystead.ops.ray import head_of
from raystead.plan.model import Action
from raystead.spec.builtin import NAME
from raystead.spec.idle import idle_end_of

__all__ = ["TIMEOUT", "Downed", "down", "found"]

GRACE = 3  # seconds for a pod to end; Redis flushes in less, a drain is pointless when all goes
TIMEOUT = 60.0  # seconds to wait for what was deleted
_TICK = 0.25
_CONTROLLERS = kinds.names(row for row in kinds.ROWS if row.template and not row.rare)
_KINDS = (*_CONTROLLERS, *(k for k in kinds.owned() if k not in (*_CONTROLLERS, CLAIM)))
_HAS_LABEL = "has the cluster's label, but nothing proves that raystead made it"
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Downed:
    """What `down` did.

    Attributes:
        removed: objects deleted by us.
        remains: what should be gone and is not, each with its reason.
        kept: what was kept on purpose (`keep_data`), or is not ours (foreign documents of the file, objects
            that only carry our label).
        made: of the removed, those that the plan of an `up` counts: neither the anchor nor what controllers
            make. Where only claims were left, these.
    """

    name: str
    seconds: float
    removed: int
    remains: tuple[str, ...]
    kept: tuple[str, ...]
    made: int = 0


class _Proofs:
    """What is proved to be the cluster's. What was proved once stays so, when its owner has gone too."""

    def __init__(self, name: str, roots: Iterable[str], makers: Iterable[Json] = ()) -> None:
        self.name = name
        self._known, self._makers = set(roots), tuple(makers)

    def ours(self, items: Iterable[Json]) -> list[Json]:
        """Those of the items that are proved."""
        items = list(items)
        found = owned(items, self.name, self._known, self._makers)
        self._known |= found
        return [item for item in items if item["metadata"]["uid"] in found]


@dataclass(frozen=True)
class Found:
    """What of a cluster is there: its anchor may be gone while the rest is not yet.

    Attributes:
        objects, pods: those that are proved to be the cluster's.
        keys: those in a Redis that the cluster does not own, as its head says.
        strangers: what carries its label and is not proved its own, the pods of such objects left out.
        extra: kinds that only such a document has.
    """

    name: str
    anchor: Anchor | None
    objects: tuple[Json, ...]
    pods: tuple[Json, ...]
    strangers: tuple[Json, ...]
    proofs: _Proofs
    keys: rediskeys.Keys | None = None
    extra: tuple[str, ...] = ()

    @property
    def controllers(self) -> tuple[str, ...]:
        """The kinds that make pods."""
        return (*self.extra, *_CONTROLLERS)


def found(api: Api, name: str, *, uid: str | None = None) -> Found:
    """What belongs to the cluster.

    Args:
        uid: of the anchor, where only that very cluster is meant; else the present one, and what is left of
            earlier ones whose anchors are gone.

    Raises:
        ClusterNotFound: there is nothing.
    """
    objects = _labelled(api, name, (*_KINDS, CLAIM))
    pods = api.list(collection(api.namespace, "Pod"), labels=f"{labels.OURS}={name}", keep=_pod)
    anchor = existing(api, name)  # after the lists: an anchor that they name and that is not there is gone
    if uid is not None and anchor is not None and anchor.uid != uid:
        anchor = None
    roots = {uid} if uid is not None else anchor_uids([*objects, *pods], name)
    proofs = _Proofs(name, roots | ({anchor.uid} if anchor else set()), _makers(anchor))
    extra = _extra(anchor)
    objects = [*_labelled(api, name, extra), *objects]  # its keepers own the rest
    everything = proofs.ours([*objects, *pods])
    ours = {item["metadata"]["uid"] for item in everything}
    strangers = [item for item in (*objects, *pods) if item["metadata"]["uid"] not in ours]
    theirs = {item["metadata"]["uid"] for item in strangers}
    strangers = [i for i in strangers if not owners_of(i) & theirs and not _is_anchor(i, name)]
    if anchor is None:  # what has another owner ends with that, which may be gone already
        strangers = [item for item in strangers if not owners_of(item)]
    if anchor is None and not everything:
        evidence = f"nothing there has the label {labels.OURS}={name}"
        if strangers:
            evidence = f"{_listed(strangers)} {_HAS_LABEL}, so raystead leaves it alone"
        raise ClusterNotFound(
            f'there is no cluster "{name}" in namespace {api.namespace}',
            evidence=evidence,
            remedy="raystead list, or another namespace with -n",
        )
    return Found(
        name,
        anchor,
        tuple(item for item in everything if item["kind"] != "Pod"),
        tuple(item for item in everything if item["kind"] == "Pod"),
        tuple(strangers),
        proofs,
        rediskeys.keys_in(everything, name),
        extra,
    )


def _is_job(anchor: Anchor) -> bool:
    return anchor.kept.get("kind") == "RayJob"


def _extra(anchor: Anchor | None) -> tuple[str, ...]:
    """The rare kinds that keep pods which such a document has."""
    if anchor is None:
        return ()
    if anchor.is_cron:
        return "CronJob", "Job"
    return ("Job",) if _is_job(anchor) or idle_end_of(anchor.spec) else ()


def _makers(anchor: Anchor | None) -> list[Json]:
    """The controllers that the cluster has by its spec."""
    if anchor is None:
        return []
    context = Context(anchor.cluster, anchor.with_facts())
    controllers = (*_CONTROLLERS, "CronJob")
    rendered = [item for item in manifests(anchor.document, context.facts) if item["kind"] in controllers]
    if any(item["kind"] == "StatefulSet" for item in rendered):
        return rendered
    # the claim of a Redis that the spec no longer has, with the state that is on it
    space = {names.STORAGE_NAMESPACE_ANNOTATION: context.facts.storage_namespace}
    claims = [{"metadata": {"name": "data", "annotations": space}}]
    redis = {"metadata": {"name": context.names.redis}, "spec": {"volumeClaimTemplates": claims}}
    return [*rendered, {"kind": "StatefulSet", **redis}]


def down(api: Api, what: Found, *, keep_data: bool, emit: Emit, timeout: float = TIMEOUT) -> Downed:
    """Deletes it; `keep_data` leaves the claims and the storage namespace for the next `up`.

    What controllers made since `what` was found (a claim, a ReplicaSet, pods) is deleted too.
    """
    begun = time.monotonic()
    deadline = begun + timeout
    delete = _Deleting(api, emit)
    kept = [
        f"{one} (came with the file: raystead down -f FILE removes it)"
        for one in (what.anchor.foreign if what.anchor else ())
    ]
    kept += [f"{_listed([one])} ({_HAS_LABEL})" for one in what.strangers]
    if (
        what.anchor
        and _is_job(what.anchor)
        and (head_of(what.pods) or what.anchor.facts.selected)
        and (told := rayjobs.stop(api, what.anchor))
    ):
        emit(Note(told))
    ended = _end_pods(delete, what, deadline)
    if what.keys and not what.anchor and (what.keys.claims or not what.keys.beside_the_head):
        kept.append(f"{what.keys} (the anchor, which says how to reach it, is gone): {what.keys.command}")
    if what.anchor and not keep_data:
        keys, stays = rediskeys.remove(api, what.anchor, ended, emit)
        kept += [stays] if stays else []
        if keys:  # what the next attempt needs (Secrets, policies, the anchor) has to stay
            remains = () if ended else _reasons(what.proofs.ours(_labelled(api, what.name, ("Pod",))))
            return delete.downed(what.name, time.monotonic() - begun, (*remains, keys), kept)
    if keep_data:
        kept += _keep(api, what)
    swept = (*what.extra, *_KINDS, "Pod", *(() if keep_data else (CLAIM,)))
    remains = _sweep(delete, what, swept, deadline)
    return delete.downed(what.name, time.monotonic() - begun, remains, kept)


class _Deleting:
    """Deletes objects, each once.

    Attributes:
        uids: what it was told to delete.
    """

    def __init__(self, api: Api, emit: Emit) -> None:
        self.api, self.uids = api, set[str]()
        self._emit, self._made, self._claims = emit, 0, 0

    def downed(self, name: str, seconds: float, remains: Sequence[str], kept: Sequence[str]) -> Downed:
        made = self._made or self._claims
        return Downed(name, seconds, len(self.uids), tuple(remains), tuple(kept), made)

    def __call__(self, items: Iterable[Json], *, propagation: str = "Background") -> bool:
        """Deletes those of the items that it has not deleted yet; whether there were any."""
        new = [item for item in items if item["metadata"]["uid"] not in self.uids]
        self.uids.update(item["metadata"]["uid"] for item in new)
        self._made += sum(_made_by_up(item) for item in new)
        self._claims += sum(item["kind"] == CLAIM for item in new)
        parallel(lambda item: self._delete(item, propagation), new)
        return bool(new)

    def _delete(self, item: Json, propagation: str) -> None:
        kind, name, uid = item["kind"], item["metadata"]["name"], item["metadata"]["uid"]
        path = path_of(self.api.namespace, kind, name)
        with contextlib.suppress(ObjectNotFound, Conflict):  # gone, or another one of that name is there
            if kind == "Pod":
                self.api.delete(path, grace=GRACE, uid=uid)
            else:
                self.api.delete(path, uid=uid, propagation=propagation)
                self._emit(Applied(kind, name, Action.DELETE))


def _made_by_up(item: Json) -> bool:
    """A plan counts it: controllers make pods, ReplicaSets and Redis' claim, which has no owner."""
    found, kind = item["metadata"].get("labels") or {}, item["kind"]
    if kind in ("Pod", "ReplicaSet") or found.get(labels.ROLE) == "anchor":
        return False
    return kind != CLAIM or bool(item["metadata"].get("ownerReferences"))


def _end_pods(delete: _Deleting, what: Found, deadline: float) -> bool:
    """Controllers, then pods with a short grace; again while there is one that makes new ones.

    The controllers leave their pods to us: a garbage collector that is faster gives them their own 75 s, and
    the kubelet does not shorten a stop that is under way. A steward, wherever it runs, makes no pod without
    its ConfigMap.
    """
    api, changed = delete.api, threading.Event()
    delete([i for i in what.objects if (i["metadata"].get("labels") or {}).get(labels.ROLE) == "steward"])
    for kind in what.controllers:
        delete([i for i in what.objects if i["kind"] == kind], propagation="Orphan")
    delete(what.pods)
    path, selector = collection(api.namespace, "Pod"), f"{labels.OURS}={what.name}"
    with Mirror(api, path, labels=selector, changed=changed.set, keep=_pod) as pods:
        while time.monotonic() < deadline:
            changed.clear()
            mine = what.proofs.ours(pods.items)
            if pods.listed.is_set() and (delete(mine) or not mine):
                here = what.proofs.ours(_labelled(api, what.name, what.controllers))
                if not delete(here, propagation="Orphan") and not what.proofs.ours(pods.items):
                    return True
            changed.wait(_TICK)
    return False


def _sweep(delete: _Deleting, what: Found, swept: Sequence[str], deadline: float) -> tuple[str, ...]:
    """All that is left, the anchor last or when the time is over; why there is still something then."""
    known, over = what.anchor.uid if what.anchor else None, False
    while True:
        listed = _labelled(delete.api, what.name, swept)
        anchors = [i for i in listed if _is_anchor(i, what.name)]
        here = what.proofs.ours(listed)
        if not here or any(i["metadata"]["uid"] != known for i in anchors):
            return ()  # another raystead up started over: what is there now is its own
        if over:
            return _reasons(here)
        over = time.monotonic() > deadline
        rest = [i for i in here if i not in anchors]
        if not delete(rest if rest and not over else here):
            time.sleep(_TICK)


def _labelled(api: Api, name: str, kinds: Sequence[str]) -> list[Json]:
    """What has the cluster's label now, whoever made it."""
    here = live_objects(api, name, kinds)
    return [item for items in here.values() for item in items if labelled(item, name)]


def _pod(item: Json) -> Json:
    """A pod as we keep it: small, and with its kind, which lists leave out."""
    return {**slim(item), "kind": "Pod"}


def _keep(api: Api, what: Found) -> list[str]:
    """Takes the claims from the anchor, which would take them along; says what stays."""
    kept = []
    for claim in what.proofs.ours(_labelled(api, what.name, (CLAIM,))):
        name, uid = claim["metadata"]["name"], claim["metadata"]["uid"]
        body = {"ownerReferences": None, "annotations": {names.KEPT_ANNOTATION: uid}}
        api.patch(path_of(api.namespace, CLAIM, name), {"metadata": body}, uid=uid)
        up = "raystead up" if what.name == NAME else f"raystead up --name {what.name}"
        kept.append(f"PersistentVolumeClaim/{name} ({up} finds the state again)")
    if what.anchor:
        keys = rediskeys.keys_in(manifests(what.anchor.cluster, what.anchor.with_facts()), what.name)
        if keys:
            kept.append(f'{keys} (externalStorageNamespace: "{keys.space}" finds them again)')
    return kept


def _reasons(items: Sequence[Json]) -> tuple[str, ...]:
    return tuple(f"{item['kind']}/{item['metadata']['name']}: {_why_it_stays(item)}" for item in items)


def _why_it_stays(item: Json) -> str:
    metadata = item["metadata"]
    if not metadata.get("deletionTimestamp"):
        return "was created again while everything was being deleted"
    if finalizers := metadata.get("finalizers"):
        return f"waits for {', '.join(finalizers)}"
    return "is being deleted, its node has not confirmed it"


def _is_anchor(item: Json, name: str) -> bool:
    return (item["kind"], item["metadata"]["name"]) == ("ConfigMap", names.anchor(name))


def _listed(items: Sequence[Json]) -> str:
    return ", ".join(f"{item['kind']}/{item['metadata']['name']}" for item in items)
