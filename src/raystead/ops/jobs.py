"""Submitting jobs: the working directory is sent, the driver placed, the job started once."""

from __future__ import annotations

import contextlib
import functools
import secrets as randomness
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raystead.errors import (
    JobNotFound,
    RayRefuses,
    RayUnreachable,
    UsageError,
    WrongState,
)
from raystead.ops.following import PATIENCE, Lost, NoOutput, Waiting, patiently
from raystead.ops.package import Package, pack, package_of_file, refuse_too_large
from raystead.ops.placing import DriverNeeds, Placement, place
from raystead.ops.reaching import Reasons
from raystead.ops.runtime_env import excludes_of, files_read, local_path, modules_of
from raystead.rayapi.jobs import Job, JobClient

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor

__all__ = [
    "Event",
    "Packed",
    "Packing",
    "Submission",
    "SubmitOptions",
    "Submitted",
    "Submitting",
    "Uploading",
    "check",
    "job_client",
    "local_sources",
    "newest_first",
    "submit",
    "submit_once",
]
_ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class SubmitOptions:
    """A job as the user wants it; `memory` in bytes. A local working_dir of `runtime_env` is sent along.

    `sent_for` is the file of the command because of which a working_dir was put there that nobody gave.
    """

    entrypoint: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    runtime_env: dict[str, Any] | None = None
    env: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    resources: dict[str, float] | None = None
    submission_id: str | None = None
    sent_for: str = ""


@dataclass(frozen=True)
class Packing:
    """Bytes of a directory read and bytes in all."""

    done: int
    total: int


@dataclass(frozen=True)
class Packed:
    """A package, whether the cluster has it, and the file of the command for which it goes along unasked."""

    package: Package
    known: bool
    why: str = ""


@dataclass(frozen=True)
class Uploading:
    """Bytes sent and bytes in all."""

    sent: int
    total: int


@dataclass(frozen=True)
class Submitting:
    """All that the job needs is there; from now on Ray may have it, whatever becomes of its answer."""

    id: str


@dataclass(frozen=True)
class Submitted:
    """The job is started; `on_worker`: its driver survives the head."""

    id: str
    on_worker: bool


@dataclass(frozen=True)
class Submission:
    """A started job. `again` starts it once more under the same id: for one that ended before it ran.

    It is None for a job that somebody else started.
    """

    id: str
    again: Callable[[], None] | None


Event = Packing | Packed | Uploading | Submitting | Submitted | Waiting | Lost | NoOutput
Emit = Callable[[Event], None]


@contextmanager
def job_client(api: Api, anchor: Anchor) -> Iterator[JobClient]:
    """The job API of a cluster in a namespace, over a forward that follows the head.

    Raises:
        WrongState: the cluster is suspended, or a RayCronJob between two ticks.
        Forbidden: this user may not read the token's Secret.
    """
    from raystead.ops import secrets
    from raystead.ops.pods import pods_of
    from raystead.ops.ray import head_forward, head_of
    from raystead.ops.suspending import refuse_rest

    refuse_rest(anchor)
    if anchor.kept.get("kind") == "RayCronJob" and head_of(pods_of(api, anchor)) is None:
        raise WrongState(f'no tick of "{anchor.name}" runs now', remedy="raystead status")
    token = secrets.token_of(api, anchor.cluster, anchor.with_facts())
    with head_forward(api, anchor) as forward:
        why = Reasons(api, anchor, lambda: forward.last_error)
        with JobClient(forward.url, token, why=why) as client:
            yield client


def submit(
    client: JobClient,
    options: SubmitOptions,
    *,
    emit: Emit,
    on_worker: bool = False,
    patience: float = PATIENCE,
) -> Submission:
    """Sends the working directory if there is one and starts the job.

    Args:
        on_worker: put the driver on a worker where there is one.
        patience: seconds that Ray may be silent at each step; what was sent is not sent twice.
    """
    _must_have_a_command(options)
    persist = functools.partial(patiently, tell=emit, patience=patience)
    runtime_env = _environment(client, options, emit, patience)
    needs = DriverNeeds(
        options.num_cpus or 0, options.num_gpus or 0, options.memory or 0, options.resources or {}
    )
    job_id = options.submission_id or _new_id()

    def begin() -> bool:
        where: Placement = persist(lambda: place(client, needs)) if on_worker else Placement()
        emit(Submitting(job_id))
        persist(_Start(client, options, job_id, runtime_env, where))
        return where.on_worker

    def again() -> None:
        with contextlib.suppress(JobNotFound):
            persist(lambda: client.delete(job_id))
        begin()

    emit(Submitted(job_id, begin()))
    return Submission(job_id, again)


