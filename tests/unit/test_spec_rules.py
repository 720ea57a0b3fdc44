"""Every rule of a RayCluster file: broken once, found with its line."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raystead.errors import SpecError
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests, secret_commands
from raystead.spec import podshape
from raystead.spec.builtin import builtin
from raystead.spec.flags import Flags, build
from raystead.spec.load import load
from raystead.spec.schema import json_schema
from raystead.spec.yamlio import dump, read

GOLDEN = Path(__file__).parents[1] / "golden"
BASE = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: mine
spec:
  rayVersion: 2.60.0
  headGroupSpec:
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0
  workerGroupSpecs:
  - groupName: small
    replicas: 1
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-worker
          image: rayproject/ray:2.60.0
"""

BROKEN = [
    # (what stands there, what stands instead, the line, a part of the sentence)
    ("name: mine", "name: Mine", 4, "not a valid cluster name"),
    ("name: mine", "name: " + "m" * 54, 4, "54 characters"),
    ("name: mine", "generateName: mine-", 4, "cannot be found again"),
    ("name: mine", "name: 12", 4, "write it in quotes"),
    ("rayVersion: 2.60.0", "rayVersion: 2.6", 6, "write it in quotes"),
    ("rayVersion: 2.60.0", "rayVersion: new\n  authOptions: {mode: token}", 7, '2.52.0 or newer, not "new"'),
    ("rayVersion: 2.60.0", "rayVersion: 2.60.0\n  rayVersion: 2.9.0", 7, "appears twice, first on line 6"),
    ("rayVersion: 2.60.0", "rayVersio: 2.60.0", 6, "did you mean rayVersion?"),
    ("replicas: 1", "replicas: -1", 16, "-1 is negative"),
    ("replicas: 1", "minReplicas: 3\n    maxReplicas: 2", 16, "more than maxReplicas 2"),
    ("replicas: 1", "replicas: many", 16, "expected a whole number, got a string"),
    ("replicas: 1", "numOfHosts: 0", 16, "a replica cannot have 0 hosts"),
    ("groupName: small", "groupName: a_b", 15, "not a valid group name"),
    ("rayVersion: 2.60.0", "upgradeStrategy: {type: Rolling}", 6, "not one of Recreate, None"),
    (
        "name: mine\nspec:\n  rayVersion: 2.60.0",
        "name: mine\n  labels: {ray.io/originated-from-crd: RayJob}\nspec:\n  upgradeStrategy: {type: Recreate}",
        7,
        "made by a RayJob",
    ),
    ("    rayStartParams: {}", "    rayStartParams: {port: $PORT}", 8, "not a valid port"),
    ("    rayStartParams: {}", "    rayStartParams: {num-cpus: few}", 8, "is not a whole number"),
    ("image: rayproject/ray:2.60.0\n  w", "image: rayproject/ray:2.60.0\n          ports: 8265\n  w", 14, "expected a list, got the number 8265"),
    (
        "image: rayproject/ray:2.60.0\n  w",
        "image: rayproject/ray:2.60.0\n          env: [{name: A, value: true}]\n  w",
        14,
        "expected a string, got the boolean true",
    ),
    (
        "image: rayproject/ray:2.60.0\n  w",
        "image: rayproject/ray:2.60.0\n          resources: {limits: {cpu: yes}}\n  w",
        14,
        "expected a quantity",
    ),
    (
        "name: mine",
        "name: mine\n  annotations: {ray.io/ft-enabled: 'true'}",
        5,
        "without the address of a Redis keeps nothing",
    ),
    (
        "image: rayproject/ray:2.60.0\n  w",
        "image: rayproject/ray:2.60.0\n          env: [{name: RAY_AUTH_TOKEN, value: s3cret}]\n  w",
        14,
        "read the token from the Secret mine, key auth_token",
    ),
    (
        "image: rayproject/ray:2.60.0\n  w",
        "image: rayproject/ray:2.60.0\n          env: [{name: RAY_ENABLE_K8S_TOKEN_AUTH, value: 'true'}]\n  w",
        14,
        "takes a ClusterRoleBinding",
    ),
    ("replicas: 1", "idleTimeoutSeconds: -1", 16, "negative"),
    ("replicas: 1", "idleTimeoutSeconds: 5", 16, "needs autoscaler v2"),
    ("replicas: 1", "priority: 5", 16, "autoscaler v2"),
    ("replicas: 1", "resources: {cpu: lots}", 16, "is not a valid quantity"),
    ("replicas: 1", "labels: {a: 'x y'}", 16, "not a valid label"),
    ("groupName: small", "groupName: ''", 15, "has no name"),
    ("rayVersion: 2.60.0", "enableInTreeAutoscaling: true", 12, "how many CPUs a node has"),
    ("rayVersion: 2.60.0", "tlsOptions: {enabled: true}", 6, "which serves the whole cluster, make the certificates"),
    ("rayVersion: 2.60.0", "historyServerOptions: {a: b}", 6, "history server"),
    ("rayVersion: 2.60.0", "managedBy: kueue.x-k8s.io/multikueue", 6, "multikueue"),
    ("rayVersion: 2.60.0", "authOptions: {enableK8sTokenAuth: true}", 6, "takes a ClusterRoleBinding"),
    ("rayVersion: 2.60.0", "rayVersion: 2.9.0\n  authOptions: {mode: token}", 7, "2.52.0 or newer"),
    ("rayVersion: 2.60.0", "gcsFaultToleranceOptions: {}", 6, "no redisAddress"),
    ("rayVersion: 2.60.0", "gcsFaultToleranceOptions: {backend: rocksdb, redisAddress: r}", 6, "no effect with"),
    (
        "rayVersion: 2.60.0",
        "gcsFaultToleranceOptions: {backend: rocksdb, storage: {claimName: c, size: 1Gi}}",
        6,
        "claimName excludes size",
    ),
    (
        "rayVersion: 2.60.0",
        "networkPolicy: {mode: DenyAllEgress, head: {ingressRules: [{}]}}",
        6,
        "ingressRules has no effect",
    ),
    ("rayVersion: 2.60.0", "networkPolicy: {workerGroups: [{groupName: large}]}", 6, 'no group "large"'),
    ("rayVersion: 2.60.0", "autoscalerOptions: {idleTimeoutSecond: 60}", 6, "did you mean idleTimeoutSeconds?"),
    ("rayVersion: 2.60.0", "autoscalerOptions: {idleTimeoutSeconds: '60'}", 6, "expected a whole number"),
    ("rayVersion: 2.60.0", "autoscalerOptions: {upscalingMode: aggressive}", 6, "did you mean Aggressive?"),
    ("rayVersion: 2.60.0", "autoscalerOptions: {version: v3}", 6, "not one of v1, v2"),
    ("rayVersion: 2.60.0", "autoscalerOptions: {env: [{name: A, value: 1}]}", 6, "write it in quotes"),
    ("rayVersion: 2.60.0", "autoscalerOptions: {nodeSelector: {}, hostNetwork: true}", 6, "belongs in the pod's spec"),
    ("rayVersion: 2.60.0", "autoscalerOptions: {speed: 5}", 6, "report it if KubeRay has it"),
    ("name: mine", "name: mine\n  annotations: {raystead.io/nams: guide}", 5, "did you mean raystead.io/names?"),
    ("name: mine", "name: mine\n  annotations: {raystead.io/names: other}", 5, "not one of guide, kuberay"),
    ("kind: RayCluster", "kind: RayService", 2, "RayService is not supported"),
    ("apiVersion: ray.io/v1", "apiVersion: ray.io/v2", 1, "is not one of"),
    ("    rayStartParams: {}\n    template:\n      spec:\n        containers:\n        - name: ray-head",
     "    rayStartParams: {labels: a=b}\n    template:\n      spec:\n        containers:\n        - name: ray-head",
     8, "labels cannot be set in rayStartParams"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "words"), BROKEN, ids=[b[3][:40] for b in BROKEN])
