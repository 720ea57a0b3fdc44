"""`connect` and `token`: local ports that lead to a cluster, and what Ray's own clients need to use them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raystead.errors import PortInUse, RaysteadError

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.kube.forward import Forward
    from raystead.ops.anchor import Anchor

__all__ = ["Connection", "as_shell", "connect", "environment", "token_environment"]

_USUAL = 8265  # Ray's own port of the dashboard


@dataclass(frozen=True)
class Connection:
    """Addresses of one cluster on this machine, good until the block that made them ends.

    Attributes:
        dashboard: "http://127.0.0.1:PORT", also the address for `ray job submit`.
        client: "ray://127.0.0.1:PORT" for ray.init, where it was asked for.
        token: what the dashboard asks for; None where tokens are off.
        why: asked after a request that failed: what keeps the head from answering, where that is known.
    """

    name: str
    dashboard: str
    client: str | None
    token: str | None = field(repr=False)
    forwards: tuple[Forward, ...] = field(repr=False, default=())
    why: Callable[[], RaysteadError | None] = field(repr=False, default=lambda: None)

    @property
    def trouble(self) -> RaysteadError | None:
        """Why the newest use of an address failed; None while they work."""
        return next((f.last_error for f in self.forwards if f.last_error is not None), None)

    def check(self) -> RaysteadError | None:
        """Asks the dashboard for its version: why it does not answer, or None."""
        from raystead.rayapi.jobs import JobClient

        with JobClient(self.dashboard, self.token, timeout=5, why=self.why) as client:
            try:
                client.version()
            except RaysteadError as error:
                return error
        return None


@contextmanager
def connect(
    api: Api, anchor: Anchor, *, port: int | None = 0, client: bool = False, client_port: int = 0
) -> Iterator[Connection]:
    """Holds the ports open; they follow the head to whichever pod it is.

    Args:
        port, client_port: local ports of 127.0.0.1; 0 takes free ones. None takes 8265, which people type by
            heart, where it is free here.
        client: also for ray.init("ray://…").

    Raises:
        WrongState: the cluster is suspended.
        ClusterNotFound: it has ended by itself, as it was idle.
        PortInUse: a local port is taken.
        Forbidden: this user may not read the token's Secret.
    """
    from raystead.ops import keepers, secrets
    from raystead.ops.ray import client_port as remote_client_port
    from raystead.ops.ray import head_forward
    from raystead.ops.reaching import Reasons
    from raystead.ops.suspending import refuse_rest

    refuse_rest(anchor)
    token = secrets.token_for(api, anchor)
    with ExitStack() as stack:
        stack.enter_context(keepers.in_use(api, anchor))
        forwards = [_dashboard(stack, api, anchor, port)]
        if client:
            remote = remote_client_port(anchor)
            forwards.append(stack.enter_context(head_forward(api, anchor, remote, local_port=client_port)))
        ray = f"ray://{forwards[1].address}" if client else None
        why = Reasons(api, anchor, lambda: forwards[0].last_error)
        yield Connection(anchor.name, forwards[0].url, ray, token, tuple(forwards), why)


def _dashboard(stack: ExitStack, api: Api, anchor: Anchor, port: int | None) -> Forward:
    from raystead.ops.ray import head_forward

    if port is not None:
        return stack.enter_context(head_forward(api, anchor, local_port=port))
    try:
        return stack.enter_context(head_forward(api, anchor, local_port=_USUAL))
    except PortInUse:
        return stack.enter_context(head_forward(api, anchor))


def environment(connection: Connection) -> dict[str, str]:
    """What Ray's clients read: `ray job` the dashboard's address, ray.init the client's if there is one."""
    return {
        "RAY_ADDRESS": connection.client or connection.dashboard,
        "RAY_API_SERVER_ADDRESS": connection.dashboard,
        **token_environment(connection.token),
    }


def token_environment(token: str | None) -> dict[str, str]:
    """The token for Ray's clients; Ray ignores one without the mode (docs/facts/ray.md#tokens)."""
    if token is None:
        return {"RAY_AUTH_MODE": "disabled"}
    headers = json.dumps({"Authorization": f"Bearer {token}"})
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_JOB_HEADERS": headers}


def as_shell(env: dict[str, str]) -> str:
    """Lines for `eval`."""
    return "\n".join(f"export {key}={shlex.quote(value)}" for key, value in env.items())
