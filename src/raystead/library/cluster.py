"""`Cluster`: every verb of the command line as a method, with typed results."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from raystead.library.inputs import OnEvent, Spec, SpecFlags, api_of, flags_of, must_be, seconds, text_of
from raystead.library.jobs import JobHandle, clients, ignore, to_stdout

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.kube.execs import Result
    from raystead.ops.anchor import Anchor
    from raystead.ops.connect import Connection
    from raystead.ops.doctor import Examined
    from raystead.ops.down import Downed
    from raystead.ops.events import Done
    from raystead.ops.explain import Explanation
    from raystead.ops.planning import Prepared, Request
    from raystead.ops.specs import Rendered
    from raystead.ops.verify import FaultOutcome
    from raystead.plan.model import Plan
    from raystead.plan.observed import ClusterView, ListRow
    from raystead.rayapi.jobs import Job
    from raystead.spec.documents import RayDocument
    from raystead.spec.model import RayCluster

__all__ = ["Cluster", "connect"]

_TIMEOUT = 900.0  # seconds that a wait may last, as on the command line
_TTL = 600.0  # seconds that a cluster of `run` outlives a process that was killed
_UNCHECKED = "or go on all the same, with checks=False"
KubeConfig = str | os.PathLike[str]


@contextmanager
def connect(
    name: str | None = None,
    *,
    namespace: str | None = None,
    context: str | None = None,
    kubeconfig: KubeConfig | None = None,
) -> Iterator[str]:
    """The dashboard's address on this machine, "http://127.0.0.1:PORT", while the block lasts.

    RAY_ADDRESS and the token stand in this process' environment meanwhile, so that Ray's own
    `JobSubmissionClient(address)` and programs that are started from here just work.

    Raises:
        ClusterNotFound, Forbidden
        WrongState: the cluster is suspended.
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


