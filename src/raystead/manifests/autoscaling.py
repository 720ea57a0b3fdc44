"""What autoscaling adds: two sidecars of the head, what they read, and the rights of the one that acts.

Ray's own autoscaler speaks to the steward as if it were the API server (docs/facts/ray.md#autoscaler). The
steward's ServiceAccount, where there is one, is mounted into the steward's container and nowhere else.
"""

from __future__ import annotations

import hashlib
import json

from raystead.base import labels
from raystead.base.groups import worker
from raystead.manifests.context import GCS_PORT, RESTARTED, Context
from raystead.manifests.pods import worker_template
from raystead.manifests.programs import FOLDER, program_files, program_volume, run_program
from raystead.manifests.security import harden_as
from raystead.spec.model import Json, RayCluster

__all__ = [
    "CERTIFICATE",
    "STEWARD_PORT",
    "TEMPLATE_HASH",
    "account_for_steward",
    "autoscales",
    "steward_account",
    "steward_config",
    "steward_name",
    "steward_rights",
    "with_steward",
    "worker_pods",
]

STEWARD_PORT = 8443  # on loopback in the head's pod
TEMPLATE_HASH = "raystead.io/template"
CERTIFICATE = ("tls.pem", "ca.crt", "token")  # keys of the steward's Secret
_ACCOUNT = (
    "/var/run/secrets/kubernetes.io/serviceaccount"  # where Ray looks for its API server's token and CA
)
_OWN_ACCOUNT = "/var/run/secrets/raystead/serviceaccount"
_KEYS = "/opt/keys"  # beside FOLDER: the steward looks for `keys` there
_TOKEN_SECONDS = 3607  # as the kubelet's own mount has it
_AUTOSCALER_SIZE: Json = {  # KubeRay's
    "requests": {"cpu": "500m", "memory": "512Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}
_STEWARD_SIZE: Json = {
    "requests": {"cpu": "20m", "memory": "64Mi"},
    "limits": {"cpu": "500m", "memory": "128Mi"},
}
_COMMAND = (
    "ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) --cluster-namespace $(RAY_CLUSTER_NAMESPACE)"
)
_ANY_NUMBER = "1000000000"
_FILES = ("cluster.json", "pods.json", "steward.json")
_OWN_ENV = ("RAY_CLUSTER_NAME", "RAY_CLUSTER_NAMESPACE", "RAY_CLOUD_INSTANCE_ID", "RAY_NODE_TYPE_NAME")


def autoscales(cluster: RayCluster) -> bool:
    """Ray's autoscaler decides how many workers the groups have."""
    return bool(cluster.spec.enable_in_tree_autoscaling)


def steward_account(ctx: Context) -> str:
    """The steward's ServiceAccount: the one that the file gives the head, as under KubeRay, or ours."""
    named = ctx.cluster.spec.head.template.spec.get("serviceAccountName")
    return str(named or steward_name(ctx.cluster.name))


def steward_name(cluster: str) -> str:
    return f"raystead-{cluster}-steward"


def worker_pods(ctx: Context) -> dict[str, Json]:
    """By group, the pod that the steward makes, but for its name."""
    out = {}
    for group in ctx.cluster.spec.workers:
        template = worker_template(ctx, group)
        if when := ctx.choices.restarted.get(str(worker(group.name))):
            annotations = template["metadata"].get("annotations") or {}
            template["metadata"] = {**template["metadata"], "annotations": {**annotations, RESTARTED: when}}
        text = json.dumps(template, sort_keys=True)
        metadata = ctx.metadata("")
        metadata.pop("name")
        metadata["labels"] = {**template["metadata"]["labels"], **metadata["labels"]}
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        metadata["annotations"] = {**(template["metadata"].get("annotations") or {}), TEMPLATE_HASH: digest}
        # A drained raylet that is restarted in place would come back as a new node of the same pod.
        spec = {**template["spec"], "restartPolicy": "Never"}
        out[group.name] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return out


def steward_config(ctx: Context) -> Json:
    """The ConfigMap with the steward's program and all that it reads."""
    document = ctx.cluster.document()
    document["metadata"] = {"name": ctx.cluster.name, "namespace": ctx.namespace or "default"}
    name = steward_name(ctx.cluster.name)
    data = program_files("steward")
    data["cluster.json"] = _text(document)
    data["pods.json"] = _text(worker_pods(ctx))
    given: Json = {"namespace": ctx.namespace, "name": name, "owner": ctx.owner["uid"] if ctx.owner else None}
    if ctx.facts.steward == "client":
        given["acts"] = "client"  # raystead autoscale, wherever it runs; the steward relays
    data["steward.json"] = _text(given)
    metadata = ctx.metadata(name, {labels.ROLE: "steward"})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def steward_rights(ctx: Context) -> list[Json]:
    """ServiceAccount (where the file names none), Role and RoleBinding: pods, and the steward's ConfigMap."""
    name, account = steward_name(ctx.cluster.name), steward_account(ctx)
    subject: Json = {"kind": "ServiceAccount", "name": account}
    if ctx.namespace:
        subject["namespace"] = ctx.namespace
    own: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": ctx.metadata(name),
        "automountServiceAccountToken": False,
    }
    return [
        *([own] if account == name else []),
        *_role(ctx.metadata(name), ctx.metadata(name), name, subject),
    ]


def account_for_steward(cluster: str, namespace: str) -> list[Json]:
    """What an administrator applies for a user who may not make a Role: ServiceAccount, Role, RoleBinding.

    They carry no label of ours: `up --service-account` uses them, and `down` leaves them.
    """
    name = f"raystead-{cluster}-autoscaler"
    metadata = {"name": name, "namespace": namespace}
    account: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": dict(metadata),
        "automountServiceAccountToken": False,
    }
    subject = {"kind": "ServiceAccount", **metadata}
    return [account, *_role(dict(metadata), dict(metadata), steward_name(cluster), subject)]


