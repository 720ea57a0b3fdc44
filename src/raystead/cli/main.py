"""The entry point: the list of verbs, and `raystead --help` without importing click."""

from __future__ import annotations

import gc
import sys

from raystead.ui import terminal

# New objects between two runs of the garbage collector, in place of 700: building the spec's models makes
# many, none of them is garbage, and looking took a tenth of a verb's time.
_OBJECTS = 20_000
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
    "autoscale": ("autoscale", "Make the workers that Ray's autoscaler wants, until Ctrl-C."),
    "restart": ("restart", "Restart workers one at a time, or the head."),
    "verify": ("verify", "Prove that the cluster survives losing its head, Redis, a worker."),
    "suspend": ("suspend", "Stop all pods; keep the spec and the state."),
    "resume": ("resume", "Start a suspended cluster again."),
    "down": ("down", "Stop a cluster and everything it started."),
    "render": ("render", "Print the cluster as Kubernetes objects."),
    "schema": ("schema", "Print the JSON Schema of RayCluster files for editors."),
}
ABOUT = """\
  A Ray cluster in the namespace you have.

  raystead up                               a cluster in your namespace
  raystead up --local                       the same one on this machine
  raystead submit -- python train.py        a job on it
"""
_OPTIONS = """\
Options:
  --version   Show the version and exit.
  --debug     When raystead itself fails: show where, with values masked.
  -h, --help  Show this message and exit.

Commands:
"""


def help_text(program: str) -> str:
    """What `raystead --help` prints."""
    verbs = "".join(f"  {name:<11}{text}\n" for name, (_, text) in COMMANDS.items())
    return f"Usage: {program} [OPTIONS] COMMAND [ARGS]...\n\n{ABOUT}\n{_OPTIONS}{verbs}"


def main() -> None:
    """Runs the command line, and ends the process with its exit code."""
    gc.set_threshold(_OBJECTS)
    terminal.guard()
    code = 0
    if not _helped():
        from raystead.cli.root import run

        code = run()
    if (error := terminal.leave()) and code == 0:
        from raystead.cli.root import refused

        code = refused(error)
    gc.freeze()  # Python looks for garbage once more at its end, which took a twentieth of a verb's time
    sys.exit(code)


def _helped() -> bool:
    """Answers `raystead --help`; importing click would take longer than all the rest."""
    if sys.argv[1:] not in (["--help"], ["-h"]):
        return False
    program = "python -m raystead" if sys.argv[0].endswith("__main__.py") else "raystead"
    try:
        sys.stdout.write(help_text(program))
    except OSError:  # whoever reads it has gone, or the disk is full: as with every other command
        return False
    return True


if __name__ == "__main__":
    main()