class Cluster:
    """One Ray cluster in one namespace; made by `up`, `get` or `run`, never directly.

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

    # -- before there is a cluster ----------------------------------------------------------------------

    @classmethod
    def render(
        cls,
        spec: Spec | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        policies: str = "auto",
        **flags: Unpack[SpecFlags],
    ) -> Rendered:
        """The cluster as Kubernetes objects; reads no cluster.

        Raises:
            SpecError, UsageError
        """
        from raystead.manifests.facts import Choices, Facts
        from raystead.ops.specs import desired, render

        must_be(namespace=("a string", namespace), policies=("a string", policies))
        wanted = desired(flags_of(name, flags), *text_of(spec))
        return render(wanted, Facts(namespace=namespace), Choices(policies=policies))

    @classmethod
    def doctor(
        cls,
        spec: Spec | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: KubeConfig | None = None,
        policies: str | None = None,
        probe: bool = False,
        **flags: Unpack[SpecFlags],
    ) -> Examined:
        """Checks what would go wrong with `up` with the same arguments; `examined.checks` tells each.

        Args:
            probe: run a short Job too, for what only a pod can know.

        Raises:
            SpecError, UsageError, ApiUnreachable, KubeConfigError
        """
        from raystead.ops.doctor import examine, subject

        must_be(policies=("a string", policies), probe=("true or false", probe))
        door = api_of(namespace, context, kubeconfig)
        who = subject(door, flags_of(name, flags), *text_of(spec), namespace=namespace)
        return examine(who, up="raystead up", policies=policies, probes=probe)

    @classmethod
    def plan(
        cls,
        spec: Spec | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: KubeConfig | None = None,
        policies: str | None = None,
        **flags: Unpack[SpecFlags],
    ) -> Plan:
        """What `up` with the same arguments would do; the server has checked it, nothing is changed.

        Raises:
            SpecError, UsageError, ApiError, KubeConfigError
        """
        from raystead.ops.planning import prepare

        must_be(policies=("a string", policies))
        api, asked, anchor = _wanted(spec, name, flags, namespace, context, kubeconfig)
        return prepare(api, asked, anchor, policies=policies).plan

    @classmethod
    def up(
        cls,
        spec: Spec | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: KubeConfig | None = None,
        wait: bool = True,
        timeout: float = _TIMEOUT,
        policies: str | None = None,
        force_conflicts: bool = False,
        checks: bool = True,
        on_event: OnEvent | None = None,
        **flags: Unpack[SpecFlags],
    ) -> Cluster:
        """Starts a cluster or brings it to its spec, and waits until its nodes are alive.

        Args:
            spec: a RayCluster: YAML text, a path, a mapping, or the model. None starts from the cluster that
                is there, else from the built-in one.
            wait: False returns as soon as everything is applied; the method `wait` waits then.
            timeout: seconds to wait.
            checks: False goes on although doctor's checks find that the cluster would not be whole.
            on_event: gets `raystead.events` while it works.
            flags: the command line's, with underscores: `workers=4, worker_cpu="2", env=["A=b"]`.

        Raises:
            SpecError, UsageError, Conflict, ClusterExists, ApiError, KubeConfigError
            ProblemsFound: a check of doctor's fails (a quota, a LimitRange); nothing was changed.
            NotReady: not within `timeout`; its `findings` say why. The cluster stays.
        """
        from raystead.ops.bring import bring
        from raystead.ops.checking import refuse_failing
        from raystead.ops.keepers import settled
        from raystead.ops.planning import prepare

        must_be(
            wait=("true or false", wait),
            timeout=("a number of seconds", timeout),
            policies=("a string", policies),
            force_conflicts=("true or false", force_conflicts),
            checks=("true or false", checks),
        )
        api, asked, anchor = _wanted(spec, name, flags, namespace, context, kubeconfig)
        anchor = settled(api, anchor, on_event or ignore)
        prepared = prepare(api, asked, anchor, policies=policies, force=force_conflicts)
        prepared.refuse_problems()
        if checks:
            refuse_failing(prepared, "raystead up", otherwise=_UNCHECKED)
        brought = bring(prepared, on_event or ignore, waits=wait, timeout=timeout)
        return cls(api, brought.anchor.name, ends_with_block=True)

    @classmethod
    @contextmanager
    def run(
        cls,
        spec: Spec | None = None,
        *,
        ttl: float | str = _TTL,
        name: str | None = None,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: KubeConfig | None = None,
        timeout: float = _TIMEOUT,
        policies: str | None = None,
        checks: bool = True,
        on_event: OnEvent | None = None,
        **flags: Unpack[SpecFlags],
    ) -> Iterator[Cluster]:
        """A cluster of its own for a block: made, waited for, and deleted at the end, however that ends.

        Args:
            ttl: how long the cluster outlives this process when that is killed: seconds, or "10m"; at least
                a minute. While the process lives the lease is renewed.
            name: default: the spec's own name, or "run", and a random word.

        Raises:
            ClusterExists: there is one of that name.
            As `up`; nothing is left then.
        """
        from raystead.ops.checking import refuse_failing
        from raystead.ops.run import LEAST_LEASE, named, temporary
        from raystead.ops.specs import located

        lease = seconds("ttl", ttl)
        if lease < LEAST_LEASE:
            seconds("ttl", f"{lease:.0f} (less than a minute)")
        must_be(
            timeout=("a number of seconds", timeout),
            policies=("a string", policies),
            checks=("true or false", checks),
        )
        text, filename = text_of(spec)
        given = flags_of(name or named(text, filename), flags)
        api, asked = located(
            api_of(namespace, context, kubeconfig), given, text, filename, namespace=namespace
        )

        @contextmanager
        def view() -> Iterator[Callable[[Any], None]]:
            yield on_event or ignore

        def check(prepared: Prepared) -> None:
            if checks:
                refuse_failing(prepared, "raystead run", otherwise=_UNCHECKED)

        with temporary(
            api,
            asked,
            lease=int(lease),
            view=view,
            note=on_event or ignore,
            downed=ignore,
            check=check,
            policies=policies,
            timeout=timeout,
        ) as anchor:
            yield cls(api, anchor.name)

    # -- clusters that are there --------------------------------------------------------------------------

    @classmethod
    def get(
        cls,
        name: str | None = None,
        *,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: KubeConfig | None = None,
    ) -> Cluster:
        """The cluster of that name, or the only one of the namespace.

        Raises:
            ClusterNotFound
            UsageError: there are several and none was named.
        """
        from raystead.ops.clusters import anchor_of

        must_be(name=("a string", name))
        api = api_of(namespace, context, kubeconfig)
        return cls(api, anchor_of(api, name).name)

    @classmethod
    def list(
        cls,
        *,
        labels: Mapping[str, str] | None = None,
        all_namespaces: bool = False,
        namespace: str | None = None,
        context: str | None = None,
        kubeconfig: KubeConfig | None = None,
    ) -> builtins.list[ListRow]:
        """One row for each cluster of the namespace.

        Args:
            labels: only clusters that were made with all of these labels (`label=["team=nlp"]`).

        Raises:
            Forbidden, ApiUnreachable, KubeConfigError
        """
        from raystead.ops.listing import clusters

        must_be(labels=("a mapping of strings", labels), all_namespaces=("true or false", all_namespaces))
        api = api_of(namespace, context, kubeconfig)
        return builtins.list(clusters(api, all_namespaces=all_namespaces, chosen=labels or {}))

    def status(self) -> ClusterView:
        """The cluster as it is at this moment."""
        from raystead.ops.status import view

        return view(self._api, self._anchor())

    def explain(self) -> Explanation:
        """Why it is not ready: `explained.findings`, each with what was seen and what to do; reads only."""
        from raystead.ops.explain import look

        return look(self._api, self._anchor())

    def spec(self) -> RayCluster:
        """The spec that was applied last."""
        return self._anchor().cluster

    def document(self) -> RayDocument:
        """The document that was applied last, of whatever kind."""
        return self._anchor().document

    @property
    def ray_address(self) -> str:
        """Where Ray's client connects from inside the Kubernetes cluster, "ray://SERVICE.NAMESPACE.svc:10001"."""
        from raystead.ops.ray import client_port, service_host

        anchor = self._anchor()
        return f"ray://{service_host(anchor)}:{client_port(anchor)}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard and job API from inside the Kubernetes cluster, "http://SERVICE.NAMESPACE.svc:8265"."""
        from raystead.ops.ray import dashboard_port, service_host

        anchor = self._anchor()
        return f"http://{service_host(anchor)}:{dashboard_port(anchor.cluster)}"

    def token(self) -> str | None:
        """What the dashboard and the job API ask for; None where they ask for nothing.

        Raises:
            Forbidden: this user may not read the token's Secret.
        """
        from raystead.ops.secrets import token_for

        return token_for(self._api, self._anchor())

    # -- changes -----------------------------------------------------------------------------------------

    def wait(self, *, timeout: float = _TIMEOUT, on_event: OnEvent | None = None) -> Done:
        """Waits until all pods are ready and all nodes are alive in Ray; changes nothing.

        Raises:
            NotReady: not within `timeout` seconds; its `findings` say why.
            Busy: it was deleted, or another spec was applied in the meantime.
        """
        from raystead.ops.bring import awaited

        must_be(timeout=("a number of seconds", timeout))
        return awaited(self._api, self._anchor(), on_event or ignore, timeout=timeout)

    def scale(
        self,
        counts: Mapping[str, int] | None = None,
        /,
        *,
        wait: bool = True,
        timeout: float = _TIMEOUT,
        on_event: OnEvent | None = None,
        **replicas: int,
    ) -> ClusterView:
        """Changes the number of workers of groups, `scale(worker=3)`; idle workers go first. Waits.

        Args:
            counts: the same by group, for names that are not Python's: `scale({"gpu-large": 2})`.

        Raises:
            UsageError: there is no such group, or a number is not one.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.specs import Desired, with_cluster
        from raystead.spec.edits import scaled

        given = {**(counts or {}), **replicas}
        must_be(**{group: ("a whole number", count) for group, count in given.items()})
        anchor = self._anchor()
        wish = with_cluster(anchor.document, scaled(anchor.cluster, given))
        waits = wait and not anchor.suspended
        self._bring(Desired(wish), anchor, waits=waits, timeout=timeout, on_event=on_event)
        return self.status()

    def restart(
        self, *groups: str, wait: bool = True, timeout: float = _TIMEOUT, on_event: OnEvent | None = None
    ) -> ClusterView:
        """Restarts all workers, one at a time in each group; or only these groups; "head" is the head.

        Raises:
            UsageError: there is no such group.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.restart import groups_named, stamp
        from raystead.ops.specs import Desired

        must_be(groups=("a list of strings", groups))
        anchor = self._anchor()
        restart = dict.fromkeys(groups_named(anchor.cluster, groups), stamp())
        asked = Desired(anchor.document)
        self._bring(asked, anchor, restart=restart, waits=wait, timeout=timeout, on_event=on_event)
        return self.status()

    def suspend(
        self, *, lose_state: bool = False, timeout: float = _TIMEOUT, on_event: OnEvent | None = None
    ) -> ClusterView:
        """Stops all pods and keeps the spec and the GCS' state, which `resume` brings back.

        Args:
            lose_state: also where the state is kept nowhere and is lost with the head.

        Raises:
            WrongState: it keeps its state in the head's memory alone.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.specs import Desired, with_suspend
        from raystead.ops.suspending import refuse_loss

        must_be(lose_state=("true or false", lose_state))
        anchor = self._anchor()
        if not lose_state:
            refuse_loss(anchor)
        asked = Desired(with_suspend(anchor.document, True))
        self._bring(asked, anchor, waits=True, timeout=timeout, on_event=on_event)
        return self.status()

    def resume(
        self, *, wait: bool = True, timeout: float = _TIMEOUT, on_event: OnEvent | None = None
    ) -> ClusterView:
        """Starts a suspended cluster again, with its spec and its state.

        Raises:
            NotReady, Conflict, ApiError
        """
        from raystead.ops.specs import Desired, with_suspend

        anchor = self._anchor()
        asked = Desired(with_suspend(anchor.document, False))
        self._bring(asked, anchor, waits=wait, timeout=timeout, on_event=on_event)
        return self.status()

    def verify(
        self,
        *faults: str,
        beside_jobs: bool = False,
        on_event: Callable[[str | FaultOutcome], None] | None = None,
    ) -> builtins.list[FaultOutcome]:
        """Proves that it survives: deletes its head, Redis, a worker, under a job and an actor of its own.

        Args:
            faults: of "head", "redis", "worker"; default: all that can be survived.
            beside_jobs: also while jobs of others run.

        Raises:
            WrongState: jobs run, or it is not whole now.
            Unsupported: nothing of this cluster could survive.
            UsageError, NotReady
        """
        from raystead.ops.verify import new_id, possible, refuse_beside_jobs, verify

        must_be(faults=("a list of strings", faults), beside_jobs=("true or false", beside_jobs))
        anchor = self._anchor()
        chosen = possible(anchor, faults)
        if not beside_jobs:
            refuse_beside_jobs(self._api, anchor)
        return verify(self._api, anchor, chosen, new_id(), on_event or ignore)

    def down(self, *, keep_data: bool = False, on_event: OnEvent | None = None) -> Downed:
        """Deletes it: everything it owns and nothing else; what remains, if anything, is in the result."""
        from raystead.ops.down import down, found

        must_be(keep_data=("true or false", keep_data))
        return down(self._api, found(self._api, self.name), keep_data=keep_data, emit=on_event or ignore)

    # -- jobs and pods --------------------------------------------------------------------------------------

    def submit(
        self,
        *command: str,
        working_dir: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        submission_id: str | None = None,
        wait: bool = True,
        output: Callable[[str], None] = to_stdout,
    ) -> Job:
        """Runs a command as a Ray job, its driver on a worker; the job as Ray tells it at the end.

        Args:
            command: the words, or one shell line.
            working_dir: a directory that is sent along; `.gitignore` and `.rayignore` in it count.
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
            metadata=("a mapping of strings", metadata),
            submission_id=("a string", submission_id),
            wait=("true or false", wait),
        )
        sent = dict(runtime_env or {})
        if working_dir is not None:
            sent["working_dir"] = os.fspath(working_dir)
        options = jobs.SubmitOptions(
            entrypoint=command,
            env=dict(env or {}),
            metadata=dict(metadata or {}),
            runtime_env=sent or None,
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

    def jobs(self) -> builtins.list[Job]:
        """All jobs that Ray knows, the newest first.

        Raises:
            RayUnreachable, WrongState (the cluster is suspended)
        """
        from raystead.ops.jobs import newest_first

        with clients(self._api, self._anchor()) as (client, _):
            return newest_first(client.list())

    def logs(self, group: str | None = None, *, since: float | None = None) -> Iterator[tuple[str, str]]:
        """The logs of all pods or of one group, as (pod's short name, line), by time; `since` in seconds."""
        from raystead.ops.logs import LogSelection, past

        must_be(group=("a string", group), since=("a number of seconds", since))
        wanted = LogSelection(group, since=None if since is None else max(1, int(since)))
        names, lines = past(self._api, self._anchor(), wanted, previous=False, skipped=lambda name, why: None)
        return ((names.of(line.source), line.text) for line in lines)

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

        must_be(command=("a list of strings", command), pod=("a string", pod))
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

        with connect(self._api, self._anchor(), client=client) as connection:
            yield connection

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends_with_block:
            self.down()

    def _anchor(self) -> Anchor:
        from raystead.ops.clusters import anchor_of

        return anchor_of(self._api, self.name)

    def _bring(
        self,
        asked: Any,
        anchor: Anchor,
        *,
        waits: bool,
        timeout: float,
        on_event: OnEvent | None,
        restart: Mapping[Any, str] | None = None,
    ) -> None:
        from raystead.ops.bring import bring
        from raystead.ops.planning import prepare

        must_be(wait=("true or false", waits), timeout=("a number of seconds", timeout))
        prepared = prepare(self._api, asked, anchor, restart=restart)
        bring(prepared, on_event or ignore, waits=waits, timeout=timeout)


def _wanted(
    spec: Spec | None,
    name: str | None,
    flags: Mapping[str, Any],
    namespace: str | None,
    context: str | None,
    kubeconfig: KubeConfig | None,
) -> Request:
    """What is asked for, and where; everything is checked before the server is asked."""
    from raystead.ops.planning import wanted

    text, filename = text_of(spec)
    given = flags_of(name, flags)
    return wanted(api_of(namespace, context, kubeconfig), given, text, filename, namespace=namespace)
