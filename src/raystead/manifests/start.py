"""`ray start`: its parameters inferred from the container, and its command line.

(docs/facts/kuberay.md#the-start-command)"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raystead.base import quantities
from raystead.base.names import Names
from raystead.manifests.context import GCS_PORT, ray_version

if TYPE_CHECKING:
    from raystead.spec.model import GroupSpec, Json, RayCluster

__all__ = ["ULIMIT", "overwritten", "start_command", "start_params"]

ULIMIT = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
_PORTS = {  # every port that Ray would otherwise choose by itself (docs/facts/ray.md#ports)
    "object-manager-port": "8076",
    "node-manager-port": "8077",
    "dashboard-agent-grpc-port": "8078",
    "dashboard-agent-listen-port": "52365",
    "metrics-export-port": "8080",
}
_WORKER_PORTS = {"min-worker-port": "10002", "max-worker-port": "19999"}
_HEAD_PORTS = {"port": GCS_PORT, "dashboard-port": "8265", "ray-client-server-port": "10001"}
_RUNTIME_ENV_AGENT_SINCE = (2, 9)  # older Rays have no such process and refuse the flag
_OVERWRITE = "ray.io/overwrite-container-cmd"
_KEEP_VALUE = {"log-color", "include-dashboard", "include-log-monitor"}
_GPU = re.compile(r"gpu$|^nvidia\.com/mig-\d+g\.\d+gb$")
_CUSTOM = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}


def overwritten(cluster: RayCluster, group: GroupSpec) -> bool:
    """The file starts Ray itself: its command stays. The annotation of a template counts for its group."""
    on_template = (group.template.metadata.get("annotations") or {}).get(_OVERWRITE, "")
    if "true" in (cluster.annotations.get(_OVERWRITE, "").lower(), str(on_template).lower()):
        return True
    container = group.template.ray_container
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    return any("ray start" in str(word) for word in words) or "ray start" in " ".join(map(str, words))


def start_params(cluster: RayCluster, group: GroupSpec, *, head: bool) -> dict[str, str]:
    """All parameters of `ray start` for a pod of the group; the user's rayStartParams win.

    The address of a worker is the head Service's bare name; who knows the namespace puts in the longer one.
    """
    params = {**_PORTS, **_from_resources(group)}
    version = ray_version(cluster)
    if version is None or version >= _RUNTIME_ENV_AGENT_SINCE:
        params["runtime-env-agent-port"] = "8079"
    if "worker-port-list" not in group.ray_start_params:
        params.update(_WORKER_PORTS)
    if head:
        params.update(_HEAD_PORTS)
        params["dashboard-host"] = "0.0.0.0"
        if cluster.spec.enable_in_tree_autoscaling:
            params["no-monitor"] = "true"  # the autoscaler has a container of its own
    else:
        names = Names.of(cluster.name, cluster.annotations)
        own = (cluster.spec.head.head_service or {}).get("metadata") or {}
        port = cluster.spec.head.ray_start_params.get("port", GCS_PORT)
        params["address"] = f"{own.get('name') or names.head_service}:{port}"
    if group.labels:
        params["labels"] = shlex.quote(
            ",".join(f"{key}={value}" for key, value in sorted(group.labels.items()))
        )
    own_params = group.ray_start_params
    return {**params, **own_params, **_given_resources(own_params, group), "block": "true"}


def start_command(params: Mapping[str, str], head: bool) -> str:
    """The command line, keys sorted. Values stand as they are, for the shell to expand, as in KubeRay.

    One simple command: users who overwrite the container's have it in `$KUBERAY_GEN_RAY_START_CMD`, unquoted.
    """
    words = ["ray", "start", *(["--head"] if head else [])]
    for key in sorted(params):
        value = params[key]
        if value.lower() in ("true", "false") and key not in _KEEP_VALUE:
            words += [f"--{key}"] if value.lower() == "true" else []
        else:
            words.append(f"--{key}={value}")
    return " ".join(words)


def _from_resources(group: GroupSpec) -> dict[str, str]:
    """What Ray counts: the group's own `resources`, else the container's; both give way to rayStartParams."""
    resources: Json = group.template.ray_container.get("resources") or {}
    limits: Json = resources.get("limits") or {}
    requests: Json = resources.get("requests") or {}
    params: dict[str, str] = {}
    cpu = next((amounts["cpu"] for amounts in (limits, requests) if _some(amounts.get("cpu"))), None)
    if cpu is not None:
        params["num-cpus"] = str(quantities.ceil(cpu))
    if _some(limits.get("memory")):
        params["memory"] = str(quantities.ceil(limits["memory"]))
    gpu = next((key for key in sorted(limits) if _GPU.search(key) and _some(limits[key])), None)
    if gpu:
        params["num-gpus"] = str(quantities.ceil(limits[gpu]))
    own, custom = _from_group(group)
    custom = _with_accelerator(custom, limits)
    if custom:
        own["resources"] = _json_word(custom)
    return {**params, **own}


def _from_group(group: GroupSpec) -> tuple[dict[str, str], dict[str, float]]:
    """The group's `resources` as parameters, and what is left of them as Ray's custom resources."""
    params: dict[str, str] = {}
    custom: dict[str, float] = {}
    for key, value in group.resources.items():
        kind = key.lower()
        if kind == "cpu":
            params["num-cpus"] = str(quantities.ceil(value))
        elif kind == "memory":
            params["memory"] = str(quantities.ceil(value))
        elif _GPU.search(kind):
            params["num-gpus"] = str(quantities.ceil(value))
        else:
            number = quantities.parse(value)
            custom[key] = int(number) if number == number.to_integral_value() else float(number)
    return params, custom


def _with_accelerator(custom: Mapping[str, float], limits: Json) -> dict[str, float]:
    """With the first accelerator that the container has, unless one is named already."""
    first = next((key for key in sorted(_CUSTOM) if _some(limits.get(key))), None)
    if first is None or any(name in custom for name in _CUSTOM.values()):
        return dict(custom)
    return {**custom, _CUSTOM[first]: quantities.ceil(limits[first])}


def _given_resources(params: Mapping[str, str], group: GroupSpec) -> dict[str, str]:
    """The user's `resources` with the container's accelerator added; {} leaves what they wrote."""
    limits: Json = (group.template.ray_container.get("resources") or {}).get("limits") or {}
    try:
        custom = json.loads(params["resources"].strip("'\"` ").replace('\\"', '"'))
    except (KeyError, ValueError):
        return {}
    if not isinstance(custom, dict) or (more := _with_accelerator(custom, limits)) == custom:
        return {}
    return {"resources": _json_word(more)}


def _json_word(custom: Mapping[str, float]) -> str:
    return shlex.quote(json.dumps(custom, sort_keys=True, separators=(",", ":")))


def _some(quantity: Any) -> bool:
    """It is said and not zero, which in Kubernetes means none."""
    return quantity is not None and quantities.parse(quantity) != 0
