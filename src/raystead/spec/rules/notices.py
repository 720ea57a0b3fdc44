"""Notes on RayCluster fields that are read and have no effect here, or another one than with KubeRay."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.spec.finding import SpecFinding, groups
from raystead.spec.model import RayCluster

__all__ = ["NOTES"]


def _fields(cluster: RayCluster) -> Iterator[SpecFinding]:
    spec = cluster.spec
    if spec.head.replicas is not None:
        yield SpecFinding(("spec", "headGroupSpec", "replicas"), "no effect: a cluster has one head")
    if spec.head.ingress_options and not spec.head.enable_ingress:
        yield SpecFinding(("spec", "headGroupSpec", "ingressOptions"), "no effect without enableIngress")
    if spec.autoscaler_options and not spec.enable_in_tree_autoscaling:
        yield SpecFinding(("spec", "autoscalerOptions"), "no effect without enableInTreeAutoscaling")
    if cluster.ft_enabled:
        path = ("metadata", "annotations", "ray.io/ft-enabled")
        yield SpecFinding(
            path, "KubeRay's old form; it is read", "spec.gcsFaultToleranceOptions says the same"
        )
    if spec.upgrade_strategy and spec.upgrade_strategy.type == "Recreate":
        yield SpecFinding(("spec", "upgradeStrategy"), "Deployments roll changed pods by themselves")


def _groups(cluster: RayCluster) -> Iterator[SpecFinding]:
    for i, group in enumerate(cluster.spec.workers):
        at = ("spec", "workerGroupSpecs", i)
        if group.scale_strategy.workers_to_delete and not cluster.spec.enable_in_tree_autoscaling:
            path = (*at, "scaleStrategy", "workersToDelete")
            yield SpecFinding(path, "no pod is deleted by name: a Deployment chooses")
        if group.num_of_hosts > 1:
            what = "the hosts of a replica are single pods here: one that is lost comes back alone"
            yield SpecFinding((*at, "numOfHosts"), what)
        if group.replicas > group.max_replicas:
            what = f"{group.replicas} is over maxReplicas: {group.max_replicas} are made, as KubeRay does"
            yield SpecFinding((*at, "replicas"), what, "raise maxReplicas for more")
    for place, each in groups(cluster):
        policy = each.template.spec.get("restartPolicy")
        if cluster.spec.enable_in_tree_autoscaling and each is not cluster.spec.head:
            if policy not in (None, "", "Never"):
                what = f"{policy} becomes Never: Ray's autoscaler knows a worker by its pod"
                yield SpecFinding((*place, "template", "spec", "restartPolicy"), what)
        elif policy not in (None, "", "Always"):
            what = f"{policy} becomes Always in a fixed group"
            yield SpecFinding((*place, "template", "spec", "restartPolicy"), what)


NOTES = (_fields, _groups)
