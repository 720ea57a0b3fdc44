"""`raystead job`."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from raystead.base.text import neutral
from raystead.cli.help import Verbs
from raystead.cli.options import Where, output_option, place_of, place_options, quiet_option

if TYPE_CHECKING:
    from raystead.rayapi.jobs import Job

_job = click.argument("job_id", required=False, metavar="[JOB]")


@click.group("job", cls=Verbs)
def command() -> None:
    """List, show, follow and stop jobs.

    A job is named by its id or the beginning of it; without one, the job that was submitted last is meant.
    Of a RayCronJob these are its ticks, past ones too.

    \b
    raystead job list
    raystead job logs raysubmit_8fK2Q -f
    """


@command.command("list", short_help="All jobs of the cluster, the newest first.")
@place_options
@output_option
def list_(name: str | None, where: Where, output: str | None) -> None:
    """All jobs of the cluster, the newest first; of a RayCronJob its ticks.

    \b
    raystead job list
    raystead job list -o json
    """
    from raystead.base.times import rounded
    from raystead.cli.jobs import target_of
    from raystead.cli.ticks import tick_list
    from raystead.ops.jobs import newest_first
    from raystead.ui.plain import table

    place = place_of(where)
    if (ticks := place.ticks(name)) is not None:
        click.echo(tick_list(ticks, output))
        return
    with target_of(name, where, place) as target:
        jobs = newest_first(target.client.list())
    if output == "json":
        click.echo(json.dumps([asdict(job) for job in jobs], indent=2))
        return
    now, room = time.time(), _room(max((len(job.id) for job in jobs), default=0))
    rows = [
        (j.id, j.status, rounded(now - j.start_time) if j.start_time else "-", _one_line(j.entrypoint, room))
        for j in jobs
    ]
    click.echo(table(("JOB", "STATUS", "AGE", "ENTRYPOINT"), rows) if rows else "no jobs yet")


def _room(ids: int) -> int:
    """Columns for the entrypoint behind the others: what the terminal has, or 60."""
    others = ids + len("  SUCCEEDED  3.5 min  ")
    return max(20, shutil.get_terminal_size().columns - others) if sys.stdout.isatty() else 60


def _one_line(entrypoint: str, most: int | None = None) -> str:
    """A command as one line; `…` stands for what is left out."""
    first, _, more = entrypoint.strip().partition("\n")
    text = neutral(first) + (" …" if more else "")
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


@command.command("status", short_help="One job: its state, times, exit code, where it ran.")
@_job
@place_options
@output_option
def status(job_id: str | None, name: str | None, where: Where, output: str | None) -> None:
    """One job: its state, when it ran and how long, its exit code, where its driver ran.

    \b
    raystead job status               the job that was submitted last
    raystead job status 8fK2Q         any beginning of its id is enough
    """
    from raystead.cli.jobs import meant, target_of
    from raystead.cli.ticks import tick_status

    there = place_of(where)
    if (ticks := there.ticks(name)) is not None:
        click.echo(tick_status(ticks, job_id, output))
        return
    with target_of(name, where, there) as target:
        job = meant(target.client, job_id)
        if output == "json":
            click.echo(json.dumps(asdict(job), indent=2))
            return
        place = target.drivers.place(job)
    click.echo(_status_text(job, place, time.time()))


def _status_text(job: Job, place: str, now: float) -> str:
    """A line for each thing that is known of the job."""
    from raystead.base.times import rounded
    from raystead.ops.following import outcome

    end = outcome(job) if job.ended else None
    lines = [f"{job.id}   {job.status}" + (f": {end.why}" if end and end.why else "")]
    facts = {
        "runs": _one_line(job.entrypoint),
        "start": _moment(job.start_time),
        "end": _moment(job.end_time),
        "took" if job.ended else "for": rounded((job.end_time or now) - job.start_time)
        if job.start_time
        else "",
        "code": "" if job.driver_exit_code is None else str(job.driver_exit_code),
        "where": place,
        "says": "" if job.ended else neutral(job.message.strip().partition("\n")[0]),
    }
    lines += [f"  {key.ljust(5)}  {value}" for key, value in facts.items() if value]
    if end and end.more:
        lines += [f"  {neutral(line)}" for line in end.more.splitlines()]
    return "\n".join(lines)


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds)) if seconds else ""


@command.command("logs", short_help="The output of a job's driver.")
@_job
@click.option("-f", "--follow", "follow", is_flag=True, help="Follow until the job ends; exit with its code.")
@place_options
@quiet_option
def logs(job_id: str | None, follow: bool, name: str | None, where: Where, quiet: bool) -> None:
    """The output of a job's driver. Ctrl-C ends the reading, never the job.

    Ray keeps it on the worker that ran the job. When that is gone, you get what this machine kept of it: the
    last 4 MiB of each of the last 50 jobs that were followed here ($XDG_STATE_HOME/raystead/jobs).

    \b
    raystead job logs
    raystead job logs raysubmit_8fK2Q -f
    """
    from raystead.cli.jobs import detaching, follow_to_exit, meant, say_output, target_of
    from raystead.cli.reporting import reporter_for
    from raystead.cli.ticks import tick_logs
    from raystead.ops.following import exit_code

    reporter = reporter_for(quiet=quiet)
    place = place_of(where)
    if (ticks := place.ticks(name)) is not None:
        sys.exit(tick_logs(ticks, job_id, reporter, follow=follow))
    with target_of(name, where, place) as target:
        job = meant(target.client, job_id)
        if job.ended or not follow:
            say_output(target, job, reporter)
        else:
            with detaching(target, reporter) as followed:
                followed.job_id = job.id
                job, _ = follow_to_exit(target, job.id, reporter, where)
    if follow:
        sys.exit(exit_code(job))


@command.command("stop", short_help="Stop a job: SIGTERM, then SIGKILL.")
@_job
@place_options
def stop(job_id: str | None, name: str | None, where: Where) -> None:
    """Stop a job; its driver gets SIGTERM, then SIGKILL.

    \b
    raystead job stop
    raystead job stop raysubmit_8fK2Q
    """
    from raystead.cli.jobs import meant, target_of
    from raystead.cli.ticks import refuse_without_a_run

    place = place_of(where)
    if (ticks := place.ticks(name)) is not None:
        job_id = refuse_without_a_run(ticks, job_id)
    with target_of(name, where, place) as target:
        job = meant(target.client, job_id)
        stopped = target.client.stop(job.id)
        waits = stopped and target.client.get(job.id).status == "PENDING"
    if waits:  # Ray tells its supervisor, which is not there yet
        click.echo(f"{job.id} has not begun; Ray stops it as soon as it does")
    else:
        click.echo(f"{job.id} is stopping" if stopped else f"{job.id} had ended already")
