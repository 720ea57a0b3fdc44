"""What of a RayJob and a RayCronJob is refused, with the place; and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from raystead.manifests.rayjob import submission_body
from raystead.spec.jobrules import job_notes, job_problems
from raystead.spec.model import read
from raystead.spec.rayjob import RayJob

CLUSTER: dict[str, Any] = {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray"}]}}}}
RULE = {"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": 5}}
SELECTED = {"clusterSelector": {"ray.io/cluster": "demo"}, "rayClusterSpec": None}


def job(name: str = "demo", **spec: Any) -> RayJob:
    body = {"entrypoint": "true", "rayClusterSpec": CLUSTER, **spec}
    given = {key: value for key, value in body.items() if value is not None}
    return read(RayJob, {"metadata": {"name": name}, "spec": given})


def rules(*found: tuple[str, str, str, int]) -> dict[str, Any]:
    return {
        "deletionRules": [
            {"policy": policy, "condition": {key: value, "ttlSeconds": ttl}}
            for policy, key, value, ttl in found
        ]
    }


GOOD: list[dict[str, Any]] = [
    {},
    {"shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": 10},
    {"suspend": True, "shutdownAfterJobFinishes": True},
    {"runtimeEnvYAML": "pip: [requests]\nenv_vars: {A: b}"},
    {"runtimeEnvYAML": "# nothing yet"},
    {"runtimeEnvYAML": "env_vars: {BUILD: 2026-11-27, AT: 2026-11-27T00:00:00Z}"},
    {"entrypointResources": '{"R1": 2}', "entrypointNumCpus": 1.5},
    {"submissionMode": "InteractiveMode"},
    {"submissionMode": "SidecarMode"},
    {
        "deletionStrategy": rules(
            ("DeleteWorkers", "jobStatus", "FAILED", 3),
            ("DeleteCluster", "jobStatus", "FAILED", 5),
            ("DeleteSelf", "jobStatus", "FAILED", 5),
            ("DeleteSelf", "jobDeploymentStatus", "Failed", 1),
        )
    },
    {
        "deletionStrategy": {"onSuccess": {"policy": "DeleteSelf"}, "onFailure": {"policy": "DeleteNone"}},
    },
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"rayClusterSpec": None}, "spec", "neither rayClusterSpec nor clusterSelector"),
    ({"suspend": True}, "spec.suspend", "needs shutdownAfterJobFinishes"),
    ({"ttlSecondsAfterFinished": 5}, "spec.ttlSecondsAfterFinished", "only with shutdownAfterJobFinishes"),
    ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished", "expected 0 or more, got -1"),
    ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "expected 1 or more, got 0"),
    ({"preRunningDeadlineSeconds": 0}, "spec.preRunningDeadlineSeconds", "expected 1 or more"),
    ({"backoffLimit": -1}, "spec.backoffLimit", "expected 0 or more"),
    ({"runtimeEnvYAML": "pip: ["}, "spec.runtimeEnvYAML", "not valid YAML"),
    ({"runtimeEnvYAML": "- a"}, "spec.runtimeEnvYAML", "expected a mapping"),
    (
        {"runtimeEnvYAML": "env_vars: {A: 1}"},
        "spec.runtimeEnvYAML",
        "env_vars: A: expected a string, got a number",
    ),
    ({"runtimeEnvYAML": "env_vars: {A: on}"}, "spec.runtimeEnvYAML", "expected a string, got true or false"),
    ({"runtimeEnvYAML": "x: !!binary aGk="}, "spec.runtimeEnvYAML", "what JSON does not know"),
    ({"runtimeEnvYAML": "x: !!set {a, b}"}, "spec.runtimeEnvYAML", "what JSON does not know"),
    ({"runtimeEnvYAML": "x: .nan"}, "spec.runtimeEnvYAML", "what JSON does not know"),
    ({"entrypointResources": '{"R1": -2}'}, "spec.entrypointResources", "expected JSON"),
    ({"entrypointResources": '{"R1": NaN}'}, "spec.entrypointResources", "expected JSON"),
    ({"activeDeadlineSeconds": 1 << 31}, "spec.activeDeadlineSeconds", "expected 2147483647 at most"),
    ({"backoffLimit": 1 << 31}, "spec.backoffLimit", "expected 2147483647 at most"),
    ({"submitterConfig": {"backoffLimit": -1}}, "spec.submitterConfig.backoffLimit", "expected 0 to"),
    ({"entrypointResources": "R1: 2"}, "spec.entrypointResources", "expected JSON"),
    ({"entrypointResources": '{"R1": true}'}, "spec.entrypointResources", "expected JSON"),
    ({"managedBy": "kueue.x-k8s.io/multikueue"}, "spec.managedBy", "MultiKueue"),
    ({"submissionMode": "InteractiveMode", "backoffLimit": 1}, "spec.backoffLimit", "submits nothing"),
    ({"submissionMode": "SidecarMode", "submitterConfig": {}}, "spec.submitterConfig", "no submitter pod"),
    (
        {"submissionMode": "SidecarMode", "submitterPodTemplate": {}},
        "spec.submitterPodTemplate",
        "no submitter",
    ),
    (
        {"metadata": {"a": "b"}, "rayClusterSpec": {**CLUSTER, "rayVersion": "2.5.0"}},
        "spec.metadata",
        "Ray 2.6",
    ),
    (
        {"clusterSelector": {"app": "x"}, "rayClusterSpec": None},
        "spec.clusterSelector",
        "only ray.io/cluster",
    ),
    ({**SELECTED, "suspend": True, "shutdownAfterJobFinishes": True}, "spec.suspend", "cannot be suspended"),
    ({**SELECTED, "backoffLimit": 2}, "spec.backoffLimit", "not tried again"),
    ({**SELECTED, "submissionMode": "SidecarMode"}, "spec.submissionMode", "a head of its own"),
    ({"deletionStrategy": {}}, "spec.deletionStrategy", "holds no rule"),
    (
        {"deletionStrategy": {"onSuccess": {"policy": "DeleteSelf"}}},
        "spec.deletionStrategy",
        "both needed",
    ),
    (
        {"deletionStrategy": {"deletionRules": [RULE]}, "shutdownAfterJobFinishes": True},
        "spec.deletionStrategy",
        "exclude each other",
    ),
    (
        {"deletionStrategy": {"deletionRules": [RULE, RULE]}},
        "spec.deletionStrategy.deletionRules.1",
        "a second rule",
    ),
    (
        {"deletionStrategy": {"deletionRules": [{"policy": "DeleteSelf", "condition": {}}]}},
        "spec.deletionStrategy.deletionRules.0.condition",
        "exactly one",
    ),
    (
        {
            "deletionStrategy": rules(
                ("DeleteSelf", "jobStatus", "FAILED", 3), ("DeleteCluster", "jobStatus", "FAILED", 9)
            )
        },
        "spec.deletionStrategy.deletionRules",
        "DeleteSelf comes after 3 s and DeleteCluster after 9 s",
    ),
    (
        {
            "rayClusterSpec": {**CLUSTER, "enableInTreeAutoscaling": True},
            "deletionStrategy": rules(("DeleteWorkers", "jobStatus", "FAILED", 3)),
        },
        "spec.deletionStrategy.deletionRules.0.policy",
        "does not go with the autoscaler",
    ),
    (
        {**SELECTED, "deletionStrategy": rules(("DeleteCluster", "jobStatus", "FAILED", 3))},
        "spec.deletionStrategy.deletionRules.0.policy",
        "never deleted",
    ),
]


@pytest.mark.parametrize("spec", GOOD, ids=lambda spec: ",".join(spec) or "plain")
def test_what_kuberay_takes_is_taken(spec: dict[str, Any]) -> None:
    assert list(job_problems(job(**spec))) == []


@pytest.mark.parametrize("spec, path, what", BAD, ids=[f"{path}-{what}" for _, path, what in BAD])
def test_what_kuberay_refuses_is_refused_with_its_place(spec: dict[str, Any], path: str, what: str) -> None:
    found = [(".".join(map(str, at)), text) for at, text, *_ in job_problems(job(**spec))]
    assert any(at.startswith(path) and what in text for at, text in found), found


def test_a_name_has_47_characters_at_most() -> None:
    assert list(job_problems(job("a" * 47))) == []
    (found,) = job_problems(job("a" * 48))
    assert found[1] == "the name has 48 characters, 47 at most"


def test_a_rayjobs_cluster_has_its_name_labels_and_annotations() -> None:
    made = read(
        RayJob,
        {
            "metadata": {"name": "demo", "labels": {"team": "nlp"}, "annotations": {"a": "b"}},
            "spec": {"rayClusterSpec": CLUSTER},
        },
    ).cluster
    assert made is not None
    assert made.name == "demo"
    assert made.annotations == {"a": "b"}
    assert made.metadata.labels == {
        "team": "nlp",
        "ray.io/originated-from-cr-name": "demo",
        "ray.io/originated-from-crd": "RayJob",
        "ray.io/job-submission-mode": "K8sJobMode",
    }


def test_other_effects_than_under_kuberay_are_noted() -> None:
    (note,) = job_notes(job(submissionMode="HTTPMode").spec, ("spec",))
    assert note[0] == ("spec", "submissionMode")


def test_a_date_in_the_runtime_environment_is_the_text_that_the_file_has() -> None:
    found = job(runtimeEnvYAML="env_vars: {BUILD: 2026-11-27}").spec
    assert submission_body(found)["runtime_env"] == {"env_vars": {"BUILD": "2026-11-27"}}
    assert submission_body(job(runtimeEnvYAML="# none").spec)["runtime_env"] == {}
