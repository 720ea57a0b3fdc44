"""What was typed and cannot be meant: a sentence, what may have been meant, the line to type."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence

import click

from raystead.cli.dashes import WithCommand
from raystead.cli.options import behind_the_verb
from raystead.cli.retyped import MAY_HOLD_SECRETS, corrected
from raystead.errors import UsageError

__all__ = ["examples", "near", "sentence", "unknown_command"]

_NOT_ONE_OF = re.compile(r"^'(.*)' is not one of ", re.S)
_NOT_A_NUMBER = re.compile(r"^'(.*)' is not a valid (integer|float|boolean)", re.S)
_NOT_IN_RANGE = re.compile(r"^(\S+) is not in the range ")
_TOO_MANY = re.compile(r"^Got unexpected extra arguments? \((.*)\)$", re.S)
_POD = re.compile(r"head\b|redis\b|worker")  # how exec is told where, most of the time
_KINDS = {"integer": "a whole number", "float": "a number", "boolean": "true or false"}
# What other tools call it, typed by habit.
_ELSEWHERE = {
    "apply": "up",
    "create": "up",
    "deploy": "up",
    "install": "up",
    "start": "up",
    "upgrade": "up",
    "check": "doctor",
    "diff": "plan",
    "delete": "down",
    "destroy": "down",
    "kill": "down",
    "rm": "down",
    "stop": "down",
    "get": "list",
    "ls": "list",
    "describe": "status",
    "ps": "status",
    "top": "status",
    "dashboard": "connect",
    "open": "connect",
    "port-forward": "connect",
    "shell": "exec",
    "ssh": "exec",
    "jobs": "job list",
    "version": "--version",
}


def near(word: str, there: Collection[str]) -> list[str]:
    """Those that may have been meant: the nearest, and a second one that is as near."""
    bare = {word.lstrip("-"): word for word in there}
    typed = word.lstrip("-")
    found = difflib.get_close_matches(typed, bare, n=2, cutoff=0.7)
    ratios = [difflib.SequenceMatcher(None, word, typed).ratio() for word in found]
    if not found and len(typed) > 3:
        return [word for name, word in bare.items() if name.startswith(typed) or name.endswith(f"-{typed}")][
            :2
        ]
    return [bare[word] for word, ratio in zip(found, ratios, strict=True) if ratio > ratios[0] - 0.05]


def unknown_command(ctx: click.Context, word: str, there: Collection[str]) -> UsageError:
    """A word where a command of the group of `ctx` should be."""
    path = ctx.command_path
    if ctx.parent is None and (other := _ELSEWHERE.get(word)):
        line = (_same_flags(word) and corrected(word, other)) or f"{path} {other}"
        return UsageError(f'there is no command "{word}", did you mean {other}?', remedy=line)
    found = near(word, there)
    lines = [corrected(word, right) or f"{path} {right}" for right in found]
    name = word if ctx.parent is None else f"{ctx.info_name} {word}"
    return UsageError(
        f'there is no command "{name}"{_meant(found)}', remedy="\n".join(lines) or f"{path} --help"
    )


def _same_flags(word: str) -> bool:
    """Behind the verb stands only what kubectl and raystead call alike: -f FILE, -n NAME."""
    behind = sys.argv[sys.argv.index(word) + 1 :] if word in sys.argv else []
    return bool(behind) and len(behind) % 2 == 0 and all(flag in ("-f", "-n") for flag in behind[::2])


def sentence(error: click.UsageError, root: click.Group) -> UsageError:
    """click's error as ours."""
    error.ctx = error.ctx or _typed(root)
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error)
    if isinstance(error, click.BadOptionUsage):
        return _option_and_value(error)
    if isinstance(error, click.MissingParameter):
        return _missing(error)
    if isinstance(error, click.BadParameter):
        return _bad_value(error)
    if extra := _TOO_MANY.match(error.message):
        return _too_many(error, extra[1])
    return UsageError(error.format_message().rstrip("."), remedy=_help(error))


def examples(command: click.Command | None) -> Iterator[str]:
    """The lines of a command's help that can be typed."""
    for line in ((command and command.help) or "").splitlines():
        if line.strip().startswith("raystead "):
            yield re.split(r"\s{2,}", line.strip())[0]


def _no_such_option(error: click.NoSuchOption) -> UsageError:
    ctx, name = error.ctx, error.option_name
    options = [] if ctx is None else [o for p in ctx.command.get_params(ctx) for o in _names(p)]
    found = near(name, options)
    what = f"{_verb(error)} has no option {name}{_meant(found)}"
    if (line := _with_dashes(error)) is not None:
        return UsageError(what, evidence="what follows -- belongs to the command", remedy=line)
    lines = [line for right in found if (line := _instead(name, right)) is not None]
    return UsageError(what, remedy="\n".join(lines) or _help(error))


def _option_and_value(error: click.BadOptionUsage) -> UsageError:
    name = error.option_name
    if "does not take a value" in error.message:
        return UsageError(f"{name} takes no value", remedy=_instead(name, name) or _help(error))
    param = next((p for p in (error.ctx.command.params if error.ctx else ()) if name in _names(p)), None)
    takes = f" ({_metavar(param, error.ctx)})" if param is not None and error.ctx else ""
    # nothing behind the name: what stands after `…-secret` is masked as what it may be
    return UsageError(f"a value{takes} is missing after {name}", remedy=_help(error))


