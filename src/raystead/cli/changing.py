"""What scale, suspend, resume and restart share: an edited spec, the same full apply, the wait, who went."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from raystead.cli.options import SPAN
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.ops.planning import Prepared
    from raystead.plan.model import Plan

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
timeout_option = click.option(
    "--timeout", type=SPAN, metavar="SPAN", help="How long to wait, default 15m; or 90s, 2h."
)


def say_costs(reporter: Reporter, plan: Plan, *, yes: bool, stops_meant: bool = False) -> None:
    """What is worth knowing and what dies; where something does, a person at a terminal is asked.

    With `stops_meant` the pods that end are just what he asked for, and only those that restart are told.
    """
    for text in plan.notes:
        reporter.warn(text)
    told = replace(plan, changes=tuple(c for c in plan.changes if c.restarts)) if stops_meant else plan
    for text in told.losses:
        reporter.warn(f"lost: {text}")
    if told.losses and not yes and sys.stdin.isatty():
        click.confirm(
            f"pods that restart: {plan.restarts}, that stop: {plan.stops}; go on?", abort=True, err=True
        )


def carry_out(
    reporter: Reporter,
    prepared: Prepared,
    *,
    again: str,
    timeout: float | None,
    yes: bool,
    stops_meant: bool = False,
) -> None:
    """Applies what was prepared, waits, and tells which workers of shrunken groups went.

    Asks first, as `say_costs` does: a newer raystead or a hand in between may make pods restart that the
    verb did not name.
    """
    from raystead.cli.waits import follow
    from raystead.ops import changes
    from raystead.ops.up import TIMEOUT, apply, wait

    prepared.refuse_problems()
    say_costs(reporter, prepared.plan, yes=yes, stops_meant=stops_meant)
    api, name = prepared.api, prepared.cluster.name
    shrinks = bool(changes.shrinking(prepared))
    before = changes.workers_of(api, name) if shrinks else []
    with follow(reporter, api, name, again) as emit:
        emit.planned(prepared.plan)
        idle = changes.prefer_idle(prepared, emit)
        wait(api, apply(prepared, emit), timeout=timeout or TIMEOUT, emit=emit)
    if shrinks:
        for gone in changes.went(before, changes.workers_of(api, name), idle):
            reporter.step(f"{gone.group}: {gone.pod} went" + (f" ({gone.was})" if gone.was else ""))
