"""`raystead explain`."""

from __future__ import annotations

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, output_option, place_of, quiet_option


@click.command("explain", cls=VerbCommand)
@cluster_options
@output_option
@quiet_option
def command(name: str | None, where: Where, output: str | None, quiet: bool) -> None:
    """Say why a cluster is not ready: what was seen, what it means, what to do. It only reads.

    \b
    raystead explain
    raystead explain my-cluster -o json
    """
    from raystead.cli.reporting import reporter_for
    from raystead.cli.retyped import placed
    from raystead.ops.clusters import anchor_of
    from raystead.ops.explain import look
    from raystead.ui.findings import explained_json, explained_text
    from raystead.ui.plain import json_text

    reporter = reporter_for(quiet=quiet)
    api = place_of(where).door("explain")
    explained = look(api, anchor_of(api, name))
    if output == "json":
        click.echo(json_text(explained_json(explained)))
        return
    click.echo(placed(explained_text(explained)))
    for text in explained.unread:
        reporter.warn(f"not read: {text}")
    if not explained.findings and explained.ready < explained.wanted:
        reporter.hint("raystead status")
