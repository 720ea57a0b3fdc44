"""`raystead plan`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from raystead.cli.help import SpecCommand
from raystead.cli.options import (
    Where,
    kube_options,
    output_option,
    place_of,
    quiet_option,
    read_file,
    spec_options,
)
from raystead.cli.up import force_option, policies_option, say_notes

_OWN = ("--exit-code", "--show-values")  # options that `up` does not have


@click.command("plan", cls=SpecCommand)
@spec_options
@policies_option
@force_option
@click.option(
    "--show-values", is_flag=True, help="Also show values that may be secrets (never those of Secrets)."
)
@click.option(
    "--exit-code", "tells", is_flag=True, help="Exit with 1 when there is something to change (CI)."
)
@output_option
@quiet_option
@kube_options
def command(
    where: Where,
    file: str | None,
    policies: str | None,
    force: bool,
    show_values: bool,
    tells: bool,
    output: str | None,
    quiet: bool,
    **flags: Any,
) -> None:
    """Show what `up` would do: every object, every field, what restarts and what state is lost.

    The API server itself has checked it (dry-run); nothing is changed.

    \b
    raystead plan --image rayproject/ray:2.60.0
    raystead plan -f raycluster.yaml -o json
    raystead plan -f raycluster.yaml --exit-code   1: something would change
    """
    from raystead.cli.reporting import reporter_for
    from raystead.cli.retyped import corrected, placed
    from raystead.errors import ProblemsFound
    from raystead.ops.checking import failing
    from raystead.ops.planning import prepare, wanted
    from raystead.ops.typed import up_words
    from raystead.spec.flags import Flags
    from raystead.ui.doctor import check_rows
    from raystead.ui.plain import json_text
    from raystead.ui.plans import plan_json, plan_text

    reporter = reporter_for(quiet=quiet)
    door = place_of(where, guess=False).door("plan")
    api, desired, anchor = wanted(door, Flags(**flags), *read_file(file), namespace=where.namespace)
    say_notes(reporter, desired)
    prepared = prepare(api, desired, anchor, policies=policies, force=force, reveal=show_values)
    plan = prepared.plan
    checks = failing(prepared, up_words(prepared.cluster.name, file))
    if output == "json":
        click.echo(json_text({**plan_json(plan), "checks": [asdict(check) for check in checks]}))
    else:
        colour = reporter.colour and sys.stdout.isatty()
        click.echo(placed("\n".join([plan_text(plan, colour=colour), *check_rows(checks, colour=colour)])))
    typed = corrected("plan", "up", without=_OWN) if output is None else None
    up = typed or "raystead up with the same options"
    if plan.problems:
        error = prepared.forbidden("`up` would refuse: ")
        error.answered = True
        raise error
    if any(check.verdict == "fail" for check in checks):
        reporter.hint(f"{up} asks first; --yes goes on all the same")
        click.get_current_context().exit(ProblemsFound.exit_code)
    if plan.mutates:
        reporter.hint(up)
    if tells and plan.mutates:
        click.get_current_context().exit(1)