def _missing(error: click.MissingParameter) -> UsageError:
    param, ctx = error.param, error.ctx
    name = _metavar(param, ctx) if param is not None and ctx is not None else "something"
    if isinstance(param, click.Option):
        name = f"{param.opts[-1]} {name}"
    shown = min(examples(ctx.command), key=len, default=None) if ctx is not None else None
    remedy = f"{shown}   for example" if shown else _help(error)
    return UsageError(f"{_verb(error)} needs {name}", remedy=remedy)


def _bad_value(error: click.BadParameter) -> UsageError:
    kind = error.param.type if error.param is not None else None
    where = error.param_hint if isinstance(error.param_hint, str) else _hint(error)
    message = error.message.rstrip(".")
    if isinstance(kind, click.Choice) and (match := _NOT_ONE_OF.match(message)):
        choices = [str(choice) for choice in kind.choices]
        found = near(match[1], choices)
        what = f'{where}: "{match[1]}" is not one of {", ".join(choices)}{_meant(found)}'
        lines = [line for right in found if (line := _instead(match[1], right)) is not None]
        return UsageError(what, remedy="\n".join(lines) or _help(error))
    if match := _NOT_A_NUMBER.match(message):
        return UsageError(f'{where}: expected {_KINDS[match[2]]}, got "{match[1]}"', remedy=_help(error))
    if isinstance(kind, click.IntRange) and (match := _NOT_IN_RANGE.match(message)):
        least, most = kind.min, kind.max
        bounds = f"of at least {least}" if most is None else f"from {least or 0} to {most}"
        return UsageError(f"{where}: expected a whole number {bounds}, got {match[1]}", remedy=_help(error))
    return UsageError(f"{where}: {message}", remedy=_help(error))


def _too_many(error: click.UsageError, words: str) -> UsageError:
    what = f'{_verb(error)} does not take "{words}"'
    if error.ctx is not None and isinstance(error.ctx.command, WithCommand):
        typed, extra = sys.argv[1:], words.split()
        at = len(typed) - len(extra)
        line = f"{_path(error)} -- COMMAND"
        if typed[at:] == extra and "--" not in typed and not _secret(typed):
            line = f"raystead {shlex.join([*typed[:at], '--', *extra])}"
        return UsageError(f"{what}: a command comes after --", remedy=line)
    return UsageError(what, remedy=_help(error))


def _with_dashes(error: click.UsageError) -> str | None:
    """The typed line with the dashes that a command needs before it, where they are all that is missing."""
    ctx, words = error.ctx, sys.argv[1:]
    takes = ctx is not None and (
        isinstance(ctx.command, WithCommand) or any(p.name == "cmd" for p in ctx.command.params)
    )
    if not takes or ctx is None or "--" in words or ctx.info_name not in words:
        return None
    at = words.index(ctx.info_name) + 1
    if ctx.info_name == "exec" and at + 1 < len(words) and _POD.match(words[at]):
        at += 1
    if at >= len(words) or words[at].startswith("-") or _secret(words):
        return None
    return f"raystead {shlex.join([*words[:at], '--', *words[at:]])}"


def _instead(wrong: str, right: str) -> str | None:
    """The typed line with another option or value; `--wrong=x` and `--option=wrong` are found as well."""
    words = sys.argv[1:]
    if _secret(words):
        return None
    typed = words[: words.index("--")] if "--" in words else words
    for at, word in enumerate(typed):
        name, equals, value = word.partition("=")
        if word == wrong or name == wrong:
            new = right if wrong == right or not equals else f"{right}={value}"
        elif equals and value == wrong:
            new = f"{name}={right}"
        else:
            continue
        return f"raystead {shlex.join([*words[:at], new, *words[at + 1 :]])}"
    return None


def _secret(words: Sequence[str]) -> bool:
    return any(word.startswith(MAY_HOLD_SECRETS) for word in words)


def _meant(found: Sequence[str]) -> str:
    return f", did you mean {' or '.join(found)}?" if found else ""


def _names(param: click.Parameter) -> list[str]:
    return [*param.opts, *param.secondary_opts] if isinstance(param, click.Option) else []


def _metavar(param: click.Parameter, ctx: click.Context) -> str:
    return param.make_metavar(ctx)


def _hint(error: click.BadParameter) -> str:
    """The option or argument as it is typed, without click's quotation marks."""
    if error.param is None:
        return _path(error)
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return _metavar(error.param, error.ctx) if error.ctx is not None else str(error.param.name)


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx is not None else "raystead"


def _verb(error: click.UsageError) -> str:
    """`job logs`; raystead itself where no verb was reached."""
    path = _path(error)
    return path.removeprefix(error.ctx.find_root().command_path if error.ctx else "").strip() or path


def _typed(root: click.Group) -> click.Context:
    """Of the command that was typed: click's own parser does not say in which one it failed."""
    ctx = click.Context(root, info_name="raystead")
    for word in behind_the_verb(sys.argv[1:]):
        command = ctx.command.get_command(ctx, word) if isinstance(ctx.command, click.Group) else None
        if command is None:
            break
        ctx = click.Context(command, info_name=word, parent=ctx)
    return ctx


def _help(error: click.UsageError) -> str:
    """How to see what the verb takes: everything, where plain --help leaves something out."""
    from raystead.cli.help import SpecCommand

    everything = error.ctx is not None and isinstance(error.ctx.command, SpecCommand)
    return f"{_path(error)} --help{'-all' if everything else ''}"
