"""Changes of an applied spec that verbs make: other counts, suspended or not."""

from __future__ import annotations

from collections.abc import Mapping

from raystead.base.groups import named, worker
from raystead.errors import UsageError
from raystead.spec.model import Json, RayCluster, read

__all__ = ["Count", "scaled", "suspended"]

Count = int | tuple[int, int]  # workers, or the fewest and the most that the autoscaler may have


def scaled(cluster: RayCluster, counts: Mapping[str, Count]) -> RayCluster:
    """`counts` of groups, by the words for them, as their replicas; a group's minimum and maximum give way.

    Of an autoscaled cluster they are pairs, the new minimum and maximum.

    Raises:
        UsageError: there is no such group, or the autoscaler decides and a number is given, or the reverse.
        SpecError: the result breaks a rule.
    """
    document = cluster.document()
    written: list[Json] = document["spec"].get("workerGroupSpecs") or []
    groups = {worker(group["groupName"]): group for group in written}
    for word, count in counts.items():
        if named(word) not in groups:
            raise UsageError(
                f'"{cluster.name}" has no worker group "{word}"',
                evidence=f"its groups: {', '.join(map(str, groups)) or 'none'}",
                remedy=f"raystead scale {next(iter(groups))}={_word(count)}"
                if groups
                else "raystead up -f FILE",
            )
        group = groups[named(word)]
        if isinstance(count, tuple) is not bool(cluster.spec.enable_in_tree_autoscaling):
            raise _other_form(cluster, word, count, group)
        if isinstance(count, tuple):
            group["minReplicas"], group["maxReplicas"] = count
            continue
        group["replicas"] = count
        if "maxReplicas" in group:
            group["maxReplicas"] = max(count, group["maxReplicas"])
        if "minReplicas" in group:
            group["minReplicas"] = min(count, group["minReplicas"])
    return _checked(document)


def _other_form(cluster: RayCluster, word: str, count: Count, group: Json) -> UsageError:
    if isinstance(count, tuple):
        return UsageError(
            f'"{cluster.name}" is not autoscaled: group {word} has a number of workers, not bounds',
            remedy=f"raystead scale {word}={count[1]}, or raystead up --name {cluster.name} --autoscale",
        )
    least, most = group.get("minReplicas") or 0, group.get("maxReplicas")
    between = f"at least {least}" if most is None else f"between {least} and {most}"
    fewest = (
        f"raystead scale {word}={count}..{max(count, most)}      at least {count}\n"
        if most is not None
        else ""
    )
    return UsageError(
        f"Ray's autoscaler decides how many workers group {word} has, {between}: only bounds can be given",
        remedy=f"{fewest}raystead scale {word}={min(least, count)}..{count}      at most {count}",
    )


def _word(count: Count) -> str:
    return f"{count[0]}..{count[1]}" if isinstance(count, tuple) else str(count)


def suspended(cluster: RayCluster, suspend: bool) -> RayCluster:
    """The spec with `suspend` set or taken away."""
    document = cluster.document()
    document["spec"].pop("suspend", None)
    if suspend:
        document["spec"]["suspend"] = True
    return _checked(document)


def _checked(document: Json) -> RayCluster:
    from raystead.spec import rules
    from raystead.spec.problems import Problem, problems_error
    from raystead.spec.yamlio import dotted

    cluster = read(RayCluster, document)
    broken = [Problem("spec", 0, 0, dotted(f.path), f.what, f.instead) for f in rules.problems(cluster)]
    if broken:
        raise problems_error(broken)
    return cluster
