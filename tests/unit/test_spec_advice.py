"""What a refused feature of KubeRay is told to be written as: done as the sentence says, it is kept."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raystead.errors import SpecError
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.spec.load import load

Json = dict[str, Any]
IMAGE = "rayproject/ray:2.60.0"


def file(spec: Json, pod: Json, ray: Json) -> str:
    def template(role: str) -> Json:
        containers = [{"name": f"ray-{role}", "image": IMAGE, **ray}, *pod.get("containers", [])]
        return {"spec": {**pod, "containers": containers}}

    worker = {"groupName": "w", "replicas": 1, "template": template("worker")}
    whole = {"headGroupSpec": {"template": template("head")}, "workerGroupSpecs": [worker], **spec}
    document = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "demo"}, "spec": whole}
    return yaml.safe_dump(document)


def pods(text: str) -> list[Json]:
    made = [one for one in manifests(load(text, "f.yaml").cluster, Facts()) if one["kind"] == "Deployment"]
    return [one["spec"]["template"]["spec"] for one in made]


LOGS = {"name": "ray-logs", "mountPath": "/tmp/ray"}
COLLECTOR = {
    "name": "ray-history-collector",
    "image": "quay.io/kuberay/collector:v1.7.0",
    "env": [{"name": "RAY_ROLE", "value": "Head"}],
    "volumeMounts": [LOGS],
}
CERTIFICATES = {
    "name": "certificates",
    "image": IMAGE,
    "command": ["/bin/sh", "-c", "/etc/gen/tls/gencert.sh"],
    "volumeMounts": [{"name": "ray-tls", "mountPath": "/etc/ray/tls"}],
}
TLS = {"env": [{"name": "RAY_USE_TLS", "value": "1"}], "volumeMounts": CERTIFICATES["volumeMounts"]}
ROWS = {
    # feature: the spec that is refused, the sentence, and what is written in its place: pod, Ray's container
    "the history server": (
        {"historyServerOptions": {"collectorOptions": {"image": "quay.io/kuberay/collector:nightly"}}},
        "write the collector as a second container of each template, with an emptyDir on /tmp/ray in both",
        {"containers": [COLLECTOR], "volumes": [{"name": "ray-logs", "emptyDir": {}}]},
        {"volumeMounts": [LOGS]},
    ),
    "mTLS": (
        {"tlsOptions": {"enabled": True}},
        "RAY_USE_TLS works, with init containers that make the certificates",
        {"initContainers": [CERTIFICATES], "volumes": [{"name": "ray-tls", "emptyDir": {}}]},
        TLS,
    ),
}


@pytest.mark.parametrize("feature", ROWS)
def test_what_is_refused_is_kept_as_its_advice_writes_it(feature: str) -> None:
    wrong, sentence, pod, ray = ROWS[feature]
    with pytest.raises(SpecError) as refused:
        load(file(wrong, {}, {}), "f.yaml")
    assert sentence in str(refused.value)
    for spec in pods(file({}, pod, ray)):
        first = spec["containers"][0]
        assert pod["volumes"][0] in spec["volumes"]
        assert ray["volumeMounts"][0] in first["volumeMounts"]
        assert all(one in first["env"] for one in ray.get("env", ()))
        for side in ("initContainers", "containers"):
            for wanted in pod.get(side, ()):
                (kept,) = [one for one in spec[side] if one["name"] == wanted["name"]]
                assert {key: kept[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("spec", "ray"),
    [
        ({"authOptions": {"mode": "token", "enableK8sTokenAuth": True}}, {}),
        ({}, {"env": [{"name": "RAY_ENABLE_K8S_TOKEN_AUTH", "value": "true"}]}),
    ],
)
def test_without_tokens_of_kubernetes_a_token_of_its_own_guards_the_cluster(spec: Json, ray: Json) -> None:
    with pytest.raises(SpecError) as refused:
        load(file(spec, {}, ray), "f.yaml")
    assert "authOptions: {mode: token} alone guards the cluster" in str(refused.value)
    for pod in pods(file({"rayVersion": "2.60.0", "authOptions": {"mode": "token"}}, {}, {})):
        assert any(one["name"] == "RAY_AUTH_TOKEN_PATH" for one in pod["containers"][0]["env"])


@pytest.mark.parametrize(
    "spec", [{"tlsOptions": {"enabled": False}}, {"tlsOptions": {}}, {"tlsOptions": None}]
)
def test_a_feature_that_is_switched_off_is_not_refused(spec: Json) -> None:
    assert pods(file(spec, {}, {}))