def submit_once(
    client: JobClient,
    options: SubmitOptions,
    *,
    emit: Emit,
    on_worker: bool = False,
) -> Submission:
    """As `submit`; but if there is a job of the given id already, nothing is sent and that one is meant."""
    job_id = options.submission_id
    if job_id is None:
        return submit(client, options, emit=emit, on_worker=on_worker)

    def there() -> bool:
        try:
            patiently(lambda: client.get(job_id), tell=emit)
        except JobNotFound:
            return False
        return True

    if there():
        return Submission(job_id, None)
    try:
        return submit(client, options, emit=emit, on_worker=on_worker)
    except RayRefuses:
        if there():  # somebody was faster
            return Submission(job_id, None)
        raise


def _new_id() -> str:
    """An id of the form that Ray's own client makes."""
    return "raysubmit_" + "".join(randomness.choice(_ALPHABET) for _ in range(16))


class _Start:
    """Starts a job; called again after an answer that was lost, it finds that the job is there."""

    def __init__(
        self,
        client: JobClient,
        options: SubmitOptions,
        job_id: str,
        runtime_env: dict[str, Any],
        where: Placement,
    ) -> None:
        self._client, self._options, self._job_id = client, options, job_id
        self._runtime_env, self._where = runtime_env, where
        self._unsure = False

    def __call__(self) -> str:
        if self._unsure and self._is_there():
            return self._job_id
        words, options = self._options.entrypoint, self._options
        try:
            return self._client.submit(
                shlex.join(words) if len(words) > 1 else words[0],
                submission_id=self._job_id,
                runtime_env=self._runtime_env,
                metadata=options.metadata,
                num_cpus=options.num_cpus,
                num_gpus=options.num_gpus,
                memory=options.memory,
                resources={**(options.resources or {}), **self._where.resources},
                label_selector=self._where.label_selector,
            )
        except RayUnreachable:
            self._unsure = True
            raise
        except RayRefuses:
            if self._unsure and self._is_there():
                return self._job_id
            raise

    def _is_there(self) -> bool:
        try:
            self._client.get(self._job_id)
        except JobNotFound:
            return False
        return True


def local_sources(options: SubmitOptions) -> list[Path]:
    """The directories of this machine that the job would bring along.

    Raises:
        UsageError: the runtime environment is not what Ray takes.
    """
    runtime_env = options.runtime_env or {}
    given = [runtime_env.get("working_dir"), *modules_of(runtime_env)]
    return [path for value in given if (path := local_path(value)) is not None and path.is_dir()]


def check(options: SubmitOptions) -> None:
    """Refuses before anything is made or sent what `submit` would refuse of this machine's files.

    Raises:
        UsageError, UploadTooLarge
    """
    _must_have_a_command(options)
    excludes = (*options.excludes, *excludes_of(options.runtime_env or {}))
    for directory in local_sources(options):
        refuse_too_large(directory, excludes)


def newest_first(jobs: Iterable[Job]) -> list[Job]:
    return sorted(jobs, key=lambda job: job.start_time or 0, reverse=True)


def _must_have_a_command(options: SubmitOptions) -> None:
    if not any(word.strip() for word in options.entrypoint):
        raise UsageError("there is no command to run", remedy="raystead submit -- python train.py")


def _environment(client: JobClient, options: SubmitOptions, emit: Emit, patience: float) -> dict[str, Any]:
    """The runtime environment as Ray takes it; what it names of this machine is sent."""
    runtime_env = dict(options.runtime_env or {})
    if options.env:
        runtime_env["env_vars"] = {**runtime_env.get("env_vars", {}), **options.env}
    excludes = (*options.excludes, *excludes_of(runtime_env))
    runtime_env.pop("excludes", None)
    send = functools.partial(_send, client, excludes=excludes, emit=emit, patience=patience)
    directory = local_path(runtime_env.get("working_dir"))
    if directory is not None:
        runtime_env["working_dir"] = send(directory, why=options.sent_for)
    runtime_env |= files_read(runtime_env)
    if modules := modules_of(runtime_env):
        runtime_env["py_modules"] = [
            send(module, module=True) if (module := local_path(item)) else item for item in modules
        ]
    return runtime_env


def _send(
    client: JobClient,
    source: Path,
    *,
    excludes: tuple[str, ...],
    emit: Emit,
    patience: float,
    module: bool = False,
    why: str = "",
) -> str:
    """The address of the package of a directory or file, which is sent unless the cluster has it already."""
    persist = functools.partial(patiently, tell=emit, patience=patience)

    def packing(done: int, total: int) -> None:
        emit(Packing(done, total))

    with tempfile.TemporaryDirectory(prefix="raystead-") as scratch:
        target = Path(scratch) / "package.zip"
        if source.is_file():
            package = package_of_file(source, target, module=module)
        else:
            package = pack(source, target, excludes, under=source.name if module else "", progress=packing)
        known = persist(lambda: client.package_exists(package.name))
        emit(Packed(package, bool(known), why))
        if not known:
            persist(
                lambda: client.upload(
                    package.name, package.path, lambda sent, total: emit(Uploading(sent, total))
                )
            )
    return f"gcs://{package.name}"
