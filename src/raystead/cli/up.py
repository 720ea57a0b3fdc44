"""`raystead up`."""

from __future__ import annotations

import time
from typing import Any

import click

from raystead.cli.options import quiet_option, read_file, spec_options
from raystead.errors import Unsupported


@click.command("up")
@click.option("--local", is_flag=True, help="On this machine, as Ray processes; no Kubernetes.")
@click.option("--timeout", type=float, default=120, show_default=True, metavar="S", help="Seconds to wait.")
@spec_options
@quiet_option
def command(local: bool, timeout: float, file: str | None, quiet: bool, **flags: Any) -> None:
    """Start a Ray cluster and wait until all its nodes are alive.

    \b
    raystead up --local
    raystead up --local -f raycluster.yaml --workers 1
    """
    from raystead.cli.show import nodes_text
    from raystead.local.place import LocalPlace
    from raystead.ops.specs import desired
    from raystead.spec.flags import Flags
    from raystead.ui.plain import Reporter

    if not local:
        raise Unsupported(
            "this version starts clusters on this machine only",
            remedy="raystead up --local      or: raystead render | kubectl apply -f -",
        )
    reporter = Reporter(quiet=quiet)
    wanted = desired(Flags(**flags), *read_file(file))
    for note in wanted.notes:
        reporter.warn(str(note))
    begin = time.monotonic()
    status = LocalPlace(wanted.cluster.name).up(
        wanted.cluster,
        timeout=timeout,
        on_event=lambda event: reporter.warn(event.text) if event.kind == "warning" else None,
    )
    workers = len(status.nodes) - 1
    plural = "" if workers == 1 else "s"
    reporter.step(f'local cluster "{status.name}": head + {workers} worker{plural}', time.monotonic() - begin)
    if not quiet:
        reporter.line(nodes_text(status))
    reporter.hint("raystead submit -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'")
