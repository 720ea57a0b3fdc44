"""--help that fits a screen: options under headings, the less common ones only with --help-all; `help`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

__all__ = ["SpecCommand", "VerbCommand", "Verbs", "sections"]

OWN = "Options"  # of the verb itself
_CONNECTION = (("context", "kubeconfig", "as_user", "as_groups", "as_uid", "verbose"), True)
# heading -> (options, whether plain --help leaves them out)
_SPEC_HEADINGS: dict[str, tuple[tuple[str, ...], bool]] = {
    "Cluster": (
        (
            "file",
            "name",
            "workers",
            "worker_cpu",
            "worker_memory",
            "head_cpu",
            "head_memory",
            "gpus",
            "image",
            "ray_version",
            "storage",
        ),
        False,
    ),
    OWN: ((), False),
    "Place": (("local", "namespace"), False),
    "Pods": (
        (
            "env",
            "env_from_secret",
            "mount",
            "pull_secret",
            "service_account",
            "node_selector",
            "toleration",
            "label",
            "whole_node",
            "reserve",
        ),
        True,
    ),
    "Scaling": (("autoscale", "least", "most", "idle", "idle_keeps_data"), True),
    "Redis": (
        ("redis_image", "redis_memory", "redis_cpu", "redis_address", "redis_password_secret"),
        True,
    ),
    "Network": (("allow_from", "allow_to", "policies"), True),
    "Files": (("no_working_dir", "exclude", "runtime_env", "runtime_env_json"), True),
    "Connection": _CONNECTION,
}
# of the verbs that take no spec
_HEADINGS: dict[str, tuple[tuple[str, ...], bool]] = {
    OWN: ((), False),
    "Place": (("name", "local", "namespace"), False),
    "Connection": _CONNECTION,
}
_ALL = "raystead.help-all"  # in click's meta: every heading is wanted


def sections(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, bool, list[click.Option]]]:
    """The visible options under their headings, and whether plain --help leaves the heading out."""
    options = [p for p in command.get_params(ctx) if isinstance(p, click.Option) and not p.hidden]
    headings = command.headings if isinstance(command, VerbCommand) else _HEADINGS
    known = {name for names, _ in headings.values() for name in names}
    for heading, (names, rare) in headings.items():
        found = [o for o in options if (o.name not in known if heading == OWN else o.name in names)]
        if found:
            yield heading, rare, found


class VerbCommand(click.Command):
    """A verb: its own options first, then where it works."""

    headings = _HEADINGS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rare = {name for names, is_rare in self.headings.values() if is_rare for name in names}
        if not any(param.name in rare for param in self.params):
            return
        self.params.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_all,
                help="Show every option.",
            )
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        hidden: list[str] = []
        for heading, rare, options in sections(self, ctx):
            if rare and not ctx.meta.get(_ALL):
                hidden.append(heading)
                continue
            with formatter.section(heading):
                formatter.write_dl([record for o in options if (record := o.get_help_record(ctx))])
        if hidden:
            formatter.write_paragraph()
            formatter.write_text(f"More with --help-all: {', '.join(hidden)}.")


class SpecCommand(VerbCommand):
    """A verb that takes the many options of a spec."""

    headings = _SPEC_HEADINGS


class Verbs(click.Group):
    """A group of commands that answers a slip with what may have been meant, and knows the word `help`."""

    command_class = VerbCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        there = self.list_commands(ctx)
        if args[0] == "help":
            args = [*args[1:], "--help"]
        if not args[0].startswith("-") and args[0] not in there:
            from raystead.cli.usage import unknown_command

            raise unknown_command(ctx, args[0], there)
        return super().resolve_command(ctx, args)


def _show_all(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()
