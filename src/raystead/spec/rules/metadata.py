"""Labels and annotations that a file gives its cluster, its pods and the head's Service."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.labels import is_label
from raystead.spec.finding import SpecFinding, groups
from raystead.spec.model import Json, RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_MOST = 63  # characters of a label's value, and of a key behind its prefix


def _parts(cluster: RayCluster) -> Iterator[tuple[Path, Json]]:
    yield ("metadata",), {"labels": cluster.metadata.labels, "annotations": cluster.annotations}
    for at, group in groups(cluster):
        yield (*at, "template", "metadata"), group.template.metadata
    service = (cluster.spec.head.head_service or {}).get("metadata")
    if isinstance(service, dict):
        yield ("spec", "headGroupSpec", "headService", "metadata"), service
    yield ("spec",), {"headServiceAnnotations": cluster.spec.head_service_annotations}


def _labels(cluster: RayCluster) -> Iterator[SpecFinding]:
    """The API server refuses the whole object."""
    for at, metadata in _parts(cluster):
        for key, value in (metadata.get("labels") or {}).items():
            if not isinstance(value, str):  # told by the table of fields
                continue
            path = (*at, "labels", key)
            if not is_label(key, ""):
                yield SpecFinding(path, f'"{key}" is not a valid key of a label', _key(key))
            elif len(value) > _MOST:
                what = f"the label's value has {len(value)} characters, {_MOST} at most"
                yield SpecFinding(path, what, "shorten it, or make it an annotation")
            elif not is_label(key, value):
                what = f'"{value}" is not a valid value of a label'
                yield SpecFinding(
                    path, what, "letters, digits, - _ . and no other at its ends; or make it an annotation"
                )


def _annotations(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, metadata in _parts(cluster):
        for field in ("annotations", "headServiceAnnotations"):
            for key in metadata.get(field) or {}:
                prefix, slash, name = str(key).rpartition("/")
                if not is_label(prefix.lower() + slash + name, ""):  # its domain may have capitals
                    path = (*at, field, key)
                    yield SpecFinding(path, f'"{key}" is not a valid key of an annotation', _key(key))


def _key(key: str) -> str:
    name = key.rpartition("/")[2]
    if len(name) > _MOST:
        return f"{_MOST} characters at most, and this has {len(name)}"
    return "letters, digits, - _ . and no other at its ends; one / after a domain"


RULES = (_labels, _annotations)
