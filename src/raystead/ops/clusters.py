"""Which cluster a verb means: the named one, or the only one."""

from __future__ import annotations

from raystead.errors import ClusterNotFound, UsageError
from raystead.local.place import LocalPlace


def local_place(name: str | None) -> LocalPlace:
    """The local cluster of that name, or the only one there is.

    Raises:
        ClusterNotFound: there is none of that name, or none at all.
        UsageError: there are several and none was named.
    """
    names = LocalPlace.names()
    if name is not None:
        if name not in names:
            there = f"local clusters here: {', '.join(names)}" if names else "there is no local cluster here"
            raise ClusterNotFound(
                f'there is no local cluster "{name}"',
                evidence=there,
                remedy=f"raystead up --local --name {name}",
            )
        return LocalPlace(name)
    if not names:
        raise ClusterNotFound(
            "there is no local cluster on this machine",
            evidence="the state directory of raystead holds none",
            remedy="raystead up --local",
        )
    if len(names) > 1:
        raise UsageError(
            f"there are {len(names)} local clusters: {', '.join(names)}",
            remedy="name the one you mean with --name",
        )
    return LocalPlace(names[0])
