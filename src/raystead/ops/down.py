"""`down`: everything the cluster owns and nothing else; controllers first, the anchor last.

In that order it may be interrupted anywhere and run again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raystead.base import labels, names
from raystead.errors import ClusterNotFound, Conflict, ObjectNotFound, RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.kube.watch import Mirror
from raystead.manifests.cleanup import cleanup_pod
from raystead.manifests.storage import storage_kind
from raystead.ops.anchor import Anchor
from raystead.ops.events import Applied, Event, Note
from raystead.ops.planning import existing, live_objects, parallel
from raystead.plan.model import Action
from raystead.plan.pods import slim

__all__ = ["TIMEOUT", "Downed", "down", "found"]

GRACE = 3  # seconds for a pod to end; Redis flushes in less, a drain is pointless when all goes
TIMEOUT = 60.0  # seconds to wait for what was deleted
_CLEANUP_PATIENCE = 90.0  # seconds for the pod that removes keys; its image is on a node already
_TICK = 0.25
_CONTROLLERS = ("Deployment", "StatefulSet", "ReplicaSet")
_REST = ("Service", "NetworkPolicy", "Secret", "ConfigMap")
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Downed:
    """What `down` did.

    Attributes:
        removed: objects deleted by us.
        remains: what should be gone and is not, each with its reason.
        kept: what was kept on purpose (`keep_data`), or is not ours (foreign documents of the file).
    """

    name: str
    seconds: float
    removed: int
    remains: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What of a cluster is there: its anchor may be gone while the rest is not yet."""

    name: str
    anchor: Anchor | None
    objects: tuple[Json, ...]
    pods: tuple[Json, ...]


def found(api: Api, name: str) -> Found:
    """Everything with the cluster's label.

    Raises:
        ClusterNotFound: there is nothing.
    """
    anchor = existing(api, name)
    here = live_objects(api, name, (*_CONTROLLERS, *_REST, "PersistentVolumeClaim"))
    here["NetworkPolicy"] = [p for p in here["NetworkPolicy"] if _label(p) == name]
    pods = tuple(api.list(collection(api.namespace, "Pod"), labels=f"{labels.OURS}={name}", keep=slim))
    objects = tuple(item for items in here.values() for item in items)
    if anchor is None and not objects and not pods:
        raise ClusterNotFound(
            f'there is no cluster "{name}" in namespace {api.namespace}',
            evidence=f"nothing there has the label {labels.OURS}={name}",
            remedy="raystead list, or another namespace with -n",
        )
    return Found(name, anchor, objects, pods)


def down(api: Api, what: Found, *, keep_data: bool, emit: Emit, timeout: float = TIMEOUT) -> Downed:
    """Deletes it; `keep_data` leaves the claims and the storage namespace for the next `up`."""
    begun = time.monotonic()
    deadline = begun + timeout
    remains: list[str] = []
    kept = [
        f"{one} (came with the file, is not the cluster's)"
        for one in (what.anchor.foreign if what.anchor else ())
    ]
    if not _end_pods(api, what, emit, deadline):
        remains += _lasting_pods(api, what.name)
    if what.anchor and not keep_data and (keys := _clean_redis(api, what.anchor, remains, emit)):
        # What the next attempt needs (Secrets, policies, the anchor) has to stay.
        return Downed(what.name, time.monotonic() - begun, len(what.pods), (*remains, keys), tuple(kept))
    claims = [item for item in what.objects if item["kind"] == "PersistentVolumeClaim"]
    rest = [
        i for i in what.objects if i["kind"] in _REST and i["metadata"]["name"] != names.anchor(what.name)
    ]
    if keep_data:
        kept += _keep(api, what, claims)
    parallel(lambda item: _delete(api, item, emit), [*rest, *([] if keep_data else claims)])
    if what.anchor:
        _delete(api, {**what.anchor.raw, "kind": "ConfigMap"}, emit)
    remains += _lasting(api, what, keep_data, deadline)
    removed = len(what.objects) + len(what.pods) - (len(claims) if keep_data else 0)
    return Downed(what.name, time.monotonic() - begun, removed, tuple(remains), tuple(kept))


def _end_pods(api: Api, what: Found, emit: Emit, deadline: float) -> bool:
    """Controllers, then pods with a short grace; again while an ending controller made new ones.

    The controllers leave their pods to us: a garbage collector that is faster gives them their own 75 s, and
    the kubelet does not shorten a stop that is under way.
    """
    for kind in _CONTROLLERS:
        items = [i for i in what.objects if i["kind"] == kind]
        parallel(lambda item: _delete(api, item, emit, propagation="Orphan"), items)
    asked: set[str] = set()

    def end(pod: Json) -> None:
        with contextlib.suppress(ObjectNotFound, Conflict):  # gone, or another one of that name is there
            path = path_of(api.namespace, "Pod", pod["metadata"]["name"])
            api.delete(path, grace=GRACE, uid=pod["metadata"]["uid"])

    changed = threading.Event()
    selector = f"{labels.OURS}={what.name}"
    parallel(end, what.pods)
    asked.update(pod["metadata"]["uid"] for pod in what.pods)
    path = collection(api.namespace, "Pod")
    with Mirror(api, path, labels=selector, changed=changed.set, keep=slim) as pods:
        while time.monotonic() < deadline:
            changed.clear()
            if pods.listed.is_set() and not pods.objects:
                return True
            new = [pod for pod in pods.items if pod["metadata"]["uid"] not in asked]
            parallel(end, new)
            asked.update(pod["metadata"]["uid"] for pod in new)
            changed.wait(_TICK)
    return False