def test_a_broken_rule_is_found_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in BASE
    with pytest.raises(SpecError) as caught:
        load(BASE.replace(old, new, 1), "f.yaml")
    text = caught.value.diagnostics()
    assert words in text
    assert f"f.yaml:{line}:" in text


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if path:
        yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("name", ["overridden.in.yaml", "gpu-groups.in.yaml", "external-redis.in.yaml"])
def test_whatever_stands_in_a_wrong_place_is_a_sentence_and_no_traceback(name: str) -> None:
    given = yaml.safe_load((GOLDEN / name).read_text())
    for path in places(given):
        for wrong in (None, 5, "x", True, [], {}, [5], [{}], {"a": 5}):
            changed = copy.deepcopy(given)
            part = changed
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = wrong
            with contextlib.suppress(SpecError):
                cluster = load(json.dumps(changed), name).cluster
                manifests(cluster, Facts())
                secret_commands(cluster, Facts())


@pytest.mark.parametrize(
    ("kind", "at"), [("PodSpec", ()), ("Container", ("containers", 0)), ("AutoscalerOptions", None)]
)
def test_whatever_stands_in_any_field_of_kubernetes_is_a_sentence(
    kind: str, at: tuple[Any, ...] | None
) -> None:
    for field in podshape._types()[kind]:
        for wrong in (5, "x", True, [], {}, [5], [None], [[]], [{"name": []}], {"limits": []}, {"a": {}}):
            changed = yaml.safe_load(BASE)
            part = changed["spec"]["headGroupSpec"]["template"]["spec"]
            if at is None:
                changed["spec"] |= {"enableInTreeAutoscaling": True, "autoscalerOptions": {}}
                part["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
                part = changed["spec"]["autoscalerOptions"]
            for key in at or ():
                part = part[key]
            part[field] = wrong
            with contextlib.suppress(SpecError):
                manifests(load(json.dumps(changed), "f.json").cluster, Facts())


def test_the_unbroken_file_has_no_problem_and_no_note() -> None:
    file = load(BASE, "f.yaml")
    assert file.notes == ()
    assert file.cluster.spec.workers[0].max_replicas == 2147483647


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        BASE.replace("name: mine", "name: Mine")
        .replace("rayVersion", "rayVersio")
        .replace("replicas: 1", "replicas: -1")
    )
    with pytest.raises(SpecError) as caught:
        load(text, "f.yaml")
    lines = [line.split(":")[1] for line in caught.value.diagnostics().splitlines()[1:]]
    assert lines == ["4", "6", "16"]


