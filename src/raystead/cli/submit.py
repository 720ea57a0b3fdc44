"""`raystead submit`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raystead.base.text import neutral
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, place_options, quiet_option, read_file
from raystead.cli.retyped import again
from raystead.errors import UploadTooLarge, UsageError

if TYPE_CHECKING:
    from raystead.ops import jobs
    from raystead.ops.jobs import Submission, SubmitOptions
    from raystead.rayapi.jobs import Job, JobClient
    from raystead.ui.plain import Reporter

_MORE = 20  # lines of what Ray tells of a job that never ran, the last


@click.command("submit", cls=VerbCommand)
@click.argument("cmd", nargs=-1, required=True, metavar="-- CMD…")
@click.option("--working-dir", metavar="DIR", help="Sent along; the job runs in it. Or an address Ray knows.")
@click.option("--no-working-dir", is_flag=True, help="Send nothing, though the command names a file here.")
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

    If the command names a file here, the current directory goes along, without what .gitignore names; so does
    --working-dir. Ctrl-C detaches and leaves the job running; a second one stops it.

    \b
    raystead submit -- python -c 'import ray; ray.init(); print(ray.nodes())'
    raystead submit -- python train.py --epochs 3
    """
    from raystead.cli.jobs import detaching, follow_to_exit, saying_what_was_submitted, target_of
    from raystead.cli.reporting import reporter_for

    reporter = reporter_for(quiet=quiet)
    with saying_what_was_submitted(reporter, again(cmd, cmd)):
        flags = JobFlags(**given)
        options = options_from(cmd, flags)
        if not options.runtime_env and not flags.no_working_dir:
            _warn_of_a_slip(reporter, cmd)
        with (
            target_of(name, where, uses=True) as target,
            detaching(target, reporter, may_stop=waits) as followed,
        ):
            ctrl_c = "detaches, twice stops" if waits else ""
            started = start(target.client, options, reporter, where, ctrl_c, followed.take)
            if not waits:
                reporter.result(started.id)
                reporter.hint(f"raystead job logs{target.flags} {started.id} -f")
                return
            job, seconds = follow_to_exit(target, started.id, reporter, where, started.again)
    sys.exit(say_end(job, seconds, reporter))


def _warn_of_a_slip(reporter: Reporter, cmd: tuple[str, ...]) -> None:
    """A program that is not here may be in the image; more often its name is mistyped."""
    from raystead.ops.command import not_here

    word, meant = not_here(cmd, Path.cwd())
    if word:
        near = f" (did you mean {meant}?)" if meant else ""
        reporter.warn(f"{word} is not in this directory{near}: the job will look for it in the image")


def start(
    client: JobClient,
    options: SubmitOptions,
    reporter: Reporter,
    where: Where,
    ctrl_c: str,
    take: Callable[[jobs.Submitting | jobs.Submitted], None] = lambda event: None,
) -> Submission:
    """Starts the job and says what is sent, where it runs and what Ctrl-C does ("": it does nothing here).

    Args:
        take: gets what is known of the job before that is said: what is said of Ctrl-C is true from then on.
    """
    from raystead.base.quantities import human_bytes
    from raystead.cli.jobs import patience, say_waiting
    from raystead.ops import jobs
    from raystead.ui.progress import bar

    with bar(reporter) as shown:

        def emit(event: jobs.Event) -> None:
            if isinstance(event, jobs.Packing):
                shown.show("packing", event.done, event.total)
                return
            if isinstance(event, jobs.Uploading):
                shown.show("uploading", event.sent, event.total)
                return
            shown.clear()
            if isinstance(event, jobs.Submitting | jobs.Submitted):
                take(event)
            if isinstance(event, jobs.Packed):
                package = event.package
                does = "the cluster has" if event.known else "uploading"
                what = f"the current directory, because {event.why} is in it: " if event.why else ""
                left = f", {package.ignored} ignored" if package.ignored else ""
                size = human_bytes(package.bytes)
                files = "1 file" if package.files == 1 else f"{package.files} files"
                reporter.step(f"{does} {what}{size} ({files}{left})")
            elif isinstance(event, jobs.Submitted):
                on = "" if where.here else " on a worker" if event.on_worker else " on the head"
                keys = f"   (Ctrl-C {ctrl_c})" if ctrl_c else ""
                reporter.step(f"job {event.id} submitted{on}{keys}")
            elif not isinstance(event, jobs.Submitting):
                say_waiting(reporter, event)

        return jobs.submit(
            client,
            options,
            emit=emit,
            on_worker=not where.here,
            patience=patience(where),
        )


