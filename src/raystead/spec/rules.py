"""RayCluster's rules (kuberay.md 1.9) and what comes later: each a small function over the model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

from raystead.base import quantities
from raystead.base.labels import is_label
from raystead.base.names import check_name
from raystead.spec.allow import ALLOW_ANNOTATION, parse_all
from raystead.spec.model import (
    AuthOptions,
    ClusterSpec,
    GcsFaultTolerance,
    GcsStorage,
    Group,
    HeadGroup,
    Metadata,
    NetworkPolicyOptions,
    PodTemplate,
    PolicyRules,
    RayCluster,
    WorkerGroup,
)
from raystead.spec.yamlio import Path

Finding = tuple[Path, str, str]
ANNOTATIONS: dict[str, tuple[str, ...] | None] = {
    "raystead.io/names": ("guide", "kuberay"),
    "raystead.io/storage": ("redis", "rocksdb", "external", "none"),
    "raystead.io/redis-image": None,
    "raystead.io/redis-memory": None,
    "raystead.io/redis-user": None,
    "raystead.io/policies": ("auto", "always", "never"),
    ALLOW_ANNOTATION: None,
}
_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    ALLOW_ANNOTATION: (parse_all, "namespace=monitoring,pods=app=prometheus to metrics"),
    "raystead.io/redis-memory": (quantities.parse, "for example 2Gi"),
}
FIELDS = {
    field.alias or name
    for model in (
        RayCluster, Metadata, ClusterSpec, HeadGroup, WorkerGroup, PodTemplate, GcsFaultTolerance, GcsStorage,
        AuthOptions, NetworkPolicyOptions,
    )
    for name, field in model.model_fields.items()
}  # fmt: skip
_K8S_TOKENS = "Kubernetes token authentication needs rights outside the namespace"
_FT_ANNOTATION = "ray.io/ft-enabled"
_DNS1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_GROUP = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SHADOW = {"num-cpus": "cpu", "memory": "memory", "num-gpus": "gpu"}
_COUNTS = ("num-cpus", "num-gpus", "memory", "object-store-memory")
_SERVICE_PORTS = ("port", "dashboard-port", "ray-client-server-port", "metrics-export-port")
_VERSION = re.compile(r"^(\d+)\.(\d+)")


def version_of(text: str | None) -> tuple[int, int] | None:
    """ "2.60.0" -> (2, 60); None where there is none or it is no version."""
    match = _VERSION.match(text or "")
    return (int(match[1]), int(match[2])) if match else None


def problems(cluster: RayCluster) -> Iterator[Finding]:
    """Every broken rule: where, what, what to write instead."""
    for rule in (
        _name,
        _annotations,
        _groups,
        _counts,
        _redis_twice,
        _autoscaler,
        _auth,
        _storage,
        _policy,
        _upgrade,
        _numbers,
        _later,
    ):
        yield from rule(cluster)


def notes(cluster: RayCluster) -> Iterator[Finding]:
    """What is read and has no effect, or another one than with KubeRay."""
    spec = cluster.spec
    for i, group in enumerate(spec.workers):
        if group.scale_strategy.workers_to_delete:
            path = ("spec", "workerGroupSpecs", i, "scaleStrategy", "workersToDelete")
            yield path, "no pod is deleted by name: a Deployment chooses", ""
        if group.num_of_hosts > 1:
            what = "the hosts of a replica are single pods here: one that is lost comes back alone"
            yield ("spec", "workerGroupSpecs", i, "numOfHosts"), what, ""
    if spec.head.ingress_options and not spec.head.enable_ingress:
        yield ("spec", "headGroupSpec", "ingressOptions"), "no effect without enableIngress", ""
    if spec.autoscaler_options:
        yield ("spec", "autoscalerOptions"), "no effect without enableInTreeAutoscaling", ""
    if cluster.annotations.get(_FT_ANNOTATION) == "true":
        yield (
            ("metadata", "annotations", _FT_ANNOTATION),
            "KubeRay's old form; it is read",
            "spec.gcsFaultToleranceOptions says the same",
        )
    if spec.upgrade_strategy and spec.upgrade_strategy.type == "Recreate":
        yield ("spec", "upgradeStrategy"), "Deployments roll changed pods by themselves", ""
    for at, each in groups(cluster):
        policy = each.template.spec.get("restartPolicy")
        if policy not in (None, "Always"):
            yield (
                (*at, "template", "spec", "restartPolicy"),
                f"{policy} becomes Always in a fixed group",
                "",
            )


def groups(cluster: RayCluster) -> list[tuple[Path, Group]]:
    """Head and worker groups with their paths."""
    head: list[tuple[Path, Group]] = [(("spec", "headGroupSpec"), cluster.spec.head)]
    return head + [(("spec", "workerGroupSpecs", i), g) for i, g in enumerate(cluster.spec.workers)]


def _env(group: Group) -> dict[str, Any]:
    entries = group.template.ray_container.get("env") or []
    return {e["name"]: e.get("value") for e in entries}


def _name(cluster: RayCluster) -> Iterator[Finding]:
    path = ("metadata", "name")
    name = cluster.metadata.name
    if name is None:
        if cluster.metadata.generate_name:
            yield ("metadata", "generateName"), "a generated name cannot be found again", "give --name"
        else:
            yield ("metadata",), "the cluster has no name", "add metadata.name or give --name"
    elif len(name) > 53:
        yield path, f"the name has {len(name)} characters, 53 at most", "shorten it"
    elif not _DNS1035.match(name):
        yield path, f'"{name}" is no name for a cluster', "lower-case letters, digits and -, a letter first"


def _annotations(cluster: RayCluster) -> Iterator[Finding]:
    for key, value in cluster.annotations.items():
        path = ("metadata", "annotations", key)
        if not key.startswith("raystead.io/"):
            continue
        if key not in ANNOTATIONS:
            close = difflib.get_close_matches(key, ANNOTATIONS, n=1)
            yield path, "raystead has no such annotation", f"did you mean {close[0]}?" if close else ""
        elif (allowed := ANNOTATIONS[key]) and value not in allowed:
            yield path, f'"{value}" is not one of {", ".join(allowed)}', ""
        elif key in _READERS:
            read, example = _READERS[key]
            try:
                read(value)
            except ValueError as error:
                yield path, str(error), example


def _groups(cluster: RayCluster) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for path, group in groups(cluster):
        if not group.template.containers:
            yield (*path, "template", "spec"), "there is no container", "add the Ray container"
        yield from _resources(path, group)
        for key, value in group.labels.items():
            if not is_label(key, value):
                yield (*path, "labels", key), f'"{key}: {value}" is no label', "letters, digits, - _ ."
        if "labels" in group.ray_start_params:
            yield (*path, "rayStartParams", "labels"), "labels do not belong here", "write them under labels:"
    for i, worker in enumerate(cluster.spec.workers):
        path = ("spec", "workerGroupSpecs", i, "groupName")
        name = worker.name.lower()  # as it stands in the names of objects; the label keeps its capitals
        if not worker.name:
            yield path, "the group has no name", "for example small"
        elif not _GROUP.match(name) or len(name) > 63:
            what = f'"{worker.name}" cannot stand in the name of an object'
            yield path, what, "letters, digits and -, 63 characters at most"
        elif name in seen:
            yield path, f'a group "{seen[name]}" stands above already', "give each group its own name"
        seen.setdefault(name, worker.name)


def _resources(path: Path, group: Group) -> Iterator[Finding]:
    for param, key in _SHADOW.items():
        named = [k for k in group.resources if k.lower() == key]
        if param in group.ray_start_params and named:
            what = f"{param} stands here and as {named[0]} in resources"
            yield (*path, "rayStartParams", param), what, "keep one"
    if "resources" in group.ray_start_params and group.resources:
        yield (*path, "rayStartParams", "resources"), "resources stands here and in the group", "keep one"


def _counts(cluster: RayCluster) -> Iterator[Finding]:
    for i, group in enumerate(cluster.spec.workers):
        path: Path = ("spec", "workerGroupSpecs", i)
        for field, value in (
            ("replicas", group.replicas),
            ("minReplicas", group.min_replicas),
            ("maxReplicas", group.max_replicas),
        ):
            if value < 0:
                yield (*path, field), f"{value} is negative", "0 or more"
        if group.min_replicas > group.max_replicas >= 0:
            what = f"minReplicas {group.min_replicas} is more than maxReplicas {group.max_replicas}"
            yield (*path, "minReplicas"), what, "lower it, or raise maxReplicas"
        if group.num_of_hosts < 1:
            yield (*path, "numOfHosts"), f"{group.num_of_hosts} hosts make no replica", "1 or more"
        if group.idle_timeout_seconds is not None and group.idle_timeout_seconds < 0:
            yield (*path, "idleTimeoutSeconds"), "the time is negative", "0 or more"


def _redis_twice(cluster: RayCluster) -> Iterator[Finding]:
    spec, head = cluster.spec, cluster.spec.head
    env, params = _env(head), head.ray_start_params
    ft, flag = spec.gcs_fault_tolerance, cluster.annotations.get(_FT_ANNOTATION)
    at: Path = ("spec", "headGroupSpec")
    env_at = (*at, "template", "spec", "containers", 0, "env")
    if ft and flag is not None:
        path = ("metadata", "annotations", _FT_ANNOTATION)
        yield path, "fault tolerance is said here and in gcsFaultToleranceOptions", "remove the annotation"
    if "RAY_REDIS_ADDRESS" in env:
        if ft:
            yield env_at, "RAY_REDIS_ADDRESS stands beside gcsFaultToleranceOptions", "keep redisAddress"
        elif flag != "true":
            yield (
                env_at,
                "RAY_REDIS_ADDRESS without fault tolerance",
                "use gcsFaultToleranceOptions.redisAddress",
            )
    elif flag == "true" and not ft:
        path = ("metadata", "annotations", _FT_ANNOTATION)
        yield path, "fault tolerance without an address keeps nothing", "RAY_REDIS_ADDRESS in the head's env"
    if not ft:
        return
    pairs = (
        ("redis-password", "REDIS_PASSWORD", "redisPassword"),
        ("redis-username", "REDIS_USERNAME", "redisUsername"),
    )
    for param, variable, field in pairs:
        if param in params:
            yield (
                (*at, "rayStartParams", param),
                f"{param} stands beside gcsFaultToleranceOptions",
                f"use {field}",
            )
        if variable in env:
            yield env_at, f"{variable} stands beside gcsFaultToleranceOptions", f"use {field}"
    if ft.external_storage_namespace and "ray.io/external-storage-namespace" in cluster.annotations:
        path = ("metadata", "annotations", "ray.io/external-storage-namespace")
        yield path, "the storage namespace stands here and in gcsFaultToleranceOptions", "keep one"
    if "RAY_external_storage_namespace" in env:
        yield env_at, "RAY_external_storage_namespace stands in env", "use externalStorageNamespace"


def _autoscaler(cluster: RayCluster) -> Iterator[Finding]:
    spec, on = cluster.spec, bool(cluster.spec.enable_in_tree_autoscaling)
    version = (spec.autoscaler_options or {}).get("version")
    v2 = version == "v2"
    for path, group in groups(cluster):
        value = _env(group).get("RAY_enable_autoscaler_v2")
        at = (*path, "template", "spec", "containers", 0, "env")
        if value in ("true", "1") and not on:
            yield at, "RAY_enable_autoscaler_v2 is on and autoscaling is off", "remove it"
        if value is not None and version is not None:
            yield at, "RAY_enable_autoscaler_v2 stands beside autoscalerOptions.version", "keep the latter"
        policy = group.template.spec.get("restartPolicy")
        if on and v2 and policy not in (None, "Never"):
            yield (
                (*path, "template", "spec", "restartPolicy"),
                f"{policy} under autoscaler v2",
                "Never, or remove it",
            )
    for i, worker in enumerate(spec.workers):
        path = ("spec", "workerGroupSpecs", i)
        if worker.suspend and on:
            yield (*path, "suspend"), "a group cannot be suspended under autoscaling", "remove it"
        if worker.idle_timeout_seconds is not None and not v2:
            yield (*path, "idleTimeoutSeconds"), "a group's idle time needs autoscaler v2", ""
        if worker.priority is not None and (not v2 or (version_of(spec.ray_version) or (0, 0)) < (2, 56)):
            yield (*path, "priority"), "a group's priority needs Ray 2.56 and autoscaler v2", ""


def _auth(cluster: RayCluster) -> Iterator[Finding]:
    auth, version = cluster.spec.auth, version_of(cluster.spec.ray_version)
    if cluster.spec.ray_version is not None and version is None:
        yield ("spec", "rayVersion"), f'"{cluster.spec.ray_version}" is not a version', "for example 2.60.0"
    elif version and version < (2, 3):
        yield ("spec", "rayVersion"), "Ray before 2.3 is not supported", "2.60.0"
    if auth and auth.mode == "token" and (version is None or version < (2, 52)):
        yield ("spec", "authOptions", "mode"), "token authentication needs rayVersion 2.52.0 or newer", ""
    yield from _auth_by_hand(cluster)


def _auth_by_hand(cluster: RayCluster) -> Iterator[Finding]:
    """What KubeRay's `auth-manual` samples set in env: right where it is what authOptions would set."""
    auth = cluster.spec.auth
    secret = (auth and auth.secret_name) or check_name(cluster.name)
    for at, group in groups(cluster):
        for i, entry in enumerate(group.template.ray_container.get("env") or []):
            path = (*at, "template", "spec", "containers", 0, "env", i)
            if entry["name"] == "RAY_ENABLE_K8S_TOKEN_AUTH" and entry.get("value") in ("true", "1"):
                yield path, _K8S_TOKENS, "remove it, and use authOptions: {mode: token}"
            if entry["name"] != "RAY_AUTH_TOKEN":
                continue
            ref = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
            if (ref.get("name"), ref.get("key")) != (secret, "auth_token"):
                what = f"the other pods and raystead read the token from the Secret {secret}, key auth_token"
                yield (
                    path,
                    what,
                    "remove it, and name your Secret in authOptions: {mode: token, secretName: …}",
                )


