"""How many pods a group has, and how pods are replaced."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.spec.finding import SpecFinding
from raystead.spec.model import MAX_REPLICAS, RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]


def _counts(cluster: RayCluster) -> Iterator[SpecFinding]:
    for i, group in enumerate(cluster.spec.workers):
        path: Path = ("spec", "workerGroupSpecs", i)
        for field, value in (
            ("replicas", group.replicas),
            ("minReplicas", group.min_replicas),
            ("maxReplicas", group.max_replicas),
        ):
            if value < 0:
                yield SpecFinding((*path, field), f"{value} is negative", "0 or more")
            elif value > MAX_REPLICAS:
                what = f"{value} is more than the {MAX_REPLICAS} that the API server takes"
                yield SpecFinding((*path, field), what, "write a smaller number")
        if group.min_replicas > group.max_replicas >= 0:
            what = f"minReplicas {group.min_replicas} is more than maxReplicas {group.max_replicas}"
            yield SpecFinding((*path, "minReplicas"), what, "lower it, or raise maxReplicas")
        if group.num_of_hosts < 1:
            what = f"a replica cannot have {group.num_of_hosts} hosts"
            yield SpecFinding((*path, "numOfHosts"), what, "1 or more")
        limits = (group.template.ray_container.get("resources") or {}).get("limits") or {}
        if group.num_of_hosts > 1 and "google.com/tpu" in limits:
            what = (
                "a TPU slice of several hosts needs GKE's webhook, which gives each pod its place by labels "
                "that KubeRay's operator sets pod by pod; a Deployment's pods are all alike"
            )
            yield SpecFinding((*path, "numOfHosts"), what, "1, with a topology of one host")


def _upgrade(cluster: RayCluster) -> Iterator[SpecFinding]:
    strategy = cluster.spec.upgrade_strategy
    if not strategy or strategy.type is None:
        return
    if strategy.type not in ("Recreate", "None"):
        what = f'"{strategy.type}" is not one of Recreate, None'
        yield SpecFinding(("spec", "upgradeStrategy", "type"), what, "Recreate")
    owner = cluster.metadata.labels.get("ray.io/originated-from-crd")
    if owner in ("RayJob", "RayService"):
        what = f"a cluster made by a {owner} has no upgrade strategy of its own"
        yield SpecFinding(("spec", "upgradeStrategy"), what, "remove it")


RULES = (_counts, _upgrade)
