"""`raystead status`."""

from __future__ import annotations

import sys
import time

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, door, quiet_option


@click.command("status", cls=VerbCommand)
@click.option(
    "-o", "output", type=click.Choice(["wide", "json"]), help="wide: a line per pod; json: everything."
)
@cluster_options
@quiet_option
def command(name: str | None, where: Where, output: str | None, quiet: bool) -> None:
    """Show what a cluster wants and has now: pods, nodes alive in Ray, resources, drift, losses.

    The JSON is a RayCluster with the status that KubeRay would write, and under "raystead" all the rest.

    \b
    raystead status
    raystead status -o wide
    raystead status -o json | jq .status.readyWorkerReplicas
    """
    if where.here:
        _local(name, output)
        return
    from raystead.cli.reporting import reporter_for
    from raystead.cli.retyped import placed
    from raystead.ops.clusters import anchor_of
    from raystead.ops.status import view
    from raystead.plan.observed import view_json
    from raystead.ui.plain import json_text
    from raystead.ui.status import next_command, status_text

    api = door(where)
    seen = view(api, anchor_of(api, name))
    if output == "json":
        click.echo(json_text(view_json(seen)))
        return
    width = None
    if sys.stdout.isatty():
        import shutil

        width = shutil.get_terminal_size().columns
    click.echo(placed(status_text(seen, now=api.now(), width=width, wide=output == "wide")))
    reporter_for(quiet=quiet).hint(next_command(seen, named=name is not None))


def _local(name: str | None, output: str | None) -> None:
    from raystead.base.times import rounded
    from raystead.cli.show import status_json, status_text
    from raystead.ops.clusters import local_place
    from raystead.ui.plain import json_text

    status = local_place(name).status()
    if output == "json":
        click.echo(json_text(status_json(status)))
    else:
        click.echo(status_text(status, rounded(max(0.0, time.time() - status.started))))
