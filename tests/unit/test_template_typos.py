"""A slip in any pod template or Service of a file is told with its line and the field that was meant, wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from raystead.errors import SpecError
from raystead.spec.load import load
from raystead.spec.yamlio import Path

Json = dict[str, Any]
IMAGE = "rayproject/ray:2.60.0"
CONTAINER: Json = {
    "name": "ray",
    "image": IMAGE,
    "resources": {"limits": {"cpu": 1}, "claims": [{"name": "gpu"}]},
    "env": [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
    ],
    "envFrom": [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}],
    "ports": [{"containerPort": 9000, "name": "mine", "hostPort": 9000}],
    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True, "subPath": "x"}],
    "volumeDevices": [{"name": "raw", "devicePath": "/dev/x"}],
    "securityContext": {
        "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "seLinuxOptions": {"level": "s0"},
    },
    "livenessProbe": {"httpGet": {"path": "/", "port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}, "periodSeconds": 5},
    "readinessProbe": {"exec": {"command": ["true"]}, "failureThreshold": 2},
    "startupProbe": {"tcpSocket": {"port": 80}, "timeoutSeconds": 2},
    "lifecycle": {"preStop": {"exec": {"command": ["true"]}}, "postStart": {"sleep": {"seconds": 1}}},
    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
}  # fmt: skip
TERM: Json = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
POD_TERM: Json = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
TEMPLATE: Json = {
    "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}},
    "spec": {
        "containers": [CONTAINER],
        "initContainers": [
            {"name": "first", "image": IMAGE, "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": 1}}}
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
            {"name": "raw", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"name": "conf", "configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}},
            {"name": "both", "projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "a", "path": "b"}]}}]}},
            {"name": "keys", "secret": {"secretName": "s", "optional": True}},
            {"name": "host", "hostPath": {"path": "/x", "type": "Directory"}},
            {"name": "nfs", "nfs": {"server": "a", "path": "/"}},
            {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
        ],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": TERM}],
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [POD_TERM],
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": POD_TERM}],
            },
        },
        "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "securityContext": {"fsGroup": 1000, "sysctls": [{"name": "a", "value": "b"}], "seccompProfile": {"type": "RuntimeDefault"}},
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}],
        "imagePullSecrets": [{"name": "pull"}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
        "nodeSelector": {"a": "b"},
        "terminationGracePeriodSeconds": 5,
        "readinessGates": [{"conditionType": "a"}],
    },
}  # fmt: skip
SERVICE: Json = {
    "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}},
    "spec": {"type": "NodePort", "ports": [{"name": "x", "port": 9000, "targetPort": 9000, "nodePort": 30100}], "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
}  # fmt: skip
OPTIONS: Json = {
    "idleTimeoutSeconds": 60,
    "upscalingMode": "Default",
    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "envFrom": [{"secretRef": {"name": "s"}}],
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "securityContext": {"runAsUser": 1000},
}


def cluster_spec() -> Json:
    return {
        "rayVersion": "2.60.0",
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": OPTIONS,
        "headGroupSpec": {"rayStartParams": {}, "template": TEMPLATE, "headService": SERVICE},
        "workerGroupSpecs": [
            {"groupName": "w", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, "rayStartParams": {}, "template": TEMPLATE}
        ],
    }  # fmt: skip


def apart(value: Json) -> Json:
    """The same without a part that stands in two places: YAML would write an alias."""
    out: Json = json.loads(json.dumps(value))
    return out


def document(kind: str) -> Json:
    top: Json = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "demo"}}
    if kind == "RayCluster":
        return apart({**top, "spec": cluster_spec()})
    job = {"entrypoint": "true", "rayClusterSpec": cluster_spec(), "submitterPodTemplate": TEMPLATE}
    if kind == "RayJob":
        return apart({**top, "spec": job})
    return apart({**top, "spec": {"schedule": "0 3 * * *", "jobTemplate": job}})


OF_CLUSTER = (
    "headGroupSpec.template",
    "workerGroupSpecs.0.template",
    "headGroupSpec.headService",
    "autoscalerOptions",
)
PLACES = [*(f"spec.rayClusterSpec.{at}" for at in OF_CLUSTER), "spec.submitterPodTemplate"]
ELSEWHERE = [
    ("RayCluster", "spec.workerGroupSpecs.0.template.spec.initContainers.0.resources"),
    ("RayCluster", "spec.headGroupSpec.headService.metadata"),
    ("RayCronJob", "spec.jobTemplate.rayClusterSpec.headGroupSpec.template.spec.containers.0.env.0.valueFrom"),
    ("RayCronJob", "spec.jobTemplate.submitterPodTemplate.spec.affinity"),
]  # fmt: skip
FREE = (
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "limits",
    "requests",
)  # their keys are the user's


def steps(place: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in place.split("."))


def part_at(value: Any, at: tuple[str | int, ...]) -> Any:
    for key in at:
        value = value[key]
    return value


def keys(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all named fields in a part."""
    out: list[tuple[str | int, ...]] = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        if isinstance(key, str) and (not at or at[-1] not in FREE):
            out.append((*at, key))
        out += keys(one, (*at, key))
    return out


