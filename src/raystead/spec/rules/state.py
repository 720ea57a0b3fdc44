"""Where the GCS keeps its state: Redis or RocksDB."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base.rayversions import version_of
from raystead.spec.finding import SpecFinding, env_of
from raystead.spec.model import GcsFaultTolerance, RayCluster
from raystead.spec.yamlio import Path

__all__ = ["RULES"]

_HEAD: Path = ("spec", "headGroupSpec")
_OPTIONS: Path = ("spec", "gcsFaultToleranceOptions")
_FT = ("metadata", "annotations", "ray.io/ft-enabled")
_NAMESPACE = ("metadata", "annotations", "ray.io/external-storage-namespace")
_BESIDE = "together with gcsFaultToleranceOptions"
_CLAIM_FIELDS = {"size": "size", "storage_class_name": "storageClassName", "access_modes": "accessModes"}
_VOLUME, _MOUNT = "gcs-storage", "/data/gcs"  # KubeRay's own, in the head's pod
# host:port, also of an IPv6 address, as Ray takes it
_REDIS = re.compile(r"^(?:rediss?://)?(?:\[[0-9a-fA-F:]+\]|[0-9a-fA-F:]+|[^\s/:]+):\d{1,5}\Z")


def _forms(cluster: RayCluster) -> Iterator[SpecFinding]:
    """The GCS ends at once with an address that has no port, or tries a host of that name for ever."""
    options = cluster.spec.gcs_fault_tolerance
    given: list[tuple[Path, str | None]] = [
        (place, entry.get("value"))
        for place, entry in env_of(_HEAD, cluster.spec.head)
        if entry["name"] == "RAY_REDIS_ADDRESS"
    ]
    if options:
        given.append(((*_OPTIONS, "redisAddress"), options.redis_address))
    for path, address in given:
        if not address or "$" in address or "@" in address:
            continue
        if not all(_REDIS.match(one) for one in address.split(",")):
            host = re.sub(r"^[a-z]+://", "", address).partition(":")[0].strip("/ ") or "redis"
            what = f'"{address}" is not the address of a Redis: host:port'
            yield SpecFinding(path, what, f"for example {host}:6379")


def _address(cluster: RayCluster) -> Iterator[SpecFinding]:
    """RAY_REDIS_ADDRESS is the old form: with the annotation, never together with the options."""
    options, flag = cluster.spec.gcs_fault_tolerance, cluster.annotations.get(_FT[-1])
    place = next((p for p, e in env_of(_HEAD, cluster.spec.head) if e["name"] == "RAY_REDIS_ADDRESS"), None)
    if options and flag:
        what = "fault tolerance is set here and in gcsFaultToleranceOptions"
        yield SpecFinding(_FT, what, "remove the annotation")
    if place and options:
        yield SpecFinding(place, f"RAY_REDIS_ADDRESS cannot be set {_BESIDE}", "keep redisAddress")
    elif place and not cluster.ft_enabled:
        what = "RAY_REDIS_ADDRESS without fault tolerance"
        yield SpecFinding(place, what, "use gcsFaultToleranceOptions.redisAddress")
    elif cluster.ft_enabled and not options and not place:
        what = "fault tolerance without the address of a Redis keeps nothing"
        yield SpecFinding(_FT, what, "set RAY_REDIS_ADDRESS in the head's env")


def _credentials(cluster: RayCluster) -> Iterator[SpecFinding]:
    """The password may stand in env or rayStartParams without the options, the user name never."""
    options = cluster.spec.gcs_fault_tolerance
    for param, variable, field, always in (
        ("redis-password", "REDIS_PASSWORD", "redisPassword", False),
        ("redis-username", "REDIS_USERNAME", "redisUsername", True),
    ):
        if not (options or always):
            continue
        where = _BESIDE if options else "here"
        if cluster.spec.head.ray_start_params.get(param):
            path = (*_HEAD, "rayStartParams", param)
            what = f"{param} cannot be set {where}"
            yield SpecFinding(path, what, f"use gcsFaultToleranceOptions.{field}")
        for place, entry in env_of(_HEAD, cluster.spec.head):
            if entry["name"] == variable:
                what = f"{variable} cannot be set {where}"
                yield SpecFinding(place, what, f"use gcsFaultToleranceOptions.{field}")


def _storage_namespace(cluster: RayCluster) -> Iterator[SpecFinding]:
    if not cluster.spec.gcs_fault_tolerance:
        return
    instead = "use gcsFaultToleranceOptions.externalStorageNamespace"
    if cluster.annotations.get(_NAMESPACE[-1]):
        yield SpecFinding(_NAMESPACE, f"the annotation cannot be set {_BESIDE}", instead)
    for place, entry in env_of(_HEAD, cluster.spec.head):
        if entry["name"] == "RAY_external_storage_namespace":
            yield SpecFinding(place, f"RAY_external_storage_namespace cannot be set {_BESIDE}", instead)


def _backend(cluster: RayCluster) -> Iterator[SpecFinding]:
    options = cluster.spec.gcs_fault_tolerance
    if not options:
        return
    if options.backend == "rocksdb":
        yield from _rocksdb(cluster, options)
    else:
        if not options.redis_address:
            yield SpecFinding(_OPTIONS, "there is no redisAddress", "add host:port, or backend: rocksdb")
        if options.storage:
            what = "storage only has an effect with backend rocksdb"
            yield SpecFinding((*_OPTIONS, "storage"), what, "backend: rocksdb")
    if options.storage and options.storage.claim_name:
        for field, written in _CLAIM_FIELDS.items():
            if getattr(options.storage, field):
                path = (*_OPTIONS, "storage", written)
                yield SpecFinding(path, f"claimName excludes {written}", "remove it: the claim has its own")
    for field, secret in (
        ("redisPassword", options.redis_password),
        ("redisUsername", options.redis_username),
    ):
        if secret and (secret.value is None) == (secret.value_from is None):
            what = "exactly one of value and valueFrom is needed"
            yield SpecFinding((*_OPTIONS, field), what, "valueFrom.secretKeyRef")


def _rocksdb(cluster: RayCluster, options: GcsFaultTolerance) -> Iterator[SpecFinding]:
    for field, value in (
        ("redisAddress", options.redis_address),
        ("redisUsername", options.redis_username),
        ("redisPassword", options.redis_password),
        ("externalStorageNamespace", options.external_storage_namespace),
    ):
        if value:
            yield SpecFinding((*_OPTIONS, field), f"{field} has no effect with backend rocksdb", "remove it")
    version = version_of(cluster.spec.ray_version)
    if version and version < (2, 57):
        what = "RocksDB needs Ray 2.57 or newer"
        yield SpecFinding((*_OPTIONS, "backend"), what, "raise rayVersion or use Redis")
    for place, entry in env_of(_HEAD, cluster.spec.head):
        if entry["name"] in ("RAY_gcs_storage", "RAY_gcs_storage_path"):
            yield SpecFinding(place, f"{entry['name']} is set by backend rocksdb", "remove it")
    pod: Path = (*_HEAD, "template", "spec")
    for i, mount in enumerate(cluster.spec.head.template.ray_container.get("volumeMounts") or []):
        if mount["name"] == _VOLUME or mount["mountPath"].rstrip("/") == _MOUNT:
            path = (*pod, "containers", 0, "volumeMounts", i)
            what = f"the volume {_VOLUME} and the path {_MOUNT} are taken by backend rocksdb"
            yield SpecFinding(path, what, "remove the mount, or give it another name and path")
    for i, volume in enumerate(cluster.spec.head.template.spec.get("volumes") or []):
        if volume["name"] == _VOLUME:
            what = f"the volume {_VOLUME} is made by backend rocksdb"
            yield SpecFinding((*pod, "volumes", i), what, "remove it, or give it another name")


RULES = (_forms, _address, _credentials, _storage_namespace, _backend)
