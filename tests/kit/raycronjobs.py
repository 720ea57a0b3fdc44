"""A small RayCronJob for tests."""

from typing import Any

import yaml

Json = dict[str, Any]
NEVER = "0 0 29 2 *"


def raycronjob(
    schedule: str = NEVER, *, annotations: Json | None = None, replicas: int = 2, **job: Any
) -> str:
    container = {"image": "ray:none", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    group = {"template": {"spec": {"containers": [{"name": "ray", **container}]}}}
    small = {"groupName": "small", "replicas": replicas, "minReplicas": 0, "maxReplicas": 9, **group}
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": group, "workerGroupSpecs": [small]}
    template = {
        "entrypoint": "echo hello",
        "rayClusterSpec": cluster,
        "shutdownAfterJobFinishes": True,
        **job,
    }
    metadata = {"name": "nightly", "annotations": annotations or {}}
    head = {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": metadata}
    return yaml.safe_dump({**head, "spec": {"schedule": schedule, "jobTemplate": template}})
