"""Changes of an applied spec that verbs make: other counts, suspended or not."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from raystead.base.groups import named, worker
from raystead.errors import UsageError
from raystead.spec import rules
from raystead.spec.model import Json, RayCluster
from raystead.spec.problems import Problem, problems_error
from raystead.spec.yamlio import dotted

__all__ = ["scaled", "suspended"]


def scaled(cluster: RayCluster, counts: Mapping[str, int]) -> RayCluster:
    """`counts` of groups, by the words for them, as their replicas; a group's minimum and maximum give way.

    Raises:
        UsageError: there is no such group.
        SpecError: the result breaks a rule.
    """
    document = copy.deepcopy(cluster.document())
    written: list[Json] = document["spec"].get("workerGroupSpecs") or []
    groups = {worker(group["groupName"]): group for group in written}
    for word, count in counts.items():
        if named(word) not in groups:
            raise UsageError(
                f'"{cluster.name}" has no worker group "{word}"',
                evidence=f"its groups: {', '.join(map(str, groups)) or 'none'}",
                remedy=f"raystead scale {next(iter(groups))}={count}" if groups else "raystead up -f FILE",
            )
        group = groups[named(word)]
        group["replicas"] = count
        if "maxReplicas" in group:
            group["maxReplicas"] = max(count, group["maxReplicas"])
        if "minReplicas" in group:
            group["minReplicas"] = min(count, group["minReplicas"])
    return _checked(document)


def suspended(cluster: RayCluster, suspend: bool) -> RayCluster:
    """The spec with `suspend` set or taken away."""
    document = copy.deepcopy(cluster.document())
    document["spec"].pop("suspend", None)
    if suspend:
        document["spec"]["suspend"] = True
    return _checked(document)


def _checked(document: Json) -> RayCluster:
    cluster = RayCluster.model_validate(document)
    broken = [Problem("spec", 0, 0, dotted(f.path), f.what, f.instead) for f in rules.problems(cluster)]
    if broken:
        raise problems_error(broken)
    return cluster
