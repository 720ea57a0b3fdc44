"""The pod that removes a cluster's keys from a Redis that others use too, once its head is gone."""

from __future__ import annotations

from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.pods import head_template
from raystead.manifests.security import bounded
from raystead.manifests.storage import PASSWORD_FILE, storage_kind
from raystead.spec.model import Json, RayCluster

__all__ = ["cleanup_pod"]

DEADLINE = 120  # seconds; KubeRay gives its own 300
# Ray's own function. A wrong password aborts its process, so it has one of its own
# (docs/facts/ray.md#redis-password).
_SCRIPT = f"""\
import os
from ray._private.gcs_utils import cleanup_redis_storage
said = os.environ["RAY_REDIS_ADDRESS"].split(",")[0]
host, _, port = said.split("://")[-1].rpartition(":")
path = "{PASSWORD_FILE}"
password = open(path).read().rstrip("\\n") if os.path.exists(path) else os.environ.get("REDIS_PASSWORD", "")
done = cleanup_redis_storage(
    host=host, port=int(port), password=password, username=os.environ.get("REDIS_USERNAME", ""),
    use_ssl=said.startswith("rediss://"), storage_namespace=os.environ["RAY_external_storage_namespace"])
raise SystemExit(0 if done else 1)
"""
_KEPT = ("name", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext")
_SIZE: Json = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


def cleanup_pod(cluster: RayCluster, facts: Facts) -> Json | None:
    """A pod like the head (its labels, so that the same policies let it through), that ends by itself.

    None where no Redis is shared.
    """
    if storage_kind(cluster) != "external":
        return None
    ctx = Context(cluster, facts)
    template = head_template(ctx)
    ray = template["spec"]["containers"][0]
    container = {key: ray[key] for key in _KEPT if key in ray}
    container["command"] = ["python3", "-c", _SCRIPT]
    spec = {key: value for key, value in template["spec"].items() if key != "initContainers"}
    spec |= {
        "containers": [bounded(container, _SIZE)],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE,
        "terminationGracePeriodSeconds": 0,
    }
    metadata = ctx.metadata(f"{cluster.name}-redis-cleanup", template["metadata"]["labels"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
