"""`raystead doctor`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

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
from raystead.cli.up import policies_option, say_notes
from raystead.ops.typed import up_words

if TYPE_CHECKING:
    from raystead.ops.doctor import Subject


@click.command("doctor", cls=SpecCommand)
@spec_options
@policies_option
@click.option("--probe", is_flag=True, help="Also run a short Job: image, its Ray, DNS, Redis, egress.")
@click.option("--rbac", is_flag=True, help="Print the Role and RoleBinding to ask for, nothing else.")
@output_option
@quiet_option
@kube_options
def command(
    where: Where,
    file: str | None,
    policies: str | None,
    probe: bool,
    rbac: bool,
    output: str | None,
    quiet: bool,
    **flags: Any,
) -> None:
    """Check what would go wrong with `up`, before anything is changed; exit code 84 when something would.

    It reads, and asks the API server by dry-run. It takes the same words as up.

    \b
    raystead doctor --workers 8
    raystead doctor -f raycluster.yaml
    raystead doctor --rbac              the Role to ask an administrator for
    """
    from raystead.cli.reporting import reporter_for
    from raystead.cli.retyped import corrected, placed
    from raystead.errors import ProblemsFound
    from raystead.ops.doctor import examine, subject_of
    from raystead.spec.flags import Flags
    from raystead.ui.doctor import examined_json, examined_text
    from raystead.ui.plain import json_text

    reporter = reporter_for(quiet=quiet)
    api = place_of(where, guess=False).door("doctor")
    subject = subject_of(
        api,
        Flags(**flags),
        *read_file(file),
        namespace=where.namespace,
    )
    if rbac:
        _role(subject)
        return
    say_notes(reporter, subject.asked)
    up = up_words(subject.asked.cluster.name, file)
    examined = examine(subject, up=up, policies=policies, probes=probe)
    if output == "json":
        click.echo(json_text(examined_json(examined)))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else None
        click.echo(placed(examined_text(examined, colour=terminal and reporter.colour, width=width)))
    if examined.count("fail"):
        click.get_current_context().exit(ProblemsFound.exit_code)
    # A cluster that is there as it was asked for needs no `up`.
    same = subject.anchor is not None and subject.anchor.cluster == subject.asked.cluster
    asked = corrected("doctor", "up", without=("--probe",)) if output is None else None
    reporter.hint("raystead status" if same else asked or up)


def _role(subject: Subject) -> None:
    import yaml

    from raystead.doctor.rights import role

    click.echo(yaml.safe_dump_all(role(subject.held, subject.api.namespace), sort_keys=False), nl=False)