def misspelt(key: str) -> str:
    """As a hand slips: two letters the wrong way round, in a short word one too many."""
    return f"{key[:-2]}{key[-1]}{key[-2]}" if len(key) > 5 and key[-1] != key[-2] else f"{key}{key[-1]}"


def lines_of(text: str) -> dict[Path, int]:
    """The line of each field, as PyYAML counts them."""
    out: dict[Path, int] = {}

    def walk(node: yaml.Node, at: Path) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                out[(*at, key.value)] = key.start_mark.line + 1
                walk(value, (*at, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                walk(value, (*at, i))

    walk(yaml.compose(text), ())
    return out


def missed(whole: Json, paths: list[tuple[str | int, ...]]) -> list[str]:
    """Which of these fields, all misspelt in one file, are not told with line and name."""
    wrong = apart(whole)
    typos = {}
    for path in paths:
        inner = part_at(wrong, path[:-1])
        typo = misspelt(str(path[-1]))
        inner[typo] = inner.pop(path[-1])
        typos[(*path[:-1], typo)] = path[-1]
    text = yaml.safe_dump(wrong, sort_keys=False)
    with pytest.raises(SpecError) as caught:
        load(text, "f.yaml")
    told = {(problem.line, problem.what, problem.instead) for problem in caught.value.problems}
    at = lines_of(text)
    expected = {
        (at[path], "there is no such field here", f"did you mean {right}?") for path, right in typos.items()
    }
    return sorted(map(str, expected - told))


@pytest.mark.parametrize("place", PLACES)
def test_a_slip_in_every_field_has_its_line_and_the_field_that_was_meant(place: str) -> None:
    """All fields of one depth at once: each slip is told, whatever else is wrong."""
    whole, at = document("RayJob"), steps(place)
    fields = keys(part_at(whole, at))
    for depth in {len(path) for path in fields}:
        assert not missed(whole, [(*at, *path) for path in fields if len(path) == depth]), depth


@pytest.mark.parametrize(("kind", "place"), ELSEWHERE, ids=[kind for kind, _ in ELSEWHERE])
def test_it_is_told_in_every_kind_of_document(kind: str, place: str) -> None:
    whole, at = document(kind), steps(place)
    assert not missed(whole, [(*at, key) for key in part_at(whole, at)])


def test_of_a_field_that_must_be_there_the_slip_is_told_and_not_that_it_is_missing() -> None:
    whole = document("RayCluster")
    env = whole["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    env[0]["nam"] = env[0].pop("name")
    env[1]["other"] = env[1].pop("name")
    with pytest.raises(SpecError) as caught:
        load(yaml.safe_dump(whole, sort_keys=False), "f.yaml")
    said = [(problem.path.rpartition(".")[2], problem.what) for problem in caught.value.problems]
    assert said == [("nam", "there is no such field here"), ("name", "this field is missing")]
