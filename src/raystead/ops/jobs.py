"""Submitting and following jobs: the job API is the truth, the log stream is best effort."""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raystead.errors import JobFailed, RayUnreachable, UsageError
from raystead.ops.package import Package, pack
from raystead.ops.runtime_env import files_read, local_directory
from raystead.rayapi.jobs import Job, JobClient

_POLL = 0.3  # seconds between two questions while a stream is down
_PATIENCE = 120.0  # seconds without an answer of the job API before following gives up
_EXIT_CODE = re.compile(r"exit code (\d+)")


@dataclass(frozen=True)
class SubmitOptions:
    """A job as the user wants it; `memory` in bytes. A local working_dir of `runtime_env` is sent along."""

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


@dataclass(frozen=True)
class Packed:
    package: Package
    known: bool


@dataclass(frozen=True)
class Uploading:
    """Bytes sent and bytes in all."""

    sent: int
    total: int


@dataclass(frozen=True)
class Submitted:
    id: str


Event = Packed | Uploading | Submitted
Emit = Callable[[Event], None]


def submit(client: JobClient, options: SubmitOptions, *, new_id: Callable[[], str], emit: Emit) -> str:
    """Sends the working directory if there is one and starts the job; returns its id."""
    if not any(word.strip() for word in options.entrypoint):
        raise UsageError("there is no command to run", remedy="raystead submit -- python train.py")
    runtime_env = dict(options.runtime_env or {})
    if options.env:
        runtime_env["env_vars"] = {**runtime_env.get("env_vars", {}), **options.env}
    excludes = (*options.excludes, *runtime_env.pop("excludes", ()))
    directory = local_directory(runtime_env.get("working_dir"))
    if directory is not None:
        runtime_env["working_dir"] = _send(client, directory, excludes, emit)
    runtime_env |= files_read(runtime_env)
    if modules := runtime_env.get("py_modules"):
        runtime_env["py_modules"] = [
            _send(client, module, excludes, emit, under=module.name)
            if (module := local_directory(item))
            else item
            for item in modules
        ]
    job_id = client.submit(
        shlex.join(options.entrypoint) if len(options.entrypoint) > 1 else options.entrypoint[0],
        submission_id=options.submission_id or new_id(),
        runtime_env=runtime_env,
        metadata=options.metadata,
        num_cpus=options.num_cpus,
        num_gpus=options.num_gpus,
        memory=options.memory,
        resources=options.resources,
    )
    emit(Submitted(job_id))
    return job_id


def follow(client: JobClient, job_id: str, *, emit: Emit, write: Callable[[str], None]) -> Job:
    """Writes the job's output, each character once, until the job API says that it ended.

    A stream starts at the job's first line whenever it is opened, so what was written already is skipped.
    """
    written = 0
    unreachable_since: float | None = None
    while True:
        position = 0
        for text in client.stream(job_id):
            fresh = text[max(0, written - position) :]
            position += len(text)
            if fresh:
                write(fresh)
                written += len(fresh)
        try:
            job = client.get(job_id)
            unreachable_since = None
            if job.ended:
                rest = client.logs(job_id)[written:]
                if rest:
                    write(rest)
                return job
        except RayUnreachable:
            now = time.monotonic()
            unreachable_since = unreachable_since or now
            if now - unreachable_since > _PATIENCE:
                raise
        time.sleep(_POLL)


def exit_code(job: Job) -> int:
    """0 when it succeeded, the driver's own code when it left one, else 70."""
    if job.status == "SUCCEEDED":
        return 0
    if job.driver_exit_code:
        return job.driver_exit_code if 0 < job.driver_exit_code < 256 else 128 - job.driver_exit_code
    if job.status == "FAILED" and (match := _EXIT_CODE.search(job.message)):
        return int(match[1]) or JobFailed.exit_code
    return JobFailed.exit_code


def _send(
    client: JobClient, directory: Path, excludes: tuple[str, ...], emit: Emit, *, under: str = ""
) -> str:
    """The address of the directory's package, which is sent unless the cluster has it already."""
    with tempfile.TemporaryDirectory(prefix="raystead-") as scratch:
        package = pack(directory, Path(scratch) / "package.zip", excludes, under=under)
        known = client.package_exists(package.name)
        emit(Packed(package, known))
        if not known:
            client.upload(package.name, package.path, lambda sent, total: emit(Uploading(sent, total)))
    return f"gcs://{package.name}"
