"""`raystead up`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from raystead.cli.changing import yes_option
from raystead.cli.help import SpecCommand
from raystead.cli.options import SPAN, Where, door, kube_options, quiet_option, read_file, spec_options
from raystead.errors import Unsupported

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.planning import Prepared
    from raystead.ops.specs import Desired
    from raystead.spec.flags import Flags
    from raystead.ui.plain import Reporter

policies_option = click.option(
    "--policies",
    type=click.Choice(["auto", "always", "never"]),
    help="Network policies: ingress, and egress where the namespace restricts it (auto, the default).",
)
force_option = click.option(
    "--force-conflicts", "force", is_flag=True, help="Take over fields that somebody else manages."
)


@click.command("up", cls=SpecCommand)
@spec_options
@click.option("--timeout", type=SPAN, metavar="SPAN", help="How long to wait, default 15m (local: 2m).")
@click.option(
    "--wait",
    "waits",
    type=bool,
    is_flag=False,
    flag_value="true",
    default=True,
    metavar="BOOL",
    help="--wait=false: return once applied.",
)
@click.option(
    "--dry-run",
    type=click.Choice(["none", "server"]),
    default="none",
    help="server: show the plan, change nothing.",
)
@policies_option
@force_option
@yes_option
@quiet_option
@kube_options
def command(
    where: Where,
    file: str | None,
    timeout: float | None,
    waits: bool,
    dry_run: str,
    policies: str | None,
    force: bool,
    yes: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Start a Ray cluster, or bring a running one to its spec; then wait until it is ready.

    \b
    raystead up                              head, two workers and Redis
    raystead up --workers 4 --worker-cpu 2   flags change only what they name
    raystead up -f raycluster.yaml           KubeRay's file, unchanged
    raystead up --local                      on this machine
    """
    from raystead.cli.reporting import reporter_for
    from raystead.spec.flags import Flags

    reporter = reporter_for(quiet=quiet)
    asked = Flags(**flags)
    if where.local:
        _local(reporter, asked, file, timeout, yes)
        return
    from raystead.cli.changing import say_checks, say_costs, say_who_went
    from raystead.cli.waits import follow
    from raystead.ops.bring import bring
    from raystead.ops.keepers import settled
    from raystead.ops.planning import prepare, wanted
    from raystead.ops.typed import up_words
    from raystead.ops.wait import TIMEOUT

    api, desired, anchor = wanted(door(where), asked, *read_file(file), namespace=where.namespace)
    say_notes(reporter, desired)
    if dry_run == "none":
        anchor = settled(api, anchor, lambda note: reporter.warn(note.text))
    prepared = prepare(api, desired, anchor, policies=policies, force=force)
    prepared.refuse_problems()
    if dry_run == "server":
        _dry_run(prepared, file)
        return
    if anchor is None and not flags["name"] and file is None:
        _beside_others(reporter, api, prepared.cluster.name, yes)
    up = up_words(prepared.cluster.name, file)
    say_checks(reporter, prepared, up, yes=yes)
    say_costs(reporter, prepared, yes=yes)
    with follow(reporter, api, prepared.cluster.name) as emit:
        brought = bring(prepared, emit, waits=waits, timeout=timeout or TIMEOUT, up=up)
    say_who_went(reporter, brought)
    if not waits:
        reporter.hint("raystead status")
    elif brought.anchor.suspended and not brought.anchor.facts.selected:
        reporter.hint("raystead resume")
    elif brought.anchor.facts.steward == "client":
        reporter.hint(f"raystead autoscale {brought.anchor.name}")
    elif prepared.document.kind == "RayCronJob":
        reporter.hint(f"raystead status {brought.anchor.name}")
    elif prepared.document.kind == "RayJob":
        reporter.hint(f"kubectl logs -f --namespace {api.namespace} job/{brought.anchor.name}")
    else:
        reporter.hint("raystead submit -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'")


def _dry_run(prepared: Prepared, file: str | None) -> None:
    """What `plan` says, which ends as `up` would."""
    from raystead.errors import ProblemsFound
    from raystead.ops.checking import failing
    from raystead.ops.typed import up_words
    from raystead.ui.doctor import check_rows
    from raystead.ui.plans import plan_text

    checks = failing(prepared, up_words(prepared.cluster.name, file))
    click.echo("\n".join([plan_text(prepared.plan), *check_rows(checks)]))
    if any(check.verdict == "fail" for check in checks):
        click.get_current_context().exit(ProblemsFound.exit_code)


def _beside_others(reporter: Reporter, api: Api, name: str, yes: bool) -> None:
    """Without a name `up` means the built-in one; next to a cluster of another name that may be a mistake."""
    from raystead.cli.changing import ask
    from raystead.ops.clusters import undecoded

    if there := [*undecoded(api)]:
        what = f'"{name}" would be a new cluster next to {", ".join(there)} in namespace {api.namespace}'
        ask(reporter, what, yes=yes, instead=f"raystead up --name {there[0]} for the one that is there")


def say_notes(reporter: Reporter, desired: Desired) -> None:
    for note in desired.notes:
        reporter.warn(str(note))


def _local(reporter: Reporter, asked: Flags, file: str | None, timeout: float | None, yes: bool) -> None:
    from raystead.cli.changing import change_here
    from raystead.cli.show import nodes_text
    from raystead.local.place import LocalPlace
    from raystead.ops.specs import desired
    from raystead.spec.builtin import NAME

    running = LocalPlace(asked.name or NAME).spec() if file is None else None
    wanted = desired(asked, *read_file(file), running=running)
    if (kind := wanted.document.kind) != "RayCluster":
        raise Unsupported(
            f"a {kind} runs in a namespace, not on this machine",
            remedy="raystead up --local for a cluster here, raystead submit --local -- for its entrypoint",
        )
    say_notes(reporter, wanted)
    begin = time.monotonic()
    place = LocalPlace(wanted.cluster.name)
    status = change_here(
        reporter,
        place,
        wanted.cluster,
        lambda options: place.up(wanted.cluster, options),
        timeout=timeout,
        yes=yes,
    )
    workers = len(status.nodes) - 1
    plural = "" if workers == 1 else "s"
    reporter.step(f'local cluster "{status.name}": head + {workers} worker{plural}', time.monotonic() - begin)
    if not reporter.quiet:
        reporter.line(nodes_text(status))
    reporter.hint(
        "raystead submit --local -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'"
    )