def test_a_policy_of_restarts_is_a_note() -> None:
    text = BASE.replace("      spec:\n        containers:\n        - name: ray-worker",
                        "      spec:\n        restartPolicy: Never\n        containers:\n        - name: ray-worker")  # fmt: skip
    (note,) = load(text, "f.yaml").notes
    assert "Never becomes Always" in str(note)


@pytest.mark.parametrize(
    ("yaml_text", "value"),
    [
        ("a: yes", True),
        ("a: off", False),
        ("a: 010", 8),
        ("a: 0x1F", 31),
        ("a: 2024-01-01", "2024-01-01"),
        ("a: 12:30:45", "12:30:45"),
        ("a: '010'", "010"),
        ("a: 1e3", 1000.0),
        ("a: ~", None),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(yaml_text: str, value: object) -> None:
    documents, problems = read(yaml_text, "f")
    assert problems == []
    assert documents[0].value == {"a": value}


def test_an_alias_bomb_is_refused_and_not_expanded() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    with pytest.raises(SpecError, match="aliases expand without end"):
        load(bomb, "f.yaml")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="ascii", min_codepoint=32)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc.-/", min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1), JSON, min_size=1))
def test_what_is_dumped_reads_back_the_same_here_and_in_pyyaml(value: dict[str, object]) -> None:
    text = dump([value])
    documents, problems = read(text, "f")
    assert problems == []
    assert documents[0].value == value
    assert yaml.safe_load(text) == value


def test_the_committed_schema_is_the_schema() -> None:
    committed = Path(__file__).parents[2] / "docs" / "schema" / "raycluster.schema.json"
    assert json.loads(committed.read_text()) == json_schema()


def test_whole_node_takes_the_node_less_the_reserve() -> None:
    cluster = build(Flags(whole_node="16,64Gi"))
    for group in (cluster.spec.head, *cluster.spec.workers):
        resources = group.template.ray_container["resources"]
        assert resources["limits"] == resources["requests"] == {"cpu": "15", "memory": "63Gi"}


def test_whole_node_refuses_a_head_below_8_gi() -> None:
    with pytest.raises(SpecError, match="a production head needs 8Gi"):
        build(Flags(whole_node="4,8Gi"))


def test_wrong_flags_come_all_at_once_and_secrets_typed_wrong_are_not_repeated() -> None:
    with pytest.raises(SpecError) as caught:
        build(Flags(worker_cpu="lots", mount=("data",), toleration=(":x",), env=("hunter2",)))
    text = caught.value.diagnostics()
    for flag in ("--worker-cpu", "--mount", "--toleration", "--env"):
        assert flag in text
    assert "hunter2" not in text


def test_the_builtin_spec_is_the_guides() -> None:
    cluster = builtin()
    assert cluster.name == "ray-cluster"
    assert cluster.annotations["raystead.io/names"] == "guide"
    assert cluster.spec.workers[0].wanted == 2


def test_another_name_has_kuberays_names() -> None:
    assert build(Flags(name="mine")).annotations["raystead.io/names"] == "kuberay"


def test_flags_said_again_change_nothing_and_others_add() -> None:
    """`up` lays flags over the spec of the last `up`."""
    flags = Flags(
        mount=("data:/data", "data:/more", "other:/other"),
        env=("A=1", "A=2"),
        env_from_secret=("s",),
        pull_secret=("p",),
        toleration=("gpu=true:NoSchedule", "spot"),
        label=("team=nlp",),
        node_selector=("example.com/pool=big",),
        gpus=1,
    )
    once = build(flags)
    assert build(flags, once) == once
    pod = once.spec.workers[0].template.spec
    ray = pod["containers"][0]
    assert {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]} == {
        "mount-0": "data",
        "mount-1": "other",
    }
    assert [(m["name"], m["mountPath"]) for m in ray["volumeMounts"]] == [
        ("mount-0", "/data"),
        ("mount-0", "/more"),
        ("mount-1", "/other"),
    ]
    assert ray["env"] == [{"name": "A", "value": "2"}]
    assert ray["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["tolerations"] == [
        {"key": "gpu", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
    ]
    more = build(Flags(mount=("third:/other",), gpus=0), once).spec.workers[0].template.spec
    assert more["volumes"][-1] == {"name": "mount-2", "persistentVolumeClaim": {"claimName": "third"}}
    assert [m["name"] for m in more["containers"][0]["volumeMounts"]] == ["mount-0", "mount-0", "mount-2"]
    assert "nvidia.com/gpu" not in more["containers"][0]["resources"]["limits"]


@pytest.mark.parametrize("flag", ["label", "node_selector"])
def test_what_is_no_label_is_refused(flag: str) -> None:
    for text in ("a b=c", "a=b c", "/x=y", "a" * 64 + "=b", "Ex/x=y"):
        with pytest.raises(SpecError, match="not a valid label"):
            build(Flags(**{flag: (text,)}))


def test_whole_node_leaves_room_for_sidecars() -> None:
    base = load(BASE.replace("  workerGroupSpecs", """\
        - name: side
          image: busybox
          resources: {requests: {cpu: 600m, memory: 1Gi}}
  workerGroupSpecs"""), "f.yaml").cluster  # fmt: skip
    cluster = build(Flags(whole_node="16,64Gi", reserve="250m,512Mi"), base)
    head, worker = cluster.spec.head, cluster.spec.workers[0]
    assert head.template.ray_container["resources"]["limits"] == {"cpu": "15", "memory": "64000Mi"}
    assert worker.template.ray_container["resources"]["requests"] == {"cpu": "15", "memory": "65024Mi"}


def test_flags_name_a_redis_one_has() -> None:
    cluster = build(Flags(redis_address="redis.example:6379", redis_password_secret="team-redis:pw"))
    options = cluster.spec.gcs_fault_tolerance
    assert options is not None
    assert options.redis_address == "redis.example:6379"
    assert options.redis_password is not None
    assert options.redis_password.value_from == {"secretKeyRef": {"name": "team-redis", "key": "pw"}}
    assert cluster.annotations["raystead.io/storage"] == "external"


@pytest.mark.parametrize(
    "flags, said",
    [
        (Flags(storage="external"), "--redis-address HOST:PORT"),
        (Flags(redis_address="redis"), "is not HOST:PORT"),
        (Flags(storage="none", redis_address="redis:6379"), "no effect with --storage none"),
        (Flags(redis_password_secret="team-redis"), "only has an effect with --redis-address"),
    ],
)
def test_flags_of_a_redis_that_cannot_be_meant(flags: Flags, said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)):
        build(flags)


