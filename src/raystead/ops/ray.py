"""Ray's dashboard of a cluster in a namespace, over a forward that we hold ourselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from raystead.base import labels
from raystead.errors import ApiError, RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection
from raystead.manifests.living import Living

if TYPE_CHECKING:
    from raystead.kube.forward import Forward
    from raystead.ops.anchor import Anchor
    from raystead.spec.model import RayCluster

__all__ = [
    "DashboardAnswer",
    "asked",
    "asked_now",
    "client_port",
    "dashboard_port",
    "head_forward",
    "head_of",
    "head_picker",
    "service_host",
]


def dashboard_port(cluster: RayCluster) -> int:
    return _port(cluster, "dashboard-port")


def client_port(anchor: Anchor) -> int:
    """Where the head takes ray.init("ray://…")."""
    return int(anchor.doors.get("client") or _port(anchor.cluster, "ray-client-server-port"))


def _port(cluster: RayCluster, parameter: str) -> int:
    from raystead.manifests.start import start_params

    return int(start_params(cluster, cluster.spec.head, head=True)[parameter])


def head_of(pods: Sequence[Json]) -> Json | None:
    """The head pod that serves now: running, not going; the newest of several."""
    heads = [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(labels.NODE_TYPE) == "head"
        and not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") == "Running"
    ]
    return max(heads, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def head_picker(api: Api, name: str) -> Callable[[], str]:
    """Names the head pod at each call, for a forward.

    Raises (when called):
        ApiError: no head pod runs.
    """

    def pick() -> str:
        selector = f"{labels.OURS}={name},{labels.NODE_TYPE}=head"
        head = head_of(api.list(collection(api.namespace, "Pod"), labels=selector))
        if head is None:
            raise ApiError(
                f'the head of "{name}" does not run now',
                evidence=f"no running pod with the labels {selector}",
                remedy="raystead explain",
            )
        return str(head["metadata"]["name"])

    return pick


def service_host(anchor: Anchor) -> str:
    """The head's Service by its DNS name, as pods of the Kubernetes cluster know it."""
    from raystead.manifests.context import Context

    return Context(anchor.cluster, anchor.with_facts()).head_host


@contextmanager
def head_forward(api: Api, anchor: Anchor, port: int = 0, *, local_port: int = 0) -> Iterator[Forward]:
    """A local port that leads to the head, whichever pod that is; `port` 0 is the dashboard's."""
    from raystead.kube.forward import Forward

    remote = port or int(anchor.doors.get("dashboard") or dashboard_port(anchor.cluster))
    with Forward(api, api.namespace, head_picker(api, anchor.name), remote, local_port) as forward:
        yield forward


class DashboardAnswer(NamedTuple):
    """What the dashboard said: `nodes` None and `error` where it refused to list them.

    `autoscaler` is the text of `ray status`, "" where it was not told or not asked for.
    """

    nodes: Json | None
    living: Living
    error: RaysteadError | None = None
    autoscaler: str = ""


def asked(api: Api, cluster: RayCluster, token: str | None, pick: Callable[[], str]) -> DashboardAnswer:
    """The dashboard, asked once for itself and for its nodes.

    Raises:
        ApiError: the head cannot be reached.
    """
    from raystead.kube.forward import Forward
    from raystead.rayapi.nodes import NodesClient

    with Forward(api, api.namespace, pick, dashboard_port(cluster)) as forward:
        client = NodesClient(forward.url, token)
        try:
            living = client.living()
            text = client.autoscaler() if cluster.spec.enable_in_tree_autoscaling else ""
            try:
                return DashboardAnswer(client.nodes(), living, autoscaler=text)
            except RaysteadError as error:
                return DashboardAnswer(None, living, error, text)
        finally:
            client.close()


def asked_now(api: Api, anchor: Anchor, pods: Sequence[Json]) -> DashboardAnswer | None:
    """The same of the head among a cluster's pods, with the cluster's token; None where no head runs.

    Raises:
        Forbidden: this user may not read the token, or not reach the head.
        RaysteadError: the head cannot be reached.
    """
    from raystead.ops.secrets import token_of

    head = head_of(pods)
    if head is None:
        return None
    name = str(head["metadata"]["name"])
    token = token_of(api, anchor.cluster, anchor.with_facts())
    return asked(api, anchor.cluster, token, lambda: name)
