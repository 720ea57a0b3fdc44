"""`raystead list`."""

from __future__ import annotations

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, kube_options, output_option, place_of, quiet_option
from raystead.cli.retyped import place_flags


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
    from raystead.cli.reporting import reporter_for
    from raystead.plan.listing import DAMAGED, KEPT, ListRow
    from raystead.ui.plain import json_text
    from raystead.ui.status import list_text, rows_json

    reporter = reporter_for(quiet=quiet)
    place = place_of(where)
    rows = place.rows(everywhere=everywhere)
    if output == "json":
        click.echo(json_text(rows_json(rows)))
    elif rows:
        click.echo(list_text(rows, namespaces=everywhere))
        for row in rows:
            if row.problem:
                reporter.warn(row.problem)

        def named(row: ListRow) -> str:
            """What makes a hint mean the place that was listed, and in it the row's namespace."""
            return place_flags(None, where._replace(namespace=row.namespace) if everywhere else where)

        living = [row for row in rows if row.state not in (KEPT, DAMAGED)]
        if kept := next((row for row in rows if row.state == KEPT), None):
            uses = f"raystead up --name {kept.name}{named(kept)} uses that data again"
            reporter.hint(f"{uses}, raystead down {kept.name}{named(kept)} deletes it")
        elif living:
            which = f" {living[0].name}" if len(rows) > 1 else ""
            reporter.hint(f"raystead status{which}{named(living[0])}")
    else:
        if place.here:
            from raystead.kube.access import unconfigured

            there = "on this machine" + (f", and {missing}" if (missing := unconfigured()) else "")
        else:
            there = "in any namespace" if everywhere else f"in namespace {place.door('list').namespace}"
        reporter.line(f"no cluster {there}")
        reporter.hint("raystead up --local" if place.here else f"raystead up{place_flags(None, where)}")
