"""`raystead autoscale`."""

from __future__ import annotations

import time

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, place_of, quiet_option


@click.command("autoscale", cls=VerbCommand)
@cluster_options
@click.option(
    "--rbac",
    is_flag=True,
    help="Print the ServiceAccount, Role and RoleBinding to ask for instead, nothing else.",
)
@quiet_option
def command(name: str | None, where: Where, rbac: bool, quiet: bool) -> None:
    """Make the workers that Ray's autoscaler wants, with your own rights, until Ctrl-C.

    For an autoscaled cluster that may not make its workers itself, as who made it may not make a Role (`up`
    says so). It may be ended at any time and run again anywhere; a second one waits for the end of the first.

    \b
    raystead autoscale
    raystead autoscale --rbac   the Role that lets the cluster do it itself
    """
    from raystead.cli.reporting import reporter_for

    api = place_of(where).door("autoscale")
    if rbac:
        import yaml

        from raystead.manifests.autoscaling import account_for_steward

        if name is None:
            from raystead.ops.clusters import anchor_of

            name = anchor_of(api, None).name
        click.echo(yaml.safe_dump_all(account_for_steward(name, api.namespace), sort_keys=False), nl=False)
        return
    from raystead.ops.autoscale import autoscale
    from raystead.ops.clusters import anchor_of

    reporter = reporter_for(quiet=quiet)
    try:
        autoscale(
            api, anchor_of(api, name), lambda text: reporter.step(f"{time.strftime('%H:%M:%S')} {text}")
        )
    except KeyboardInterrupt:
        reporter.line("ended: nothing scales until raystead autoscale runs again; workers stay")
