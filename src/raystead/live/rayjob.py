"""A RayJob's state, read from its submitter's Job and pods, in KubeRay's words. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from raystead.base.names import SUBMITTER, SUBMITTER_LOST
from raystead.base.times import instant
from raystead.base.times import when as moment
from raystead.spec.model import Json

__all__ = ["JobState", "job_state"]


@dataclass(frozen=True)
class JobState:
    """How far a RayJob is.

    Attributes:
        id: the newest submission's id; "" before it is known.
        job_status: Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED; "" where Ray never had the job.
        deployment_status: KubeRay's: Initializing, Running, Complete, Failed, Suspended, Waiting.
        reason: KubeRay's, for a failure.
        message: one line.
        failed: attempts that failed; succeeded: 0 or 1.
        started: of the submitter's Job; ended: of the RayJob.
        exit_code: the driver's.
        pod: the newest submitter pod's name; "" where there is none.
    """

    id: str = ""
    job_status: str = ""
    deployment_status: str = "Waiting"
    reason: str = ""
    message: str = ""
    failed: int = 0
    succeeded: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    pod: str = ""

    @property
    def over(self) -> bool:
        return self.deployment_status in ("Complete", "Failed")

    @property
    def submitted(self) -> bool:
        """Ray has the job, or the RayJob is over already."""
        return self.over or self.job_status == "RUNNING"

    def kuberay(self) -> Json:
        """The fields of a RayJob's status that KubeRay writes, those that are known."""
        out: Json = {
            "jobId": self.id,
            "jobStatus": self.job_status,
            "jobDeploymentStatus": self.deployment_status,
            "reason": self.reason,
            "message": self.message,
            "failed": self.failed,
            "succeeded": self.succeeded,
            "startTime": _text(self.started),
            "endTime": _text(self.ended),
        }
        return {key: value for key, value in out.items() if value not in ("", None)}


def job_state(job: Json | None, pods: Sequence[Json], events: Sequence[Json] = ()) -> JobState:
    """The state that a submitter's Job and its pods tell; without a Job a person is to submit (Waiting).

    `events` are the Job's: where it has no pod, they say why it could not make one.
    """
    if job is None:
        return JobState()
    status = job.get("status") or {}
    started = moment(status.get("startTime") or job["metadata"].get("creationTimestamp"))
    pods = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    newest = pods[-1] if pods else None
    told = [found for pod in pods if (found := _message_of(pod))]
    conditions = {
        entry["type"]: entry for entry in status.get("conditions") or [] if entry.get("status") == "True"
    }
    pod = newest["metadata"]["name"] if newest else ""
    ended = conditions.get("Complete") or conditions.get("Failed")
    last = _message_of(newest) if newest else None
    if last or (ended and told):  # the Job's own condition comes a moment after its pod's end
        return _outcome(last or told[-1], started, pod)
    if ended:
        failed = ended["type"] == "Failed"
        code = _drivers_code(newest) if failed and newest else None
        return JobState(
            id=_submission(job) if code else "",
            job_status="FAILED" if code else "",
            exit_code=code,
            deployment_status="Failed" if failed else "Complete",
            reason="AppFailed" if code else "SubmissionFailed" if failed else "",
            message=str(ended.get("message") or ""),
            started=started,
            ended=moment(ended.get("lastTransitionTime")),
            pod=pod,
        )
    if (job.get("spec") or {}).get("suspend"):
        return JobState(deployment_status="Suspended", started=started)
    running = any(_ready(pod) for pod in pods)
    return JobState(
        id=_submission(job),
        job_status="RUNNING" if running else "PENDING",
        deployment_status="Running" if running else "Initializing",
        message=_waits(newest) if newest else _refused(events),
        started=started,
        pod=pod,
    )


def _message_of(pod: Json) -> dict[str, Any] | None:
    """The outcome in the termination message of a submitter's pod."""
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        text = ((container.get("state") or {}).get("terminated") or {}).get("message") or ""
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict) and "jobDeploymentStatus" in found:
            return found
    return None


def _drivers_code(pod: Json) -> int | None:
    """The driver's exit code by the submitter's, which is the same but for 1 and for kills."""
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode")
        if (
            container.get("name") == SUBMITTER
            and isinstance(code, int)
            and code not in (0, 1, *SUBMITTER_LOST)
        ):
            return code
    return None


def _outcome(told: dict[str, Any], started: datetime | None, pod: str) -> JobState:
    def at(key: str) -> datetime | None:
        value = told.get(key)
        return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else None

    code = told.get("exitCode")
    return JobState(
        id=str(told.get("jobId") or ""),
        job_status=str(told.get("jobStatus") or ""),
        deployment_status=str(told["jobDeploymentStatus"]),
        reason=str(told.get("reason") or ""),
        message=str(told.get("message") or ""),
        failed=int(told.get("failed") or 0),
        succeeded=int(told.get("succeeded") or 0),
        started=started,
        ended=at("endTime"),
        exit_code=code if isinstance(code, int) else None,
        pod=pod,
    )


def _submission(job: Json) -> str:
    containers = job["spec"]["template"]["spec"].get("containers") or [{}]
    env = {variable.get("name"): variable.get("value") for variable in containers[0].get("env") or []}
    return str(env.get("RAY_JOB_SUBMISSION_ID") or "")


def _ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def _waits(pod: Json) -> str:
    """Why the submitter's pod does not run; "" where it does."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        if waiting := (container.get("state") or {}).get("waiting"):
            return f"the submitter waits: {waiting.get('reason')}: {waiting.get('message') or ''}".rstrip(
                ": "
            )
    for entry in status.get("conditions") or []:
        if entry.get("type") == "PodScheduled" and entry.get("status") == "False":
            return f"the submitter is not scheduled: {entry.get('message') or entry.get('reason')}"
    return ""


def _refused(events: Sequence[Json]) -> str:
    """Why the submitter's Job has no pod: a quota, PodSecurity, an admission policy."""
    failed = [event for event in events if event.get("reason") == "FailedCreate" and event.get("message")]
    if not failed:
        return "the submitter has no pod yet"
    newest = max(failed, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    why = str(newest["message"]).removeprefix("Error creating: ")
    return f"the submitter's pod is refused: {why}"


def _text(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None
