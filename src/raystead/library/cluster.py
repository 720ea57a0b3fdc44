"""`Cluster`: every verb of the command line as a method, with typed results."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from raystead.library.changing import ChangeableCluster
from raystead.library.handle import TIMEOUT, UNCHECKED
from raystead.library.inputs import OnEvent, Spec, SpecFlags, api_of, flags_of, must_be, seconds, text_of
from raystead.library.jobs import ignore
from raystead.library.working import WorkableCluster

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.doctor import Examined
    from raystead.ops.planning import Prepared, Request
    from raystead.ops.specs import Rendered
    from raystead.plan.listing import ListRow
    from raystead.plan.model import Plan

__all__ = ["Cluster", "connect"]

_TTL = 600.0  # seconds that a cluster of `run` outlives a process that was killed
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


class Cluster(ChangeableCluster, WorkableCluster):
    """One Ray cluster in one namespace; made by `up`, `get` or `run`, never directly.

    As a context manager: a cluster that `up` made is deleted at the end of the block, one that `get` found
    is left as it is.

    Attributes:
        name: the cluster's name.
        namespace: where it is.
    """

    def __init__(self, api: Api, name: str, *, ends_with_block: bool = False) -> None:
        super().__init__(api, name)
        self._ends_with_block = ends_with_block

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
    def schema(cls) -> dict[str, Any]:
        """The JSON Schema of RayCluster files, for editors and for programs that write them."""
        from raystead.spec.schema import json_schema

        return json_schema()

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
        from raystead.ops.doctor import examine, subject_of

        must_be(policies=("a string", policies), probe=("true or false", probe))
        door = api_of(namespace, context, kubeconfig)
        subject = subject_of(door, flags_of(name, flags), *text_of(spec), namespace=namespace)
        return examine(subject, up="raystead up", policies=policies, probes=probe)

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
        timeout: float = TIMEOUT,
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
        from raystead.ops.typed import up_words

        must_be(
            wait=("true or false", wait),
            timeout=("a number of seconds", timeout),
            policies=("a string", policies),
            force_conflicts=("true or false", force_conflicts),
            checks=("true or false", checks),
            on_event=("a function", on_event),
        )
        api, asked, anchor = _wanted(spec, name, flags, namespace, context, kubeconfig)
        anchor = settled(api, anchor, on_event or ignore)
        prepared = prepare(api, asked, anchor, policies=policies, force=force_conflicts)
        prepared.refuse_problems()
        if checks:
            refuse_failing(prepared, up_words(prepared.cluster.name), otherwise=UNCHECKED)
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
        timeout: float = TIMEOUT,
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
            on_event=("a function", on_event),
        )
        text, filename = text_of(spec)
        given = flags_of(name or named(text, filename), flags)
        api, asked = located(
            api_of(namespace, context, kubeconfig), given, text, filename, namespace=namespace
        )

        @contextmanager
        def view() -> Iterator[OnEvent]:
            yield on_event or ignore

        def check(prepared: Prepared) -> None:
            if checks:
                refuse_failing(prepared, "raystead run", otherwise=UNCHECKED)

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

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends_with_block:
            self.down()


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
