"""`raystead resume`."""

from __future__ import annotations

import click

from raystead.cli.changing import carry_out, timeout_option
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, place_of, quiet_option
from raystead.cli.reporting import reporter_for


@click.command("resume", cls=VerbCommand)
@timeout_option
@cluster_options
@quiet_option
def command(timeout: float | None, name: str | None, where: Where, quiet: bool) -> None:
    """Start a suspended cluster again, with its spec and its state; then wait until it is ready.

    \b
    raystead resume
    """
    from raystead.ops.clusters import anchor_of
    from raystead.ops.planning import prepare
    from raystead.ops.specs import Desired, with_suspend
    from raystead.ops.suspending import refuse_elsewhere

    reporter = reporter_for(quiet=quiet)
    api = place_of(where).door("resume")
    anchor = anchor_of(api, name)
    refuse_elsewhere(anchor)
    if not anchor.cluster.spec.suspend:
        reporter.step(f'"{anchor.name}" is not suspended')  # a resume that was cut off waits again
    prepared = prepare(api, Desired(with_suspend(anchor.document, False)), anchor)
    carry_out(reporter, prepared, again="raystead resume", timeout=timeout, yes=True)
    reporter.hint("raystead status")
