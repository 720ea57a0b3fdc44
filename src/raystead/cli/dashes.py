"""Commands of the form `verb [NAME] [options] -- CMD…`: what follows the dashes belongs to the command."""

from __future__ import annotations

import click

from raystead.cli.help import VerbCommand

__all__ = ["WithCommand", "typed_command"]

_KEY = "raystead.after_dashes"


class WithCommand(VerbCommand):
    """Keeps all words after the first `--` apart; click itself cannot tell them from a NAME before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_KEY] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD…]"]


def typed_command() -> tuple[str, ...]:
    """The words after the dashes, none if there were no dashes."""
    words: tuple[str, ...] = click.get_current_context().meta.get(_KEY, ())
    return words
