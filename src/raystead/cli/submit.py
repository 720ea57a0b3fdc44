"""`raystead submit`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raystead.cli.options import Where, place_options, quiet_option
from raystead.errors import UsageError

if TYPE_CHECKING:
    from raystead.ops.jobs import Submission, SubmitOptions
    from raystead.rayapi.jobs import Job, JobClient
    from raystead.ui.plain import Reporter


@click.command("submit", context_settings={"ignore_unknown_options": False})
@click.argument("cmd", nargs=-1, required=True, metavar="-- CMD…")
@click.option("--working-dir", metavar="DIR", help="Sent along; the job runs in it. Or an address Ray knows.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Like a line of .gitignore.")
@click.option("--env", multiple=True, metavar="K=V", help="A variable for the job.")
@click.option("--runtime-env", metavar="FILE", help="Ray's runtime environment, YAML or JSON.")
@click.option("--runtime-env-json", metavar="JSON", help="The same, inline.")
@click.option("--metadata-json", metavar="JSON", help="Strings to keep with the job.")
@click.option("--entrypoint-num-cpus", type=float, metavar="N", help="CPUs for the driver itself.")
@click.option("--entrypoint-num-gpus", type=float, metavar="N", help="GPUs for the driver itself.")
@click.option("--entrypoint-memory", type=int, metavar="BYTES", help="Memory for the driver itself.")
@click.option("--entrypoint-resources", metavar="JSON", help="Other resources for the driver.")
@click.option("--submission-id", metavar="ID", help="The job's id; made up otherwise.")
@click.option("--wait/--no-wait", "waits", default=True, help="--no-wait: print the job's id and return.")
@place_options
@quiet_option
def command(
    cmd: tuple[str, ...], waits: bool, name: str | None, where: Where, quiet: bool, **given: Any
) -> None:
    """Run a command as a Ray job, follow its output, exit with its code.

    Ctrl-C detaches and leaves the job running; a second one stops it.

    \b
    raystead submit -- python -c 'import ray; ray.init(); print(ray.nodes())'
    raystead submit --working-dir . -- python train.py --epochs 3
    """
    from raystead.cli.jobs import client_for, follow_to_exit
    from raystead.ui.plain import Reporter

    reporter = Reporter(quiet=quiet)
    options = options_from(cmd, given)
    with client_for(name, where) as client:
        started = start(client, options, reporter, where, "detaches, twice stops")
        if not waits:
            reporter.result(started.id)
            reporter.hint(f"raystead job logs {started.id} -f")
            return
        job, seconds = follow_to_exit(client, started.id, reporter, where, started.again)
    sys.exit(say_end(job, seconds, reporter))


def start(
    client: JobClient, options: SubmitOptions, reporter: Reporter, where: Where, ctrl_c: str
) -> Submission:
    """Starts the job and says what is sent, where it runs and what Ctrl-C does."""
    from raystead.base.quantities import human_bytes
    from raystead.cli.jobs import patience, say_waiting
    from raystead.ops import jobs
    from raystead.ops.following import Waiting
    from raystead.ui.progress import upload_bar

    with upload_bar(reporter) as advance:

        def emit(event: jobs.Event) -> None:
            if isinstance(event, jobs.Uploading):
                advance(event.sent, event.total)
            elif isinstance(event, jobs.Packed):
                package = event.package
                does = "the cluster has" if event.known else "uploading"
                left = f", {package.ignored} ignored" if package.ignored else ""
                reporter.step(f"{does} {human_bytes(package.bytes)} ({package.files} files{left})")
            elif isinstance(event, Waiting):
                say_waiting(reporter, event)
            else:
                on = "" if where.here else " on a worker" if event.on_worker else " on the head"
                reporter.step(f"job {event.id} submitted{on}   (Ctrl-C {ctrl_c})")

        return jobs.submit(
            client,
            options,
            emit=emit,
            on_worker=not where.here,
            patience=patience(where),
        )


def say_end(job: Job, seconds: float, reporter: Reporter) -> int:
    """One line, Ray's own message if it failed; the exit code.

    Of a job that no driver's code explains the message is the only word there is: said also when quiet.
    """
    from raystead.ops.following import exit_code
    from raystead.ui.plain import rounded

    reporter.step(f"job {job.status} in {rounded(seconds)}")
    code = exit_code(job)
    if code and job.message and (not reporter.quiet or job.driver_exit_code is None):
        reporter.line(job.message.strip())
    return code


def options_from(cmd: tuple[str, ...], given: dict[str, Any]) -> SubmitOptions:
    """The options of `ops.jobs.submit` from what was typed; all problems are usage errors."""
    from raystead.ops.jobs import SubmitOptions

    env: dict[str, str] = {}
    for pair in given["env"]:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("--env takes NAME=VALUE, and one of them has no name or no =")
        env[key] = value
    runtime_env = _runtime_env(given["runtime_env"], given["runtime_env_json"])
    if given["working_dir"] is not None:
        runtime_env = {**(runtime_env or {}), "working_dir": given["working_dir"]}
    return SubmitOptions(
        entrypoint=cmd,
        excludes=given["exclude"],
        runtime_env=runtime_env,
        env=env,
        metadata=_json_map("--metadata-json", given["metadata_json"]) or {},
        num_cpus=given["entrypoint_num_cpus"],
        num_gpus=given["entrypoint_num_gpus"],
        memory=given["entrypoint_memory"],
        resources=_json_map("--entrypoint-resources", given["entrypoint_resources"]),
        submission_id=given["submission_id"],
    )


def _json_map(flag: str, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{flag} is not JSON: {error}", remedy=f'{flag} \'{{"key": "value"}}\'') from None
    if not isinstance(value, dict):
        raise UsageError(f"{flag} takes a JSON object", remedy=f'{flag} \'{{"key": "value"}}\'')
    return value


def _runtime_env(file: str | None, text: str | None) -> dict[str, Any] | None:
    if file is None:
        return _json_map("--runtime-env-json", text)
    if text is not None:
        raise UsageError("--runtime-env and --runtime-env-json exclude each other")
    import yaml

    try:
        value = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"--runtime-env {file} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(
            f"--runtime-env {file} is not a mapping", remedy="write for example: pip: [requests]"
        )
    return value
