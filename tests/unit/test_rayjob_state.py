"""How far a RayJob is, read from its submitter's Job and pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raystead.live.rayjob import JobState, job_state

Json = dict[str, Any]
STARTED = "2026-11-26T10:00:00Z"


def job(*conditions: str, suspend: bool = False) -> Json:
    env = [{"name": "RAY_JOB_SUBMISSION_ID", "value": "demo-abc12"}]
    status: Json = {"startTime": STARTED, "conditions": [{"type": c, "status": "True"} for c in conditions]}
    for one in status["conditions"]:
        one |= {"lastTransitionTime": "2026-11-26T10:05:00Z", "message": "the Job's words"}
    template = {"spec": {"containers": [{"name": "ray-job-submitter", "env": env}]}}
    return {
        "metadata": {"name": "demo"},
        "spec": {"suspend": suspend, "template": template},
        "status": status,
    }


def pod(name: str = "demo-x", *, ready: bool = False, told: Json | None = None, **status: Any) -> Json:
    state: Json = {"running": {}} if told is None else {"terminated": {"message": json.dumps(told)}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    found = {"containerStatuses": [{"name": "ray-job-submitter", "state": state}], "conditions": conditions}
    return {"metadata": {"name": name, "creationTimestamp": STARTED}, "status": {**found, **status}}


ENDED = {
    "jobId": "demo-abc12-2",
    "jobStatus": "FAILED",
    "jobDeploymentStatus": "Failed",
    "reason": "AppFailed",
    "message": "exit code 3",
    "failed": 2,
    "endTime": 1795687500.0,
    "exitCode": 3,
}


@pytest.mark.parametrize(
    "found, deployment, status, message",
    [
        (job_state(None, []), "Waiting", "", ""),
        (job_state(job(), []), "Initializing", "PENDING", "the submitter has no pod yet"),
        (job_state(job(), [pod()]), "Initializing", "PENDING", ""),
        (job_state(job(), [pod(ready=True)]), "Running", "RUNNING", ""),
        (job_state(job(suspend=True), []), "Suspended", "", ""),
        (job_state(job("Failed"), [pod(told=ENDED)]), "Failed", "FAILED", "exit code 3"),
        (
            job_state(job(), [pod(told=ENDED)]),
            "Failed",
            "FAILED",
            "exit code 3",
        ),  # the Job's condition is late
        (job_state(job("Failed"), []), "Failed", "", "the Job's words"),
        (job_state(job("Complete"), []), "Complete", "", "the Job's words"),
    ],
)
def test_each_state_has_kuberays_word(found: JobState, deployment: str, status: str, message: str) -> None:
    assert (found.deployment_status, found.job_status, found.message) == (deployment, status, message)


def test_a_submitter_that_does_not_start_says_why() -> None:
    waiting = [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]
    unscheduled = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]
    pulled = job_state(job(), [pod(containerStatuses=waiting)])
    placed = job_state(job(), [pod(containerStatuses=[], conditions=unscheduled)])
    assert pulled.message == "the submitter waits: ImagePullBackOff: no such tag"
    assert placed.message == "the submitter is not scheduled: 0/3 nodes are available"
    why = 'pods "demo-x" is forbidden: exceeded quota: few'
    events = [
        {
            "reason": "FailedCreate",
            "message": "Error creating: older",
            "lastTimestamp": "2026-11-26T10:00:00Z",
        },
        {
            "reason": "FailedCreate",
            "message": f"Error creating: {why}",
            "lastTimestamp": "2026-11-26T10:00:09Z",
        },
        {"reason": "SuccessfulCreate", "message": "Created pod", "lastTimestamp": "2026-11-26T10:01:00Z"},
    ]
    assert job_state(job(), [], events).message == f"the submitter's pod is refused: {why}"


def test_the_outcome_is_what_the_submitter_told_whatever_else_it_wrote() -> None:
    noise = pod("demo-a", told={"something": "else"})
    found = job_state(job("Failed"), [noise, pod("demo-b", told=ENDED)])
    assert found.over
    assert found.exit_code == 3
    assert found.kuberay() == {
        "jobId": "demo-abc12-2",
        "jobStatus": "FAILED",
        "jobDeploymentStatus": "Failed",
        "reason": "AppFailed",
        "message": "exit code 3",
        "failed": 2,
        "succeeded": 0,
        "startTime": "2026-11-26T10:00:00Z",
        "endTime": "2026-11-26T10:05:00Z",
    }


@pytest.mark.parametrize(
    ("code", "status", "known"), [(3, "FAILED", 3), (1, "", None), (137, "", None), (128, "", None)]
)
def test_without_a_termination_message_the_exit_code_tells_what_it_can(
    code: int, status: str, known: int | None
) -> None:
    ended = [{"name": "ray-job-submitter", "state": {"terminated": {"exitCode": code}}}]
    found = job_state(job("Failed"), [pod(containerStatuses=ended)])
    assert (found.deployment_status, found.job_status, found.exit_code) == ("Failed", status, known)
    assert found.id == ("demo-abc12" if known else "")


def test_of_two_submitters_the_newer_one_is_believed() -> None:
    older, newer = pod("demo-z", told={**ENDED, "message": "older"}), pod("demo-a", told=ENDED)
    newer["metadata"]["creationTimestamp"] = "2026-11-26T10:03:00Z"
    assert job_state(job("Failed"), [newer, older]).message == "exit code 3"
    newer["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert job_state(job(), [newer, older]).deployment_status == "Initializing", "it follows the same job"
