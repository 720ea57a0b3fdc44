"""raystead in Python: `Cluster`, the same use cases that the command line has.

    with raystead.Cluster.up(workers=4) as cluster:
        print(cluster.status().state)

Everything raises `raystead.errors.RaysteadError`s; nothing prints but the output of a job you submit.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from raystead.errors import UsageError
from raystead.ops.events import Event, Planned
from raystead.plan.model import Plan
from raystead.spec.flags import Flags
from raystead.spec.model import RayCluster

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.connect import Connection
    from raystead.ops.down import Downed
    from raystead.plan.observed import ClusterView, ListRow
    from raystead.rayapi.jobs import Job

__all__ = ["Cluster", "connect"]


@contextmanager
def connect(
    name: str | None = None,
    *,
    namespace: str | None = None,
    context: str | None = None,
    kubeconfig: str | None = None,
) -> Iterator[str]:
    """The dashboard's address on this machine, "http://127.0.0.1:PORT", while the block lasts.

    RAY_ADDRESS and the token stand in this process' environment meanwhile, so that Ray's own
    `JobSubmissionClient(address)` and programs that are started from here just work.

    Raises:
        ClusterNotFound, Forbidden
    """
    from raystead.ops.connect import environment

    found = Cluster.get(name, namespace=namespace, context=context, kubeconfig=kubeconfig)
    with found.connect() as connection:
        mine = environment(connection)
        before = {key: os.environ.get(key) for key in mine}
        os.environ.update(mine)
        try:
            yield connection.dashboard
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def _ignore(event: object) -> None:
    """Takes an event that nobody asked for."""


def _to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


Spec = str | Path | Mapping[str, Any] | RayCluster
OnEvent = Callable[[Event], None]


class Cluster:
    """One Ray cluster in one namespace; made by `up` or `get`, never directly.

    As a context manager: a cluster that `up` made is deleted at the end of the block, one that `get` found
    is left as it is.

    Attributes:
        name: the cluster's name.
        namespace: where it is.
    """

    def __init__(self, api: Api, name: str, *, ends_with_block: bool = False) -> None:
        self.name = name
        self.namespace = api.namespace
        self._api = api
        self._ends_with_block = ends_with_block

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}, namespace={self.namespace!r})"

    @classmethod
    def up(
        cls,
        spec: Spec | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: str | None = None,
        wait: bool = True,
        timeout: float = 900,
        policies: str | None = None,
        force_conflicts: bool = False,
        on_event: OnEvent | None = None,
        **flags: Any,
    ) -> Cluster:
        """Starts a cluster or brings it to its spec, and waits until its nodes are alive.

        Args:
            spec: a RayCluster: YAML text, a path, a mapping, or the model. None starts from the cluster that
                is there, else from the built-in one.
            timeout: seconds to wait.
            on_event: gets `raystead.ops.events` values while it works.
            flags: the command line's, with underscores: `workers=4, worker_cpu="2", env=("A=b",)`.

        Raises:
            SpecError, Conflict, ClusterExists, NotReady, ApiError, KubeConfigError
        """
        from raystead.ops.changes import prefer_idle
        from raystead.ops.planning import prepare, wanted
        from raystead.ops.up import apply
        from raystead.ops.up import wait as wait_for

        emit = on_event or _ignore
        api = _api(namespace, context, kubeconfig)
        text, filename = _text(spec)
        asked, anchor = wanted(api, _flags(name, flags), text, filename, namespace=namespace)
        prepared = prepare(api, asked, anchor, policies=policies, force=force_conflicts)
        prepared.refuse_problems()
        emit(Planned(prepared.plan))
        prefer_idle(prepared, emit)
        anchor = apply(prepared, emit)
        if wait:
            wait_for(api, anchor, timeout=timeout, emit=emit)
        return cls(api, anchor.name, ends_with_block=True)

    @classmethod
    def plan(
        cls,
        spec: Spec | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: str | None = None,
        policies: str | None = None,
        **flags: Any,
    ) -> Plan:
        """What `up` with the same arguments would do; the server has checked it, nothing is changed."""
        from raystead.ops.planning import prepare, wanted

        api = _api(namespace, context, kubeconfig)
        text, filename = _text(spec)
        asked, anchor = wanted(api, _flags(name, flags), text, filename, namespace=namespace)
        return prepare(api, asked, anchor, policies=policies).plan

    @classmethod
    def get(
        cls,
        name: str | None = None,
        *,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: str | None = None,
    ) -> Cluster:
        """The cluster of that name, or the only one of the namespace.

        Raises:
            ClusterNotFound, UsageError (there are several and none was named)
        """
        from raystead.ops.clusters import anchor_of

        api = _api(namespace, context, kubeconfig)
        return cls(api, anchor_of(api, name).name)

    @classmethod
    def list(
        cls, *, namespace: str | None = None, context: str | None = None, kubeconfig: str | None = None
    ) -> builtins.list[ListRow]:
        """One row for each cluster of the namespace."""
        from raystead.ops.status import clusters

        return builtins.list(clusters(_api(namespace, context, kubeconfig)))

    def status(self) -> ClusterView:
        """The cluster as it is at this moment."""
        from raystead.ops.clusters import anchor_of
        from raystead.ops.status import view

        return view(self._api, anchor_of(self._api, self.name))

    def spec(self) -> RayCluster:
        """The spec that was applied last."""
        from raystead.ops.clusters import anchor_of

        return anchor_of(self._api, self.name).cluster

    def scale(self, *, timeout: float = 900, on_event: OnEvent | None = None, **replicas: int) -> ClusterView:
        """Changes the number of workers of groups, `scale(worker=3)`; idle workers go first. Waits.

        Raises:
            UsageError: there is no such group.
            NotReady, ApiError
        """
        from raystead.ops.changes import prefer_idle
        from raystead.ops.clusters import anchor_of
        from raystead.ops.planning import prepare
        from raystead.ops.specs import Desired, with_cluster
        from raystead.ops.up import apply
        from raystead.ops.up import wait as wait_for
        from raystead.spec.edits import scaled

        emit = on_event or _ignore
        anchor = anchor_of(self._api, self.name)
        prepared = prepare(
            self._api, Desired(with_cluster(anchor.document, scaled(anchor.cluster, replicas))), anchor
        )
        prepared.refuse_problems()
        emit(Planned(prepared.plan))
        prefer_idle(prepared, emit)
        wait_for(self._api, apply(prepared, emit), timeout=timeout, emit=emit)
        return self.status()

    def submit(
        self,
        *command: str,
        working_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        wait: bool = True,
        output: Callable[[str], None] = _to_stdout,
    ) -> Job:
        """Runs a command as a Ray job, its driver on a worker; the job as Ray tells it at the end.

        Args:
            command: the words, or one shell line.
            working_dir: a directory that is sent along; `.gitignore` and `.rayignore` in it count.
            wait: follow the job to its end; False returns as soon as it is submitted.
            output: gets the job's output as it comes.

        Raises:
            UploadTooLarge, RayUnreachable, JobFailed (Ray has forgotten the job)
        """
        from raystead.ops import jobs
        from raystead.ops.clusters import anchor_of
        from raystead.ops.following import follow

        sent = {**(runtime_env or {}), **({"working_dir": str(working_dir)} if working_dir else {})}
        options = jobs.SubmitOptions(entrypoint=command, env=dict(env or {}), runtime_env=sent or None)
        with jobs.job_client(self._api, anchor_of(self._api, self.name)) as client:
            job = jobs.submit(client, options, emit=_ignore, on_worker=True)
            if not wait:
                return client.get(job.id)
            return follow(client, job.id, write=output, tell=_ignore, again=job.again)

    def logs(self, group: str | None = None, *, since: int | None = None) -> Iterator[tuple[str, str]]:
        """The logs of all pods or of one group, as (pod's short name, line), by time; `since` in seconds."""
        from raystead.ops.clusters import anchor_of
        from raystead.ops.logs import Wanted, past

        wanted = Wanted(group, since=since)
        anchor = anchor_of(self._api, self.name)
        names, lines = past(self._api, anchor, wanted, previous=False, skipped=lambda name, why: None)
        for line in lines:
            yield names.of(line.source), line.text

    @contextmanager
    def connect(self, *, client: bool = False) -> Iterator[Connection]:
        """Local ports that lead to the head while the block lasts, whichever pod that is."""
        from raystead.ops.clusters import anchor_of
        from raystead.ops.connect import connect

        with connect(self._api, anchor_of(self._api, self.name), client=client) as connection:
            yield connection

    def down(self, *, keep_data: bool = False, on_event: OnEvent | None = None) -> Downed:
        """Deletes it: everything it owns and nothing else; what remains, if anything, is in the result."""
        from raystead.ops.down import down, found

        return down(self._api, found(self._api, self.name), keep_data=keep_data, emit=on_event or _ignore)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends_with_block:
            self.down()


def _api(namespace: str | None, context: str | None, kubeconfig: str | None) -> Api:
    from raystead.kube.access import load
    from raystead.kube.api import Api

    return Api(load(namespace=namespace, context=context, kubeconfig=kubeconfig))


def _flags(name: str | None, given: dict[str, Any]) -> Flags:
    try:
        return Flags(name=name, **given)
    except TypeError as error:
        word = str(error).rpartition("argument ")[2]
        raise UsageError(f"there is no flag {word}", remedy="help(raystead.spec.flags.Flags)") from None


def _text(spec: Spec | None) -> tuple[str | None, str]:
    """The spec as YAML text with a name for messages."""
    from raystead.spec.text import decode
    from raystead.spec.yamlio import dump

    if spec is None:
        return None, ""
    if isinstance(spec, Path):
        return decode(spec.read_bytes(), str(spec)), str(spec)
    if isinstance(spec, RayCluster):
        return dump([spec.document()]), "spec"
    if isinstance(spec, Mapping):
        return dump([dict(spec)]), "spec"
    return spec, "spec"
