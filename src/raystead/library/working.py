"""Work on an existing cluster: jobs, ticks, commands in pods, connections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from raystead.library.handle import ClusterHandle
from raystead.library.inputs import must_be
from raystead.library.jobs import JobHandle, TickHandle, clients, ignore, to_stdout

if TYPE_CHECKING:
    from raystead.kube.execs import Result
    from raystead.ops.connect import Connection
    from raystead.rayapi.jobs import Job

__all__ = ["WorkableCluster"]


class WorkableCluster(ClusterHandle):
    """`submit`, `job`, `jobs`, `tick`, `exec`, `connect`."""

    def submit(
        self,
        *command: str,
        working_dir: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        memory: int | None = None,
        resources: Mapping[str, float] | None = None,
        submission_id: str | None = None,
        wait: bool = True,
        output: Callable[[str], None] = to_stdout,
    ) -> Job:
        """Runs a command as a Ray job, its driver on a worker; the job as Ray tells it at the end.

        Args:
            command: the words, or one shell line.
            working_dir: a directory that is sent along; `.gitignore` and `.rayignore` in it count.
            num_cpus: what the driver itself takes on its node, as `num_gpus`, `memory` (bytes) and
                `resources`.
            submission_id: the job's id. May be repeated: if the cluster has a job of that id, nothing is
                started, and this call attaches to that one.
            wait: follow the job to its end; False returns as soon as it is submitted.
            output: gets the job's output as it comes.

        Raises:
            UploadTooLarge, RayUnreachable, RayRefuses, UsageError
            JobFailed: Ray has forgotten the job. (A job that fails is returned: look at `job.status`.)
            WrongState: the cluster is suspended.
        """
        from raystead.ops import jobs
        from raystead.ops.following import follow
        from raystead.ops.keepers import in_use

        must_be(
            command=("a list of strings", command),
            working_dir=("a path", working_dir),
            env=("a mapping of strings", env),
            runtime_env=("a mapping with strings as keys", runtime_env),
            metadata=("a mapping of strings", metadata),
            num_cpus=("a number", num_cpus),
            num_gpus=("a number", num_gpus),
            memory=("a whole number", memory),
            resources=("a mapping of numbers", resources),
            submission_id=("a string", submission_id),
            wait=("true or false", wait),
            output=("a function", output),
        )
        sent = dict(runtime_env or {})
        if working_dir is not None:
            sent["working_dir"] = os.fspath(working_dir)
        options = jobs.SubmitOptions(
            entrypoint=command,
            env=dict(env or {}),
            metadata=dict(metadata or {}),
            runtime_env=sent or None,
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            memory=memory,
            resources=dict(resources) if resources else None,
            submission_id=submission_id,
        )
        jobs.check(options)
        anchor = self._anchor()
        with in_use(self._api, anchor), clients(self._api, anchor) as (client, drivers):
            begun = jobs.submit_once(client, options, emit=ignore, on_worker=True)
            if not wait:
                return client.get(begun.id)
            return follow(client, begun.id, write=output, tell=ignore, again=begun.again, fate=drivers.fate)

    def job(self, job_id: str) -> JobHandle:
        """A handle on the job of that id, to look at it, follow it or cancel it; asks nothing yet."""
        must_be(job_id=("a string", job_id))
        return JobHandle(self._api, self.name, job_id)

    def jobs(self) -> list[Job]:
        """All jobs that Ray knows, the newest first.

        Raises:
            RayUnreachable, WrongState (the cluster is suspended)
        """
        from raystead.ops.jobs import newest_first

        with clients(self._api, self._anchor()) as (client, _):
            return newest_first(client.list())

    def tick(self, tick_id: str | None = None) -> TickHandle:
        """A handle on a tick of a RayCronJob, by its id, Job or minute, or a beginning of it; the newest.

        Raises:
            WrongState: it is not a RayCronJob.
            JobNotFound: there is no such tick, or none yet.
            UsageError: several begin so.
        """
        from raystead.ops.raycrons import ticks_of

        must_be(tick_id=("a string", tick_id))
        return TickHandle(self._api, self.name, ticks_of(self._api, self._anchor()).meant(tick_id).id)

    def exec(self, *command: str, pod: str = "head", stdin: bytes | None = None) -> Result:
        """Runs a command in the head, or in a pod or a group's newest: its exit code, stdout and stderr.

        Raises:
            CommandNotStarted: there is no such program there.
            UsageError: there is no such pod.
            StreamLost, WrongState (the cluster is suspended)
        """
        from raystead.errors import UsageError
        from raystead.kube.execs import Target, run
        from raystead.ops.pods import default_container, one_pod

        must_be(command=("a list of strings", command), pod=("a string", pod), stdin=("bytes", stdin))
        if not command:
            raise UsageError("there is no command to run")
        meant = one_pod(self._api, self._anchor(), pod)
        target = Target(self.namespace, str(meant["metadata"]["name"]), default_container(meant))
        return run(self._api, target, command, stdin=stdin)

    @contextmanager
    def connect(self, *, client: bool = False) -> Iterator[Connection]:
        """Local ports that lead to the head while the block lasts, whichever pod that is.

        Args:
            client: also for ray.init("ray://…").

        Raises:
            Forbidden, WrongState (the cluster is suspended)
        """
        from raystead.ops.connect import connect

        must_be(client=("true or false", client))
        with connect(self._api, self._anchor(), client=client) as connection:
            yield connection
