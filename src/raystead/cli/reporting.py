"""The reporter of a verb: the commands that it prints mean the namespace and context that were typed."""

from __future__ import annotations

from raystead.cli.retyped import placed
from raystead.ui.plain import Reporter

__all__ = ["reporter_for"]


def reporter_for(*, quiet: bool) -> Reporter:
    """Progress on stderr, results on stdout; `quiet` keeps results only."""
    return Reporter(quiet=quiet, meant=placed)
