"""What KubeRay's own validation accepts and refuses, rule by rule, and the command over its samples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from raystead.errors import SpecError
from raystead.spec.load import load

ROOT = Path(__file__).parents[2]


def cluster(
    *,
    metadata: str = "",
    spec: str = "",
    head: str = "",
    env: str = "",
    container: str = "",
    worker: str = "",
) -> str:
    """A RayCluster with more in the named places, each in flow style."""

    def lines(text: str, indent: int) -> str:
        return "".join(f"{' ' * indent}{line}\n" for line in text.splitlines())

    params = "" if "rayStartParams" in head else "    rayStartParams: {}\n"
    return (
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata:\n  name: mine\n"
        + lines(metadata, 2)
        + "spec:\n"
        + lines(spec, 2)
        + "  headGroupSpec:\n"
        + lines(head, 4)
        + params
        + "    template:\n      spec:\n        containers:\n        - name: ray-head\n          image: rayproject/ray\n"
        + lines(f"env: [{env}]" if env else "", 10)
        + lines(container, 10)
        + "  workerGroupSpecs:\n  - groupName: small\n    replicas: 1\n"
        + lines(worker, 4)
        + ("" if "rayStartParams" in worker else "    rayStartParams: {}\n")
        + "    template: {spec: {containers: [{name: ray-worker, image: rayproject/ray}]}}\n"
    )


FT = 'annotations: {ray.io/ft-enabled: "%s"}'
ADDRESS = '{name: RAY_REDIS_ADDRESS, value: "redis:6379"}'
REDIS = "gcsFaultToleranceOptions: {redisAddress: redis:6379}"
ROCKS = "gcsFaultToleranceOptions: {backend: rocksdb}"
V2 = "{name: RAY_enable_autoscaler_v2, value: '%s'}"

ACCEPTED = [
    {"spec": "rayVersion: nightly"},
    {"spec": "rayVersion: v2.52.0\nauthOptions: {mode: token}"},
    {"spec": "rayVersion: latest\nauthOptions: {mode: disabled}"},
    {"worker": "priority: 0"},
    {"metadata": FT % "TRUE", "env": ADDRESS},
    {"metadata": FT % "True", "env": ADDRESS + ", {name: REDIS_PASSWORD, value: x}"},
    {"metadata": FT % "false"},
    {"env": V2 % "false"},
    {"env": V2 % "0"},
    {"head": "resources: {cpu: '4'}\nrayStartParams: {object-store-memory: '1000000'}"},
    {"spec": ROCKS, "container": "volumeMounts: [{name: tmp, mountPath: /data}]"},
    {"spec": "upgradeStrategy: {}", "metadata": "labels: {ray.io/originated-from-crd: RayJob}"},
    {"spec": "managedBy: ray.io/kuberay-operator"},
    {"spec": "autoscalerOptions: {version: v2}"},
    {"spec": "tlsOptions: {enabled: false}"},
    {"spec": "networkPolicy: {mode: DenyAllIngress, head: {ingressRules: [{}]}}"},
    {"spec": "networkPolicy: {workerGroups: [{groupName: small}]}"},
    {"head": "serviceType: ''"},
]
REFUSED = [
    ({"spec": "rayVersion: nightly\nauthOptions: {mode: token}"}, 'needs rayVersion 2.52.0 or newer, not "nightly"'),
    ({"spec": "authOptions: {mode: token}"}, "needs rayVersion 2.52.0 or newer;"),
    (
        {"spec": "rayVersion: 2.35.0\nenableInTreeAutoscaling: true"},
        "the autoscaler of Ray 2.35 asks https://kubernetes.default and nobody else; use Ray 2.40 or newer",
    ),
    (
        {"spec": "enableInTreeAutoscaling: true\nautoscalerOptions: {image: 'mirror/ray:2.9.3'}"},
        "the autoscaler of Ray 2.9 asks",
    ),
    ({"worker": "priority: 2"}, "priority needs rayVersion 2.56.0 or newer and autoscaler v2"),
    ({"worker": "idleTimeoutSeconds: 5"}, "idle timeout needs autoscaler v2"),
    ({"worker": "idleTimeoutSeconds: -5"}, "-5 is negative"),
    ({"spec": "autoscalerOptions: {idleTimeoutSeconds: -1}"}, "-1 is negative"),
    ({"metadata": FT % "True"}, "fault tolerance without the address of a Redis"),
    ({"metadata": FT % "false", "env": ADDRESS}, "RAY_REDIS_ADDRESS without fault tolerance"),
    ({"metadata": FT % "false", "spec": REDIS}, "remove the annotation"),
    ({"env": ADDRESS, "spec": REDIS}, "RAY_REDIS_ADDRESS cannot be set together with"),
    ({"env": "{name: REDIS_PASSWORD, value: x}", "spec": REDIS}, "use gcsFaultToleranceOptions.redisPassword"),
    ({"env": "{name: REDIS_USERNAME, value: x}"}, "use gcsFaultToleranceOptions.redisUsername"),
    ({"head": "rayStartParams: {redis-username: x}"}, "redis-username cannot be set here"),
    ({"head": "rayStartParams: {redis-username: x}", "spec": REDIS}, "redis-username cannot be set together with"),
    ({"head": "rayStartParams: {redis-password: x}", "spec": REDIS}, "redis-password cannot be set together with"),
    (
        {"metadata": "annotations: {ray.io/external-storage-namespace: x}", "spec": REDIS},
        "use gcsFaultToleranceOptions.externalStorageNamespace",
    ),
    (
        {"env": "{name: RAY_external_storage_namespace, value: x}", "spec": REDIS},
        "use gcsFaultToleranceOptions.externalStorageNamespace",
    ),
    ({"env": V2 % "true"}, "RAY_enable_autoscaler_v2 is on and enableInTreeAutoscaling is not"),
    ({"env": V2 % "1"}, "RAY_enable_autoscaler_v2 is on and enableInTreeAutoscaling is not"),
    *[
        ({"head": f"resources: {{example.com/a: '1'}}\nrayStartParams: {{{param}: '{value}'}}"}, f"{param} cannot be set")
        for param, value in (("num-cpus", 1), ("num-gpus", 1), ("memory", 1000000), ("resources", '"{\\"a\\": 1}"'))
    ],
    ({"worker": "resources: {CPU: '1'}\nrayStartParams: {memory: '1000000'}"}, "memory cannot be set together with"),
    ({"spec": ROCKS, "env": "{name: RAY_gcs_storage, value: memory}"}, "RAY_gcs_storage is set by backend rocksdb"),
    ({"spec": ROCKS, "env": "{name: RAY_gcs_storage_path, value: /d}"}, "RAY_gcs_storage_path is set by"),
    ({"spec": ROCKS, "container": "volumeMounts: [{name: x, mountPath: /data/gcs/}]"}, "/data/gcs are taken"),
    ({"spec": "gcsFaultToleranceOptions: {backend: rocksdb, redisUsername: {value: x}}"}, "redisUsername has no effect"),
    (
        {"spec": "gcsFaultToleranceOptions: {backend: rocksdb, storage: {claimName: c, accessModes: [ReadWriteOnce]}}"},
        "claimName excludes accessModes",
    ),
    ({"spec": "gcsFaultToleranceOptions: {redisAddress: r, storage: {size: 1Gi}}"}, "only has an effect with backend rocksdb"),
    (
        {"spec": "networkPolicy: {}", "worker": "labels: {a: b c}"},
        '"a: b c" is not a valid label',
    ),
    ({"spec": "networkPolicy: {mode: DenyAllIngress, worker: {egressRules: [{}]}}"}, "egressRules has no effect"),
    ({"spec": "networkPolicy: {workerGroups: [{groupName: Small}]}"}, 'there is no group "Small"'),
    (
        {"spec": "upgradeStrategy: {type: None}", "metadata": "labels: {ray.io/originated-from-crd: RayService}"},
        "made by a RayService",
    ),
    ({"worker": "minReplicas: 1\nmaxReplicas: 0"}, "minReplicas 1 is more than maxReplicas 0"),
    ({"worker": "maxReplicas: -1"}, "-1 is negative"),
]  # fmt: skip


@pytest.mark.parametrize("parts", ACCEPTED, ids=[str(p)[:70] for p in ACCEPTED])
def test_what_kuberay_accepts_is_accepted(parts: dict[str, str]) -> None:
    load(cluster(**parts), "f.yaml")


@pytest.mark.parametrize(("parts", "words"), REFUSED, ids=[str(r[0])[:70] for r in REFUSED])
def test_what_kuberay_refuses_is_refused_in_our_words(parts: dict[str, str], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(cluster(**parts), "f.yaml")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "alone", "beside_policies"),
    [
        ("small", True, True),
        ("Small", True, False),
        ("gpu.a100", True, False),
        ("a_b", False, False),
        ("a..b", False, False),
        (".a", False, False),
        ("a-", False, False),
        ("a\\n", False, False),
        ("g" * 64, False, False),
    ],
)
def test_names_of_groups(name: str, alone: bool, beside_policies: bool) -> None:
    for spec, right in (("", alone), ("networkPolicy: {}", beside_policies)):
        text = cluster(spec=spec).replace("groupName: small", f'groupName: "{name}"')
        if right:
            load(text, "f.yaml")
        else:
            with pytest.raises(SpecError, match="is not a valid group name"):
                load(text, "f.yaml")


def test_the_autoscalers_variable_counts_in_the_heads_env_only() -> None:
    variable = (
        "[{name: ray-worker, image: rayproject/ray, env: [{name: RAY_enable_autoscaler_v2, value: '1'}]}]"
    )
    text = cluster().replace("[{name: ray-worker, image: rayproject/ray}]", variable)
    load(text, "f.yaml")


@pytest.mark.parametrize(
    ("text", "on"), [("true", True), ("True", True), ("TRUE", True), ("yes", False), ("", False)]
)
def test_annotations_are_true_in_any_letter_case(text: str, on: bool) -> None:
    key = "ray.io/overwrite-container-cmd"
    whole = load(cluster(metadata=f'annotations: {{{key}: "{text}"}}'), "f.yaml").cluster
    assert [whole.overwrites_command(g) for g in (whole.spec.head, *whole.spec.workers)] == [on, on]
    alone = cluster().replace(
        "template:\n", f'template:\n      metadata: {{annotations: {{{key}: "{text}"}}}}\n', 1
    )
    one = load(alone, "f.yaml").cluster
    assert [one.overwrites_command(g) for g in (one.spec.head, *one.spec.workers)] == [on, False]


def test_the_command_over_samples_compares_each_file_and_counts() -> None:
    folder = ROOT / "tests" / "data" / "cases"
    command = [sys.executable, str(ROOT / "scripts" / "samples"), str(folder), "--all"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)  # 0: nothing lost
    lines = done.stdout.splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    rendered = sum("` | rendered faithfully | " in row for row in rows)
    refused = sum("` | refused | " in row for row in rows)
    counts = [line for line in lines if re.match(r"\d+ \w+ samples: ", line)]  # a line for each kind

    def told(what: str) -> int:
        return sum(int(n) for line in counts for n in re.findall(rf"(\d+) {what}", line))

    assert (told(r"\w+ samples:"), told("rendered"), told("refused")) == (len(rows), rendered, refused)
    assert rendered > 40
    assert any("rocks-reserved.yaml" in row and "the volume gcs-storage is made by" in row for row in rows)
    assert not any("kustomization.yaml" in row for row in rows)
