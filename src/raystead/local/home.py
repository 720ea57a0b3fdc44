"""Where local clusters are kept, for who only asks whether there are any."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["names", "state_home"]


def state_home() -> Path:
    """The user's XDG state directory."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "raystead" / "local"


def names(state_dir: Path | None = None) -> list[str]:
    """The local clusters there are."""
    home = state_dir or state_home()
    return sorted(p.parent.name for p in home.glob("*/plan.json")) if home.is_dir() else []
