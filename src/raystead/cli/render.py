"""`raystead render`."""

from __future__ import annotations

from typing import Any

import click

from raystead.cli.help import SpecCommand
from raystead.cli.options import read_file, spec_options


@click.command("render", cls=SpecCommand)
@spec_options
@click.option("-n", "--namespace", help="The namespace that the objects go to.")
@click.option(
    "--policies",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Network policies: ingress (auto), both directions (always), none.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["manifests", "raycluster"]),
    default="manifests",
    show_default=True,
    help="Kubernetes objects, or the RayCluster they are made from.",
)
def command(file: str | None, policies: str, form: str, **flags: Any) -> None:
    """Print the cluster as Kubernetes objects; reads no cluster.

    \b
    raystead render | kubectl apply -f -
    raystead render -f raycluster.yaml --workers 4 > objects.yaml
    """
    from raystead.manifests.facts import Choices, Facts
    from raystead.ops.specs import desired, render
    from raystead.spec.flags import Flags
    from raystead.spec.yamlio import dump
    from raystead.ui.terminal import data

    wanted = desired(Flags(**flags), *read_file(file))
    for note in wanted.notes:
        click.echo(f"note: {note}", err=True)
    if form == "raycluster":
        data(dump([wanted.cluster.document()]))
        return
    result = render(wanted, Facts(namespace=flags["namespace"]), Choices(policies=policies))
    for line in result.notes:
        click.echo(f"note: {line}", err=True)
    data(dump(list(result.objects)))
    if result.commands:
        click.echo("# these Secrets are not printed; make them once, before you apply:", err=True)
        for line in result.commands:
            click.echo(line, err=True)
