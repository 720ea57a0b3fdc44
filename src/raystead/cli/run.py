"""`raystead run`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from raystead.base import times
from raystead.base.text import plural
from raystead.cli.changing import say_checks
from raystead.cli.help import SpecCommand
from raystead.cli.options import SPAN, Where, kube_options, place_of, quiet_option, read_file, spec_options
from raystead.cli.submit import JobFlags, options_from, say_end, start
from raystead.cli.up import policies_option, say_notes
from raystead.errors import INTERRUPTED, JobFailed, Remains, UsageError
from raystead.ui import terminal

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.down import Downed
    from raystead.ops.specs import Desired
    from raystead.ui.plain import Reporter


@click.command("run", cls=SpecCommand)
@click.argument("cmd", nargs=-1, metavar="[-- CMD…]")
@spec_options
@click.option("--working-dir", metavar="DIR", help="Sent along; the job runs in it. Or an address Ray knows.")
@click.option("--no-working-dir", is_flag=True, help="Send nothing, though the command names a file here.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Like a line of .gitignore.")
@click.option("--runtime-env", metavar="FILE", help="Ray's runtime environment, YAML or JSON.")
@click.option("--runtime-env-json", metavar="JSON", help="The same, inline.")
@click.option(
    "--ttl",
    default="10m",
    metavar="TIME",
    help="How long it outlives a killed command; default 10m.",
)
@click.option("--timeout", type=SPAN, metavar="SPAN", help="How long to wait until it is ready, default 15m.")
@policies_option
@click.option("-y", "--yes", is_flag=True, help="Go on although a check fails.")
@quiet_option
@kube_options
def command(
    cmd: tuple[str, ...],
    where: Where,
    file: str | None,
    working_dir: str | None,
    no_working_dir: bool,
    exclude: tuple[str, ...],
    runtime_env: str | None,
    runtime_env_json: str | None,
    ttl: str,
    timeout: float | None,
    policies: str | None,
    yes: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Make a cluster, run one job on it, delete it; exit with the job's code.

    Whatever happens nothing is left: Ctrl-C, SIGTERM and a closed terminal delete it too, and a cluster whose
    command was killed deletes itself after --ttl. Each run has a cluster of its own; --name names it.

    \b
    raystead run -- python -c 'import ray; ray.init(); print(ray.nodes())'
    raystead run -f raycluster.yaml -- python train.py
    raystead run -f rayjob.yaml   follow a RayJob to its end
    """
    from raystead.cli.jobs import say_waiting
    from raystead.cli.reporting import reporter_for
    from raystead.ops.drivers import NamespaceDrivers
    from raystead.ops.following import follow
    from raystead.ops.jobs import job_client
    from raystead.ops.run import temporary
    from raystead.ops.wait import TIMEOUT
    from raystead.ui.live import view

    reporter = reporter_for(quiet=quiet)
    door = place_of(where).door("run")
    if not cmd:
        _rayjob(reporter, door, where, file, flags, policies, timeout, yes)
    lease = seconds(ttl)
    job_flags = JobFlags(
        working_dir=working_dir,
        no_working_dir=no_working_dir,
        exclude=exclude,
        runtime_env=runtime_env,
        runtime_env_json=runtime_env_json,
    )
    options = options_from(cmd, job_flags)
    api, asked = _asked(door, where, file, flags)
    say_notes(reporter, asked)
    left: list[Downed] = []
    try:
        with (
            ended_by_signals(),
            temporary(
                api,
                asked,
                lease=lease,
                view=lambda: view(reporter),
                note=lambda note: reporter.warn(note.text),
                downed=left.append,
                check=lambda prepared: say_checks(reporter, prepared, "raystead run", yes=yes),
                policies=policies,
                timeout=timeout or TIMEOUT,
            ) as anchor,
            job_client(api, anchor) as client,
        ):
            started = start(client, options, reporter, where, "ends it and deletes the cluster")
            job = follow(
                client,
                started.id,
                write=reporter.write,
                tell=lambda event: say_waiting(reporter, event),
                again=started.again,
                fate=NamespaceDrivers(api, anchor, client).fate,
            )
            code = say_end(job, (job.end_time or 0) - (job.start_time or 0), reporter)
    except (KeyboardInterrupt, SystemExit):
        for done in left:  # nobody has to wonder what an interrupt has left behind
            _say_down(reporter, done, INTERRUPTED)
        raise
    for done in left:
        _say_down(reporter, done, code)
    sys.exit(code)


