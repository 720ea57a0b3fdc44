"""Where local clusters are kept, for callers that only ask whether there are any."""

from __future__ import annotations

import os
from pathlib import Path

from raystead.errors import StateError

__all__ = ["names", "state_home"]


def state_home() -> Path:
    """The user's XDG state directory.

    Raises:
        StateError: there is none, for there is no home.
    """
    if base := os.environ.get("XDG_STATE_HOME"):
        return Path(base) / "raystead" / "local"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    if str(home) in ("~", "/") or not home.is_absolute():
        raise StateError(
            "there is no home directory to keep the state of local clusters in",
            evidence="HOME is not set, and this user has none",
            remedy="set HOME, or XDG_STATE_HOME, to a directory of yours",
        )
    return home / ".local" / "state" / "raystead" / "local"


def names(state_dir: Path | None = None) -> list[str]:
    """The local clusters there are."""
    try:
        home = state_dir or state_home()
    except StateError:
        return []
    return sorted(p.parent.name for p in home.glob("*/plan.json")) if home.is_dir() else []
