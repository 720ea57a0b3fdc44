"""The ticks of a RayCronJob in the words of `raystead job`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from raystead.errors import JobFailed, WrongState

if TYPE_CHECKING:
    from raystead.live.raycron import Tick
    from raystead.ops.raycrons import Ticks
    from raystead.ui.plain import Reporter

__all__ = ["refuse_without_a_run", "tick_list", "tick_logs", "tick_status"]


def tick_list(ticks: Ticks, output: str | None) -> str:
    """All ticks whose Jobs are there, the newest first."""
    from raystead.base.text import neutral
    from raystead.base.times import ago
    from raystead.ui.plain import table

    seen = ticks.state()
    if output == "json":
        return json.dumps(seen.json()["ticks"], indent=2)
    now = ticks.api.now()
    rows = [(tick.id, tick.word, ago(tick.at, now), neutral(tick.why)[:60]) for tick in seen.ticks]
    return table(("TICK", "STATUS", "DUE", "WHY"), rows) if rows else "no ticks yet"


def tick_status(ticks: Ticks, typed: str | None, output: str | None) -> str:
    """A line for each thing that is known of the tick."""
    from raystead.base.text import neutral
    from raystead.base.times import span

    tick = ticks.meant(typed)
    state = tick.state
    if output == "json":
        return json.dumps(state.kuberay(), indent=2)
    took = span((state.ended - state.started).total_seconds()) if state.ended and state.started else ""
    facts = {
        "due": f"{tick.at:%Y-%m-%d %H:%M} UTC",
        "start": f"{state.started:%Y-%m-%d %H:%M:%S} UTC" if state.started else "",
        "end": f"{state.ended:%Y-%m-%d %H:%M:%S} UTC" if state.ended else "",
        "took": took,
        "code": "" if state.exit_code is None else str(state.exit_code),
        "where": f"pod/{state.pod}" if state.pod else "",
        "says": neutral(tick.why),
    }
    lines = [f"{tick.id}   {tick.word}", *(f"  {k.ljust(5)}  {v}" for k, v in facts.items() if v)]
    return "\n".join(lines)


def tick_logs(ticks: Ticks, typed: str | None, reporter: Reporter, *, follow: bool) -> int:
    """The output of the tick's driver; with `follow` to its end, and then the driver's exit code."""
    tick = ticks.meant(typed)
    if not follow or tick.state.over:
        ticks.output(tick, reporter.write)
        return _code(tick) if follow else 0
    return _code(ticks.follow(tick, write=reporter.write, tell=reporter.warn))


def refuse_without_a_run(ticks: Ticks, typed: str | None) -> str:
    """The id of the running tick that is meant.

    Raises:
        WrongState: it has ended.
    """
    running = ticks.state().running
    tick = ticks.meant(typed) if typed or not running else running[0]
    if tick.state.over:
        raise WrongState(f"{tick.id} has ended: {tick.word}", remedy="raystead job list")
    return tick.id


def _code(tick: Tick) -> int:
    state = tick.state
    return 0 if state.deployment_status == "Complete" else state.exit_code or JobFailed.exit_code
