"""Which values a plan shows: those that are known to be harmless, and no others. Pure.

Numbers, switches and quantities are; so are the fields of Kubernetes that people change and that hold no
secret. A variable's value is shown where its name and itself are harmless; of commands, arguments and
annotations only what looks like a secret is hidden; data of ConfigMaps and unknown fields are hidden whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from raystead.base.secrets import HIDDEN, is_secret_flag, is_secret_name, masked_text

__all__ = ["masked"]

# A number, a switch, an amount (500m, 4Gi, 30s), or nothing.
_PLAIN = re.compile(r"(?:[-+]?\d+(?:\.\d+)?(?:[a-zA-Z]{1,2}|%)?|true|false|yes|no|on|off|none|auto|)", re.I)
_VARIABLES = re.compile(
    r"(RAY|RAYSTEAD|KUBERAY|OMP|MKL|OPENBLAS|NUMEXPR|NCCL|GLOO|CUDA|NVIDIA|TPU|JAX|XLA|PYTORCH|TORCH|LC)_"
    r"|(AUTOSCALER_METRIC_PORT|DASHBOARD_METRIC_PORT|FQ_RAY_IP|PATH|PYTHONPATH|LD_LIBRARY_PATH|LD_PRELOAD|LANG|TZ"
    r"|HOME|HOSTNAME|LOG_?LEVEL|HF_HOME|HF_HUB_CACHE|TRANSFORMERS_CACHE|REDIS_ADDRESS)$"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Everything below these is harmless.
_TREES = _words(
    """
    labels matchLabels matchExpressions selector nodeSelector resources ports securityContext
    tolerations affinity topologySpreadConstraints volumeMounts volumeDevices accessModes dataSource
    policyTypes podSelector namespaceSelector ingress egress strategy updateStrategy rollingUpdate
    ownerReferences imagePullSecrets dnsConfig readinessGates hostAliases emptyDir persistentVolumeClaim
    configMap secret fieldRef resourceFieldRef secretKeyRef configMapKeyRef secretRef configMapRef
    podFailurePolicy loadBalancerSourceRanges externalIPs finalizers subjects roleRef rules httpGet
    tcpSocket grpc
    """
)
# Harmless by themselves.
_FIELDS = _words(
    """
    apiVersion kind name namespace generateName image imagePullPolicy replicas restartPolicy
    serviceAccountName serviceAccount schedulerName priorityClassName runtimeClassName preemptionPolicy
    dnsPolicy nodeName hostname subdomain terminationMessagePath terminationMessagePolicy workingDir
    mountPath subPath type clusterIP clusterIPs ipFamilies ipFamilyPolicy sessionAffinity
    internalTrafficPolicy externalTrafficPolicy loadBalancerClass loadBalancerIP externalName
    serviceName podManagementPolicy storageClassName volumeName volumeMode storage claimName secretName
    whenDeleted whenScaled protocol appProtocol port targetPort host path ingressClassName pathType
    serviceType medium sizeLimit fieldPath key mode special backend operator
    """
)
_TEXTS = _words(
    """
    args command annotations
    """
)
_WHOLE = _words(
    """
    data stringData binaryData httpHeaders volumeAttributes options
    """
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # a whole object, secrets and all


def masked(path: Sequence[str], value: Any) -> Any:
    """The value of a field, or of a tree of them, with `***` for every text that may be a secret.

    `path`: keys from the object's root; an item of a list is `env[NAME]`.
    """
    if isinstance(value, dict):
        return {key: masked(_within(path, value, key), item) for key, item in value.items()}
    if isinstance(value, list):
        follows = [False, *(isinstance(item, str) and is_secret_flag(item) for item in value)]
        return [HIDDEN if after else masked(path, item) for item, after in zip(value, follows, strict=False)]
    if value is None or isinstance(value, bool):
        return value
    hidden = _hides(path, str(value))
    if isinstance(value, str):
        return HIDDEN if hidden else masked_text(value)
    return HIDDEN if hidden and _variable(path) else value  # a number is a secret in DB_PASS alone


def _within(path: Sequence[str], value: dict[str, Any], key: str) -> tuple[str, ...]:
    """The path of a key; the value of a variable is below the variable's name."""
    if key == "value" and isinstance(value.get("name"), str) and not _variable(path):
        return (*path[:-1], f"{path[-1].partition('[')[0] if path else ''}[{value['name']}]", key)
    return (*path, key)


def _variable(path: Sequence[str]) -> str:
    """The name of the variable whose value this is; empty for every other field."""
    found = (
        re.fullmatch(r"env\[(.+)\]", path[-2] if path[-1] == "value" else path[-1]) if len(path) > 1 else None
    )
    return found[1] if found else ""


def _hides(path: Sequence[str], text: str) -> bool:
    names = [part.partition("[")[0] for part in path]
    if variable := _variable(path):
        if path[-1] != "value":
            return False
        if is_secret_name(variable):
            return True
        return not (_PLAIN.fullmatch(text) or _VARIABLES.match(variable))
    if _WHOLE & set(names):
        return True
    if _TEXTS & set(names):
        return path[-1] == _LAST_APPLIED or ("annotations" in names and is_secret_name(path[-1]))
    if _TREES & set(names) or names[-1] in _FIELDS:
        return False
    return not _PLAIN.fullmatch(text)