def _storage(cluster: RayCluster) -> Iterator[Finding]:
    ft = cluster.spec.gcs_fault_tolerance
    if not ft:
        return
    at: Path = ("spec", "gcsFaultToleranceOptions")
    if ft.backend == "rocksdb":
        given = (("redisAddress", ft.redis_address), ("redisUsername", ft.redis_username),
                 ("redisPassword", ft.redis_password))  # fmt: skip
        for field, value in given:
            if value is not None:
                yield (*at, field), f"{field} has no meaning with backend rocksdb", "remove it"
        version = version_of(cluster.spec.ray_version)
        if version and version < (2, 57):
            yield (*at, "backend"), "RocksDB needs Ray 2.57 or newer", "raise rayVersion or use Redis"
    else:
        if not ft.redis_address:
            yield at, "there is no redisAddress", "host:port, or backend: rocksdb"
        if ft.storage:
            yield (*at, "storage"), "storage has a meaning with backend rocksdb only", "backend: rocksdb"
    if ft.storage and ft.storage.claim_name:
        for field in ("size", "storage_class_name", "access_modes"):
            if getattr(ft.storage, field):
                yield (*at, "storage"), f"claimName excludes {field}", "the claim exists with its own"
    for field, secret in (("redisPassword", ft.redis_password), ("redisUsername", ft.redis_username)):
        if secret and (secret.value is None) == (secret.value_from is None):
            yield (*at, field), "exactly one of value and valueFrom is due", "valueFrom.secretKeyRef"


