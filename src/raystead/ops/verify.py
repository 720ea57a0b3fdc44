"""`verify`: the proof that a cluster survives, on the user's own cluster, with an actor and a job of its own.

The job's driver runs on a worker, its actor on another where there is one. Both go on through each fault and
write down what they see (`survival`).
"""

from __future__ import annotations

import contextlib
import secrets as randomness
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from raystead.base import labels
from raystead.base.names import Names
from raystead.base.text import plural
from raystead.errors import JobNotFound, NotReady, RaysteadError, Unsupported, UsageError, WrongState
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.live.pods import Pod
from raystead.manifests.storage import storage_kind
from raystead.ops import secrets
from raystead.ops.anchor import Anchor
from raystead.ops.jobs import SubmitOptions, job_client, submit
from raystead.ops.living import controllers, own_pods
from raystead.ops.survival import PROGRAM, FaultOutcome, beats_in, driver_in, judge
from raystead.ops.suspending import refuse_guest
from raystead.plan.raynodes import RayNode, ray_nodes
from raystead.rayapi.jobs import JobClient
from raystead.rayapi.nodes import NodesClient

__all__ = [
    "FAULTS",
    "new_id",
    "possible",
    "refuse_beside_jobs",
    "running_jobs",
    "verify",
]

FAULTS = ("head", "redis", "worker")
PATIENCE = 300.0  # seconds for a cluster to be whole again
_SETTLE = 2.0  # seconds that the record goes on after that
_MOMENT = 4.0  # seconds
_TICK = 0.2
_RETURNS = 3.0  # seconds: Ray's monitor of a job (a look a second) writes its end, also after it was deleted
Emit = Callable[[str | FaultOutcome], None]


def possible(anchor: Anchor, wish: Sequence[str]) -> list[str]:
    """The faults to make, in an order that disturbs the proof least; without a wish all that make sense.

    Raises:
        Unsupported: nothing of this cluster could survive.
        WrongState: it has no Ray of its own.
        UsageError: a fault that would only destroy.
    """
    refuse_guest(anchor)
    cluster, facts = anchor.cluster, anchor.with_facts()
    kind = storage_kind(cluster)
    workers = sum(group.wanted for group in cluster.spec.workers)
    if kind == "none" or not workers:
        why = "it has no store for the GCS" if kind == "none" else "it has no workers"
        raise Unsupported(
            f'"{anchor.name}" would lose everything with its head: {why}',
            remedy="raystead up --storage redis --workers 2",
        )
    kept = kind == "redis" and (facts.has_default_storage or facts.storage_class is not None)
    reasons = {
        "redis": ""
        if kept
        else "there is no Redis of this cluster's own on a volume: its loss loses the state",
        "worker": ""
        if workers > 1
        else "there is only one worker: its loss ends the job that verify watches",
    }
    for fault in wish:
        if reasons.get(fault):
            raise UsageError(f"--faults {fault}: {reasons[fault]}")
    return [f for f in FAULTS if (f in wish if wish else not reasons.get(f))]


def running_jobs(api: Api, anchor: Anchor) -> list[str]:
    """Ids of jobs that have not ended."""
    with _clients(api, anchor) as (jobs, _):
        return [job.id for job in jobs.list() if not job.ended]


def refuse_beside_jobs(api: Api, anchor: Anchor) -> None:
    """Refuses to break a cluster under the jobs of others.

    Raises:
        WrongState: jobs run, or pods are not ready: Ray would be waited for in vain.
    """
    if not all(Pod.of(pod).ready for pod in _standing(api, anchor)):
        raise _not_whole(api, anchor)
    if jobs := running_jobs(api, anchor):
        raise WrongState(
            f'{plural(len(jobs), "job")} still to end on "{anchor.name}": {", ".join(jobs[:3])}',
            remedy="wait for them, or raystead verify --yes: they should survive, this is the proof",
        )


def new_id() -> str:
    """An id for the job that proves it."""
    return f"raystead-verify-{randomness.token_hex(4)}"


