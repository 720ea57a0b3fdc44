"""A Ray cluster in the namespace you have: KubeRay's YAML in, plain Kubernetes objects out.

`Cluster` is the library; `errors` holds everything it raises. Both are imported when they are first used,
so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raystead.base.version import __version__

if TYPE_CHECKING:
    from raystead.library import Cluster, connect

__all__ = ["Cluster", "__version__", "connect"]


def __getattr__(name: str) -> Any:
    if name in ("Cluster", "connect"):
        from raystead import library

        return getattr(library, name)
    raise AttributeError(f"module 'raystead' has no attribute {name!r}")
