"""Annotations, labels and environment variables with their meaning: the source of docs/reference.md."""

from __future__ import annotations

__all__ = ["ANNOTATIONS", "ENVIRONMENT", "MARKS"]

# Of a RayCluster, written by its author.
ANNOTATIONS = {
    "raystead.io/names": "`guide` or `kuberay`: which names the objects carry; default `kuberay`.",
    "raystead.io/storage": "`redis`, `rocksdb`, `external` or `none`: where the GCS keeps its state.",
    "raystead.io/redis-image": "The image of the Redis that raystead runs.",
    "raystead.io/redis-memory": "Its memory, for example `2Gi`; default `1Gi`.",
    "raystead.io/redis-cpu": "Its CPU request, for example `500m`; default `100m`.",
    "raystead.io/redis-user": "The user id that Redis runs as; `none` where the cluster gives user ids.",
    "raystead.io/redis-labels": "Labels of Redis' pod, as the flags `--label` set them.",
    "raystead.io/labels": "Labels of all objects: `team=nlp,cost=42`.",
    "raystead.io/hardening": "`auto`, `always` or `never`: whether containers are made to pass PodSecurity "
    "`restricted`; `auto` does so for Ray's own images and where the namespace enforces it.",
    "raystead.io/idle-timeout": "After so long without work the cluster ends by itself, nothing of it stays: "
    "`30m`, or `never`. `spec.idleTerminationOptions` says more.",
    "raystead.io/policies": "`auto`, `always` or `never`: which network policies are made; as `--policies`.",
    "raystead.io/allow-from": "Who may connect from outside: `namespace=NS,pods=KEY=VALUE to DOORS`.",
    "raystead.io/concurrency-policy": "Of a RayCronJob: `Allow` (the default), `Forbid` or `Replace`: what "
    "happens at a tick while an earlier one runs.",
    "raystead.io/starting-deadline-seconds": "Of a RayCronJob: how late a tick may still begin; default 60.",
    "raystead.io/successful-jobs-history-limit": "Of a RayCronJob: how many ended ticks stay; default 3.",
    "raystead.io/failed-jobs-history-limit": "Of a RayCronJob: how many failed ticks stay; default 1.",
}
# On objects, written by raystead.
MARKS = {
    "raystead.io/cluster": "Label of every object and pod: the cluster it belongs to.",
    "raystead.io/role": "Label: what an object is for, `anchor` on the ConfigMap that owns the cluster.",
    "raystead.io/kept": "On a claim that `down --keep-data` left: its own uid, a proof for `down NAME`.",
    "raystead.io/storage-namespace": "On a volume claim: under which name Ray's state is kept on it.",
    "raystead.io/restarted-at": "On pod templates: when `restart` was asked for last.",
    "raystead.io/tried-at": "On pods and their makers: when kubelet or controller was woken to try again.",
    "raystead.io/brought-by": "On a file's document that has nothing but a name: the cluster of that file.",
    "raystead.io/template": "On single pods: a hash of the template that they were made from.",
    "raystead.io/writes": "On the anchor: how often it was written, so that each write is a new version.",
}
ENVIRONMENT = {
    "KUBECONFIG": "Kubeconfig files, separated as in PATH; default `~/.kube/config`.",
    "HTTPS_PROXY, HTTP_PROXY, NO_PROXY": "The way to the API server, as for kubectl; lower case works too.",
    "KUBERNETES_SERVICE_HOST": "Set inside a pod: its ServiceAccount is used where there is no kubeconfig.",
    "XDG_STATE_HOME": "Where local clusters and outputs of jobs are kept; default `~/.local/state`.",
    "NO_COLOR": "No colours.",
    "TERM": "`dumb`: lines instead of a view that is redrawn in place.",
    "BROWSER": "The browser of `connect --open`.",
    "CUDA_VISIBLE_DEVICES": "The GPUs that a local cluster may use.",
}
