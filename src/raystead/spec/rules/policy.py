"""`networkPolicy`: rules that its mode leaves without effect, and groups that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.spec.finding import SpecFinding
from raystead.spec.model import PolicyRules, RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]


def _policy(cluster: RayCluster) -> Iterator[SpecFinding]:
    policy = cluster.spec.network_policy
    if not policy:
        return
    at: Path = ("spec", "networkPolicy")
    known = {worker.name for worker in cluster.spec.workers}
    for i, entry in enumerate(policy.worker_groups):
        if entry.name not in known:
            there = ", ".join(sorted(known)) or "there are none"
            yield SpecFinding(
                (*at, "workerGroups", i), f'there is no group "{entry.name}"', f"groups: {there}"
            )
    parts: list[tuple[Path, PolicyRules | None]] = [
        ((*at, "head"), policy.head),
        ((*at, "worker"), policy.worker),
        *(((*at, "workerGroups", i), entry) for i, entry in enumerate(policy.worker_groups)),
    ]
    for path, part in parts:
        for mode, field, rules in (
            ("DenyAllEgress", "ingressRules", part and part.ingress_rules),
            ("DenyAllIngress", "egressRules", part and part.egress_rules),
        ):
            if policy.mode == mode and rules:
                what = f"{field} has no effect in mode {mode}"
                yield SpecFinding((*path, field), what, "remove it or change the mode")


RULES = (_policy,)
