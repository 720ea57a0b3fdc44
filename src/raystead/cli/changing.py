"""What verbs that change a cluster share: the one question, the same full apply, the wait, who went."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from raystead.cli.options import SPAN
from raystead.errors import UsageError, indented
from raystead.ops.typed import up_words
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.local.model import LocalStatus
    from raystead.local.place import LocalPlace, UpOptions
    from raystead.ops.bring import Brought
    from raystead.ops.planning import Prepared
    from raystead.plan.model import Key, Plan
    from raystead.spec.model import RayCluster

yes_option = click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; needed without a terminal where something is lost."
)
timeout_option = click.option(
    "--timeout", type=SPAN, metavar="SPAN", help="How long to wait, default 15m; or 90s, 2h."
)
NO = 1  # exit code when the answer was no


def ask(reporter: Reporter, what: str, *, yes: bool, instead: str = "") -> None:
    """The one question before something is lost; returns when it may go on.

    Args:
        what: what happens, with its numbers: `worker: 1 pod restarts (memory 1G → 2Gi)`.
        instead: what else than --yes may be meant.

    Raises:
        UsageError: there is no terminal to ask at, and no --yes.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{what}: a question has to be answered, and there is no terminal to ask on",
            evidence="nothing was changed",
            remedy=f"the same command with --yes{f'; or {instead}' if instead else ''}",
        )
    confirm(reporter, f"{what}. Go on?")


def confirm(reporter: Reporter, question: str) -> None:
    """Asks at the terminal; a no, or Ctrl-C, is the end of the command, and says that nothing was changed."""
    try:
        go = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)  # the cursor still stands behind the question
        reporter.line("nothing was changed")
        raise
    if not go:
        reporter.line("nothing was changed")
        click.get_current_context().exit(NO)


def change_here(
    reporter: Reporter,
    place: LocalPlace,
    cluster: RayCluster,
    change: Callable[[UpOptions], LocalStatus],
    *,
    timeout: float | None,
    yes: bool,
) -> LocalStatus:
    """Brings a cluster of this machine to a spec: asks before busy workers end, waits, tells who went.

    Args:
        change: what does it.
    """
    from raystead.cli.show import awaited
    from raystead.local.place import TIMEOUT, UpOptions
    from raystead.ops.outputs import words

    going = place.shrinking(cluster)
    if going.outputs:
        reporter.warn(words(going.outputs, "these nodes"))
    if going.costs:
        ask(reporter, going.costs, yes=yes)
    first = tuple(going.nodes)
    status = awaited(reporter, place.name, lambda take: change(UpOptions(timeout or TIMEOUT, take, first)))
    for name, was in going.nodes.items():
        reporter.step(f"{name} went" + (f" ({was})" if was else ""))
    return status


def say_checks(reporter: Reporter, prepared: Prepared, up: str, *, yes: bool) -> None:
    """What doctor's checks say against it, before anything is stopped; where one fails, it is asked for.

    Args:
        up: the words that bring this spec up, for remedies.

    Raises:
        ProblemsFound: a check fails, there is no terminal to ask at, and no --yes.
    """
    from raystead.ops.checking import failing, refusal

    found = failing(prepared, up)
    failed = [check for check in found if check.verdict == "fail"]
    if failed and not yes and not sys.stdin.isatty():
        raise refusal(failed, "or add --yes")
    for check in found:
        reporter.warn(f"{check.name}: {check.what}")
        if check.remedy:
            reporter.line(f"  do     {indented(check.remedy)}")
    if failed:
        names = ", ".join(dict.fromkeys(check.name for check in failed))
        ask(reporter, f"the cluster will not be whole ({names})", yes=yes)


def say_costs(reporter: Reporter, prepared: Prepared, *, yes: bool, stops_meant: bool = False) -> None:
    """What is worth knowing and what is lost; where something is, it is asked for."""
    from raystead.ops.outputs import going_with

    if (outputs := going_with(prepared)) is not None:
        reporter.warn(outputs)
    plan = _without_idle(prepared) if not yes and prepared.plan.losses else prepared.plan
    tell_and_ask(reporter, plan, _groups(prepared), yes=yes, stops_meant=stops_meant)


def tell_and_ask(
    reporter: Reporter, plan: Plan, groups: Mapping[Key, str], *, yes: bool, stops_meant: bool = False
) -> None:
    """As `say_costs`, from a plan.

    Args:
        groups: names that people use, by the object that makes the pods.
        stops_meant: what the pods lose that end is only asked for, not told: it was meant.
    """
    from raystead.ui.questions import costs

    for text in plan.notes:
        reporter.warn(text)
    told = replace(plan, changes=tuple(c for c in plan.changes if c.restarts)) if stops_meant else plan
    for text in told.losses:
        reporter.warn(f"lost: {text}")
    if what := costs(plan, groups):
        ask(reporter, what, yes=yes)


def _groups(prepared: Prepared) -> dict[Key, str]:
    """The names that people use, by the object that makes the pods: head, redis, a worker group's."""
    from raystead.live.makers import makers_of
    from raystead.plan.make import key_of

    items = (*prepared.live, *prepared.objects)
    return {key_of(item): str(maker.id) for item in items for maker in makers_of(item)}


def _without_idle(prepared: Prepared) -> Plan:
    """The plan, without the losses of groups that shrink by workers that do nothing."""
    from raystead.ops.changes import idle_groups

    plan = prepared.plan
    idle = idle_groups(prepared)
    return replace(
        plan,
        changes=tuple(replace(c, loses="") if c.key in idle and not c.restarts else c for c in plan.changes),
    )


def carry_out(
    reporter: Reporter,
    prepared: Prepared,
    *,
    again: str | None,
    timeout: float | None,
    yes: bool,
    stops_meant: bool = False,
) -> None:
    """Applies what was prepared, waits, and tells which workers of shrunken groups went.

    Asks first, as `say_costs` does: a newer raystead or a hand in between may make pods restart that the
    verb did not name.
    """
    from raystead.cli.waits import follow
    from raystead.ops.bring import bring
    from raystead.ops.wait import TIMEOUT

    prepared.refuse_problems()
    say_checks(reporter, prepared, up_words(prepared.cluster.name), yes=yes)
    say_costs(reporter, prepared, yes=yes, stops_meant=stops_meant)
    with follow(reporter, prepared.api, prepared.cluster.name, again) as emit:
        brought = bring(prepared, emit, timeout=timeout or TIMEOUT)
    say_who_went(reporter, brought)


def say_who_went(reporter: Reporter, brought: Brought) -> None:
    """A line for each worker that ended because its group shrank."""
    for gone in brought.went:
        reporter.step(f"{gone.group}: {gone.pod} went" + (f" ({gone.was})" if gone.was else ""))