@pytest.mark.parametrize(
    ("image", "becomes"),
    [
        ("rayproject/ray:2.60.0-py311", "rayproject/ray:2.58.0-py311"),
        ("mirror.example/rayproject/ray-ml:2.9.0", "mirror.example/rayproject/ray-ml:2.58.0"),
        ("mine/ray:7", "mine/ray:7"),
    ],
)
def test_a_ray_version_moves_the_official_image_along_and_no_other(image: str, becomes: str) -> None:
    cluster = build(Flags(ray_version="2.58.0"), build(Flags(image=image)))
    assert cluster.spec.ray_version == "2.58.0"
    assert cluster.spec.head.template.ray_container["image"] == becomes
    assert cluster.spec.workers[0].template.ray_container["image"] == becomes


@pytest.mark.parametrize(
    ("policy", "words"),
    [("Never", []), ("OnFailure", ["OnFailure becomes Never: Ray's autoscaler knows a worker by its pod"])],
)
def test_an_autoscaled_group_deletes_by_name_and_restarts_no_container(policy: str, words: list[str]) -> None:
    """What a fixed group notes of workersToDelete does not hold there."""
    document = builtin().document()
    document["spec"]["enableInTreeAutoscaling"] = True
    (group,) = document["spec"]["workerGroupSpecs"]
    group["scaleStrategy"] = {"workersToDelete": ["a"]}
    group["template"]["spec"]["restartPolicy"] = policy
    assert [note.what for note in load(json.dumps(document), "f.yaml").notes] == words


