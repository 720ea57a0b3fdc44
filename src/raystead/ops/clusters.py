"""Which cluster a verb means: the named one, or the only one; here on this machine or in a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raystead.base import names
from raystead.errors import ClusterNotFound, ObjectNotFound, RaysteadError, UsageError

if TYPE_CHECKING:
    from raystead.kube.api import Api, Json
    from raystead.local.place import LocalPlace
    from raystead.ops.anchor import Anchor

__all__ = ["anchor_of", "anchors", "deleted", "local_place", "undecoded"]


def undecoded(api: Api) -> dict[str, Json]:
    """The namespace's anchors by the names of their clusters: one that is damaged hides no other."""
    from raystead.kube.paths import collection
    from raystead.ops.anchor import ANCHOR_SELECTOR, name_of

    found = api.list(collection(api.namespace, "ConfigMap"), labels=ANCHOR_SELECTOR)
    return {name_of(raw): raw for raw in sorted(found, key=name_of)}


def anchors(api: Api) -> list[Anchor]:
    """All clusters of the namespace, by name.

    Raises:
        StateError, NewerFormat: one of them cannot be read.
    """
    from raystead.ops.anchor import decoded

    return [decoded(raw) for raw in undecoded(api).values()]


def anchor_of(api: Api, name: str | None) -> Anchor:
    """The cluster of that name, or the only one of the namespace.

    Raises:
        ClusterNotFound: there is none of that name, or none at all.
        UsageError: there are several and none was named.
    """
    from raystead.kube.paths import path_of
    from raystead.ops.anchor import decoded

    if name is not None:
        try:
            return decoded(api.get(path_of(api.namespace, "ConfigMap", names.anchor(name))))
        except ObjectNotFound:
            there = ", ".join(undecoded(api)) or "none"
            raise ClusterNotFound(
                f'there is no cluster "{name}" in namespace {api.namespace}',
                evidence=f"clusters there: {there}",
                remedy=f"raystead up --name {name}, or another namespace with -n",
            ) from None
    found = undecoded(api)
    if not found:
        raise ClusterNotFound(
            f"there is no cluster in namespace {api.namespace}",
            evidence=f"context {api.access.context}: no ConfigMap with the label raystead.io/role=anchor",
            remedy="raystead up, or another namespace with -n"
            + (" (a local cluster is here: --local)" if _local_names() else ""),
        )
    if len(found) > 1:
        listed = ", ".join(found)
        raise UsageError(
            f"there are {len(found)} clusters in namespace {api.namespace}: {listed}",
            remedy=f"the same command with --name {next(iter(found))}",
        )
    return decoded(*found.values())


def deleted(api: Api, anchor: Anchor) -> ClusterNotFound | None:
    """That the cluster is gone, if it is: then nothing of it will come back."""
    from raystead.kube.paths import path_of
    from raystead.ops.anchor import decoded

    try:
        now = decoded(api.get(path_of(api.namespace, "ConfigMap", names.anchor(anchor.name))))
        if now.uid == anchor.uid:
            return None
    except ObjectNotFound:
        pass
    except RaysteadError:
        return None
    return ClusterNotFound(
        f'the cluster "{anchor.name}" is gone',
        evidence=f"somebody deleted it in namespace {api.namespace} while we used it",
        remedy="raystead up",
    )


def local_place(name: str | None) -> LocalPlace:
    """The local cluster of that name, or the only one there is.

    Raises:
        ClusterNotFound: there is none of that name, or none at all.
        UsageError: there are several and none was named.
    """
    from raystead.local.place import LocalPlace

    found = LocalPlace.names()
    if name is not None:
        if name not in found:
            there = f"local clusters here: {', '.join(found)}" if found else "there is no local cluster here"
            raise ClusterNotFound(
                f'there is no local cluster "{name}"',
                evidence=there,
                remedy=f"raystead up --local --name {name}",
            )
        return LocalPlace(name)
    if not found:
        from raystead.kube.access import unconfigured

        elsewhere = unconfigured()
        raise ClusterNotFound(
            "there is no local cluster on this machine",
            evidence="the state directory of raystead holds none"
            + (f", and {elsewhere}" if elsewhere else ""),
            remedy="raystead up --local"
            + ("\nin a namespace: KUBECONFIG=FILE raystead doctor" if elsewhere else ""),
        )
    if len(found) > 1:
        raise UsageError(
            f"there are {len(found)} local clusters: {', '.join(found)}",
            remedy="name the one you mean with --name",
        )
    return LocalPlace(found[0])


def _local_names() -> list[str]:
    from raystead.local import home

    return home.names()