def _policy(cluster: RayCluster) -> Iterator[Finding]:
    policy = cluster.spec.network_policy
    if not policy:
        return
    at: Path = ("spec", "networkPolicy")
    known = {worker.name for worker in cluster.spec.workers}
    for i, entry in enumerate(policy.worker_groups):
        if entry.name not in known:
            there = ", ".join(sorted(known)) or "there are none"
            yield (*at, "workerGroups", i), f'there is no group "{entry.name}"', f"groups: {there}"
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
                yield (*path, field), f"{field} has no meaning in mode {mode}", "remove it or change the mode"


def _upgrade(cluster: RayCluster) -> Iterator[Finding]:
    strategy = cluster.spec.upgrade_strategy
    if not strategy:
        return
    if strategy.type not in (None, "Recreate", "None"):
        what = f'"{strategy.type}" is not one of Recreate, None'
        yield ("spec", "upgradeStrategy", "type"), what, "Recreate"
    owner = cluster.metadata.labels.get("ray.io/originated-from-crd")
    if owner in ("RayJob", "RayService"):
        what = f"a cluster made by a {owner} has no upgrade strategy of its own"
        yield ("spec", "upgradeStrategy"), what, "remove it"


def _numbers(cluster: RayCluster) -> Iterator[Finding]:
    for at, group in groups(cluster):
        for param, value in group.ray_start_params.items():
            path = (*at, "rayStartParams", param)
            if param in _COUNTS and "$" not in value and not value.strip("'\"").isdigit():
                yield path, f'"{value}" is no whole number', "for example 4"
            # The head's Service and the network policies need the number, not a shell's variable.
            served = group is cluster.spec.head and param in _SERVICE_PORTS
            if served and not (value.isdigit() and 0 < int(value) < 65536):
                yield path, f'"{value}" is no port', "a number from 1 to 65535"


def _later(cluster: RayCluster) -> Iterator[Finding]:
    spec = cluster.spec
    not_yet = "not in this version; it would be ignored, so it is refused"
    if spec.enable_in_tree_autoscaling:
        yield ("spec", "enableInTreeAutoscaling"), f"autoscaling is {not_yet}", "false, with fixed replicas"
    for field, value, name in (
        ("tlsOptions", spec.tls_options, "TLS"),
        ("historyServerOptions", spec.history_server_options, "the history server"),
        ("idleTerminationOptions", spec.idle_termination_options, "idle termination"),
    ):
        if value and value.get("enabled", True) is not False:
            yield ("spec", field), f"{name} is {not_yet}", "remove it"
    if spec.auth and spec.auth.enable_k8s_token_auth:
        yield ("spec", "authOptions", "enableK8sTokenAuth"), _K8S_TOKENS, "mode: token"
    if spec.managed_by not in (None, "ray.io/kuberay-operator"):
        yield ("spec", "managedBy"), f"{spec.managed_by} is {not_yet}", "remove it"
    if spec.head.enable_ingress:
        yield (
            ("spec", "headGroupSpec", "enableIngress"),
            f"an Ingress is {not_yet}",
            "write an Ingress beside it",
        )
