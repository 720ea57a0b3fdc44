"""What the running Ray says of itself, against what the spec makes us believe."""

from __future__ import annotations

from typing import NamedTuple

from raystead.base.rayversions import dotted, version_of
from raystead.manifests.context import TOKEN_MODE_SINCE, Context

__all__ = ["Living", "token_difference", "version_difference"]


class Living(NamedTuple):
    """Ray's own answers; "" where it gave none.

    Attributes:
        mode: of `/api/authentication_mode`: `token` or `disabled`; a Ray without that path is `disabled`.
        version: of `/api/version`, for example "2.60.0".
    """

    mode: str = ""
    version: str = ""


def token_difference(ctx: Context, living: Living) -> str | None:
    """A sentence where Ray checks tokens and should not, or does not and should."""
    if not living.mode or (living.mode == "token") == ctx.token:
        return None
    if ctx.token:
        old = version_of(living.version)
        why = f": it is {living.version}, tokens came with {dotted(TOKEN_MODE_SINCE)}"
        why = why if old and old < TOKEN_MODE_SINCE else ""
        return f"a token is asked for, and the running Ray checks none{why}"
    return f"no token is expected ({ctx.no_token}), and the running Ray requires one"


def version_difference(ctx: Context, living: Living) -> str | None:
    """A sentence where another Ray runs than the image's tag or `rayVersion` says."""
    runs = version_of(living.version)
    if not runs or not ctx.version or runs == ctx.version:
        return None
    return f"Ray {living.version} runs, and the spec says {dotted(ctx.version)}"
