"""A Ray cluster in the namespace you have: KubeRay's YAML in, plain Kubernetes objects out.

`Cluster` is the library; `errors` holds everything it raises, `events` what its waits tell, `views` what it
answers with. All are imported when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raystead.base.version import __version__

if TYPE_CHECKING:
    from raystead import errors, events, views
    from raystead.library import Cluster, JobHandle, SpecFlags, TickHandle, connect

__all__ = [
    "Cluster",
    "JobHandle",
    "SpecFlags",
    "TickHandle",
    "__version__",
    "connect",
    "errors",
    "events",
    "views",
]

if not TYPE_CHECKING:  # a type checker knows every name, and finds those that are not there

    def __getattr__(name: str) -> object:
        import importlib

        if name in ("errors", "events", "views"):
            return importlib.import_module(f"raystead.{name}")
        if name in __all__:
            return getattr(importlib.import_module("raystead.library"), name)
        raise AttributeError(f"module 'raystead' has no attribute {name!r}")
