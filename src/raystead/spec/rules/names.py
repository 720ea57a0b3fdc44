"""Names of the cluster and its groups, and raystead's own annotations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator

from raystead.base import quantities
from raystead.spec.allow import ALLOW_ANNOTATION, parse_all
from raystead.spec.finding import SpecFinding
from raystead.spec.foreign import VARIABLE, has_variable
from raystead.spec.idle import IDLE_ANNOTATION
from raystead.spec.model import RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_CHOICES: dict[str, tuple[str, ...] | None] = {
    "raystead.io/names": ("guide", "kuberay"),
    "raystead.io/storage": ("redis", "rocksdb", "external", "none"),
    "raystead.io/redis-image": None,
    "raystead.io/redis-memory": None,
    "raystead.io/redis-cpu": None,
    "raystead.io/redis-user": None,
    "raystead.io/hardening": ("auto", "always", "never"),
    "raystead.io/labels": None,
    "raystead.io/redis-labels": None,
    "raystead.io/policies": ("auto", "always", "never"),
    IDLE_ANNOTATION: None,
    ALLOW_ANNOTATION: None,
    "raystead.io/concurrency-policy": ("Allow", "Forbid", "Replace"),
    "raystead.io/starting-deadline-seconds": None,
    "raystead.io/successful-jobs-history-limit": None,
    "raystead.io/failed-jobs-history-limit": None,
}


def _whole(least: int) -> Callable[[str], object]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) < 2**31):
            raise ValueError(f'expected a whole number of {least} or more, got "{text}"')
        return int(text)

    return read


_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    ALLOW_ANNOTATION: (parse_all, "namespace=monitoring,pods=app=prometheus to metrics"),
    "raystead.io/redis-memory": (quantities.parse, "for example 2Gi"),
    "raystead.io/redis-cpu": (quantities.parse, "for example 500m"),
    # Kubernetes looks at its CronJobs every ten seconds
    "raystead.io/starting-deadline-seconds": (_whole(10), "for example 300"),
    "raystead.io/successful-jobs-history-limit": (_whole(0), "for example 3"),
    "raystead.io/failed-jobs-history-limit": (_whole(0), "for example 3"),
}
_DNS1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_GROUP = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAME_MAX = 53  # KubeRay's limit, with room for what is appended to it
_LABEL_MAX = 63  # a group's name is the value of a label


def _cluster(cluster: RayCluster) -> Iterator[SpecFinding]:
    path = ("metadata", "name")
    name = cluster.metadata.name
    if name is None:
        if cluster.metadata.generate_name:
            at = ("metadata", "generateName")
            yield SpecFinding(
                at, "a cluster with a generated name cannot be found again", "give it a name: --name"
            )
        else:
            yield SpecFinding(("metadata",), "the cluster has no name", "add metadata.name or give --name")
    elif len(name) > _NAME_MAX:
        yield SpecFinding(path, f"the name has {len(name)} characters, {_NAME_MAX} at most", "shorten it")
    elif not _DNS1035.match(name):
        what = f'"{name}" is not a valid cluster name'
        instead = "lower-case letters, digits and -, beginning with a letter"
        yield SpecFinding(path, what, VARIABLE if has_variable(name) else instead)


def _annotations(cluster: RayCluster) -> Iterator[SpecFinding]:
    for key, value in cluster.annotations.items():
        path = ("metadata", "annotations", key)
        if not key.startswith("raystead.io/"):
            continue
        if key not in _CHOICES:
            close = difflib.get_close_matches(key, _CHOICES, n=1)
            yield SpecFinding(
                path, "raystead has no such annotation", f"did you mean {close[0]}?" if close else ""
            )
        elif (allowed := _CHOICES[key]) and value not in allowed:
            yield SpecFinding(path, f'"{value}" is not one of {", ".join(allowed)}')
        elif key in _READERS:
            read, example = _READERS[key]
            try:
                read(value)
            except ValueError as error:
                yield SpecFinding(path, str(error), example)


def _groups(cluster: RayCluster) -> Iterator[SpecFinding]:
    seen: dict[str, tuple[str, Path]] = {}
    for i, worker in enumerate(cluster.spec.workers):
        path: Path = ("spec", "workerGroupSpecs", i, "groupName")
        name = worker.name.lower()  # as in the names of objects; the label keeps its capitals
        if not worker.name:
            yield SpecFinding(path, "the group has no name", "for example small")
        elif not _GROUP.match(name) or len(name) > _LABEL_MAX:
            what = f'"{worker.name}" is not a valid group name'
            yield SpecFinding(
                path, what, f"letters, digits, - and . in between, {_LABEL_MAX} characters at most"
            )
        elif cluster.spec.network_policy and (name != worker.name or "." in name):
            what = f'"{worker.name}" is not a valid group name with networkPolicy'
            yield SpecFinding(path, what, "lower-case letters, digits and -: it is part of the policy's name")
        elif name in seen:
            first, place = seen[name]
            what = f'the group "{first}" has this name already'
            yield SpecFinding(path, what, "give each group a name of its own", place)
        seen.setdefault(name, (worker.name, path))


RULES = (_cluster, _annotations, _groups)
