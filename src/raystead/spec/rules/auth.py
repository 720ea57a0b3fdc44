"""Token authentication, the version of Ray, and what this version of raystead does not do."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.names import check_name
from raystead.base.rayversions import version_of
from raystead.spec.finding import SpecFinding, env_of, groups
from raystead.spec.model import RayCluster

__all__ = ["RULES"]

_K8S_TOKENS = (
    "Ray checks Kubernetes' tokens by TokenReviews, and the right to make those takes a ClusterRoleBinding"
)
_BY_TOKEN = "remove it: authOptions: {mode: token} alone guards the cluster with a token of its own"
_MTLS = (
    "KubeRay's mTLS is behind a feature gate of its operator and has cert-manager, which serves the whole "
    "cluster, make the certificates; there is neither here"
)
_MTLS_BY_HAND = (
    "remove it; RAY_USE_TLS works, with init containers that make the certificates, as in KubeRay's sample "
    "ray-cluster.tls.yaml"
)
_HISTORY = (
    "the history server is alpha, behind a feature gate of KubeRay's operator, which puts its collector into "
    "every pod; there is no operator here"
)
_HISTORY_BY_HAND = (
    "remove it, and write the collector as a second container of each template, with an emptyDir on /tmp/ray "
    "in both"
)
_NOT_YET = "not supported by this version; it would be ignored, so it is refused"


def _version(cluster: RayCluster) -> Iterator[SpecFinding]:
    auth, text = cluster.spec.auth, cluster.spec.ray_version
    version = version_of(text)
    if version and version < (2, 3):
        yield SpecFinding(("spec", "rayVersion"), "Ray before 2.3 is not supported", "2.60.0")
    if auth and auth.mode == "token" and (version is None or version < (2, 52)):
        seen = f', not "{text}"' if text else ""
        what = f"token authentication needs rayVersion 2.52.0 or newer{seen}"
        yield SpecFinding(("spec", "authOptions", "mode"), what, "for example rayVersion: 2.60.0")


def _by_hand(cluster: RayCluster) -> Iterator[SpecFinding]:
    """What KubeRay's `auth-manual` samples set in env: right where it is what authOptions would set."""
    auth = cluster.spec.auth
    secret = (auth and auth.secret_name) or check_name(cluster.name)
    for at, group in groups(cluster):
        for path, entry in env_of(at, group):
            if entry["name"] == "RAY_ENABLE_K8S_TOKEN_AUTH" and entry.get("value") in ("true", "1"):
                yield SpecFinding(path, _K8S_TOKENS, _BY_TOKEN)
            if entry["name"] != "RAY_AUTH_TOKEN":
                continue
            ref = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
            if (ref.get("name"), ref.get("key")) != (secret, "auth_token"):
                what = f"the other pods and raystead read the token from the Secret {secret}, key auth_token"
                instead = "remove it, and name your Secret in authOptions: {mode: token, secretName: …}"
                yield SpecFinding(path, what, instead)


def _later(cluster: RayCluster) -> Iterator[SpecFinding]:
    spec = cluster.spec
    for field, value, what, instead in (
        ("tlsOptions", spec.tls_options, _MTLS, _MTLS_BY_HAND),
        ("historyServerOptions", spec.history_server_options, _HISTORY, _HISTORY_BY_HAND),
    ):
        if value and value.get("enabled", True) is not False:
            yield SpecFinding(("spec", field), what, instead)
    if spec.auth and spec.auth.enable_k8s_token_auth:
        yield SpecFinding(("spec", "authOptions", "enableK8sTokenAuth"), _K8S_TOKENS, _BY_TOKEN)
    if spec.managed_by not in (None, "", "ray.io/kuberay-operator"):
        yield SpecFinding(("spec", "managedBy"), f"{spec.managed_by} is {_NOT_YET}", "remove it")
    if spec.head.enable_ingress:
        path = ("spec", "headGroupSpec", "enableIngress")
        yield SpecFinding(path, f"an Ingress is {_NOT_YET}", "add an Ingress to the file")


RULES = (_version, _by_hand, _later)
