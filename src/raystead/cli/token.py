"""`raystead token`."""

from __future__ import annotations

import click

from raystead.cli.help import VerbCommand
from raystead.cli.options import Where, cluster_options, place_of
from raystead.errors import UsageError


@click.command("token", cls=VerbCommand)
@click.option("--env", is_flag=True, help="As shell lines that Ray's own clients understand.")
@cluster_options
def command(name: str | None, where: Where, env: bool) -> None:
    """Print the token that the cluster's dashboard and job API ask for.

    --env is for Ray's own clients, while `raystead connect` holds the port in another terminal.

    \b
    raystead token
    eval "$(raystead token --env)"
    ray job submit --address http://localhost:8265 -- python -c 'print(1)'
    """
    from raystead.ops.connect import as_shell, token_environment

    token = place_of(where).token(name)
    if env:
        click.echo(as_shell(token_environment(token)))
    elif token is None:
        raise UsageError(
            "this cluster has no token: whoever reaches its dashboard may use it",
            evidence="authOptions.mode is disabled, or its Ray is older than 2.52",
        )
    else:
        click.echo(token)