NOTED = [
    ("numOfHosts: 2", "single pods"),
    ("scaleStrategy: {workersToDelete: [a]}", "no pod is deleted by name"),
]


@pytest.mark.parametrize(("field", "words"), NOTED)
def test_a_groups_field_with_another_effect_is_noted(field: str, words: str) -> None:
    (note,) = load(BASE.replace("replicas: 1", f"replicas: 1\n    {field}"), "f.yaml").notes
    assert words in str(note)
    assert "f.yaml:17:" in str(note)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("autoscalerOptions: {idleTimeoutSeconds: 60}", "no effect without enableInTreeAutoscaling"),
        ("upgradeStrategy: {type: Recreate}", "roll changed pods"),
    ],
)
def test_a_clusters_field_with_another_effect_is_noted(field: str, words: str) -> None:
    (note,) = load(BASE.replace("rayVersion: 2.60.0", f"{field}\n  rayVersion: 2.60.0"), "f.yaml").notes
    assert words in str(note)


def test_kuberays_old_fault_tolerance_is_read() -> None:
    text = BASE.replace("name: mine", "name: mine\n  annotations: {ray.io/ft-enabled: 'true'}").replace(
        "          image: rayproject/ray:2.60.0\n  workerGroupSpecs",
        "          image: rayproject/ray:2.60.0\n          env:\n"
        "          - {name: RAY_REDIS_ADDRESS, value: 'redis:6379'}\n  workerGroupSpecs",
    )
    file = load(text, "f.yaml")
    assert "KubeRay's old form" in str(file.notes[0])
    head = next(
        o
        for o in manifests(file.cluster, Facts())
        if o["kind"] == "Deployment" and o["metadata"]["name"] == "mine-head"
    )
    env = {e["name"]: e.get("value") for e in head["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["RAY_REDIS_ADDRESS"] == "redis:6379"
    assert env["RAY_external_storage_namespace"] == "mine"
    assert head["spec"]["template"]["metadata"]["annotations"]["ray.io/ft-enabled"] == "true"


def test_two_groups_that_differ_in_capitals_alone_are_refused() -> None:
    second = BASE[BASE.index("  - groupName: small") :].replace("small", "Small")
    with pytest.raises(SpecError, match='the group "small" has this name already'):
        load(BASE + second, "f.yaml")


@pytest.mark.parametrize(("hosts", "key", "refused"), [(2, "google.com/tpu", True), (1, "google.com/tpu", False),
                                                       (2, "nvidia.com/gpu", False)])  # fmt: skip
def test_a_tpu_slice_of_several_hosts_is_refused(hosts: int, key: str, refused: bool) -> None:
    text = yaml.safe_dump(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": "c"},
            "spec": {
                "headGroupSpec": {"template": {"spec": {"containers": [{"name": "r", "image": "x"}]}}},
                "workerGroupSpecs": [
                    {
                        "groupName": "tpu",
                        "numOfHosts": hosts,
                        "template": {
                            "spec": {
                                "containers": [
                                    {"name": "r", "image": "x", "resources": {"limits": {key: "4"}}}
                                ]
                            }
                        },
                    }
                ],
            },
        }
    )
    if refused:
        with pytest.raises(SpecError, match="a TPU slice of several hosts"):
            load(text, "f.yaml")
    else:
        load(text, "f.yaml")


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("redis", "redis:6379"), (":6379", "redis:6379"), ("redis:port", "redis:6379"),
        ("http://redis:6379", "redis:6379"), ("redis:6379/0", "redis:6379"), ("redis: 6379", "redis:6379"),
        ("redis:6379", ""), ("redis://redis:6379", ""), ("rediss://r.example:6380", ""), ("[::1]:6379", ""),
        ("fd00::1:6379", ""), ("a:1,b:2", ""), ("$REDIS:6379", ""),
    ],
)  # fmt: skip
def test_the_address_of_a_redis_is_host_and_port(address: str, meant: str) -> None:
    text = BASE.replace("spec:\n", f"spec:\n  gcsFaultToleranceOptions: {{redisAddress: '{address}'}}\n", 1)
    if not meant:
        load(text, "f.yaml")
        return
    with pytest.raises(SpecError, match=re.escape("is not the address of a Redis: host:port")) as caught:
        load(text, "f.yaml")
    assert f"for example {meant}" in str(caught.value)
