"""`raystead down`."""

from __future__ import annotations

import sys
import time

import click

from raystead.cli.options import Where, cluster_options, door, quiet_option
from raystead.errors import UsageError
from raystead.ui.plain import Reporter


@click.command("down")
@cluster_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--ignore-not-found", is_flag=True, help="Succeed when there is no cluster.")
@click.option("--keep-data", is_flag=True, help="Keep the volume: the next up finds the actors' state again.")
@quiet_option
def command(
    name: str | None, where: Where, yes: bool, ignore_not_found: bool, keep_data: bool, quiet: bool
) -> None:
    """Delete the cluster: everything it owns and nothing else.

    \b
    raystead down
    raystead down --keep-data        keep the volume with the actors' state
    raystead down other --yes
    """
    from raystead.errors import ClusterNotFound

    reporter = Reporter(quiet=quiet)
    try:
        if where.here:
            _local(reporter, name, yes)
        else:
            _there(reporter, where, name, yes, keep_data)
    except ClusterNotFound as error:
        if not ignore_not_found:
            where_to = "raystead list --local" if where.here else "raystead list -A"
            error.remedy = f"{where_to} shows what there is"
            raise


def _there(reporter: Reporter, where: Where, name: str | None, yes: bool, keep_data: bool) -> None:
    from raystead.cli.waits import follow
    from raystead.errors import Remains
    from raystead.ops.clusters import anchor_of
    from raystead.ops.down import down, found

    api = door(where)
    chosen = name or anchor_of(api, None).name
    _refuse_to_guess(name, chosen, yes)
    what = found(api, chosen)
    if not yes and sys.stdin.isatty():
        data = "its volume is kept" if keep_data else "its actors, jobs and their state are lost"
        question = f'delete "{what.name}" in namespace {api.namespace}: {len(what.pods)} pods; {data}?'
        click.confirm(question, abort=True, err=True)
    with follow(reporter, api, what.name, "raystead down") as emit:
        done = down(api, what, keep_data=keep_data, emit=emit)
    for text in done.kept:
        reporter.warn(f"left: {text}")
    if done.remains:
        raise Remains(
            f'"{done.name}" is not wholly gone after {done.seconds:.0f} s',
            evidence="; ".join(done.remains),
            remedy="raystead down again, or look at the above with kubectl describe",
        )
    reporter.step(f'"{done.name}" is gone: {done.removed} objects', done.seconds)


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

    place = local_place(name)
    _refuse_to_guess(name, place.name, yes)
    if not yes and sys.stdin.isatty():
        status = place.status()
        click.confirm(
            f'stop "{status.name}": {len(status.nodes)} nodes, their jobs and their state?',
            abort=True,
            err=True,
        )
    begin = time.monotonic()
    place.down(on_event=lambda event: reporter.warn(event.text) if event.kind == "warning" else None)
    reporter.step("everything stopped", time.monotonic() - begin)
