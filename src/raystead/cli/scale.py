"""`raystead scale`."""

from __future__ import annotations

import click

from raystead.cli.options import Where, place_options, quiet_option
from raystead.errors import UsageError


@click.command("scale")
@click.argument("groups", nargs=-1, required=True, metavar="[GROUP=]N…")
@place_options
@quiet_option
def command(groups: tuple[str, ...], name: str | None, where: Where, quiet: bool) -> None:
    """Change the number of workers of a group; a bare number means the only group.

    \b
    raystead scale 3
    raystead scale gpu=1 cpu=4
    """
    from raystead.cli.show import nodes_text
    from raystead.ops.clusters import local_place
    from raystead.ui.plain import Reporter

    place = local_place(name)
    present = list(dict.fromkeys(node.group for node in place.status().nodes if node.name != "head"))
    status = place.scale(parse_counts(groups, present))
    reporter = Reporter(quiet=quiet)
    reporter.step(f"{status.name}: {len(status.nodes) - 1} workers")
    if not quiet:
        reporter.line(nodes_text(status))


def parse_counts(words: tuple[str, ...], present: list[str]) -> dict[str, int]:
    """["gpu=1", "cpu=4"] -> {"gpu": 1, "cpu": 4}; a bare number is for the only group of `present`."""
    counts: dict[str, int] = {}
    for word in words:
        group, equals, number = word.rpartition("=")
        if not number.isdigit():
            raise UsageError(
                f'"{word}" is not a number of workers', remedy="write for example: raystead scale 3"
            )
        if not equals:
            if len(present) > 1:
                raise UsageError(
                    f'"{word}" names no group and there are {len(present)}: {", ".join(present)}',
                    remedy=f"raystead scale {present[0]}={number}",
                )
            group = present[0] if present else "worker"
        counts[group] = int(number)
    return counts
