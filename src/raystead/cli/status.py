"""`raystead status`."""

from __future__ import annotations

import json
import time

import click

from raystead.cli.options import Where, output_option, place_options


@click.command("status")
@place_options
@output_option
def command(name: str | None, where: Where, output: str | None) -> None:
    """Show the cluster's nodes, live.

    \b
    raystead status
    raystead status -o json
    """
    from raystead.cli.show import status_json, status_text
    from raystead.ops.clusters import local_place
    from raystead.ui.plain import rounded

    status = local_place(name).status()
    if output == "json":
        click.echo(json.dumps(status_json(status), indent=2))
    else:
        click.echo(status_text(status, rounded(max(0.0, time.time() - status.started))))
