"""The built-in spec: one head, two workers and Redis, with the names of the guide's manifests."""

from __future__ import annotations

from raystead.spec.model import Json, RayCluster, read

__all__ = ["NAME", "builtin", "builtin_document"]

IMAGE = "rayproject/ray:2.60.0-py311"
NAME = "ray-cluster"


def builtin() -> RayCluster:
    return read(RayCluster, builtin_document())


def _container(name: str, memory: str) -> Json:
    return {
        "name": name,
        "image": IMAGE,
        "resources": {
            "requests": {"cpu": "500m", "memory": memory},
            "limits": {"cpu": "1", "memory": memory},
        },
    }


def builtin_document() -> Json:
    worker = {
        "groupName": "worker",
        "replicas": 2,
        "rayStartParams": {},
        "template": {"spec": {"containers": [_container("ray-worker", "1G")]}},
    }
    head = {
        "rayStartParams": {"port": "6380"},
        "template": {"spec": {"containers": [_container("ray-head", "2G")]}},
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": NAME,
            "annotations": {"raystead.io/names": "guide", "raystead.io/storage": "redis"},
        },
        "spec": {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": [worker]},
    }
