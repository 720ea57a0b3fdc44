"""The entry point: commands are imported when they are called; the only place that catches and exits."""

from __future__ import annotations

import importlib
import sys

import click

from raystead.base.version import __version__
from raystead.errors import INTERRUPTED, RaysteadError, StateError

# name -> (module, help line); in the order in which a newcomer needs them
COMMANDS = {
    "doctor": ("doctor", "Check what would go wrong, before anything is changed."),
    "up": ("up", "Start a Ray cluster, or bring a running one to its spec."),
    "plan": ("plan", "Show what up would do, field by field."),
    "submit": ("submit", "Run a command as a Ray job and follow its output."),
    "run": ("run", "Make a cluster, run one job on it, delete it (for CI)."),
    "explain": ("explain", "Say why a cluster is not ready, and what to do."),
    "status": ("status", "Show what runs and what is wrong."),
    "list": ("list", "List the clusters."),
    "connect": ("connect", "Open the dashboard, and run Ray's own clients on it."),
    "exec": ("exec", "Run a command or a shell in the head or a worker."),
    "token": ("token", "Print the token of the dashboard and job API."),
    "logs": ("logs", "Show the logs of the cluster's processes."),
    "job": ("job", "List, show, follow and stop jobs."),
    "scale": ("scale", "Change the number of workers."),
    "restart": ("restart", "Restart workers one at a time, or the head."),
    "verify": ("verify", "Prove that the cluster survives the loss of its head, Redis, a worker."),
    "suspend": ("suspend", "Stop all pods; keep the spec and the state."),
    "resume": ("resume", "Start a suspended cluster again."),
    "down": ("down", "Stop a cluster and everything it started."),
    "render": ("render", "Print the cluster as Kubernetes objects."),
    "schema": ("schema", "Print the JSON Schema of RayCluster files for editors."),
}


class Lazy(click.Group):
    """A group that imports a command's module only when it is used (`--help` stays fast)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"raystead.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", message="raystead %(version)s")
def root() -> None:
    """A Ray cluster in the namespace you have.

    \b
    raystead up                               a cluster in your namespace
    raystead up --local                       the same one on this machine
    raystead submit -- python train.py        a job on it
    """


def main() -> None:
    """Runs the command line; every error ends here as sentences and an exit code."""
    try:
        code = root.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _say("interrupted", INTERRUPTED)
    except KeyboardInterrupt:
        code = _say("interrupted", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        code = 2
    except RaysteadError as error:
        code = _say(error.diagnostics(), error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain again at exit.
        sys.stderr.close()
        code = 0
    except OSError as error:
        code = _say(_os_error(error).diagnostics(), StateError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _os_error(error: OSError) -> StateError:
    where = f" ({error.filename})" if error.filename else ""
    return StateError(
        f"this machine refused a file or process{where}",
        evidence=f"{type(error).__name__}: {error.strerror or error}",
        remedy="free space or fix the permission named above, then run the same command again",
    )


def _say(text: str, code: int) -> int:
    click.echo(f"raystead: {text}", err=True)
    return code


if __name__ == "__main__":
    main()
