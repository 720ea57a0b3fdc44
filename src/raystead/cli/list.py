"""`raystead list`."""

from __future__ import annotations

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, kube_options, output_option, place_of, quiet_option


@click.command("list", cls=VerbCommand)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Clusters of all namespaces.")
@output_option
@quiet_option
@kube_options
def command(where: Where, everywhere: bool, output: str | None, quiet: bool) -> None:
    """List the clusters: a line each, from their Kubernetes objects; Ray is not asked.

    \b
    raystead list
    raystead list -n team-nlp -o json
    """
    from raystead.plan.listing import DAMAGED, KEPT
    from raystead.ui.plain import Reporter, json_text
    from raystead.ui.status import list_text, rows_json

    reporter = Reporter(quiet=quiet)
    place = place_of(where)
    rows = place.rows(everywhere=everywhere)
    if output == "json":
        click.echo(json_text(rows_json(rows)))
    elif rows:
        click.echo(list_text(rows, namespaces=everywhere))
        for row in rows:
            if row.problem:
                reporter.warn(row.problem)
        living = [row for row in rows if row.state not in (KEPT, DAMAGED)]
        if kept := next((row.name for row in rows if row.state == KEPT), None):
            reporter.hint(f"raystead up --name {kept} uses that data again, raystead down {kept} deletes it")
        elif living:
            space = f" -n {living[0].namespace}" if everywhere else ""
            which = f" {living[0].name}" if len(rows) > 1 else ""
            reporter.hint(f"raystead status{which}{space}")
    else:
        if place.here:
            from raystead.kube.access import unconfigured

            there = "on this machine" + (f", and {missing}" if (missing := unconfigured()) else "")
        else:
            there = "in any namespace" if everywhere else f"in namespace {place.door('list').namespace}"
        reporter.line(f"no cluster {there}")
        reporter.hint("raystead up --local" if place.here else "raystead up")
