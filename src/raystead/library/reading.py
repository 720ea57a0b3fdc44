"""What a program may ask about an existing cluster; nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from raystead.library.handle import ClusterHandle
from raystead.library.inputs import must_be

if TYPE_CHECKING:
    from raystead.live.raycron import Tick
    from raystead.ops.explain import Explanation
    from raystead.plan.observed import ClusterView
    from raystead.spec.documents import RayDocument
    from raystead.spec.model import RayCluster

__all__ = ["ReadableCluster"]


class ReadableCluster(ClusterHandle):
    """`status`, `explain`, `spec`, `token`, `logs`, `ticks`, and the addresses for pods."""

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

    def logs(self, group: str | None = None, *, since: float | None = None) -> Iterator[tuple[str, str]]:
        """The logs of all pods or of one group, as (pod's short name, line), by time; `since` in seconds."""
        from raystead.ops.logs import LogSelection, past

        must_be(group=("a string", group), since=("a number of seconds", since))
        wanted = LogSelection(group, since=None if since is None else max(1, int(since)))
        names, lines = past(self._api, self._anchor(), wanted, previous=False, skipped=lambda name, why: None)
        return ((names.of(line.source), line.text) for line in lines)

    def ticks(self) -> list[Tick]:
        """The ticks of a RayCronJob whose Jobs are still there, the newest first; `tick(id)` for one.

        Raises:
            WrongState: it is not a RayCronJob.
        """
        from raystead.ops.raycrons import ticks_of

        return [*ticks_of(self._api, self._anchor()).state().ticks]
