"""Writes of single objects, each of which means the very object that the plan saw, by its uid."""

from __future__ import annotations

import contextlib
import time

from raystead.errors import ApiError, Busy, Conflict, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.paths import Discovery
from raystead.ops.planning import Prepared
from raystead.plan.make import key_of

__all__ = ["apply_over", "busy", "delete", "delete_and_wait"]

_REPLACE_PATIENCE = 60.0  # seconds for an object to be gone before its successor is made
_TICK = 0.25  # seconds between two looks


def busy(name: str, evidence: str) -> Busy:
    """What is said where another raystead was quicker."""
    return Busy(
        f'another raystead has changed the cluster "{name}"',
        evidence=evidence,
        remedy="raystead plan shows what is left to do; then raystead up",
    )


def apply_over(prepared: Prepared, paths: Discovery, item: Json) -> Json:
    """Applies over the very object that the plan saw; one that came under its name meanwhile is left alone.

    Raises:
        Busy: such an object is there.
        Conflict: fields belong to somebody else.
    """
    api, uid = prepared.api, prepared.uids.get(key_of(item))
    path = paths.path(item, api.namespace)
    if uid is not None:
        same = {**item, "metadata": {**item["metadata"], "uid": uid}}
        try:
            return api.apply(path, same, force=prepared.force)
        except Conflict as error:
            now = _uid_at(api, path)
            if now == uid:
                raise
            if now is not None:
                raise _another(path, prepared.cluster.name) from error
    return api.apply(path, item, force=prepared.force)  # new, or gone meanwhile: it is made


def _uid_at(api: Api, path: str) -> str | None:
    with contextlib.suppress(ObjectNotFound):
        return str(api.get(path)["metadata"]["uid"])
    return None


def _another(path: str, cluster: str) -> Busy:
    return busy(cluster, f"{path.rpartition('/')[2]} is another object than the plan saw")


def delete(api: Api, path: str, uid: str) -> None:
    """Deletes this very object.

    Raises:
        Conflict: another object has its name by now.
    """
    with contextlib.suppress(ObjectNotFound):  # gone is what we want
        api.delete(path, uid=uid)


def delete_and_wait(api: Api, path: str, uid: str, cluster: str) -> None:
    """Deletes an object and waits until it is gone.

    Raises:
        Busy: another object has its name by now.
    """
    try:
        delete(api, path, uid)
    except Conflict as error:
        raise _another(path, cluster) from error
    deadline = time.monotonic() + _REPLACE_PATIENCE
    while time.monotonic() < deadline:
        try:
            if api.get(path)["metadata"]["uid"] != uid:
                return
        except ObjectNotFound:
            return
        time.sleep(_TICK)
    raise ApiError(
        f"{path.rpartition('/')[2]} is not gone after {_REPLACE_PATIENCE:.0f} s: nothing can replace it yet",
        remedy="look for finalizers: kubectl get -o yaml; then raystead up again",
    )
