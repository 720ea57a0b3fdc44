"""`raystead suspend`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raystead.cli.changing import ask, carry_out, timeout_option, yes_option
from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, place_of, quiet_option
from raystead.cli.reporting import reporter_for

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor


@click.command("suspend", cls=VerbCommand)
@timeout_option
@yes_option
@cluster_options
@quiet_option
def command(timeout: float | None, yes: bool, name: str | None, where: Where, quiet: bool) -> None:
    """Stop all pods and keep the spec and the GCS' state; resume brings both back.

    Kept are names, jobs and detached actors; what an actor holds in memory is not.

    \b
    raystead suspend
    raystead resume
    """
    from raystead.manifests.storage import storage_kind
    from raystead.ops.changes import workers_of
    from raystead.ops.clusters import anchor_of
    from raystead.ops.planning import prepare
    from raystead.ops.specs import Desired, with_suspend
    from raystead.ops.suspending import refuse_elsewhere, refuse_loss

    reporter = reporter_for(quiet=quiet)
    api = place_of(where).door("suspend")
    anchor = anchor_of(api, name)
    refuse_elsewhere(anchor)
    if anchor.cluster.spec.suspend and not workers_of(api, anchor.name):
        reporter.step(f'"{anchor.name}" is suspended already: nothing was changed')
        reporter.hint("raystead resume")
        return
    storage = storage_kind(anchor.cluster)
    if not yes:
        refuse_loss(anchor)
    prepared = prepare(api, Desired(with_suspend(anchor.document, True)), anchor)
    prepared.refuse_problems()
    if not yes and prepared.plan.stops:
        ask(reporter, _costs(api, anchor), yes=yes)
    carry_out(reporter, prepared, again="raystead suspend", timeout=timeout, yes=True, stops_meant=True)
    if storage == "redis" and not (anchor.facts.has_default_storage or anchor.facts.storage_class):
        reporter.warn("Redis goes on running: its data is on no volume, and would be lost with its pod")
    reporter.hint("raystead resume")


def _costs(api: Api, anchor: Anchor) -> str:
    """What is lost, in numbers; without those of jobs where Ray cannot be asked."""
    from raystead.errors import RaysteadError
    from raystead.ops.changes import workers_of
    from raystead.ops.jobs import job_client

    try:
        with job_client(api, anchor) as client:
            running = sum(not job.ended for job in client.list())
        jobs = f"{running} running job{'' if running == 1 else 's'} and " if running else ""
    except RaysteadError:
        jobs = ""
    workers = len(workers_of(api, anchor.name))
    held = f"what actors on {workers} worker{'' if workers == 1 else 's'} hold in memory"
    return f'suspend "{anchor.name}": {jobs}{held} {"are" if jobs else "is"} lost'
