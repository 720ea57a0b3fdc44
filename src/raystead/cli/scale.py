"""`raystead scale`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from raystead.cli.changing import carry_out, change_here, timeout_option, yes_option
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, door, place_options, quiet_option
from raystead.cli.reporting import reporter_for
from raystead.errors import UsageError
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.spec.edits import Count

_COUNT = re.compile(r"(\d+)(?:\.\.(\d+))?")


@click.command("scale", cls=VerbCommand)
@click.argument("groups", nargs=-1, required=True, metavar="[GROUP=]N…")
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
    """Change the number of workers of a group, or its bounds; a bare number means the only group.

    Of a group that shrinks those workers go that Ray calls idle, the longest idle first.
    worker/NAME is always the worker group NAME: a group called head or redis needs that form.

    \b
    raystead scale 3
    raystead scale gpu=1 cpu=4
    raystead scale cpu=1..10      of an autoscaled cluster: at least 1, at most 10
    """
    reporter = reporter_for(quiet=quiet)
    if where.here:
        _local(reporter, groups, name, timeout, yes)
    else:
        _there(reporter, where, groups, name, timeout, yes)


def _there(
    reporter: Reporter,
    where: Where,
    groups: tuple[str, ...],
    name: str | None,
    timeout: float | None,
    yes: bool,
) -> None:
    from raystead.base.groups import worker
    from raystead.ops.bring import bring
    from raystead.ops.clusters import anchor_of
    from raystead.ops.planning import prepare
    from raystead.ops.specs import Desired
    from raystead.ops.suspending import refuse_guest
    from raystead.spec.edits import scaled

    api = door(where)
    anchor = anchor_of(api, name)
    refuse_guest(anchor)
    counts = parse_counts(groups, [str(worker(group.name)) for group in anchor.cluster.spec.workers])
    wish = anchor.document.with_cluster(scaled(anchor.cluster, counts))
    prepared = prepare(api, Desired(wish), anchor)
    if anchor.cluster.spec.suspend:
        bring(prepared, lambda event: None, waits=False)
        words = ", ".join(f"{group} will have {_workers(count)}" for group, count in counts.items())
        reporter.step(f'"{anchor.name}" is suspended: {words} when it is resumed')
        reporter.hint("raystead resume")
        return
    carry_out(reporter, prepared, again="the same command", timeout=timeout, yes=yes, stops_meant=True)
    for group, count in counts.items():
        if isinstance(count, tuple):
            reporter.step(
                f"{group}: bounds changed to {_workers(count)}; Ray's autoscaler decides between them"
            )
    reporter.hint("raystead status")


def _workers(count: Count) -> str:
    if isinstance(count, tuple):
        return f"{count[0]} to {count[1]} workers"
    return "1 worker" if count == 1 else f"{count} workers"


def _local(
    reporter: Reporter, groups: tuple[str, ...], name: str | None, timeout: float | None, yes: bool
) -> None:
    from raystead.cli.show import nodes_text
    from raystead.ops.clusters import local_place

    place = local_place(name)
    counts: dict[str, int] = {}
    for group, count in parse_counts(groups, place.groups()).items():
        if isinstance(count, tuple):
            raise UsageError(
                "nothing is autoscaled on this machine", remedy=f"raystead scale {group}={count[1]}"
            )
        counts[group] = count
    status = change_here(
        reporter,
        place,
        place.scaled(counts),
        lambda options: place.scale(counts, options),
        timeout=timeout,
        yes=yes,
    )
    reporter.step(f"{status.name}: {_workers(len(status.nodes) - 1)}")
    if not reporter.quiet:
        reporter.line(nodes_text(status))


def parse_counts(words: tuple[str, ...], present: list[str]) -> dict[str, Count]:
    """["gpu=1", "cpu=0..4"] -> {"gpu": 1, "cpu": (0, 4)}; one without a name is for the only group there."""
    counts: dict[str, Count] = {}
    for word in words:
        group, equals, number = word.rpartition("=")
        found = _COUNT.fullmatch(number)
        if not found:
            meant = next((name for name in present if name in (word, word.partition("=")[0])), "")
            example = f"raystead scale {meant}{'=' if meant else ''}3"
            raise UsageError(f'"{word}" is not a number of workers', remedy=f"{example}   for example")
        if not equals:
            if len(present) > 1:
                raise UsageError(
                    f'"{word}" names no group and there are {len(present)}: {", ".join(present)}',
                    remedy=f"raystead scale {present[0]}={number}",
                )
            if not present:
                raise UsageError("there is no worker group", remedy="raystead up -f FILE")
            group = present[0]
        if group in counts:
            raise UsageError(f"{group} is given twice", remedy=f"raystead scale {group}={number}")
        least, most = found.groups()
        counts[group] = int(least) if most is None else (int(least), int(most))
    return counts
