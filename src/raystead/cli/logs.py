"""`raystead logs`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import SPAN, Where, door, place_options
from raystead.errors import UsageError

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor
    from raystead.ops.logs import LogSelection

_LOOK = 0.2  # seconds between two looks at the files of a local cluster


@click.command("logs", cls=VerbCommand)
@click.argument("what", required=False, metavar="[GROUP|POD]")
@place_options
@click.option("-f", "--follow", is_flag=True, help="Follow new lines, across restarts; Ctrl-C ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each.")
@click.option("--since", type=SPAN, metavar="SPAN", help="Only lines newer than this: 30s, 10m, 2h, 1d.")
@click.option("--previous", is_flag=True, help="The run before the last restart.")
@click.option("--container", metavar="NAME", help="Only containers of this name.")
@click.option("--timestamps", is_flag=True, help="Each line with its time.")
@click.option("--ray", "ray_file", metavar="FILE", help="A file of Ray's own logs in the pods: raylet.out …")
def command(
    what: str | None,
    name: str | None,
    where: Where,
    follow: bool,
    tail: int | None,
    since: float | None,
    previous: bool,
    container: str | None,
    timestamps: bool,
    ray_file: str | None,
) -> None:
    """Show the logs of all pods, or of a group or pod: head, worker, worker/7wq2k. Jobs: raystead job logs.

    \b
    raystead logs head --tail 50
    raystead logs -f
    raystead logs worker --since 10m
    raystead logs head --ray gcs_server.out
    """
    if where.here:
        if since or previous or container or timestamps or ray_file:
            raise UsageError("a local cluster's logs have only -f and --tail")
        _local(what, name, follow, tail)
        return
    from raystead.ops.clusters import anchor_of
    from raystead.ops.logs import LogSelection

    api = door(where)
    anchor = anchor_of(api, name)
    if what == anchor.name:  # a cluster's name may stand alone, as for every verb
        what = None
    wanted = LogSelection(what, container, max(1, int(since)) if since else None, tail)
    if follow and previous:
        raise UsageError("--previous shows logs that have ended: leave out -f")
    if ray_file is not None:
        if since or previous or container or timestamps:
            raise UsageError("with --ray there are -f and --tail only")
        _ray(api, anchor, wanted, ray_file, follow)
    elif follow:
        _follow(api, anchor, wanted, timestamps)
    else:
        _past(api, anchor, wanted, previous, timestamps)


def _past(api: Api, anchor: Anchor, wanted: LogSelection, previous: bool, timestamps: bool) -> None:
    from raystead.base.text import neutral
    from raystead.ops.logs import past

    told = 0

    def skipped(source: str, why: str) -> None:
        nonlocal told
        told += 1
        click.echo(f"{source} has no log: {neutral(why)}", err=True)

    names, lines = past(api, anchor, wanted, previous=previous, skipped=skipped)
    write = sys.stdout.write
    for line in lines:
        told += 1
        write(_shown(names.of(line.source), line.time if timestamps else "", line.text))
    sys.stdout.flush()
    if not told:
        click.echo(f"{_of(wanted.what, anchor.name)} {_nothing(anchor, wanted)}", err=True)


def _nothing(anchor: Anchor, wanted: LogSelection) -> str:
    if wanted.since:
        return "wrote nothing in that time"
    if elsewhere := anchor.facts.selected.get("name"):
        where = f"its job runs on the cluster {elsewhere}"
        return f"has no log: {where}; kubectl logs job/{anchor.name} shows the job's output"
    if anchor.suspended:
        return "has no log: it is suspended, and raystead resume starts it"
    return "has no log yet; raystead explain says what its pods wait for"


def _follow(api: Api, anchor: Anchor, wanted: LogSelection, timestamps: bool) -> None:
    from raystead.kube.logs import LogNote
    from raystead.ops.clusters import deleted
    from raystead.ops.logs import SourceNames, follow

    names = SourceNames()
    quiet_since = time.monotonic()
    told: str | None = None
    nothing_yet = True
    with follow(api, anchor, wanted) as stream:
        while True:
            batch = stream.next(1.0)
            out = []
            for item in batch:
                source = names.of(item.source, stream.pod_of)
                if isinstance(item, LogNote):
                    click.echo(f"{source}: {item.text}", err=True)
                else:
                    out.append(_shown(source, item.time if timestamps else "", item.text))
            sys.stdout.write("".join(out))
            sys.stdout.flush()
            now = time.monotonic()
            if batch:
                quiet_since, told, nothing_yet = now, None, False
            elif now - quiet_since > 5:
                quiet_since = now
                if (gone := deleted(api, anchor)) is not None:
                    raise gone
                if (error := stream.error) is not None and told != error.what:
                    told = error.what
                    click.echo(f"{error.what}; still trying", err=True)
                elif nothing_yet and error is None:
                    nothing_yet = False
                    click.echo(f"{_quiet(anchor, wanted)}; waiting for the first line", err=True)


def _quiet(anchor: Anchor, wanted: LogSelection) -> str:
    """Why a follower sees nothing at first."""
    if wanted.tail == 0:
        return "no new line yet"
    return f'"{wanted.what or anchor.name}" {_nothing(anchor, wanted)}'


def _ray(api: Api, anchor: Anchor, wanted: LogSelection, file: str, follow: bool) -> None:
    from raystead.base.text import neutral
    from raystead.ops.raylogs import follow_file, read_file

    def skipped(source: str, why: str) -> None:
        click.echo(f"{source}: {neutral(why)}", err=True)

    for source, text in (follow_file if follow else read_file)(api, anchor, wanted, file, skipped):
        sys.stdout.write(_shown(source, "", text))
        if follow:
            sys.stdout.flush()
    sys.stdout.flush()


def _shown(source: str, moment: str, text: str) -> str:
    from raystead.base.text import neutral

    stamp = f"{moment} " if moment else ""
    return f"{source}: {stamp}{neutral(text, colours=True)}\n"


def _local(what: str | None, name: str | None, follow: bool, tail: int | None) -> None:
    from raystead.local.logs import Following
    from raystead.ops.clusters import local_place

    place = local_place(name)
    following = Following(tail)
    quiet_since = time.monotonic()
    nothing_yet = True
    while True:
        lines = following.added(place.logs(what), last=not follow)  # of nodes that came since, too
        sys.stdout.write("".join(_shown(node, "", line) for node, line in lines))
        sys.stdout.flush()
        nothing_yet = nothing_yet and not lines
        if not follow:
            break
        if nothing_yet and time.monotonic() - quiet_since > 5:
            nothing_yet = False
            click.echo(f"{_of(what, place.name)} has no new line yet; waiting for the first line", err=True)
        time.sleep(_LOOK)
    if nothing_yet and tail != 0:
        click.echo(f"{_of(what, place.name)} has no log yet", err=True)


def _of(what: str | None, cluster: str) -> str:
    return f'"{what}" of "{cluster}"' if what else f'"{cluster}"'
