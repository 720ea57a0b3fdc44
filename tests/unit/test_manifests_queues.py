"""Queues, gangs and priorities of batch schedulers, and --label: on every pod, Redis' too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from raystead.manifests.facts import Facts
from raystead.manifests.notes import notes
from raystead.manifests.render import manifests
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
GANG = {"ray.io/gang-scheduling-enabled": "true"}
YUNIKORN = {"yunikorn.apache.org/app-id": "a", "yunikorn.apache.org/queue": "root.q"}


def cluster(
    labels: Mapping[str, str], annotations: Mapping[str, str] | None = None, **pod: Any
) -> RayCluster:
    def template(cpu: str, memory: str) -> Json:
        size = {"limits": {"cpu": cpu, "memory": memory}}
        return {
            "spec": {
                "containers": [{"name": "r", "image": "rayproject/ray:2.60.0", "resources": size}],
                **pod,
            }
        }

    group = {"groupName": "small", "replicas": 2, "minReplicas": 1, "template": template("500m", "1Gi")}
    return read(
        RayCluster,
        {
            "metadata": {
                "name": "c",
                "labels": dict(labels),
                "annotations": {"raystead.io/storage": "redis", **(annotations or {})},
            },
            "spec": {"headGroupSpec": {"template": template("1", "2Gi")}, "workerGroupSpecs": [group]},
        },
    )


def templates(spec: RayCluster, **facts: Any) -> dict[str, Json]:
    """By group, the pod templates of head, workers and Redis."""
    out = {}
    for item in manifests(spec, Facts(**facts)):
        if item["kind"] in ("Deployment", "StatefulSet"):
            template = item["spec"]["template"]
            chosen = item["spec"]["selector"]["matchLabels"].items()
            assert chosen <= template["metadata"]["labels"].items()
            out[template["metadata"]["labels"].get("ray.io/group", "redis")] = template
    assert set(out) == {"headgroup", "small", "redis"}
    return out


@pytest.mark.parametrize(
    "labels",
    [
        {"kueue.x-k8s.io/queue-name": "q"},
        {"kueue.x-k8s.io/queue-name": "q", "kueue.x-k8s.io/priority-class": "high"},
        {"kai.scheduler/queue": "team-a"},
        {"volcano.sh/queue-name": "team", "ray.io/priority-class-name": "high"},
        {"ray.io/scheduler-name": "volcano", **GANG},
        {**YUNIKORN, **GANG},
        {"volcano.sh/network-topology-mode": "soft"},
    ],
)
def test_a_schedulers_labels_stand_on_every_pod(labels: dict[str, str]) -> None:
    for template in templates(cluster(labels)).values():
        assert labels.items() <= template["metadata"]["labels"].items()


def test_other_labels_of_the_cluster_stay_off_the_pods() -> None:
    plain = templates(cluster({}))
    assert templates(cluster({"team": "a", "app": "x"})) == plain


def test_a_template_goes_before_the_cluster_and_ours_before_both() -> None:
    document = cluster({"kai.scheduler/queue": "a"}).document()
    head = document["spec"]["headGroupSpec"]["template"]
    head["metadata"] = {"labels": {"kai.scheduler/queue": "b", "ray.io/group": "x"}}
    found = templates(read(RayCluster, document))["headgroup"]["metadata"]["labels"]
    assert found["kai.scheduler/queue"] == "b"
    assert found["ray.io/group"] == "headgroup"


def test_yunikorn_gets_its_application_its_queue_and_its_gang() -> None:
    found = templates(cluster({**YUNIKORN, **GANG}, nodeSelector={"pool": "ray"}))
    texts = set()
    for name, template in found.items():
        metadata = template["metadata"]
        assert (metadata["labels"]["applicationId"], metadata["labels"]["queue"]) == ("a", "root.q")
        assert metadata["annotations"]["yunikorn.apache.org/task-group-name"] == name
        texts.add(metadata["annotations"]["yunikorn.apache.org/task-groups"])
    (text,) = texts  # one gang: all pods tell the same
    groups = {group["name"]: group for group in json.loads(text)}
    assert {name: group["minMember"] for name, group in groups.items()} == {
        "headgroup": 1,
        "small": 1,
        "redis": 1,
    }
    assert groups["headgroup"]["minResource"] == {"cpu": "1", "memory": "2147483648"}
    assert groups["small"]["minResource"] == {"cpu": "500m", "memory": "1073741824"}
    assert all(group["nodeSelector"] == {"pool": "ray"} for group in groups.values())
    without = templates(cluster(YUNIKORN))["headgroup"]["metadata"]
    assert "yunikorn.apache.org/task-groups" not in without.get("annotations", {})
    own = cluster({**YUNIKORN, **GANG}, {"yunikorn.apache.org/task-groups": "[]"})
    assert templates(own)["small"]["metadata"]["annotations"]["yunikorn.apache.org/task-groups"] == "[]"


def test_volcano_reads_the_queue_where_no_podgroup_names_it() -> None:
    for name, template in templates(cluster({"volcano.sh/queue-name": "team"})).items():
        annotations = template["metadata"]["annotations"]
        assert annotations["scheduling.volcano.sh/queue-name"] == "team"
        assert annotations["volcano.sh/task-spec"] == name
        assert "scheduling.k8s.io/group-name" not in annotations, (
            "a PodGroup that nobody makes holds pods back"
        )


@pytest.mark.parametrize(
    ("labels", "known", "pod", "expected"),
    [
        ({"kai.scheduler/queue": "a"}, (), {}, None),
        ({"kai.scheduler/queue": "a"}, ("kai-scheduler",), {}, "kai-scheduler"),
        ({"volcano.sh/queue-name": "a"}, ("kai-scheduler", "volcano"), {}, "volcano"),
        ({"ray.io/scheduler-name": "volcano"}, ("volcano",), {}, "volcano"),
        ({}, ("volcano",), {}, None),
        ({"kai.scheduler/queue": "a"}, ("kai-scheduler",), {"schedulerName": "mine"}, "mine"),
    ],
)
def test_pods_go_to_a_scheduler_only_where_it_is_known_to_be(
    labels: dict[str, str], known: Any, pod: Json, expected: str | None
) -> None:
    found = templates(cluster(labels, **pod), schedulers=known)
    assert {template["spec"].get("schedulerName") for template in found.values()} == {expected}


def test_a_priority_class_of_the_head_is_that_of_redis() -> None:
    found = templates(cluster({}, priorityClassName="high"))
    assert {template["spec"]["priorityClassName"] for template in found.values()} == {"high"}


@pytest.mark.parametrize(
    ("labels", "facts", "said"),
    [
        ({"kueue.x-k8s.io/queue-name": "q"}, Facts(), "Kueue's integration of plain pods"),
        ({"kai.scheduler/queue": "a"}, Facts(), "nothing shows that kai-scheduler is installed"),
        (GANG, Facts(), "no PodGroup is made"),
        ({"volcano.sh/queue-name": "a", **GANG}, Facts(schedulers=("volcano",)), "no PodGroup is made"),
        ({**YUNIKORN, **GANG}, Facts(), "nothing shows that yunikorn is installed"),
        ({"kai.scheduler/queue": "a"}, Facts(schedulers=("kai-scheduler",)), None),
        ({}, Facts(), None),
    ],
)
def test_what_has_no_effect_here_is_a_note(labels: dict[str, str], facts: Facts, said: str | None) -> None:
    found = notes(cluster(labels), facts)
    assert any(said in line for line in found) if said else not found


def test_label_reaches_every_pod_and_redis_keeps_its_own() -> None:
    spec = build(Flags(label=("team=a", "cost=1")))
    again = build(Flags(label=("cost=2",)), spec)
    for item in manifests(again, Facts()):
        if item["kind"] in ("Deployment", "StatefulSet"):
            labels = item["spec"]["template"]["metadata"]["labels"]
            assert (labels["team"], labels["cost"]) == ("a", "2")
            assert item["spec"]["selector"]["matchLabels"].items() <= labels.items()
    stolen = build(Flags(label=("app=x",)))
    redis = next(o for o in manifests(stolen, Facts()) if o["kind"] == "StatefulSet")
    assert redis["spec"]["template"]["metadata"]["labels"]["app"] == "redis"