def say_end(job: Job, seconds: float, reporter: Reporter) -> int:
    """One line with how it ended and why, and what Ray tells that is not the job's output; the exit code.

    Of a job that no driver's code explains the reason is the only word there is: said also when quiet.
    """
    from raystead.base.times import rounded
    from raystead.ops.following import exit_code, outcome

    end, code = outcome(job), exit_code(job)
    text = f"job {job.status} in {rounded(seconds)}" + (f": {end.why}" if end.why else "")
    if code and job.driver_exit_code is None and reporter.quiet:
        reporter.line(text)
    reporter.step(text)
    if end.more:
        lines = end.more.splitlines()
        for line in lines[-_MORE:]:
            reporter.line(f"  {neutral(line)}")
    return code


@dataclass(frozen=True)
class JobFlags:
    """What was typed of a job; None, () or False: not typed. Memory in bytes."""

    working_dir: str | None = None
    no_working_dir: bool = False
    exclude: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    runtime_env: str | None = None
    runtime_env_json: str | None = None
    metadata_json: str | None = None
    entrypoint_num_cpus: float | None = None
    entrypoint_num_gpus: float | None = None
    entrypoint_memory: int | None = None
    entrypoint_resources: str | None = None
    submission_id: str | None = None


def options_from(cmd: tuple[str, ...], given: JobFlags) -> SubmitOptions:
    """The options of `ops.jobs.submit` from what was typed; all problems are usage errors."""
    from raystead.ops.jobs import SubmitOptions, check

    env: dict[str, str] = {}
    for pair in given.env:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("--env takes NAME=VALUE, and one of them has no name or no =")
        env[key] = value
    runtime_env = _runtime_env(given.runtime_env, given.runtime_env_json)
    if given.working_dir is not None:
        runtime_env = {**(runtime_env or {}), "working_dir": given.working_dir}
    runtime_env, sent_for = _with_files(cmd, runtime_env, wanted=not given.no_working_dir)
    options = SubmitOptions(
        entrypoint=cmd,
        excludes=given.exclude,
        runtime_env=runtime_env,
        env=env,
        metadata=_json_map("--metadata-json", given.metadata_json) or {},
        num_cpus=given.entrypoint_num_cpus,
        num_gpus=given.entrypoint_num_gpus,
        memory=given.entrypoint_memory,
        resources=_json_map("--entrypoint-resources", given.entrypoint_resources),
        submission_id=given.submission_id,
        sent_for=sent_for,
    )
    try:
        check(options)
    except UploadTooLarge as error:
        raise _refused(error, cmd, options) from None
    return options


def _with_files(
    cmd: tuple[str, ...], runtime_env: dict[str, Any] | None, *, wanted: bool
) -> tuple[dict[str, Any] | None, str]:
    """The runtime environment with the current directory where the command needs it, and the file it is for.

    Raises:
        UsageError: the command is a file that a shell would not run, or names one that would not go along.
    """
    from raystead.ops.command import check_program, named_files
    from raystead.ops.runtime_env import local_path

    given = (runtime_env or {}).get("working_dir")
    if not wanted:
        if given:
            raise UsageError("--no-working-dir and a working directory exclude each other")
        return runtime_env, ""
    directory = Path.cwd() if given is None else local_path(given)
    if directory is None or not directory.is_dir():
        return runtime_env, ""
    if (better := check_program(cmd, directory)) is not None:
        raise UsageError(
            f"{cmd[0].split()[0]} is a file, and a shell would not run it as a command",
            evidence="it is not executable" if "/" in cmd[0] else "a shell looks for commands in PATH only",
            remedy=again(better, cmd) or f"raystead submit -- {shlex.join(better)}",
        )
    if given is not None:
        return runtime_env, ""
    files = named_files(cmd, directory)
    if not files:
        return runtime_env, ""
    return {**(runtime_env or {}), "working_dir": str(directory)}, files[0]


def _refused(error: UploadTooLarge, cmd: tuple[str, ...], options: SubmitOptions) -> UploadTooLarge:
    """The same error with a command that works: what may be left out is, unless the job's file is in it."""
    from raystead.ops.package import as_flags

    out = error.leave_out
    needed = [f"/{options.sent_for}".startswith(pattern) for pattern in out]
    if out and not (options.sent_for and any(needed)):
        flags = as_flags(out)
        remedy = again(cmd, cmd, flags) or f"add {flags}"
    elif options.sent_for:
        remedy = "go to a directory with your program alone, or send nothing: --no-working-dir"
    else:
        remedy = error.remedy
    why = f"it would be sent because {options.sent_for} is in it\n         " if options.sent_for else ""
    return UploadTooLarge(error.what, evidence=f"{why}{error.evidence}", remedy=remedy, leave_out=out)


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
    from raystead.spec.yamlio import read

    documents, problems = read(read_file(file)[0] or "", file)
    if problems:
        raise UsageError(f"--runtime-env cannot be read: {problems[0]}")
    value = documents[0].value if len(documents) == 1 else None
    if not isinstance(value, dict):
        raise UsageError(
            f"--runtime-env {file} is not a mapping", remedy="write for example: pip: [requests]"
        )
    return value
