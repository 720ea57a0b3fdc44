"""Commands as people type them, for remedies."""

from __future__ import annotations

import shlex

__all__ = ["up_words"]


def up_words(name: str, file: str | None = None) -> str:
    """`raystead up` for one spec."""
    from raystead.spec.builtin import NAME

    if file is not None:
        return f"raystead up -f {shlex.quote(file)}"
    return "raystead up" if name == NAME else f"raystead up --name {name}"
