"""Keepers in a namespace: which are there, what they say, holding one back, and letting go what it owns."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raystead.base import labels, names
from raystead.base.ownership import owned, owners_of
from raystead.errors import (
    ApiError,
    ClusterNotFound,
    CommandNotStarted,
    ObjectNotFound,
    RaysteadError,
    StreamLost,
)
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.idle import IdleState, idle_state
from raystead.spec.idle import IdleEnd, idle_end_of

if TYPE_CHECKING:
    from raystead.ops.anchor import Anchor
    from raystead.ops.events import Note
    from raystead.spec.documents import RayDocument

__all__ = [
    "claims_go_along",
    "hold",
    "idle",
    "idle_of",
    "in_use",
    "refuse_ended",
    "settled",
    "there",
    "wanted",
]

_FOLDER = "/tmp/raystead-keeper"  # of incluster.keeper: who makes `over` in it first decides
_HOLD = f"mkdir -p {_FOLDER} && mkdir {_FOLDER}/over && touch {_FOLDER}/used && rmdir {_FOLDER}/over"
_CONTAINER = "keeper"
_PATIENCE = 60.0  # seconds for a cluster that ends to be gone
_HOLD_EVERY = 3.0  # seconds between two holds at least
_TICK = 0.25
_CLAIM_TRIES = 40  # the StatefulSet's controller makes the claim within a second


def wanted(document: RayDocument) -> tuple[str, ...]:
    """The parts that keepers of this document end."""
    if document.kind == "RayJob":
        from raystead.manifests.keepers import PARTS

        return PARTS
    end = idle_end_of(document.document())
    return () if end is None else ("cluster" if end.keeps_data else "self",)


def there(api: Api, name: str, anchor: Anchor | None, parts: Collection[str]) -> dict[str, str]:
    """The uids of the cluster's keepers that are there, by the part that each ends; the outermost first."""
    found: dict[str, str] = {}
    if anchor is None:
        return found
    proved = {anchor.uid}
    for part in parts:
        with contextlib.suppress(ObjectNotFound):
            job = api.get(path_of(api.namespace, "Job", names.keeper(name, part)))
            if owners_of(job) & proved and not job["metadata"].get("deletionTimestamp"):
                found[part] = str(job["metadata"]["uid"])
                proved.add(found[part])
    return found


def idle_of(anchor: Anchor) -> IdleEnd | None:
    """When that cluster ends by itself; None for a RayJob's, which ends with its job."""
    return None if anchor.kept.get("kind") == "RayJob" or anchor.suspended else idle_end_of(anchor.spec)


def idle(api: Api, anchor: Anchor, pods: Sequence[Json]) -> IdleState | None:
    """Since when the cluster is idle and when it ends, by its keeper's last line.

    `pods` are the cluster's; None: it never ends by itself.
    """
    end = idle_of(anchor)
    if end is None:
        return None
    pod = _newest(pods)
    line = ""
    if pod is not None and (pod.get("status") or {}).get("phase") in ("Running", "Succeeded"):
        path = path_of(api.namespace, "Pod", pod["metadata"]["name"])
        with contextlib.suppress(ApiError):
            line = api.text(f"{path}/log", container=_CONTAINER, tailLines=1)
    return idle_state(end, pod, line)


def hold(api: Api, anchor: Anchor) -> bool:
    """Makes the keeper count anew, for the cluster is used now; False: it has ended the cluster already.

    A keeper without a running pod counts anew when it has one.
    """
    if idle_of(anchor) is None:
        return True
    from raystead.kube import execs

    selector = f"{labels.OURS}={anchor.name},{labels.ROLE}=keeper"
    pod = _newest(api.list(collection(api.namespace, "Pod"), labels=selector))
    if pod is None:
        return _lives(api, anchor)
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Succeeded":
        return False
    if phase != "Running":
        return True
    target = execs.Target(api.namespace, str(pod["metadata"]["name"]), _CONTAINER)
    try:
        return execs.run(api, target, ["sh", "-c", _HOLD]).code == 0
    except (CommandNotStarted, StreamLost, ObjectNotFound):
        return _lives(api, anchor)  # its container has ended meanwhile, well or killed
    except ApiError as error:
        if error.status in (0, 401, 403, 429):
            raise
        return _lives(api, anchor)


def refuse_ended(api: Api, anchor: Anchor) -> None:
    """Holds the cluster, for it is to be used.

    Raises:
        ClusterNotFound: it has just ended by itself.
    """
    if hold(api, anchor):
        return
    end = idle_of(anchor)
    after = f" after {end.seconds} s without work" if end else ""
    raise ClusterNotFound(
        f'the cluster "{anchor.name}" has ended by itself{after}',
        evidence=f"its keeper, Job/{_job(anchor)}, is done",
        remedy=f"raystead up --name {anchor.name}, then the same command again",
    )


