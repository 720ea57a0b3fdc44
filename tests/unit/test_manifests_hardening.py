"""Who is hardened and sized: what the file says wins, and what it does not say is left unless somebody asks."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from raystead.manifests import sizes
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.spec.builtin import builtin
from raystead.spec.model import RayCluster, read

RAY = "rayproject/ray:2.60.0-py311"
DROPPED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
LIMITED = {"limits": {"cpu": "1", "memory": "2Gi"}}


def cluster(head: dict[str, Any] | None = None, **pod: Any) -> RayCluster:
    """A cluster of a head and a worker; `head` changes the head's Ray container, `pod` its pod.

    The key `annotations` of `pod` are those of the cluster.
    """
    annotations = pod.pop("annotations", {})
    beside = pod.pop("containers", [])
    ray = {"name": "ray-head", "image": RAY, "resources": LIMITED, **(head or {})}
    worker = {"name": "ray-worker", "image": RAY, "resources": LIMITED}
    return read(
        RayCluster,
        {
            "metadata": {"name": "c", "annotations": annotations},
            "spec": {
                "headGroupSpec": {"template": {"spec": {"containers": [ray, *beside], **pod}}},
                "workerGroupSpecs": [
                    {"groupName": "w", "replicas": 1, "template": {"spec": {"containers": [worker]}}}
                ],
            },
        },
    )


def head_of(spec: RayCluster, **facts: Any) -> dict[str, Any]:
    """The head's pod; it is valid."""
    key = ("Deployment", "c-head")
    objects = manifests(spec, Facts(**facts))
    head = next(o for o in objects if (o["kind"], o["metadata"]["name"]) == key)
    kubernetes_validate.validate(head, "1.30", strict=True)
    found: dict[str, Any] = head["spec"]["template"]["spec"]
    for container in [*found.get("initContainers", []), *found["containers"]]:
        context = container.get("securityContext") or {}
        more = context.get("privileged") or "CAP_SYS_ADMIN" in context.get("capabilities", {}).get("add", [])
        assert not (more and context.get("allowPrivilegeEscalation") is False), "the server refuses this"
    return found


def test_a_rayproject_image_alone_is_hardened() -> None:
    pod = head_of(cluster())
    assert pod["securityContext"] == POD
    assert pod["containers"][0]["securityContext"] == DROPPED


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        ("docker.io/rayproject/ray:2.60.0", True),
        ("mirror.example.com/x/rayproject/ray-ml:2.9.0", True),
        ("rayproject/ray@sha256:" + "0" * 64, True),
        ("vllm/vllm-openai:v0.11.0", False),
        ("nvcr.io/nvidia/pytorch:25.01-py3", False),
        ("registry.example.com/ml/ray:2.60.0", False),
        ("myrayproject/ray:2.60.0", False),
    ],
)
def test_an_image_that_may_run_as_root_starts(image: str, ours: bool) -> None:
    pod = head_of(cluster({"image": image}))
    assert pod.get("securityContext", {}) == (POD if ours else {})
    assert pod["containers"][0].get("securityContext", {}) == (DROPPED if ours else {})


