"""What scale, suspend, resume and restart share: an edited spec, the same full apply, the wait, who went."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from raystead.cli.options import SPAN
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.ops.planning import Prepared

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
timeout_option = click.option(
    "--timeout", type=SPAN, metavar="SPAN", help="How long to wait, default 15m; or 90s, 2h."
)


def carry_out(
    reporter: Reporter, prepared: Prepared, *, again: str, timeout: float | None, yes: bool = True
) -> None:
    """Applies what was prepared, waits, and tells which workers of shrunken groups went.

    Asks on a terminal before anything is lost, unless `yes`.
    """
    from raystead.cli.waits import follow
    from raystead.ops import changes
    from raystead.ops.up import TIMEOUT, apply, wait

    prepared.refuse_problems()
    if prepared.plan.losses and not yes and sys.stdin.isatty():
        click.confirm(f"{'; '.join(prepared.plan.losses)}: go on?", abort=True, err=True)
    api, name = prepared.api, prepared.cluster.name
    shrinks = bool(changes.shrinking(prepared))
    before = changes.pods_of(api, name) if shrinks else []
    with follow(reporter, api, name, again) as emit:
        emit.planned(prepared.plan)
        idle = changes.prefer_idle(prepared, emit)
        wait(api, apply(prepared, emit), timeout=timeout or TIMEOUT, emit=emit)
    if shrinks:
        for gone in changes.went(before, changes.pods_of(api, name), idle):
            reporter.step(f"{gone.group}: {gone.pod} went" + (f" ({gone.was})" if gone.was else ""))
