"""The command `raystead` itself: its verbs are imported when they are called; the only place that catches."""

from __future__ import annotations

import contextlib
import errno
import importlib
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import click

from raystead.base.version import __version__
from raystead.cli.help import Verbs
from raystead.cli.main import ABOUT, COMMANDS, help_text
from raystead.cli.options import API, ORIGIN, behind_the_verb, places_typed
from raystead.errors import INTERRUPTED, Forbidden, RaysteadError, StateError, UsageError

_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # without a file's name it is stdout that is full


@contextlib.contextmanager
def _reader_may_go() -> Iterator[None]:
    """Whoever read our output has what they wanted (`| head`): done, where click would make it a 1."""
    try:
        yield
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None


class Lazy(Verbs):
    """A group that imports a command's module only when it is used (`--help` stays fast)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"raystead.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        if all(param.name != "debug" for param in command.params):
            command.params.append(_debug(hidden=True))
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, behind_the_verb(args) if args and args[0].startswith("-") else args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """`--help` is printed here already."""
        with _reader_may_go():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """A refusal becomes what the user has in the namespace, and what to ask for."""
        try:
            with _reader_may_go():
                return super().invoke(ctx)
        except Forbidden as error:
            if (api := ctx.meta.get(API)) is None:
                raise
            from raystead.ops.rights import explained

            raise explained(api, error, ctx.meta.get(ORIGIN, lambda _: "")(error.namespace)) from error

    def get_help(self, ctx: click.Context) -> str:
        return help_text(ctx.command_path).rstrip()


_wishes = {"debug": False}  # what was typed; click has no place for it that outlives an error


def _debug(*, hidden: bool = False) -> click.Option:
    """--debug, which stands before the command or after it."""

    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        _wishes["debug"] = _wishes["debug"] or value

    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        hidden=hidden,
        callback=note,
        help="When raystead itself fails: show where, with values masked.",
    )


@click.group(cls=Lazy, help=ABOUT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", message="raystead %(version)s")
def root() -> None:
    pass


root.params.append(_debug())


def run() -> int:
    """Runs what was typed; every error ends here as sentences and an exit code."""
    _wishes["debug"] = False
    places_typed.clear()
    try:
        code = root.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return UsageError.exit_code
    except click.UsageError as error:
        from raystead.cli.usage import sentence

        _as_json(meant := sentence(error, root))
        return _say(meant.diagnostics(), meant.exit_code)
    except RaysteadError as error:
        from raystead.cli.retyped import placed, spelled_out

        _as_json(error)
        return _say(placed(spelled_out(error.diagnostics())), error.exit_code)
    except OSError as error:
        return refused(error)
    except UnicodeEncodeError as error:
        return _say(_not_text(error).diagnostics(), UsageError.exit_code)
    except Exception as error:  # noqa: BLE001 - the last resort
        from raystead.cli import failure  # what only errors need is imported when there is one

        return _say(failure.sentences(error, debug=_wishes["debug"]), RaysteadError.exit_code)


def _as_json(error: RaysteadError) -> None:
    """With `-o json` the error is an object on stdout, too, unless the command's own answer stands there."""
    words = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    asked = "-ojson" in words or ("-o", "json") in itertools.pairwise(words)
    if asked and not error.answered:
        from raystead.cli import failure

        with contextlib.suppress(OSError):
            click.echo(failure.as_json(error))


def _not_text(error: UnicodeEncodeError) -> UsageError:
    """A word of the command line that is not text and had to be sent as text."""
    word = error.object if len(error.object) < 100 else f"{error.object[:100]}…"
    return UsageError(
        "a name or value is not UTF-8 text",
        evidence=ascii(word) if "\\udc" in ascii(word) else "",
        remedy="type it again; names are plain letters, digits and dashes",
    )


def refused(error: OSError) -> int:
    """Says what this machine refused; the exit code for it."""
    return _say(_os_error(error).diagnostics(), StateError.exit_code)


def _os_error(error: OSError) -> StateError:
    if error.filename is None and error.errno in _OUTPUT:
        return StateError(
            "the output could not be written",
            evidence=f"{type(error).__name__}: {error.strerror}",
            remedy="free space where it is sent to, then run the same command again",
        )
    where = f" ({error.filename})" if error.filename else ""
    return StateError(
        f"this machine refused a file or process{where}",
        evidence=f"{type(error).__name__}: {error.strerror or error}",
        remedy="free space or fix the permission named above, then run the same command again",
    )


def _say(text: str, code: int) -> int:
    from raystead.base.secrets import masked_text

    with contextlib.suppress(OSError):  # nobody can be told, the code still says it
        click.echo(f"raystead: {masked_text(text)}", err=True)
    return code
