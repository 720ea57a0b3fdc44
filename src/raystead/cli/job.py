"""`raystead job`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

import click

from raystead.cli.options import Where, output_option, place_options, quiet_option


@click.group("job")
def command() -> None:
    """List, show, follow and stop jobs.

    \b
    raystead job list
    raystead job logs raysubmit_8fK2Q -f
    """


@command.command("list")
@place_options
@output_option
def list_(name: str | None, where: Where, output: str | None) -> None:
    """All jobs of the cluster, the newest first."""
    from raystead.cli.jobs import client_for
    from raystead.ui.plain import rounded, table

    with client_for(name, where) as client:
        jobs = sorted(client.list(), key=lambda job: job.start_time or 0, reverse=True)
    if output == "json":
        click.echo(json.dumps([asdict(job) for job in jobs], indent=2))
        return
    now = time.time()
    rows = [
        (j.id, j.status, rounded(now - j.start_time) if j.start_time else "-", j.entrypoint[:60])
        for j in jobs
    ]
    click.echo(table(("JOB", "STATUS", "AGE", "ENTRYPOINT"), rows) if rows else "no jobs yet")


@command.command("status")
@click.argument("job_id")
@place_options
@output_option
def status(job_id: str, name: str | None, where: Where, output: str | None) -> None:
    """One job: its status and Ray's message."""
    from raystead.cli.jobs import client_for

    with client_for(name, where) as client:
        job = client.get(job_id)
    if output == "json":
        click.echo(json.dumps(asdict(job), indent=2))
        return
    click.echo(f"{job.id}   {job.status}\n  runs   {job.entrypoint}")
    if job.message:
        click.echo(f"  says   {job.message.strip()}")


@command.command("logs")
@click.argument("job_id")
@click.option("-f", "--follow", "follow", is_flag=True, help="Go on until the job ends; exits with its code.")
@place_options
@quiet_option
def logs(job_id: str, follow: bool, name: str | None, where: Where, quiet: bool) -> None:
    """The output of a job's driver."""
    from raystead.cli.jobs import client_for, follow_to_exit
    from raystead.ops.following import exit_code
    from raystead.ui.plain import Reporter

    with client_for(name, where) as client:
        if not follow:
            click.echo(client.logs(job_id), nl=False)
            return
        client.get(job_id)
        job, _ = follow_to_exit(client, job_id, Reporter(quiet=quiet), where)
    sys.exit(exit_code(job))


@command.command("stop")
@click.argument("job_id")
@place_options
def stop(job_id: str, name: str | None, where: Where) -> None:
    """Stop a job; its driver gets SIGTERM, then SIGKILL."""
    from raystead.cli.jobs import client_for

    with client_for(name, where) as client:
        stopped = client.stop(job_id)
    click.echo(f"{job_id} is stopping" if stopped else f"{job_id} had ended already")
