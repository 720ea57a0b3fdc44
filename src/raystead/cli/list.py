"""`raystead list`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from raystead.cli.options import Where, door, kube_options, output_option, quiet_option

if TYPE_CHECKING:
    from raystead.plan.listing import ListRow


@click.command("list")
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
    from raystead.plan.listing import KEPT
    from raystead.ui.plain import Reporter, json_text
    from raystead.ui.status import list_text, rows_json

    reporter = Reporter(quiet=quiet)
    if where.here:
        rows, place = _local(), "on this machine"
    else:
        from raystead.ops.listing import clusters

        api = door(where)
        rows = clusters(api, all_namespaces=everywhere)
        place = "in any namespace" if everywhere else f"in namespace {api.namespace}"
    if output == "json":
        click.echo(json_text(rows_json(rows)))
    elif rows:
        click.echo(list_text(rows, namespaces=everywhere))
        living = [row for row in rows if row.state != KEPT]
        if kept := next((row.name for row in rows if row.state == KEPT), None):
            reporter.hint(f"raystead up --name {kept} uses that data again, raystead down {kept} deletes it")
        else:
            reporter.hint(
                "raystead status" if len(living) == 1 and not everywhere else "raystead status NAME"
            )
    else:
        reporter.line(f"no cluster {place}")
        reporter.hint("raystead up --local" if where.here else "raystead up")


def _local() -> tuple[ListRow, ...]:
    from raystead.local.place import LocalPlace
    from raystead.plan.listing import ListRow

    rows = []
    for name in LocalPlace.names():
        status = LocalPlace(name).status()
        head, *workers = status.nodes
        ready = sum(1 for node in workers if node.state == "alive")
        partly = "partly" if head.state == "alive" else "not ready"
        rows.append(
            ListRow(
                namespace="",
                name=name,
                state="Ready" if status.ready else partly,
                ready=ready,
                wanted=len(workers),
                cpu=sum(node.cpus for node in status.nodes),
                ray_version=status.ray_version,
                age=max(0.0, time.time() - status.started),
            )
        )
    return tuple(rows)
