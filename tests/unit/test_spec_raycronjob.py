"""A RayCronJob file: what of it cannot be had is refused with its line, the rest means what KubeRay's does."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raystead.errors import SpecError
from raystead.spec.documents import cluster_json, parsed
from raystead.spec.flags import Flags
from raystead.spec.load import SpecFile, load
from raystead.spec.rayjob import RayCronJob

FILE = """\
apiVersion: ray.io/v1
kind: RayCronJob
metadata:
  name: nightly
  annotations: {team: nlp}
spec:
  schedule: "30 2 * * *"
  jobTemplate:
    entrypoint: python report.py
    shutdownAfterJobFinishes: true
    rayClusterSpec:
      rayVersion: 2.60.0
      headGroupSpec:
        rayStartParams: {}
        template: {spec: {containers: [{name: ray-head, image: 'rayproject/ray:2.60.0'}]}}
      workerGroupSpecs:
      - groupName: small
        replicas: 1
        minReplicas: 1
        maxReplicas: 3
        template: {spec: {containers: [{name: ray-worker, image: 'rayproject/ray:2.60.0'}]}}
"""
JOB = "spec.jobTemplate"
HEAD = f"{JOB}.rayClusterSpec.headGroupSpec"
WORKERS = f"{JOB}.rayClusterSpec.workerGroupSpecs[0]"


def read(change: Any = None) -> SpecFile:
    value = yaml.safe_load(FILE)
    if change:
        change(value)
    return load(yaml.safe_dump(value, sort_keys=False), "cron.yaml")


def refused(change: Any) -> str:
    with pytest.raises(SpecError) as caught:
        read(change)
    return caught.value.diagnostics()


def put(value: dict[str, Any], path: str, what: Any) -> None:
    """Sets `a.b[0].c`, with what is missing on the way."""
    *way, last = path.replace("[", ".").replace("]", "").split(".")
    for key in way:
        value = value[int(key)] if key.isdigit() else value.setdefault(key, {})  # type: ignore[index]
    value[last] = what


def test_the_document_and_the_cluster_of_each_tick() -> None:
    cron = read().document
    assert isinstance(cron, RayCronJob)
    assert cron.job.entrypoint == "python report.py"
    assert cron.cluster.name == "nightly"
    assert [group.wanted for group in cron.cluster.spec.workers] == [1]
    assert cron.cluster.metadata.labels["ray.io/originated-from-crd"] == "RayCronJob"
    kept = cron.document()
    assert parsed(kept) == cron, "what is kept in the anchor is the same"
    assert cluster_json(kept)["spec"] == kept["spec"]["jobTemplate"]["rayClusterSpec"]


def test_flags_change_the_cluster_and_the_name_and_nothing_else() -> None:
    cron = load(FILE, "cron.yaml", Flags(name="other", workers=2)).document
    assert isinstance(cron, RayCronJob)
    assert cron.name == cron.cluster.name == "other"
    assert [group.wanted for group in cron.cluster.spec.workers] == [2]
    assert cron.spec.schedule == "30 2 * * *"


def test_suspended_it_says_so_itself() -> None:
    cron = read(lambda v: put(v, "spec.suspend", True)).document
    assert isinstance(cron, RayCronJob)
    assert cron.cluster.spec.suspend is True
    assert "suspend" not in cron.document()["spec"]["jobTemplate"]["rayClusterSpec"]
    assert cron.with_suspend(False).cluster.spec.suspend is not True


def test_a_mistake_has_its_line_in_the_file() -> None:
    with pytest.raises(SpecError) as caught:
        load(FILE.replace("maxReplicas", "maxReplica"), "cron.yaml")
    assert f"cron.yaml:20:9: {WORKERS}.maxReplica" in caught.value.diagnostics()
    with pytest.raises(SpecError) as caught:
        load(FILE.replace("30 2", "30 25"), "cron.yaml")
    assert 'cron.yaml:7:3: spec.schedule: "25" is not a valid hour' in caught.value.diagnostics()


SIDECAR = {"name": "logs", "image": "fluent-bit"}
NEVER_ASKED: list[tuple[str, Any, str]] = [
    ("metadata.name", "a" * 37, "37 characters, 36 at most"),
    ("spec.timeZone", " ", "the time zone is empty"),
    ("spec.timeZone", "Local", "Kubernetes refuses Local"),
    (f"{JOB}.submissionMode", "InteractiveMode", "nobody is there to submit"),
    (f"{JOB}.suspend", True, "spec.suspend"),
    (f"{JOB}.submitterConfig", {"backoffLimit": 1}, "there is no submitter pod"),
    (f"{JOB}.submitterPodTemplate", {"spec": {"containers": [SIDECAR]}}, "there is no submitter pod"),
    (f"{JOB}.rayClusterSpec.gcsFaultToleranceOptions", {"redisAddress": "redis:6379"}, "ends with its head"),
    (f"{JOB}.rayClusterSpec.enableInTreeAutoscaling", True, "not autoscaled"),
    (f"{JOB}.clusterSelector", {"ray.io/cluster": "other"}, "a cluster of its own"),
    (f"{HEAD}.serviceType", "LoadBalancer", "none a Service of its own"),
    (f"{HEAD}.template.spec.containers[0].args", ["ray start --head --block"], "only with a command"),
    (f"{HEAD}.template.spec.restartPolicy", "OnFailure", "restarts none"),
    (f"{WORKERS}.numOfHosts", 2, "single hosts"),
    (
        f"{WORKERS}.template.spec.initContainers",
        [{"name": "tls", "image": "x", "command": ["gencert", "$FQ_RAY_IP"]}],
        "init containers do not know",
    ),
]


@pytest.mark.parametrize(
    "path, value, told", NEVER_ASKED, ids=[row[0] + "=" + str(row[1])[:12] for row in NEVER_ASKED]
)
def test_what_cannot_be_had_is_refused_by_name(path: str, value: Any, told: str) -> None:
    text = refused(lambda v: put(v, path, value))
    assert f"{path}" in text.replace(".template.spec.containers[0].args[0]", "")
    assert told in text


def test_a_second_container_keeps_its_pod_from_ending() -> None:
    def change(value: dict[str, Any]) -> None:
        head = value["spec"]["jobTemplate"]["rayClusterSpec"]["headGroupSpec"]
        head["template"]["spec"]["containers"].append(SIDECAR)

    assert f"{HEAD}.template.spec.containers[1]: a second container keeps its pod from ending" in refused(
        change
    )


def test_deletion_rules_have_no_meaning_here() -> None:
    rules = [{"policy": "DeleteSelf", "condition": {"jobStatus": "SUCCEEDED"}}]

    def change(value: dict[str, Any]) -> None:
        del value["spec"]["jobTemplate"]["shutdownAfterJobFinishes"]
        put(value, f"{JOB}.deletionStrategy", {"deletionRules": rules})

    assert "raystead.io/successful-jobs-history-limit" in refused(change)


@pytest.mark.parametrize(
    "key, value, told",
    [
        ("concurrency-policy", "forbid", '"forbid" is not one of Allow, Forbid, Replace'),
        ("starting-deadline-seconds", "5", "a whole number of 10 or more"),
        ("failed-jobs-history-limit", "-1", "a whole number of 0 or more"),
        ("names", "guide", "the guide's names"),
        ("storage", "redis", "ends with its head"),
    ],
)
def test_an_annotation_that_is_refused(key: str, value: str, told: str) -> None:
    text = refused(lambda v: v["metadata"]["annotations"].update({f"raystead.io/{key}": value}))
    assert f"metadata.annotations.raystead.io/{key}" in text
    assert told in text


def test_queues_of_whole_clusters_are_refused() -> None:
    text = refused(lambda v: put(v, "metadata.labels", {"kueue.x-k8s.io/queue-name": "q"}))
    assert "one by one" in text


def notes(change: Any = None) -> str:
    return "\n".join(str(note) for note in read(change).notes)


def test_what_has_another_effect_is_told() -> None:
    assert "jobTemplate" not in notes()
    assert "it counts as true" in notes(lambda v: v["spec"]["jobTemplate"].pop("shutdownAfterJobFinishes"))
    assert "not later" in notes(lambda v: put(v, f"{JOB}.ttlSecondsAfterFinished", 600))
    assert "as in SidecarMode" in notes(lambda v: put(v, f"{JOB}.submissionMode", "HTTPMode"))
    assert "*/10 * * * *" in notes(lambda v: put(v, "spec.schedule", "@every 10m"))