def verify(api: Api, anchor: Anchor, faults: Sequence[str], job_id: str, emit: Emit) -> list[FaultOutcome]:
    """Makes each fault in turn and waits until the cluster is whole; the job and the actor are removed after.

    Raises:
        WrongState: the cluster is not whole before the first fault.
        NotReady: it is not whole again in time.
    """
    outcomes = []
    with _clients(api, anchor) as (jobs, nodes):
        proof = _Proof(api, anchor, jobs, nodes)
        if not proof.whole_soon():
            raise _not_whole(api, anchor)
        proof.until_buried()
        options = SubmitOptions(
            ("python", "-c", PROGRAM), env={"RAYSTEAD_VERIFY": job_id}, submission_id=job_id
        )
        submit(jobs, options, emit=lambda _: None, on_worker=True)
        try:
            proof.driver = _started(jobs, job_id)
            emit(f"an actor and a job run ({job_id})")
            for fault in faults:
                outcomes.append(proof.fault(fault, job_id))
                emit(outcomes[-1])
        finally:
            _tidy(jobs, job_id)
    return outcomes


def _not_whole(api: Api, anchor: Anchor) -> WrongState:
    """With the first cause that `explain` knows."""
    from raystead.ops.explain import look

    what = f'"{anchor.name}" is not whole now: a fault would prove nothing'
    found = next(iter(look(api, anchor).findings), None)
    if found is None:
        return WrongState(what, remedy="raystead status")
    return WrongState(what, evidence=f"{found.group or 'cluster'}: {found.why}", remedy="raystead explain")


@contextmanager
def _clients(api: Api, anchor: Anchor) -> Iterator[tuple[JobClient, NodesClient]]:
    with job_client(api, anchor) as jobs:
        nodes = NodesClient(jobs.base_url, secrets.token_of(api, anchor.cluster, anchor.with_facts()))
        try:
            yield jobs, nodes
        finally:
            nodes.close()


