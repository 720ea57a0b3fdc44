"""Where an object lives on the API server: the path of a collection and of one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raystead.base.kinds import KINDS
from raystead.errors import ApiError, ObjectNotFound

if TYPE_CHECKING:
    from raystead.kube.api import Api

__all__ = ["Discovery", "collection", "path_of"]


def collection(namespace: str, kind: str) -> str:
    """The path of all objects of a kind of `KINDS` in a namespace."""
    row = KINDS[kind]
    return f"{row.prefix}/namespaces/{namespace}/{row.plural}"


def path_of(namespace: str, kind: str, name: str) -> str:
    """The path of one object of a kind of `KINDS`."""
    return f"{collection(namespace, kind)}/{name}"


class Discovery:
    """Paths of kinds that only the server knows (foreign documents of a file)."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, list[dict[str, Any]]] = {}

    def path(self, item: dict[str, Any], namespace: str) -> str:
        """The path of the object `item`.

        Raises:
            ApiError: the server has no such kind.
        """
        version, kind = str(item["apiVersion"]), str(item["kind"])
        name = item["metadata"]["name"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if kind in KINDS and KINDS[kind].prefix == prefix:
            return path_of(item["metadata"].get("namespace") or namespace, kind, name)
        for entry in self._resources(prefix, version):
            if entry["kind"] == kind and "/" not in entry["name"]:
                where = item["metadata"].get("namespace") or namespace
                space = f"/namespaces/{where}" if entry.get("namespaced") else ""
                return f"{prefix}{space}/{entry['name']}/{name}"
        raise ApiError(
            f"the cluster has no {kind} of {version}",
            evidence=f"GET {prefix} does not list it",
            remedy="remove the document from the file, or have its CRD installed",
            status=404,
        )

    def _resources(self, prefix: str, version: str) -> list[dict[str, Any]]:
        if prefix not in self._known:
            try:
                self._known[prefix] = self._api.get(prefix).get("resources") or []
            except ObjectNotFound:
                self._known[prefix] = []
        return self._known[prefix]
