"""A cluster's lease: it lives on while we renew, and for `seconds` after we are killed (manifests.lease)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType

from raystead.base import names
from raystead.errors import Conflict, ObjectNotFound, RaysteadError, Unsupported
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.manifests.lease import lease_job, lease_name
from raystead.manifests.render import manifests
from raystead.manifests.storage import storage_kind
from raystead.ops.anchor import Anchor
from raystead.ops.events import Note
from raystead.ops.keepers import claims_go_along
from raystead.spec.model import RayCluster

__all__ = ["Lease"]

_RENEWALS = 4  # in the time of one lease: three may fail
_TTL_SINCE = "1.21"  # ttlSecondsAfterFinished is dropped by older servers


def _running() -> float:
    """Seconds by a clock that nobody sets, and that runs on while this machine sleeps."""
    # Linux' CLOCK_MONOTONIC stops in sleep, which the server's clock does not; macOS' goes on
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """Holds and renews the lease of one cluster; as a context manager it ends with the block.

    Attributes:
        reference: the owner reference that the anchor carries.
    """

    def __init__(self, api: Api, cluster: RayCluster, seconds: int, emit: Callable[[Note], None]) -> None:
        self._api, self._seconds, self._emit = api, seconds, emit
        self._path = path_of(api.namespace, "Job", lease_name(cluster.name))
        self._stop = threading.Event()
        try:
            job = api.create(collection(api.namespace, "Job"), lease_job(cluster, api.namespace, seconds))
        except Conflict as error:
            raise Conflict(
                f'another raystead run has the name "{cluster.name}"',
                evidence=f"Job/{lease_name(cluster.name)} is there",
                remedy="another --name, or none: then each run has a name of its own",
            ) from error
        self._begun = _running()
        self.reference: Json = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job["metadata"]["name"],
            "uid": job["metadata"]["uid"],
            "blockOwnerDeletion": False,
        }
        if "ttlSecondsAfterFinished" not in job["spec"]:
            self._delete()
            raise Unsupported(
                "this API server cannot end a cluster by itself",
                evidence=f"it drops a Job's ttlSecondsAfterFinished; Kubernetes has it since {_TTL_SINCE}",
                remedy="raystead up, submit and down one after the other",
            )
        self._thread = threading.Thread(target=self._renewing, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the lease; whatever the cluster still has goes with it."""
        self._stop.set()
        self._delete()

    def follow(self, anchor: Anchor) -> None:
        """Makes the Job go with the anchor, whoever deletes that; and Redis' claim, which else stays."""
        owners = [names.reference("ConfigMap", str(anchor.raw["metadata"]["name"]), anchor.uid)]

        with contextlib.suppress(ObjectNotFound):
            self._api.patch(self._path, {"metadata": {"ownerReferences": owners}}, uid=self.reference["uid"])
        if storage_kind(anchor.cluster) == "redis":
            rendered = manifests(anchor.cluster, anchor.with_facts())
            claims_go_along(self._api, anchor, [i for i in rendered if i["kind"] == "StatefulSet"])

    def _renewing(self) -> None:
        told = False
        while not self._stop.wait(self._seconds / _RENEWALS):
            deadline = int(_running() - self._begun) + self._seconds
            try:
                self._renew(deadline)
                told = False
            except ObjectNotFound:
                return  # it was deleted, and the cluster with it: who uses that sees it
            except RaysteadError as error:
                if not told and not self._stop.is_set():
                    told = True
                    self._emit(Note(f"the cluster's lease could not be renewed: {error.what}"))

    def _renew(self, deadline: int) -> None:
        """Raises the Job's deadline to so many seconds after its start; a later one is left.

        Raises:
            ObjectNotFound: this lease is gone; another Job of that name is not ours.
        """
        job = self._api.get(self._path)
        uid = self.reference["uid"]
        if job["metadata"]["uid"] != uid:
            raise ObjectNotFound("the lease is gone", evidence=f"another Job is at {self._path}", status=404)
        if int(job["spec"].get("activeDeadlineSeconds") or 0) < deadline:
            self._api.patch(self._path, {"spec": {"activeDeadlineSeconds": deadline}}, uid=uid)

    def _delete(self) -> None:
        with contextlib.suppress(ObjectNotFound, Conflict):  # it is gone, whoever has its name now
            self._api.delete(self._path, uid=self.reference["uid"])