def _rayjob(
    reporter: Reporter,
    door: Api,
    where: Where,
    file: str | None,
    flags: dict[str, Any],
    policies: str | None,
    timeout: float | None,
    yes: bool,
) -> NoReturn:
    """Brings a RayJob up and follows its submitter; exits with the driver's code.

    Raises:
        UsageError: there is no command and no RayJob.
    """
    from raystead.ops.bring import bring
    from raystead.ops.planning import prepare, wanted
    from raystead.ops.rayjobs import follow
    from raystead.ops.wait import TIMEOUT
    from raystead.spec.flags import Flags
    from raystead.ui.live import view

    text, filename = read_file(file)
    api, asked, anchor = wanted(door, Flags(**flags), text, filename, namespace=where.namespace)
    if asked.document.kind != "RayJob":
        raise UsageError(
            "there is no command to run", remedy="raystead run -f FILE -- CMD, or a RayJob in FILE"
        )
    say_notes(reporter, asked)
    prepared = prepare(api, asked, anchor, policies=policies)
    prepared.refuse_problems()
    say_checks(reporter, prepared, f"raystead up -f {file}", yes=yes)
    with view(reporter) as emit:
        anchor = bring(prepared, emit, timeout=timeout or TIMEOUT).anchor
    ended = follow(api, anchor, write=reporter.write, tell=reporter.warn)
    took = (
        f" after {times.rounded((ended.ended - ended.started).total_seconds())}"
        if ended.ended and ended.started
        else ""
    )
    why = f": {ended.message or ended.reason}" if ended.deployment_status == "Failed" else ""
    reporter.step(f"RayJob {anchor.name} {ended.job_status or ended.deployment_status}{took}{why}")
    sys.exit(0 if ended.deployment_status == "Complete" else ended.exit_code or JobFailed.exit_code)


def seconds(text: str) -> int:
    """The TTL in seconds.

    Raises:
        UsageError: it is none, or too short.
    """
    from raystead.ops.run import LEAST_LEASE

    value = int(times.in_seconds(text) or 0)
    if value < LEAST_LEASE:
        raise UsageError(f'--ttl "{text}" is not a time of at least a minute', remedy="for example --ttl 10m")
    return value


def _asked(api: Api, where: Where, file: str | None, flags: dict[str, Any]) -> tuple[Api, Desired]:
    """What the user asks for, under a name of its own unless they gave one, and where."""
    from raystead.ops.run import named
    from raystead.ops.specs import located
    from raystead.spec.flags import Flags

    text, filename = read_file(file)
    flags["name"] = flags["name"] or named(text, filename)
    return located(api, Flags(**flags), text, filename, namespace=where.namespace)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """CI cancels with SIGTERM, a terminal that is closed sends SIGHUP: either unwinds like an exit, so that
    the cluster goes. What is ignored stays so: nohup.
    """

    def leave(number: int, frame: object) -> NoReturn:
        if number == signal.SIGHUP:
            # The shell sends one, too, and it would end the cleaning up.
            signal.signal(number, signal.SIG_IGN)
            terminal.silence()
        raise SystemExit(128 + number)

    ends = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, leave) for s in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_down(reporter: Reporter, done: Downed, code: int) -> None:
    """What is gone; what remains is an error only where the job has none."""
    if not done.remains:
        reporter.step(f'"{done.name}" is gone: {plural(done.made or done.removed, "object")}', done.seconds)
        return
    error = Remains(
        f'"{done.name}" is not completely gone after {done.seconds:.0f} s',
        evidence="; ".join(done.remains),
        remedy=f"raystead down --name {done.name}",
    )
    if not code:
        raise error
    reporter.warn(error.diagnostics())