def _clean_redis(api: Api, anchor: Anchor, lasting: Sequence[str], emit: Emit) -> str:
    """Removes the cluster's keys from a Redis of others; says why they are there still."""
    pod = cleanup_pod(anchor.cluster, anchor.with_facts())
    if pod is None:
        return ""
    left = f"Redis keys that begin with RAY{anchor.with_facts().storage_namespace}@"
    if lasting:
        return f"{left}: pods still use them"
    path = path_of(api.namespace, "Pod", pod["metadata"]["name"])
    emit(Note("removing the cluster's keys from Redis"))
    try:
        with contextlib.suppress(ObjectNotFound):  # of an attempt that was killed
            api.delete(path, grace=0)
        api.create(collection(api.namespace, "Pod"), pod)
        phase, why = _ended(api, path)
    except RaysteadError as error:
        phase, why = "", f"{error.what}: {error.evidence}"
    with contextlib.suppress(RaysteadError):
        api.delete(path, grace=0)
    if phase == "Succeeded":
        return ""
    return f"{left}: {why}; raystead down tries again, raystead down --keep-data leaves them"


def _ended(api: Api, path: str) -> tuple[str, str]:
    """The cleanup pod's last phase, and why when it did not succeed."""
    phase, deadline = "", time.monotonic() + _CLEANUP_PATIENCE
    while phase not in ("Succeeded", "Failed") and time.monotonic() < deadline:
        time.sleep(_TICK)
        phase = (api.get(path).get("status") or {}).get("phase", "")
    if phase == "Succeeded":
        return phase, ""
    try:
        log = api.text(f"{path}/log", tailLines=3).strip()
    except RaysteadError:
        log = ""
    if log:
        return phase, log.splitlines()[-1][:300]
    return phase, f"the pod for it is {phase or 'not started'} after {_CLEANUP_PATIENCE:.0f} s"


def _keep(api: Api, what: Found, claims: list[Json]) -> list[str]:
    """Takes the claims from the anchor, which would take them along; says what stays."""
    kept = []
    for claim in claims:
        name = claim["metadata"]["name"]
        if claim["metadata"].get("ownerReferences"):
            api.patch(
                path_of(api.namespace, "PersistentVolumeClaim", name), {"metadata": {"ownerReferences": None}}
            )
        kept.append(f"PersistentVolumeClaim/{name} (the next raystead up finds the state again)")
    if what.anchor and storage_kind(what.anchor.cluster) == "external":
        space = what.anchor.with_facts().storage_namespace
        kept.append(f'the keys RAY{space}@… in Redis (externalStorageNamespace: "{space}" finds them again)')
    return kept


def _lasting_pods(api: Api, name: str) -> list[str]:
    pods = api.list(collection(api.namespace, "Pod"), labels=f"{labels.OURS}={name}")
    return [f"Pod/{pod['metadata']['name']}: {_why_it_stays(pod)}" for pod in pods]


def _lasting(api: Api, what: Found, keep_data: bool, deadline: float) -> list[str]:
    """Objects of ours that are still there when the time is over."""
    kinds = (*_REST, *(() if keep_data else ("PersistentVolumeClaim",)))
    while True:
        here = live_objects(api, what.name, kinds)
        left = [i for items in here.values() for i in items if _label(i) == what.name]
        if not left or time.monotonic() > deadline:
            return [f"{i['kind']}/{i['metadata']['name']}: {_why_it_stays(i)}" for i in left]
        time.sleep(_TICK)


def _why_it_stays(item: Json) -> str:
    metadata = item["metadata"]
    if finalizers := metadata.get("finalizers"):
        return f"waits for {', '.join(finalizers)}"
    if metadata.get("deletionTimestamp"):
        return "is being deleted, its node has not confirmed it"
    return "was not deleted"


def _delete(api: Api, item: Json, emit: Emit, *, propagation: str = "Background") -> None:
    metadata = item["metadata"]
    path = path_of(api.namespace, item["kind"], metadata["name"])
    with contextlib.suppress(ObjectNotFound):
        api.delete(path, uid=metadata["uid"], propagation=propagation)
        emit(Applied(item["kind"], metadata["name"], Action.DELETE))


def _label(item: Json) -> str | None:
    value: str | None = (item["metadata"].get("labels") or {}).get(labels.OURS)
    return value
