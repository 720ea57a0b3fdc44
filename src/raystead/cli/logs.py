"""`raystead logs`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

import click

from raystead.cli.options import Where, place_options
from raystead.errors import UsageError


@click.command("logs")
@click.argument("node", required=False)
@place_options
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come; Ctrl-C ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each.")
def command(node: str | None, name: str | None, where: Where, follow: bool, tail: int | None) -> None:
    """Show the logs of all nodes, or of one (head, worker/0 …). Jobs: raystead job logs.

    \b
    raystead logs head --tail 50
    raystead logs -f
    """
    from raystead.ops.clusters import local_place

    files = local_place(name).log_files(node)
    if not files:
        raise UsageError(
            f'there is no log of "{node}"' if node else "there are no logs yet", remedy="raystead status"
        )
    streams = [(path, path.open("rb")) for path in files if path.exists()]
    for path, stream in streams:
        _print_new(path, stream, len(files) > 1, tail)
    while follow:
        time.sleep(0.2)
        for path, stream in streams:
            _print_new(path, stream, len(files) > 1, None)


def _print_new(path: Path, stream: BinaryIO, named: bool, tail: int | None) -> None:
    lines = stream.read().decode("utf-8", "replace").splitlines()
    if tail is not None:
        lines = lines[len(lines) - min(tail, len(lines)) :]
    for line in lines:
        click.echo(f"{path.stem}: {line}" if named else line)
