"""Where jobs' drivers run, and what became of that place: a pod, or a node of a local cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from raystead.errors import OutputGone, RayUnreachable
from raystead.ops.following import Lost

if TYPE_CHECKING:
    from raystead.kube.api import Api, Json
    from raystead.ops.anchor import Anchor
    from raystead.rayapi.jobs import Job, JobClient

__all__ = ["Drivers", "NamespaceDrivers", "RayDrivers", "ended_on", "output_of"]

_LOOK = 2.0  # seconds between two looks at the pods or nodes


class Drivers(Protocol):
    """Looks after the places of drivers; may raise RaysteadErrors."""

    def fate(self, job: Job) -> Lost | None:
        """What became of the job's place; None while nothing did, or nothing is known."""

    def place(self, job: Job) -> str:
        """Where the driver ran or runs, for people; "" before it has a place."""


class RayDrivers:
    """Asks Ray alone, by the node's id: all there is of a local cluster."""

    def __init__(self, client: JobClient) -> None:
        self._client = client
        self._looked = -_LOOK

    def fate(self, job: Job) -> Lost | None:
        now = time.monotonic()
        if not job.driver_node_id or now - self._looked < _LOOK:
            return None
        self._looked = now
        node = self._client.node(job.driver_node_id)
        if node is None or node.get("state") != "DEAD":
            return None
        why = str(node.get("state_message") or "").strip().rstrip(".")
        return Lost(f"the node that runs {job.id} died" + (f": {why}" if why else ""), gone=True)

    def place(self, job: Job) -> str:
        node = self._client.node(job.driver_node_id) if job.driver_node_id else None
        if node is None:
            return "a node that is gone" if job.driver_node_id else ""
        what = "the head" if node.get("is_head_node") else f"a worker ({node['node_id'][:8]}…)"
        return what if node.get("state") == "ALIVE" else f"{what}, which is gone"


class NamespaceDrivers:
    """Asks the API server for the pod with the driver's address, which knows of its end before Ray does."""

    def __init__(self, api: Api, anchor: Anchor, client: JobClient) -> None:
        self._api, self._anchor = api, anchor
        self._ray = RayDrivers(client)
        self._pods: dict[str, tuple[str, str, int]] = {}  # job -> pod, its uid, its restarts when it was seen
        self._looked = -_LOOK

    def fate(self, job: Job) -> Lost | None:
        address = _address(job)
        now = time.monotonic()
        if not address or now - self._looked < _LOOK:
            return None
        self._looked = now
        pods = self._read()
        known = self._pods.get(job.id)
        if known is None:
            pod = _at(address, pods)
            if pod is None:
                return Lost(f"the pod at {address}, where {job.id} ran, is gone", gone=True)
            known = (str(pod["metadata"]["name"]), str(pod["metadata"]["uid"]), _restarts(pod))
            self._pods[job.id] = known
        return _fate(job.id, known, pods) or self._ray.fate(job)

    def place(self, job: Job) -> str:
        address = _address(job)
        if not address:
            return ""
        pod = _at(address, self._read())
        if pod is None:
            return f"a pod that is gone ({address})"
        node = (pod.get("spec") or {}).get("nodeName")
        return f"{pod['metadata']['name']}" + (f" on {node}" if node else "")

    def _read(self) -> list[Json]:
        from raystead.ops.pods import pods_of

        return pods_of(self._api, self._anchor)


def output_of(client: JobClient, drivers: Drivers, job: Job) -> str:
    """The output that Ray has of the job.

    Raises:
        OutputGone: it lay on a node that is gone.
        RayUnreachable
    """
    try:
        return client.logs(job.id)
    except RayUnreachable:
        lost = drivers.fate(job)
        if lost is None or not lost.gone:
            raise
        raise OutputGone(
            f"the output of {job.id} went with the worker that ran it",
            evidence=lost.text,
            remedy="follow a job to keep the end of its output here; what must stay belongs on a volume",
        ) from None


def ended_on(jobs: list[Job], addresses: set[str]) -> int:
    """How many ended jobs had their driver, and so have their output, at one of these pod addresses."""
    return sum(1 for job in jobs if job.ended and _address(job) in addresses)


def _at(address: str, pods: list[Json]) -> Json | None:
    """The pod that has the address now: an ended one keeps its address, and another may get it."""
    living = [p for p in pods if (p.get("status") or {}).get("phase") == "Running"]
    for pod in (*living, *pods):
        status = pod.get("status") or {}
        if address in (status.get("podIP"), *(ip.get("ip") for ip in status.get("podIPs") or ())):
            return pod
    return None


def _address(job: Job) -> str:
    """The IP of the driver's node, "" before it has one."""
    return urlsplit(str(job.raw.get("driver_agent_http_address") or "")).hostname or ""


def _fate(job_id: str, known: tuple[str, str, int], pods: list[Json]) -> Lost | None:
    name, uid, restarts = known
    pod = next((p for p in pods if p["metadata"].get("uid") == uid), None)
    if pod is None:
        return Lost(f"the pod {name}, where {job_id} ran, was deleted", gone=True)
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        why = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        return Lost(f"the pod {name}, where {job_id} ran, has ended" + (f": {why}" if why else ""), gone=True)
    first = _ray(pod)
    ended = (first.get("state") or {}).get("terminated")
    if ended is None and _restarts(pod) > restarts:
        ended = (first.get("lastState") or {}).get("terminated") or {}
    if ended is not None:
        reason = str(ended.get("reason") or "Error")
        limit = _memory_limit(pod) if reason == "OOMKilled" else ""
        code = f", exit code {ended['exitCode']}" if ended.get("exitCode") and not limit else ""
        return Lost(f"Ray in the pod {name}, where {job_id} ran, has died: {reason}{code}{limit}", gone=True)
    if pod["metadata"].get("deletionTimestamp"):
        return Lost(f"the pod {name}, where {job_id} runs, is being stopped", gone=False)
    return None


def _ray(pod: Json) -> Json:
    """The status of the Ray container, which is the first of the spec."""
    containers: list[Json] = (pod.get("spec") or {}).get("containers") or [{}]
    states: list[Json] = (pod.get("status") or {}).get("containerStatuses") or []
    return next((state for state in states if state.get("name") == containers[0].get("name")), {})


def _restarts(pod: Json) -> int:
    return int(_ray(pod).get("restartCount") or 0)


def _memory_limit(pod: Json) -> str:
    first: Json = ((pod.get("spec") or {}).get("containers") or [{}])[0]
    limit = ((first.get("resources") or {}).get("limits") or {}).get("memory")
    return f" (its limit is {limit})" if limit else ""
