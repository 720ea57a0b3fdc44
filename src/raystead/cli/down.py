"""`raystead down`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from raystead.base.text import plural
from raystead.cli.changing import confirm
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, door, quiet_option, read_file
from raystead.cli.reporting import reporter_for
from raystead.cli.retyped import place_flags
from raystead.errors import UsageError
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.down import Found


@click.command("down", cls=VerbCommand)
@click.option(
    "-f", "--file", "file", metavar="FILE", help="The file given to `up`: delete its other objects too."
)
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; needed without a terminal where no cluster is named."
)
@click.option("--ignore-not-found", is_flag=True, help="Succeed when there is no cluster.")
@click.option("--keep-data", is_flag=True, help="Keep the volume: the next up finds the actors' state again.")
@cluster_options
@quiet_option
def command(
    name: str | None,
    where: Where,
    file: str | None,
    yes: bool,
    ignore_not_found: bool,
    keep_data: bool,
    quiet: bool,
) -> None:
    """Delete the cluster: everything it owns and nothing else.

    With -f also what came with the file, where it is provably what `up` applied.

    \b
    raystead down
    raystead down --keep-data        keep the volume with the actors' state
    raystead down other --yes
    raystead down -f raycluster.yaml
    """
    from raystead.errors import ClusterNotFound

    reporter = reporter_for(quiet=quiet)
    try:
        if where.here and file is not None:
            raise UsageError("a local cluster brings nothing along with its file", remedy="leave -f out")
        if where.here:
            _local(reporter, name, yes)
        else:
            _there(reporter, where, name, file, yes, keep_data)
    except ClusterNotFound as error:
        if not ignore_not_found:
            error.remedy = "raystead list --local shows what there is"
            if not where.here:
                error.remedy = f"raystead list{place_flags(None, where)} shows what there is"
            raise


def _there(
    reporter: Reporter, where: Where, name: str | None, file: str | None, yes: bool, keep_data: bool
) -> None:
    from raystead.cli.waits import follow
    from raystead.errors import ClusterNotFound, Remains
    from raystead.ops.clusters import anchor_of
    from raystead.ops.down import down, found

    api = door(where)
    others: tuple[dict[str, Any], ...] = ()
    if file is not None:
        api, name, others = _of_file(api, where, name, file)
    chosen = name or anchor_of(api, None).name
    _refuse_to_guess(name, chosen, yes)
    try:
        what = found(api, chosen)
    except ClusterNotFound:
        if not others or not _remove(reporter, api, chosen, others, yes, keep_data):
            raise
        return
    if not yes and sys.stdin.isatty():
        confirm(reporter, f"delete {_costs(what, api.namespace, len(others), keep_data)}. Go on?")
    with follow(reporter, api, what.name, f"raystead down {chosen}") as emit:
        done = down(api, what, keep_data=keep_data, emit=emit)
    for text in done.kept:
        if not (others and "came with the file" in text):
            reporter.warn(f"left: {text}")
    if done.remains:
        raise Remains(
            f'"{done.name}" is not completely gone after {done.seconds:.0f} s',
            evidence="; ".join(done.remains),
            remedy=f"raystead down {done.name} again, or look at the above with kubectl describe",
        )
    reporter.step(f'"{done.name}" is gone: {plural(done.made or done.removed, "object")}', done.seconds)
    if others:
        _remove(reporter, api, chosen, others, True, keep_data)


def _costs(what: Found, namespace: str, others: int, keep_data: bool) -> str:
    """`"mine" in namespace team with 4 pods: its volume is kept`."""
    if what.anchor is None and not what.pods:
        data = "the data that was kept is lost"
    else:
        data = "its volume is kept" if keep_data else "its actors, jobs and their state are lost"
    there = [plural(len(what.pods), "pod")] if what.pods else []
    there += [plural(others, "object") + " of the file"] if others else []
    return f'"{what.name}" in namespace {namespace}{" with " * bool(there)}{" and ".join(there)}: {data}'


def _of_file(
    api: Api, where: Where, name: str | None, file: str
) -> tuple[Api, str, tuple[dict[str, Any], ...]]:
    """Where the file's cluster is, its name, and the file's other documents."""
    from raystead.ops.specs import generates, located
    from raystead.spec.flags import Flags

    text, filename = read_file(file)
    if not name and (stem := generates(text or "", filename)):
        raise UsageError(
            f"{filename} does not say which of its jobs: each has a name of its own ({stem}…)",
            remedy="raystead list, then raystead down NAME",
        )
    api, asked = located(api, Flags(name=name), text, filename, namespace=where.namespace)
    return api, asked.cluster.name, asked.foreign


def _remove(
    reporter: Reporter,
    api: Api,
    name: str,
    others: tuple[dict[str, Any], ...],
    yes: bool,
    keep_data: bool,
) -> bool:
    """Deletes what else the file brought; whether anything of it was there."""
    from raystead.cli.waits import follow
    from raystead.ops.removing import remove

    if not yes and sys.stdin.isatty():
        confirm(reporter, f"delete {plural(len(others), 'object')} of the file. Go on?")
    begin = time.monotonic()
    with follow(reporter, api, name, f"raystead down {name}") as emit:
        done = remove(api, others, keep_data=keep_data, emit=emit)
    for text in done.left:
        reporter.warn(f"left: {text}")
    if done.removed:
        reporter.step(f"gone with the file: {', '.join(done.removed)}", time.monotonic() - begin)
    return bool(done.removed or done.left)


def _refuse_to_guess(name: str | None, only: str, yes: bool) -> None:
    """Without a terminal nobody can be asked whether the only cluster there is, is the one that was meant."""
    if name is None and not yes and not sys.stdin.isatty():
        raise UsageError(
            "no cluster was named, and there is no terminal to ask at",
            evidence=f'the only one there is "{only}", which somebody else may have made',
            remedy=f"raystead down {only}, or raystead down --yes for whichever is the only one",
        )


def _local(reporter: Reporter, name: str | None, yes: bool) -> None:
    from raystead.ops.clusters import local_place
    from raystead.ui.progress import waiting

    place = local_place(name)
    _refuse_to_guess(name, place.name, yes)
    if not yes and sys.stdin.isatty():
        status = place.status()
        lost = f"{plural(len(status.nodes), 'node')}, their jobs and their state are lost"
        confirm(reporter, f'stop "{status.name}": {lost}. Go on?')
    begin = time.monotonic()
    with waiting(reporter, f'stopping "{place.name}"'):
        place.down()
    reporter.step("everything stopped", time.monotonic() - begin)
