"""`raystead down`."""

from __future__ import annotations

import sys
import time

import click

from raystead.cli.options import Where, place_options, quiet_option


@click.command("down")
@place_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--ignore-not-found", is_flag=True, help="Succeed when there is no cluster.")
@quiet_option
def command(name: str | None, where: Where, yes: bool, ignore_not_found: bool, quiet: bool) -> None:
    """Stop the cluster: every process it started, and its state.

    \b
    raystead down
    raystead down --name other --yes
    """
    from raystead.errors import ClusterNotFound
    from raystead.ops.clusters import local_place
    from raystead.ui.plain import Reporter

    reporter = Reporter(quiet=quiet)
    try:
        place = local_place(name)
    except ClusterNotFound:
        if ignore_not_found:
            return
        raise
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
