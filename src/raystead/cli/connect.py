"""`raystead connect`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from raystead.cli.dashes import WithCommand, typed_command
from raystead.cli.options import Where, cluster_options, door, quiet_option
from raystead.errors import CommandNotStarted, RaysteadError, UsageError, indented

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor
    from raystead.ops.connect import Connection
    from raystead.ui.plain import Reporter

_LOOK = 0.5  # seconds between two looks at how the connections fare
_LOCAL_OPEN = (
    20.0  # seconds that a browser has to start and be let in; a local dashboard needs no port of ours
)


@click.command("connect", cls=WithCommand)
@click.option("--open", "opens", is_flag=True, help="Open the dashboard in a browser, logged in.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="For the dashboard; default 8265 if it is free, else a free one.",
)
@click.option("--client", is_flag=True, help='Also a port for ray.init("ray://…").')
@click.option("--client-port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="That port.")
@cluster_options
@quiet_option
def command(
    name: str | None,
    where: Where,
    opens: bool,
    port: int | None,
    client: bool,
    client_port: int,
    quiet: bool,
) -> None:
    """Open the cluster's dashboard and job API on ports of this machine, until Ctrl-C.

    With a command: run it with Ray's address and token in its environment, then close; its exit code is ours.

    \b
    raystead connect --open
    raystead connect -- ray job submit --working-dir . -- python train.py
    raystead connect --client -- python notebook.py
    """
    from raystead.cli.reporting import reporter_for

    reporter = reporter_for(quiet=quiet)
    words = typed_command()
    if opens and words:
        raise UsageError("--open and a command exclude each other")
    if where.here:
        _local(name, reporter, words, opens)
        return
    from raystead.ops.clusters import anchor_of
    from raystead.ops.connect import connect, environment

    api = door(where)
    anchor = anchor_of(api, name)
    wants_client = client or bool(client_port)
    if words:
        port = port or 0  # a program reads the address from its environment
    with connect(api, anchor, port=port, client=wants_client, client_port=client_port) as made:
        if made.client:
            _warn_of_misfit(anchor, reporter)
        if words:
            code = _run(words, environment(made))
            if code and (trouble := made.trouble) is not None:
                _warn(reporter, made.why() or trouble)
            sys.exit(code)
        _say(made, reporter)
        try:
            if (trouble := made.check()) is not None:
                _warn(reporter, trouble)
            with _browser(made, reporter, wanted=opens):
                _hold(api, anchor, made, reporter, warned=trouble is not None)
        except KeyboardInterrupt:  # which is how this is meant to end
            reporter.line("closed")


@contextmanager
def _browser(made: Connection, reporter: Reporter, *, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    from raystead.ops.browser import opened

    with opened(made.dashboard, made.token) as found:
        if not found:
            reporter.warn(f"no browser was found here (BROWSER names one); open {made.dashboard}")
        yield


def _warn(reporter: Reporter, trouble: RaysteadError) -> None:
    reporter.warn(f"{trouble.what}; each connection tries again")
    reporter.line(f"  do     {indented(trouble.remedy or 'raystead explain')}")


def _say(made: Connection, reporter: Reporter) -> None:
    _say_addresses(made, reporter)
    if not reporter.quiet:
        reporter.line(f'connected to "{made.name}"; Ctrl-C closes')


def _say_addresses(made: Connection, reporter: Reporter) -> None:
    reporter.result(f"dashboard  {made.dashboard}")
    if made.client:
        reporter.result(f"client     {made.client}")
    if made.token and reporter.tty and not reporter.quiet:
        reporter.line(f"token      {made.token}   (the dashboard asks for it once)")
    elif made.token and not reporter.quiet:
        reporter.line("token      raystead token   (the dashboard asks for it once)")


def _hold(api: Api, anchor: Anchor, made: Connection, reporter: Reporter, *, warned: bool) -> None:
    """Until Ctrl-C, or until the cluster is deleted.

    `warned`: that nothing answers now has been said, with its reason.
    """
    from raystead.ops.clusters import deleted

    told: str | None = None
    while True:
        time.sleep(_LOOK)
        trouble = made.trouble
        if trouble is None:
            if told:
                reporter.warn("it answers again")
            told = None
        elif trouble.what != told:
            if (gone := deleted(api, anchor)) is not None:
                raise gone
            told = trouble.what
            if not warned:
                reporter.warn(f"{trouble.what}; the next connection tries again")
            warned = False


def _run(words: tuple[str, ...], env: dict[str, str]) -> int:
    """Runs the user's command; signals reach it, and its exit code comes back."""
    if shutil.which(words[0]) is None:
        raise CommandNotStarted(
            f'there is no program "{words[0]}" here', remedy="check its spelling and PATH"
        )
    cleared = {k: v for k, v in os.environ.items() if k not in ("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN")}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the command by itself
    try:
        process = subprocess.Popen(
            words, env={**cleared, **env}, preexec_fn=lambda: signal.signal(signal.SIGINT, before)
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    except OSError as error:
        raise CommandNotStarted(f'"{words[0]}" cannot be started', evidence=str(error.strerror)) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _warn_of_misfit(anchor: Anchor, reporter: Reporter) -> None:
    """ray.init over a connection wants the cluster's Ray and Python."""
    from raystead.doctor.versions import fit
    from raystead.ops.client import client

    check = fit(anchor.cluster, client(), "raystead doctor --probe")
    if check.verdict == "warn":
        reporter.warn(f"{check.what}; {check.remedy}")


def _local(name: str | None, reporter: Reporter, words: tuple[str, ...], opens: bool) -> None:
    from raystead.ops.clusters import local_place
    from raystead.ops.connect import Connection, environment

    place = local_place(name)
    made = Connection(place.name, place.address, None, place.token())
    if opens:
        with _browser(made, reporter, wanted=True):
            time.sleep(_LOCAL_OPEN)
        return
    if not words:
        _say_addresses(made, reporter)
        if not reporter.quiet:
            reporter.line("these are this machine's own ports: there is nothing to keep open")
        reporter.hint("raystead connect --local --open")
        return
    sys.exit(_run(words, environment(made)))
