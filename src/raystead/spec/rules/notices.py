"""Notes on RayCluster fields that are read and have no effect here, or another one than with KubeRay."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base import labels
from raystead.spec.finding import SpecFinding, groups
from raystead.spec.model import MAX_REPLICAS, GroupSpec, RayCluster, WorkerGroup
from raystead.spec.yamlio import Path

__all__ = ["NOTES"]

_FIXED = (labels.CLUSTER, labels.NODE_TYPE, labels.GROUP, labels.OURS)
_ENDLESS = re.compile(r"(sleep inf(?:inity)?|tail -f /dev/null)\s*\Z")


def _fields(cluster: RayCluster) -> Iterator[SpecFinding]:
    spec = cluster.spec
    if cluster.given["metadata"].get("ownerReferences"):
        what = "no effect: the cluster does not end with what owned the RayCluster where this was read"
        yield SpecFinding(("metadata", "ownerReferences"), what)
    if ((spec.head.head_service or {}).get("spec") or {}).get("selector"):
        selector = ("spec", "headGroupSpec", "headService", "spec", "selector")
        yield SpecFinding(selector, "no effect, as under KubeRay: the head is selected by labels of its own")
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
        if MAX_REPLICAS >= group.replicas > group.max_replicas:
            what = f"{group.replicas} is over maxReplicas: {group.max_replicas} are made, as KubeRay does"
            yield SpecFinding((*at, "replicas"), what, "raise maxReplicas for more")
    for place, each in groups(cluster):
        metadata = each.template.metadata
        for field in ("name", "generateName", "namespace"):
            if metadata.get(field) and metadata[field] != cluster.metadata.namespace:
                what = "no effect: pods are named after their group, and live where the cluster does"
                yield SpecFinding((*place, "template", "metadata", field), what)
        for key in metadata.get("labels") or {}:
            if key in _FIXED and metadata["labels"][key] != _fixed(cluster, place, key, each):
                what = "no effect: its value is that of the cluster and its group, as Services select by it"
                yield SpecFinding((*place, "template", "metadata", "labels", key), what)
        policy = each.template.spec.get("restartPolicy")
        if cluster.spec.enable_in_tree_autoscaling and each is not cluster.spec.head:
            if policy not in (None, "", "Never"):
                what = f"{policy} becomes Never: Ray's autoscaler knows a worker by its pod"
                yield SpecFinding((*place, "template", "spec", "restartPolicy"), what)
        elif policy not in (None, "", "Always"):
            what = f"{policy} becomes Always in a fixed group"
            yield SpecFinding((*place, "template", "spec", "restartPolicy"), what)


def _fixed(cluster: RayCluster, at: Path, key: str, group: GroupSpec) -> str:
    """The value of a label that no template changes."""
    head = at[-1] == "headGroupSpec"
    name = group.name if isinstance(group, WorkerGroup) else "headgroup"
    return {labels.NODE_TYPE: "head" if head else "worker", labels.GROUP: name}.get(key, cluster.name)


def _commands(cluster: RayCluster) -> Iterator[SpecFinding]:
    """A command that never ends keeps Ray from starting, under KubeRay too."""
    for at, group in groups(cluster):
        ray = group.template.ray_container
        words = [str(word) for field in ("command", "args") for word in ray.get(field) or []]
        text = " ".join(words)
        if "ray start" in text or "RAY_START_CMD" in text or cluster.overwrites_command(group):
            continue
        if match := _ENDLESS.search(text):
            field = "args" if ray.get("args") else "command"
            what = f"{match[1]} never ends, and ray start comes after it: Ray does not start"
            path = (*at, "template", "spec", "containers", 0, field)
            yield SpecFinding(path, what, "remove it")


NOTES = (_fields, _groups, _commands)
