"""raystead in Python: `Cluster`, the same use cases that the command line has.

    with raystead.Cluster.up(workers=4) as cluster:
        print(cluster.status().state)

Everything raises `raystead.errors.RaysteadError`s; nothing prints.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
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
    from raystead.ops.down import Downed
    from raystead.plan.observed import ClusterView, ListRow

__all__ = ["Cluster"]

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


def _ignore(event: Event) -> None:
    """Takes an event that nobody asked for."""


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
    from raystead.spec.yamlio import dump

    if spec is None:
        return None, ""
    if isinstance(spec, Path):
        return spec.read_text(encoding="utf-8"), str(spec)
    if isinstance(spec, RayCluster):
        return dump([spec.document()]), "spec"
    if isinstance(spec, Mapping):
        return dump([dict(spec)]), "spec"
    return spec, "spec"
