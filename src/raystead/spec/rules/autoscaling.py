"""Autoscaling: what it excludes, and what needs it."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.rayversions import dotted, tag_version, version_of
from raystead.spec.finding import SpecFinding, env_of, groups, whole
from raystead.spec.model import RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_V2 = "RAY_enable_autoscaler_v2"
_SINCE = (2, 40)  # docs/facts/ray.md#autoscaler


def _variable(cluster: RayCluster) -> tuple[Path, str | None] | None:
    """RAY_enable_autoscaler_v2 of the head; KubeRay looks nowhere else."""
    head: Path = ("spec", "headGroupSpec")
    found = [
        (at, entry.get("value")) for at, entry in env_of(head, cluster.spec.head) if entry["name"] == _V2
    ]
    return found[0] if found else None


def _version(cluster: RayCluster) -> Iterator[SpecFinding]:
    spec, variable = cluster.spec, _variable(cluster)
    version = (spec.autoscaler_options or {}).get("version")
    if variable and variable[1] in ("true", "1") and not spec.enable_in_tree_autoscaling:
        yield SpecFinding(variable[0], f"{_V2} is on and enableInTreeAutoscaling is not", "remove it")
    if variable and spec.enable_in_tree_autoscaling and version is not None:
        yield SpecFinding(
            variable[0], f"{_V2} cannot be set together with autoscalerOptions.version", "keep the latter"
        )
    if not (spec.enable_in_tree_autoscaling and version == "v2"):
        return
    for at, group in groups(cluster):
        policy = group.template.spec.get("restartPolicy")
        if policy not in (None, "", "Never"):
            path = (*at, "template", "spec", "restartPolicy")
            yield SpecFinding(path, f"restartPolicy {policy} under autoscaler v2", "Never, or remove it")


def _groups(cluster: RayCluster) -> Iterator[SpecFinding]:
    spec, variable = cluster.spec, _variable(cluster)
    v2 = (spec.autoscaler_options or {}).get("version") == "v2" or bool(
        variable and variable[1] in ("1", "true")
    )
    version = version_of(spec.ray_version)
    for i, worker in enumerate(spec.workers):
        path: Path = ("spec", "workerGroupSpecs", i)
        idle = worker.idle_timeout_seconds
        if worker.suspend and spec.enable_in_tree_autoscaling:
            yield SpecFinding(
                (*path, "suspend"), "a group cannot be suspended under autoscaling", "remove it"
            )
        if idle is not None and idle < 0:
            yield SpecFinding((*path, "idleTimeoutSeconds"), f"{idle} is negative", "0 or more")
        elif idle is not None and not v2:
            what = "a group's idle timeout needs autoscaler v2"
            yield SpecFinding((*path, "idleTimeoutSeconds"), what, "autoscalerOptions: {version: v2}")
        # KubeRay's CRD fills in 0, which means none.
        if worker.priority and (not v2 or version is None or version < (2, 56)):
            what = "a group's priority needs rayVersion 2.56.0 or newer and autoscaler v2"
            yield SpecFinding((*path, "priority"), what, "remove it")


def _cpus(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Ray's autoscaler ends with an error where it cannot tell how many CPUs a node has."""
    if not cluster.spec.enable_in_tree_autoscaling:
        return
    for at, group in groups(cluster):
        sizes = group.template.ray_container.get("resources") or {}
        amounts = [(sizes.get(side) or {}).get("cpu") for side in ("limits", "requests")]
        amounts += [value for key, value in group.resources.items() if key.lower() == "cpu"]
        count = group.ray_start_params.get("num-cpus")
        if count is not None and whole(count) is None:
            what = f'expected a number that the autoscaler can read, got "{count}"'
            yield SpecFinding((*at, "rayStartParams", "num-cpus"), what, "for example num-cpus: '2'")
        elif count is None and not any(value is not None for value in amounts):
            what = "the autoscaler has to know how many CPUs a node has"
            path = (*at, "template", "spec", "containers", 0, "resources")
            yield SpecFinding(path, what, "set resources.limits.cpu, or num-cpus in rayStartParams")


def _overwritten(cluster: RayCluster) -> Iterator[SpecFinding]:
    if cluster.spec.enable_in_tree_autoscaling and "no-monitor" in cluster.spec.head.ray_start_params:
        value = cluster.spec.head.ray_start_params["no-monitor"]
        if value.lower() != "true":
            path = ("spec", "headGroupSpec", "rayStartParams", "no-monitor")
            yield SpecFinding(path, f'"{value}" would run two autoscalers', "remove it")


def _options(cluster: RayCluster) -> Iterator[SpecFinding]:
    options, at = cluster.spec.autoscaler_options or {}, ("spec", "autoscalerOptions")
    idle = options.get("idleTimeoutSeconds")
    if isinstance(idle, int) and idle < 0:
        yield SpecFinding((*at, "idleTimeoutSeconds"), f"{idle} is negative", "0 or more")


def _too_old(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Where nobody knows the version it is new, as everywhere."""
    spec = cluster.spec
    if not spec.enable_in_tree_autoscaling:
        return
    own = (spec.autoscaler_options or {}).get("image")
    image = str(own or spec.head.template.ray_container.get("image") or "")
    version = tag_version(image) or version_of(spec.ray_version)
    if version is not None and version < _SINCE:
        path: Path = ("spec", "enableInTreeAutoscaling")
        what = f"the autoscaler of Ray {dotted(version)} asks https://kubernetes.default and nobody else"
        yield SpecFinding(path, what, f"use Ray {dotted(_SINCE)} or newer, or remove it")


RULES = (_too_old, _version, _groups, _cpus, _overwritten, _options)
