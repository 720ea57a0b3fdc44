"""How a job of a RayJob ended, in KubeRay's words, and the marks by which keepers learn of it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from .dashboard import Dashboard

_MOST = 4000  # bytes; a termination message has 4,096


@dataclass
class Outcome:
    """KubeRay's status of a RayJob that has ended; times in seconds since the epoch.

    Attributes:
        jobStatus: SUCCEEDED, FAILED, STOPPED, or "" where Ray never had a job.
        jobDeploymentStatus: Complete or Failed.
        reason: "" or one of KubeRay's: AppFailed, SubmissionFailed, DeadlineExceeded,
            PreRunningDeadlineExceeded.
        failed: attempts that failed.
    """

    jobId: str
    jobStatus: str
    jobDeploymentStatus: str
    reason: str = ""
    message: str = ""
    failed: int = 0
    succeeded: int = 0
    startTime: float | None = None
    endTime: float | None = None
    exitCode: int | None = None

    def text(self) -> str:
        """One line of JSON that fits into a termination message."""
        out = asdict(self)
        text = json.dumps(out)
        while len(text.encode()) > _MOST and out["message"]:
            out["message"] = out["message"][: len(out["message"]) // 2]
            text = json.dumps(out)
        return text

    @property
    def code(self) -> int:
        """The submitter's exit code: 0 for Complete, else the driver's own, 1 where that is unknown or 0."""
        return 0 if self.jobDeploymentStatus == "Complete" else (self.exitCode or 1) & 0xFF or 1


def conditions(outcome: Outcome) -> list[str]:
    """What is true of it, as a deletion rule may ask."""
    found = ["ended", f"jobDeploymentStatus={outcome.jobDeploymentStatus}"]
    return [*found, f"jobStatus={outcome.jobStatus}"] if outcome.jobStatus else found


def mark_name(job_id: str, condition: str) -> str:
    """The mark's name for the RayJob whose first submission has that id.

    Not by the RayJob's name: what keeps the marks may be there still when a job of that name runs again.
    """
    return f"raystead-{job_id}-{condition.replace('=', '-')}"


def leave_marks(dashboard: Dashboard, job_id: str, outcome: Outcome) -> None:
    """Raises what the dashboard raises; the end itself comes last, so whoever sees it sees the rest."""
    for condition in reversed(conditions(outcome)):
        dashboard.mark(mark_name(job_id, condition))


def now() -> float:
    return time.time()
