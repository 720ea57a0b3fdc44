"""`raystead restart`."""

from __future__ import annotations

import click

from raystead.cli.changing import carry_out, timeout_option, yes_option
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, place_of, place_options, quiet_option
from raystead.cli.reporting import reporter_for


@click.command("restart", cls=VerbCommand)
@click.argument("groups", nargs=-1, metavar="[GROUP…]")
@timeout_option
@yes_option
@place_options
@quiet_option
def command(
    groups: tuple[str, ...],
    timeout: float | None,
    yes: bool,
    name: str | None,
    where: Where,
    quiet: bool,
) -> None:
    """Restart the workers, one at a time in each group; or one group, or the head.

    A worker finishes what it runs first, for a minute at most. The head comes back with its state.
    head is the head; a worker group of that name is worker/head, as worker/NAME is any group NAME.

    \b
    raystead restart           all workers
    raystead restart gpu
    raystead restart head
    """
    from raystead.ops.clusters import anchor_of
    from raystead.ops.planning import prepare
    from raystead.ops.restart import groups_named, stamp
    from raystead.ops.specs import Desired
    from raystead.ops.suspending import refuse_guest

    api = place_of(where).door("restart")
    anchor = anchor_of(api, name)
    refuse_guest(anchor)
    restart = dict.fromkeys(groups_named(anchor.cluster, groups), stamp())
    prepared = prepare(api, Desired(anchor.document), anchor, restart=restart)
    carry_out(reporter_for(quiet=quiet), prepared, again=None, timeout=timeout, yes=yes)
