"""`raystead exec`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from raystead.cli.dashes import WithCommand, typed_command
from raystead.cli.options import Where, cluster_options, place_of
from raystead.errors import ClusterNotFound, UsageError

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor

_SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")


@click.command("exec", cls=WithCommand)
@click.option("--group", metavar="GROUP", help="Into a pod of this worker group; default: the head.")
@click.option("--pod", metavar="POD", help="Into this pod.")
@click.option("--container", metavar="NAME", help="Into this container; default: the pod's first.")
@click.option(
    "--tty/--no-tty", default=None, help="Allocate a terminal; default: if stdin and stdout are one."
)
@cluster_options
def command(
    name: str | None,
    where: Where,
    group: str | None,
    pod: str | None,
    container: str | None,
    tty: bool | None,
) -> None:
    """Run a command in the head, or in a worker; without a command a shell. Its exit code is ours.

    Ray's address and token are in its environment: ray.init() and `ray status` just work.

    \b
    raystead exec
    raystead exec -- python -c 'import ray; ray.init(); print(ray.nodes())'
    raystead exec worker -- df -h /dev/shm
    """
    from raystead.kube.execs import Target, interactive
    from raystead.ops.keepers import in_use
    from raystead.ops.pods import default_container, one_pod

    if group and pod:
        raise UsageError("--group and --pod exclude each other")
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if tty and not sys.stdin.isatty():
        raise UsageError("there is no terminal here for --tty", remedy="leave --tty out")
    api = place_of(where).door("exec")
    anchor, place = _meant(api, name)
    if place and (pod or group):
        raise UsageError(
            f'both "{place}" and --{"pod" if pod else "group"} say where', remedy="give one of them"
        )
    meant = one_pod(api, anchor, pod or group or place or "head")
    target = Target(api.namespace, meant["metadata"]["name"], container or default_container(meant))
    words = typed_command() or _SHELL
    with in_use(api, anchor):
        code = interactive(api, target, words, tty=terminal if tty is None else tty)
    sys.exit(code)


def _meant(api: Api, name: str | None) -> tuple[Anchor, str | None]:
    """The cluster, and the group or pod where the word is not a cluster's name: `raystead exec worker`.

    Raises:
        ClusterNotFound: the word names neither.
    """
    from raystead.ops.anchor import decoded
    from raystead.ops.clusters import anchor_of, undecoded
    from raystead.ops.pods import groups, named, pods_of

    try:
        return anchor_of(api, name), None
    except ClusterNotFound:
        there = undecoded(api) if name else {}
        if name and len(there) == 1:
            only = decoded(*there.values())
            if name in map(str, groups(only)) or any(named(pod, name) for pod in pods_of(api, only)):
                return only, name
        raise