def _started(jobs: JobClient, job_id: str) -> str:
    """Waits for the first beats; the pod where the driver runs.

    Raises:
        NotReady: they do not come.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job, log = jobs.get(job_id), jobs.logs(job_id)
        if len(beats_in(log)) > 1:
            return driver_in(log)
        if job.ended:
            raise NotReady("the verification job does not run", evidence=job.message.strip()[-300:])
        time.sleep(_TICK)
    raise NotReady(
        f"the verification job shows no sign of life after {PATIENCE:.0f} s", remedy="raystead status"
    )


def _tidy(jobs: JobClient, job_id: str) -> None:
    """Stops the job, which takes its actor along, and removes its entry."""
    try:
        jobs.stop(job_id)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not jobs.get(job_id).ended:
            time.sleep(_TICK)
        seen = time.monotonic()
        while time.monotonic() < min(seen + _RETURNS, deadline):
            with contextlib.suppress(JobNotFound):
                jobs.delete(job_id)
                seen = time.monotonic()
            time.sleep(_TICK)
    except RaysteadError:
        pass  # the cluster has worse troubles, which are being told


class _Proof:
    def __init__(self, api: Api, anchor: Anchor, jobs: JobClient, nodes: NodesClient) -> None:
        self._api, self._anchor, self._jobs, self._nodes = api, anchor, jobs, nodes
        self._names = Names.of(anchor.name, anchor.cluster.annotations)
        self._controllers = controllers(api, anchor.name)  # no fault makes new ones
        self._wanted = 1 + sum(group.wanted for group in anchor.cluster.spec.workers)
        self.driver = ""

    def fault(self, fault: str, job_id: str) -> FaultOutcome:
        """Deletes the pod by force and waits until all is whole again."""
        pods = self._pods()
        victim = self._victim(fault, pods)
        seen = len(beats_in(self._jobs.logs(job_id)))
        begun = time.monotonic()
        path = path_of(self._api.namespace, "Pod", Pod.of(victim).name)
        self._api.delete(path, grace=0, uid=victim["metadata"]["uid"])
        gone = {_life(victim)} | (
            {_life(pod) for pod in pods if _is_head(pod)} if fault == "redis" else set()
        )
        away = self._until(lambda: self.whole(gone), begun)
        time.sleep(_SETTLE)
        self.until_buried()
        log, job = self._jobs.logs(job_id), self._jobs.get(job_id)
        restarted = _restarted(pods, self._pods(), fault)
        return judge(
            fault,
            Pod.of(victim).name,
            away,
            beats_in(log),
            seen,
            restarted,
            "" if not job.ended else job.status,
        )

    def _victim(self, fault: str, pods: Sequence[Json]) -> Json:
        if fault == "head":
            found = [p for p in pods if _is_head(p)]
        elif fault == "redis":
            found = [p for p in pods if Pod.of(p).name.startswith(f"{self._names.redis}-")]
        else:
            found = [p for p in pods if _is_worker(p) and Pod.of(p).name != self.driver]
        if not found:
            raise WrongState(f"there is no {fault} pod now", remedy="raystead status")
        return found[-1]

    def _until(self, what: Callable[[], bool], begun: float) -> float:
        while not what():
            if time.monotonic() - begun > PATIENCE:
                raise NotReady(
                    f'"{self._anchor.name}" is not whole again after {PATIENCE:.0f} s',
                    remedy="raystead explain",
                )
            time.sleep(_TICK)
        return time.monotonic() - begun

    def whole(self, gone: set[tuple[str, str]]) -> bool:
        """All pods are ready, none of them is one of `gone`, and Ray knows all nodes alive."""
        pods = self._pods()
        if any(_life(pod) in gone or not Pod.of(pod).ready for pod in pods):
            return False
        mine = [pod for pod in pods if _is_head(pod) or _is_worker(pod)]
        if len(mine) != self._wanted or (
            storage_kind(self._anchor.cluster) == "redis" and len(pods) == len(mine)
        ):
            return False
        alive = self._alive()
        return {node.pod for node in alive} >= {Pod.of(pod).name for pod in mine} or (
            len(alive) == self._wanted and not any(node.pod for node in alive)
        )

    def whole_soon(self) -> bool:
        """Whether it is; with all pods ready Ray gets a moment, for one slow answer proves nothing."""
        begun = time.monotonic()
        while not (whole := self.whole(set())):
            if time.monotonic() - begun > _MOMENT or not all(Pod.of(pod).ready for pod in self._pods()):
                break
            time.sleep(_TICK)
        return whole

    def until_buried(self) -> None:
        """Waits until Ray takes none of the dead for alive (up to 15 s): it would give them the next job."""
        self._until(lambda: len(self._alive()) == self._wanted, time.monotonic())

    def _alive(self) -> list[RayNode]:
        try:
            return [node for node in ray_nodes(self._nodes.nodes()) if node.alive]
        except RaysteadError:
            return []

    def _pods(self) -> list[Json]:
        return _standing(self._api, self._anchor, self._controllers)


def _standing(api: Api, anchor: Anchor, there: Sequence[Json] | None = None) -> list[Json]:
    """All pods that are proved to be the cluster's and are not being deleted."""
    found = api.list(collection(api.namespace, "Pod"), labels=f"{labels.OURS}={anchor.name}")
    ours = own_pods(api, anchor.name, anchor.uid, found, there)
    return [pod for pod in ours if not Pod.of(pod).deleted]


def _restarted(before: Sequence[Json], after: Sequence[Json], fault: str) -> tuple[str, ...]:
    """Workers that are not the same as before; of a lost worker one may be new."""
    then, now = ({Pod.of(p).name: _life(p) for p in pods if _is_worker(p)} for pods in (before, after))
    other = tuple(name for name, life in then.items() if now.get(name) != life)
    return other[1:] if fault == "worker" else other


def _life(pod: Json) -> tuple[str, str]:
    """Changes with the pod and with each restart of its first container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return pod["metadata"]["uid"], str(sorted(s.get("containerID", "") for s in statuses))


def _is_head(pod: Json) -> bool:
    return bool(pod["metadata"]["labels"].get(labels.NODE_TYPE) == "head")


def _is_worker(pod: Json) -> bool:
    return bool(pod["metadata"]["labels"].get(labels.NODE_TYPE) == "worker")