@pytest.mark.parametrize(
    "said",
    [
        {"securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}},
        {"securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}},
        {"securityContext": {"privileged": True}},
        {"securityContext": {"allowPrivilegeEscalation": True}},
        {"securityContext": {"runAsUser": 0}},
        {"securityContext": {"runAsNonRoot": False}},
        {"args": ["sudo apt-get update && sudo apt-get install -y libgl1"]},
        {"command": ["/usr/bin/sudo", "-E", "python", "x.py"]},
    ],
)
def test_what_the_file_gives_the_ray_container_it_keeps(said: dict[str, Any]) -> None:
    pod = head_of(cluster(said))
    assert "securityContext" not in pod
    assert pod["containers"][0].get("securityContext") == said.get("securityContext")


def test_no_sudo_is_seen_in_other_words() -> None:
    assert head_of(cluster({"args": ["pip install pseudosudo-x && echo nosudo"]}))["securityContext"] == POD


def test_sidecars_and_init_containers_are_left_as_they_are() -> None:
    init = [{"name": "own", "image": "busybox", "command": ["chown", "-R", "1000", "/data"]}]
    pod = head_of(cluster(containers=[{"name": "logs", "image": "fluent/fluent-bit"}], initContainers=init))
    assert "securityContext" not in pod, "it would reach the containers that run as root"
    assert pod["containers"][0]["securityContext"] == {**DROPPED, **POD}
    assert "securityContext" not in pod["containers"][1]
    assert "securityContext" not in pod["initContainers"][0]


def test_the_pods_own_word_reaches_the_ray_container() -> None:
    spec = cluster(containers=[{"name": "logs", "image": "x"}], securityContext={"runAsNonRoot": True})
    assert "runAsNonRoot" not in head_of(spec)["containers"][0]["securityContext"]
    root = head_of(cluster(securityContext={"runAsUser": 0}))
    assert root["securityContext"] == {"runAsUser": 0}
    assert "securityContext" not in root["containers"][0]


@pytest.mark.parametrize(
    ("annotation", "restricted", "everything"),
    [(None, True, True), ("always", False, True), ("never", True, False), ("auto", True, True)],
)
def test_everything_is_hardened_where_the_namespace_or_the_annotation_wants_it(
    annotation: str | None, restricted: bool, everything: bool
) -> None:
    annotations = {"raystead.io/hardening": annotation} if annotation else {}
    sidecar = {"name": "logs", "image": "fluent/fluent-bit"}
    spec = cluster(containers=[sidecar], annotations=annotations)
    pod = head_of(spec, restricted=restricted)
    expected = DROPPED if everything else {}
    assert [c.get("securityContext", {}) for c in pod["containers"]] == [expected, expected]
    assert pod.get("securityContext", {}) == (POD if everything else {})


def test_a_restricted_namespace_gets_no_invalid_container() -> None:
    for added in (["CAP_SYS_ADMIN"], ["SYS_PTRACE"]):
        pod = head_of(cluster({"securityContext": {"capabilities": {"add": added}}}), restricted=True)
        assert pod["containers"][0]["securityContext"] == {"capabilities": {"add": added}}
    bind = head_of(
        cluster({"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}), restricted=True
    )
    assert bind["containers"][0]["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["NET_BIND_SERVICE"],
    }


def test_our_redis_is_always_hardened() -> None:
    document = builtin().document()
    document["metadata"]["annotations"]["raystead.io/hardening"] = "never"
    objects = manifests(read(RayCluster, document), Facts())
    redis = next(o for o in objects if o["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    assert redis["securityContext"]["runAsNonRoot"] is True
    assert redis["containers"][0]["securityContext"] == DROPPED


@pytest.mark.parametrize(
    ("said", "demanded", "expected"),
    [
        (None, (), None),
        (None, ("requests.cpu",), {"requests": {"cpu": "1"}}),
        (None, ("limits.memory",), {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}}),
        ({"requests": {"cpu": "2"}}, (), {"requests": {"cpu": "2"}}),
        ({"requests": {"cpu": "2"}}, ("limits.cpu",), {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}),
        ({"limits": {"memory": "3Gi"}}, (), {"limits": {"memory": "3Gi"}, "requests": {"memory": "3Gi"}}),
        (
            {"limits": {"nvidia.com/gpu": 1}},
            ("requests.memory",),
            {"requests": {"memory": "2Gi"}, "limits": {"nvidia.com/gpu": 1}},
        ),
    ],
)
def test_a_size_is_filled_in_only_where_it_is_demanded(said: Any, demanded: Any, expected: Any) -> None:
    ray = head_of(cluster({"resources": said} if said else {"resources": {}}), demanded=demanded)
    assert (ray["containers"][0].get("resources") or None) == expected


def test_shared_memory_is_as_large_as_the_file_says_and_unbounded_where_it_does_not() -> None:
    def shared(resources: dict[str, Any]) -> Any:
        pod = head_of(cluster({"resources": resources}))
        return next(v["emptyDir"] for v in pod["volumes"] if v["name"] == "shared-mem")

    assert shared({"limits": {"memory": "3Gi"}, "requests": {"memory": "1Gi"}})["sizeLimit"] == "3Gi"
    assert shared({"requests": {"memory": "1Gi"}})["sizeLimit"] == "1Gi"
    assert shared({}) == shared({"limits": {"memory": "0"}}) == {"medium": "Memory"}


def test_a_memory_limit_of_nothing_is_none_for_ray() -> None:
    for resources in ({}, {"limits": {"memory": "0"}}, {"requests": {"memory": "1Gi"}}):
        assert "--memory" not in head_of(cluster({"resources": resources}))["containers"][0]["args"][0]


@pytest.mark.parametrize(
    ("head", "pod", "seconds"),
    [
        ({}, {}, 5),
        ({}, {"terminationGracePeriodSeconds": 90}, 90),
        ({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "20"]}}}}, {}, None),
        ({}, {"containers": [{"name": "logs", "image": "x"}]}, None),
        ({}, {"containers": [{"name": "l", "image": "x"}], "terminationGracePeriodSeconds": 7}, 7),
        ({}, {"initContainers": [{"name": "l", "image": "x", "restartPolicy": "Always"}]}, None),
        ({}, {"initContainers": [{"name": "l", "image": "x"}]}, 5),
    ],
)
def test_only_a_lone_head_is_ended_in_five_seconds(head: Any, pod: Any, seconds: int | None) -> None:
    assert head_of(cluster(head, **pod)).get("terminationGracePeriodSeconds") == seconds


def _quota(*hard: str, **spec: Any) -> dict[str, Any]:
    return {"spec": {"hard": dict.fromkeys(hard, "8"), **spec}}


def _range(**rule: Any) -> dict[str, Any]:
    return {"spec": {"limits": [rule]}}


@pytest.mark.parametrize(
    ("quotas", "limitranges", "expected"),
    [
        ([], [], []),
        ([_quota("pods", "requests.storage", "requests.nvidia.com/gpu")], [], []),
        ([_quota("cpu", "limits.memory")], [], ["limits.memory", "requests.cpu"]),
        ([_quota("limits.cpu", scopes=["Terminating"])], [], []),
        ([_quota("limits.cpu", scopes=["NotTerminating"])], [], ["limits.cpu"]),
        ([_quota("limits.cpu", scopeSelector={"matchExpressions": []})], [], []),
        # the server fills in the defaults before the quota is asked
        ([_quota("cpu", "limits.cpu")], [_range(type="Container", default={"cpu": "1"})], []),
        ([_quota("cpu", "limits.cpu")], [_range(type="Container", defaultRequest={"cpu": "1"})], ["limits.cpu"]),
        ([], [_range(type="Container", min={"cpu": "1"}, max={"cpu": "2"})], []),
        ([], [_range(type="Pod", max={"memory": "8Gi"})], ["limits.memory"]),
        ([], [_range(type="Pod", min={"cpu": "1"})], ["requests.cpu"]),
        ([], [_range(type="PersistentVolumeClaim", max={"storage": "1Gi"})], []),
    ],
)  # fmt: skip
def test_what_a_namespace_demands_of_sizes(quotas: Any, limitranges: Any, expected: list[str]) -> None:
    assert sizes.demanded(quotas, limitranges) == expected