@contextmanager
def in_use(api: Api, anchor: Anchor) -> Iterator[None]:
    """Holds the cluster while the block lasts: what goes on in it is no job that its keeper could see.

    Raises:
        ClusterNotFound: it has ended by itself.
    """
    end = idle_of(anchor)
    if end is None:
        yield
        return
    refuse_ended(api, anchor)
    stop = threading.Event()

    def holding() -> None:
        while not stop.wait(max(_HOLD_EVERY, end.seconds / 3)):
            with contextlib.suppress(RaysteadError):  # who uses the cluster sees it when it is gone
                hold(api, anchor)

    thread = threading.Thread(target=holding, name="hold", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def settled(api: Api, anchor: Anchor | None, note: Callable[[Note], None]) -> Anchor | None:
    """The cluster as `up` will find it: held back, or, where its end was faster, gone.

    Raises:
        ApiError: it is ending and not gone after a minute.
    """
    if anchor is None or hold(api, anchor):
        return anchor
    from raystead.ops.events import Note

    note(Note(f'"{anchor.name}" has ended by itself, for it was idle: it is started again'))
    from raystead.ops.planning import existing

    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        now = existing(api, anchor.name)
        if now is None or now.uid != anchor.uid or (_keeps(anchor) and _gone(api, anchor)):
            return now
        time.sleep(_TICK)
    raise ApiError(
        f'"{anchor.name}" ended by itself and is not gone after {_PATIENCE:.0f} s',
        remedy=f"raystead down --name {anchor.name}, then raystead up",
    )


def claims_go_along(api: Api, anchor: Anchor, makers: Sequence[Json]) -> None:
    """Makes the anchor the owner of Redis' claim, which else outlives it; `makers` are its StatefulSets."""
    if not any(maker["spec"].get("volumeClaimTemplates") for maker in makers):
        return
    kind = "PersistentVolumeClaim"
    claims = collection(api.namespace, kind)
    owner = names.reference("ConfigMap", names.anchor(anchor.name), anchor.uid)
    for _ in range(_CLAIM_TRIES):
        found = api.list(claims, labels=f"{labels.OURS}={anchor.name}")
        found = [{**claim, "kind": kind} for claim in found]
        ours = owned(found, anchor.name, [anchor.uid], makers)
        for claim in found:
            if (uid := claim["metadata"]["uid"]) in ours and anchor.uid not in owners_of(claim):
                body = {"metadata": {"ownerReferences": [owner]}}
                api.patch(f"{claims}/{claim['metadata']['name']}", body, uid=uid)
        if ours:
            return
        time.sleep(_TICK)


def _job(anchor: Anchor) -> str:
    return names.keeper(anchor.name, "cluster" if _keeps(anchor) else "self")


def _keeps(anchor: Anchor) -> bool:
    end = idle_of(anchor)
    return bool(end and end.keeps_data)


def _lives(api: Api, anchor: Anchor) -> bool:
    """Its keeper's Job has not ended well; or there is none yet, for the `up` that makes it was cut off."""
    try:
        job = api.get(path_of(api.namespace, "Job", _job(anchor)))
    except ObjectNotFound:
        return not _kept_by_job(anchor.raw) if not _keeps(anchor) else _unfinished(api, anchor)
    if job["metadata"].get("deletionTimestamp"):
        return False
    return not any(
        one.get("type") in ("Complete", "SuccessCriteriaMet") and one.get("status") == "True"
        for one in (job.get("status") or {}).get("conditions") or []
    )


def _unfinished(api: Api, anchor: Anchor) -> bool:
    """Deployments are there that no keeper owns yet."""
    found = api.list(collection(api.namespace, "Deployment"), labels=f"{labels.OURS}={anchor.name}")
    return any(not _kept_by_job(item) and not item["metadata"].get("deletionTimestamp") for item in found)


def _kept_by_job(item: Json) -> bool:
    return any(one.get("kind") == "Job" for one in item["metadata"].get("ownerReferences") or [])


def _gone(api: Api, anchor: Anchor) -> bool:
    """All that a keeper of the cluster owned has gone, its pods too: what comes next meets nothing of it."""
    selector = f"{labels.OURS}={anchor.name}"
    return not any(
        api.list(collection(api.namespace, kind), labels=selector)
        for kind in ("Job", "Deployment", "StatefulSet", "Service", "Pod")
    )


def _newest(pods: Sequence[Json]) -> Json | None:
    mine = [p for p in pods if (p["metadata"].get("labels") or {}).get(labels.ROLE) == "keeper"]
    return max(mine, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)
