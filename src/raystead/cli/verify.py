"""`raystead verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from raystead.base.times import rounded
from raystead.cli.changing import ask
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, output_option, place_of, quiet_option
from raystead.errors import ProblemsFound, UsageError

if TYPE_CHECKING:
    from raystead.ops.survival import FaultOutcome
    from raystead.ui.plain import Reporter


@click.command("verify", cls=VerbCommand)
@click.option("--faults", metavar="LIST", help="Of head, redis, worker; default: all that can be survived.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even while jobs run; needed without a terminal.")
@cluster_options
@output_option
@quiet_option
def command(
    name: str | None, where: Where, faults: str | None, yes: bool, output: str | None, quiet: bool
) -> None:
    """Prove that the cluster survives: delete its pods under a job and an actor, and look what is lost.

    Exit code 84 when something was lost.

    \b
    raystead verify
    raystead verify --faults head --yes
    """
    from raystead.cli.reporting import reporter_for
    from raystead.ops.clusters import anchor_of
    from raystead.ops.verify import FAULTS, new_id, possible, refuse_beside_jobs, verify
    from raystead.ui.plain import json_text

    wish = [word.strip() for word in (faults or "").split(",") if word.strip()]
    if unknown := [word for word in wish if word not in FAULTS]:
        raise UsageError(f'--faults: "{unknown[0]}" is not one of {", ".join(FAULTS)}')
    reporter = reporter_for(quiet=quiet or output == "json")
    api = place_of(where).door("verify")
    anchor = anchor_of(api, name)
    chosen = possible(anchor, wish)
    if not yes:
        refuse_beside_jobs(api, anchor)
        ask(reporter, f'delete {", ".join(chosen)} of "{anchor.name}" by force, one after the other', yes=yes)
    outcomes = verify(
        api,
        anchor,
        chosen,
        new_id(),
        lambda step: reporter.step(step) if isinstance(step, str) else _tell(reporter, step),
    )
    if output == "json":
        reporter.result(json_text([asdict(outcome) for outcome in outcomes]))
    lost = [f"{outcome.fault}: {text}" for outcome in outcomes for text in outcome.lost]
    if lost:
        error = ProblemsFound(
            f'"{anchor.name}" lost something', evidence="; ".join(lost), remedy="raystead explain"
        )
        error.answered = True
        raise error
    reporter.step(summary(anchor.name, outcomes))
    reporter.hint("raystead status")


def summary(name: str, outcomes: Sequence[FaultOutcome]) -> str:
    """`"x" survived the loss of head and worker: 214 calls answered, whole again after 4.0 s at most …`."""
    faults = [outcome.fault for outcome in outcomes]
    told = " and ".join([", ".join(faults[:-1]), faults[-1]] if len(faults) > 1 else faults)
    away = rounded(max(outcome.away for outcome in outcomes))
    calls = sum(outcome.beats for outcome in outcomes)
    return (
        f'"{name}" survived the loss of {told}: {calls} calls answered, whole again after {away} at most, '
        "nothing lost"
    )


def _tell(reporter: Reporter, outcome: FaultOutcome) -> None:
    reporter.step(f"{outcome.fault} ({outcome.pod}) deleted by force: whole again", outcome.away)
    if reporter.quiet:
        return
    state = f"the actor's counter {outcome.before} → {outcome.after}"
    if outcome.fault == "worker":
        state = "the actor answers (its state was lost with its worker)"
    kept = f"{state}; the job, {outcome.beats} calls, the slowest {outcome.slowest:.1f} s"
    if not outcome.lost:
        reporter.line(f"  survived  {kept}; no other worker restarted")
    for text in outcome.lost:
        reporter.line(f"  lost      {text}")