def _role(metadata: Json, bound: Json, config_map: str, subject: Json) -> list[Json]:
    """Role and RoleBinding with exactly what the steward does: pods, and its ConfigMap."""
    group, name = "rbac.authorization.k8s.io", metadata["name"]
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [config_map],
            "verbs": ["get", "watch", "patch"],
        },
    ]
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": bound,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]


def with_steward(ctx: Context, template: Json) -> Json:
    """The head's template with both sidecars.

    A ServiceAccount that the file names is mounted where the file has it; ours is in the steward alone.
    """
    spec: Json = dict(template["spec"])
    ray, account = spec["containers"][0], steward_account(ctx)
    client = ctx.facts.steward == "client"
    spec["containers"] = [*spec["containers"], _autoscaler(ctx, ray), _steward(ctx, ray)]
    spec["volumes"] = [*(spec.get("volumes") or []), *_volumes(ctx)]
    if not client:
        if spec.get("serviceAccountName") != account:
            spec["automountServiceAccountToken"] = False
        spec["serviceAccountName"] = account
    return {**template, "spec": harden_as(ctx.cluster, ctx.facts, spec)}


def _autoscaler(ctx: Context, ray: Json) -> Json:
    """Ray's own autoscaler as KubeRay runs it, with our façade as its API server."""
    options = ctx.cluster.spec.autoscaler_options or {}
    command = _COMMAND
    if ctx.gcs_port != GCS_PORT:  # not otherwise: older Rays do not know the flag
        command += f" --gcs-address 127.0.0.1:{ctx.gcs_port}"
    env: list[Json] = [
        {"name": "RAY_CLUSTER_NAME", "value": ctx.cluster.name},
        {"name": "RAY_CLUSTER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "RAY_HEAD_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "KUBERAY_CRD_VER", "value": "v1"},
        {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
        {"name": "KUBERNETES_SERVICE_PORT", "value": str(STEWARD_PORT)},
        {"name": "KUBERNETES_SERVICE_PORT_HTTPS", "value": str(STEWARD_PORT)},
    ]
    if ctx.facts.steward == "client":  # v1 ends after five failures, and nobody may act for hours
        env.append({"name": "AUTOSCALER_MAX_NUM_FAILURES", "value": _ANY_NUMBER})
    if options.get("command") or options.get("args"):  # which may name it, as under KubeRay
        env.append({"name": "KUBERAY_GEN_AUTOSCALER_START_CMD", "value": command})
    given = [*(options.get("env") or [])]
    mine = {variable["name"] for variable in env}
    inherited = [
        variable
        for variable in ray.get("env") or []
        if str(variable.get("name", "")).startswith("RAY_") and variable["name"] not in _OWN_ENV
    ]
    known = mine | {str(variable.get("name")) for variable in inherited}
    env += [*inherited, *(variable for variable in given if variable.get("name") not in known)]
    mounts = [
        mount
        for mount in ray.get("volumeMounts") or []
        if mount["mountPath"].startswith(("/tmp", "/etc/raystead"))
    ]
    out: Json = {
        "name": "autoscaler",
        "image": options.get("image") or ray["image"],
        "command": options.get("command") or ["/bin/bash", "-c", "--"],
        "args": options.get("args") or [command],
        "env": env,
        "resources": options.get("resources") or _AUTOSCALER_SIZE,
        "volumeMounts": [
            *mounts,
            *(options.get("volumeMounts") or []),
            {"name": "raystead-facade", "mountPath": _ACCOUNT, "readOnly": True},
        ],
    }
    for key in ("imagePullPolicy", "securityContext", "envFrom"):
        if (value := options.get(key) or (ray.get(key) if key != "envFrom" else None)) is not None:
            out[key] = value
    return out


def _steward(ctx: Context, ray: Json) -> Json:
    run = run_program("steward", "")
    mounts: list[Json] = [
        {"name": "raystead-steward", "mountPath": FOLDER, "readOnly": True},
        {"name": "raystead-keys", "mountPath": _KEYS, "readOnly": True},
    ]
    if ctx.facts.steward != "client":
        mounts.append({"name": "raystead-account", "mountPath": _OWN_ACCOUNT, "readOnly": True})
    out: Json = {
        "name": "steward",
        "image": ray["image"],
        **run,
        "resources": _STEWARD_SIZE,
        "volumeMounts": mounts,
    }
    for key in ("imagePullPolicy", "securityContext"):
        if key in ray:
            out[key] = ray[key]
    return out


def _volumes(ctx: Context) -> list[Json]:
    name = steward_name(ctx.cluster.name)
    files = {**program_files("steward"), **dict.fromkeys(_FILES, "")}
    field = {"fieldRef": {"fieldPath": "metadata.namespace"}, "path": "namespace"}
    facade = [
        {"secret": {"name": name, "items": [{"key": key, "path": key} for key in ("token", "ca.crt")]}},
        {"downwardAPI": {"items": [field]}},
    ]
    keys = [{"key": key, "path": key} for key in ("token", "tls.pem")]
    root = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}}
    account = {"name": "raystead-account", "projected": {"sources": [token, root]}}
    return [
        program_volume("raystead-steward", name, files),
        {"name": "raystead-keys", "secret": {"secretName": name, "items": keys, "defaultMode": 0o444}},
        {"name": "raystead-facade", "projected": {"sources": facade}},
        *([] if ctx.facts.steward == "client" else [account]),
    ]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=1)
