"""Commands for hints: they mean the cluster and the job that were meant, and work exactly as printed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection, Sequence

from raystead.cli.main import COMMANDS
from raystead.cli.options import Where, typed_where

__all__ = ["MAY_HOLD_SECRETS", "again", "corrected", "place_flags", "placed", "spelled_out"]

_SAME = re.compile(r"the same command with (--name \S+|--[a-z-]+)")
_VERBS = "|".join(verb for verb in COMMANDS if verb not in ("job", "render", "schema"))
# up to the end of the line or of the quotation, or to the next command
_COMMAND = re.compile(
    rf"\braystead (?P<verb>job (?:list|status|logs|stop)|{_VERBS})\b"
    r"(?P<rest>(?:(?!\braystead )[^`\n])*)"
)
_PLACE = ("-n", "--namespace", "--context", "--kubeconfig", "--as", "--as-group", "--local")
MAY_HOLD_SECRETS = ("--env", "--runtime-env-json", "--metadata-json")


def place_flags(name: str | None, where: Where) -> str:
    """` --local`, ` -n team --name mine`: what was typed to say which cluster is meant, after a blank."""
    out = [] if name is None else ["--name", name]
    flags = {"kubeconfig": "--kubeconfig", "context": "--context", "namespace": "-n", "as_user": "--as"}
    for field, value in where._asdict().items():
        if field == "local" and value:
            out.append("--local")
        elif field == "as_groups":
            for group in value:
                out += ["--as-group", group]
        elif value and field in flags:
            out += [flags[field], value]
    return "".join(f" {shlex.quote(word)}" for word in out)


def placed(text: str) -> str:
    """`raystead status` becomes `raystead status -n team` where `-n team` was typed; so for every command.

    A command that says where it works stays as it is.
    """
    flags = place_flags(None, typed_where()._replace(local=False))

    def line(match: re.Match[str]) -> str:
        words = match["rest"].partition(" -- ")[0].split()
        says_where = any(word.partition("=")[0] in _PLACE for word in words)
        return match[0] if says_where else f"raystead {match['verb']}{flags}{match['rest']}"

    return _COMMAND.sub(line, text) if flags else text


def corrected(wrong: str, right: str, *, without: Collection[str] = ()) -> str | None:
    """The line that was typed with another verb and `without` these words; None when it may hold a secret."""
    words = [word for word in sys.argv[1:] if word not in without]
    if wrong not in words or any(word.startswith(MAY_HOLD_SECRETS) for word in words):
        return None
    at = words.index(wrong)
    return f"raystead {shlex.join([*words[:at], right, *words[at + 1 :]])}"


def again(command: Sequence[str], typed: Sequence[str], more: str = "") -> str | None:
    """The line that was typed with `more` flags and another command.

    None when it cannot be told: the command did not stand at the end, or what was typed may hold a secret.
    """
    words = sys.argv[1:]
    at = len(words) - len(typed)
    if at < 1 or tuple(words[at:]) != tuple(typed):
        return None
    before = words[: at - 1] if words[at - 1] == "--" else words[:at]
    if any(word.startswith(MAY_HOLD_SECRETS) for word in before):
        return None
    start = " ".join(["raystead", *map(shlex.quote, before)])
    return f"{start}{' ' if more else ''}{more} -- {shlex.join(command)}"


def spelled_out(text: str) -> str:
    """`the same command with --yes` becomes the line to type, unless what was typed may hold a secret."""
    words = sys.argv[1:]
    dashes = words.index("--") if "--" in words else len(words)
    if any(word.startswith(MAY_HOLD_SECRETS) for word in words):
        return text

    def line(match: re.Match[str]) -> str:
        return f"raystead {shlex.join([*words[:dashes], *match[1].split(), *words[dashes:]])}"

    return _SAME.sub(line, text)
