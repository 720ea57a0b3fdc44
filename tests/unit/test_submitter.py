"""What becomes of a RayJob's job: each fault and each end in KubeRay's words, by a clock of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from patience import patience
from scriptedserver import ScriptedServer, cut

from raystead.incluster.dashboard import Dashboard, Refused, Unreachable
from raystead.incluster.outcome import Outcome
from raystead.incluster.submitter import Order, Submitter, exit_code

Json = dict[str, Any]


@dataclass
class Ray:
    """A dashboard: `job_at` gives the status of a submission at a second, None where Ray knows no such job."""

    job_at: Callable[[str, float], str | None]
    away: Callable[[float], bool] = lambda second: False
    refuses: str = ""
    second: float = 0.0
    submitted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.second += seconds
        assert self.second < 5000, "it goes on for ever"

    def _answer(self) -> None:
        if self.away(self.second):
            raise Unreachable("Connection refused")

    def healthy(self) -> bool:
        self._answer()
        return True

    def submit(self, body: Json) -> None:
        self._answer()
        if self.refuses:
            raise Refused(400, self.refuses)
        self.submitted.append(body["submission_id"])

    def job(self, job_id: str) -> Json | None:
        self._answer()
        if job_id not in self.submitted:
            return None
        status = "STOPPED" if job_id in self.stopped else self.job_at(job_id, self.second)
        return None if status is None else {"submission_id": job_id, "status": status, "message": ""}

    def stop(self, job_id: str) -> None:
        self._answer()
        self.stopped.append(job_id)

    def follow(self, job_id: str) -> Iterator[bytes]:
        raise Unreachable("no output here")

    def output(self, job_id: str) -> str:
        return ""

    def run(self, **order: Any) -> Outcome:
        dashboard: Any = self
        wanted = Order(
            name="train", address="http://head", job_id="train-1", body={"entrypoint": "x"}, **order
        )
        return Submitter(
            wanted, dashboard, write=lambda block: None, clock=lambda: self.second, sleep=self.sleep
        ).run()


def told(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.jobDeploymentStatus, outcome.jobStatus, outcome.reason


def after(seconds: float, status: str) -> Callable[[str, float], str | None]:
    return lambda job_id, second: status if second >= seconds else "RUNNING"


ENDS: dict[str, tuple[str, tuple[str, str, str], int]] = {
    "it succeeds": ("SUCCEEDED", ("Complete", "SUCCEEDED", ""), 0),
    "it fails": ("FAILED", ("Failed", "FAILED", "AppFailed"), 1),
    "it stops its own job": ("STOPPED", ("Complete", "STOPPED", ""), 0),
}


@pytest.mark.parametrize(("status", "wanted", "code"), ENDS.values(), ids=ENDS)
def test_each_end_has_kuberays_words_and_a_code(status: str, wanted: tuple[str, str, str], code: int) -> None:
    ray = Ray(after(30, status))
    outcome = ray.run()
    assert told(outcome) == wanted
    assert outcome.code == code
    assert ray.submitted == ["train-1"], "submitted once"


def test_what_ray_does_not_take_is_a_failed_submission_without_a_job() -> None:
    outcome = Ray(after(0, "RUNNING"), refuses="no such resource").run()
    assert told(outcome) == ("Failed", "", "SubmissionFailed")


def test_a_retry_is_a_new_submission_and_each_failure_counts() -> None:
    ray = Ray(after(0, "FAILED"))
    outcome = ray.run(attempts=3)
    assert (outcome.failed, outcome.succeeded) == (3, 0)
    assert ray.submitted == ["train-1", "train-1-2", "train-1-3"]


def test_a_deadline_stops_the_job_and_is_not_tried_again() -> None:
    ray = Ray(after(1e9, "SUCCEEDED"))
    outcome = ray.run(attempts=3, deadline=5.0)
    assert told(outcome) == ("Failed", "STOPPED", "DeadlineExceeded")
    assert outcome.failed == 1
    assert ray.stopped == ["train-1"]


def test_a_job_that_does_not_begin_in_time_ends_with_that_reason() -> None:
    ray = Ray(lambda job_id, second: "PENDING")
    assert told(ray.run(pre_running_deadline=20.0)) == ("Failed", "STOPPED", "PreRunningDeadlineExceeded")
    late = Ray(after(0, "RUNNING"), away=lambda second: True)
    assert told(late.run(pre_running_deadline=20.0)) == ("Failed", "", "PreRunningDeadlineExceeded")


def test_a_head_that_comes_back_with_its_state_goes_on_with_the_job() -> None:
    ray = Ray(after(200, "SUCCEEDED"), away=lambda second: 20 < second < 120)
    assert told(ray.run()) == ("Complete", "SUCCEEDED", "")
    assert ray.submitted == ["train-1"]


def test_a_head_that_comes_back_without_its_state_fails_the_job_soon() -> None:
    ray = Ray(lambda job_id, second: "RUNNING" if second < 20 else None, away=lambda second: 20 < second < 60)
    outcome = ray.run()
    assert told(outcome) == ("Failed", "FAILED", "AppFailed")
    assert ray.second < 90, "never RUNNING for ever"
    again = Ray(
        lambda job_id, second: "RUNNING" if second < 20 else None if job_id == "train-1" else "SUCCEEDED",
        away=lambda second: 20 < second < 60,
    )
    assert told(again.run(attempts=2)) == ("Complete", "SUCCEEDED", "")
    assert again.submitted == ["train-1", "train-1-2"]


@pytest.mark.parametrize(
    ("driver", "code"), [(128, 1), (137, 1), (143, 1), (255, 1), (-9, 247), (3, 3), (0, 1), (None, 1)]
)
def test_a_killed_driver_is_a_failure_and_no_killed_submitter(driver: int | None, code: int) -> None:
    """By these the Job would begin a second submitter, which writes the ended job's output once more."""
    assert exit_code(Outcome("a", "FAILED", "Failed", exitCode=driver)) == code


BUSY = "Traceback (most recent call last):\n  …\nray.exceptions.RpcError: Deadline Exceeded"
AT_FAULT = (
    "Traceback (most recent call last):\n  …\nRuntimeError: Request failed with status code 400: no number"
)


def failing(ray: Ray, name: str, text: str, until: float) -> None:
    """Makes the dashboard answer HTTP 500 to one of its questions until that second."""
    real = getattr(ray, name)

    def ask(given: Any) -> Any:
        if ray.second < until:
            raise Refused(500, text)
        return real(given)

    setattr(ray, name, ask)


def test_a_busy_head_that_fails_to_answer_has_refused_nothing() -> None:
    """A submitter that comes after a killed one asks a head under load first."""
    ray = Ray(after(100, "SUCCEEDED"), submitted=["train-1"])
    failing(ray, "job", BUSY, 30)
    assert told(ray.run()) == ("Complete", "SUCCEEDED", "")
    ray = Ray(after(100, "SUCCEEDED"))
    failing(ray, "submit", BUSY, 30)
    assert told(ray.run()) == ("Complete", "SUCCEEDED", "")


@pytest.mark.parametrize(("text", "until"), [(AT_FAULT, 5), (BUSY, 1000)])
def test_what_ray_says_of_the_request_itself_or_says_for_a_minute_is_a_no(text: str, until: float) -> None:
    ray = Ray(after(0, "RUNNING"))
    failing(ray, "submit", text, until)
    assert told(ray.run()) == ("Failed", "", "SubmissionFailed")
    assert ray.second < 70


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    """Anything else would end the submitter with a traceback, and with it the RayJob."""
    with ScriptedServer(cut) as server, pytest.raises(Unreachable, match=r"GET /api/jobs/: IncompleteRead"):
        Dashboard(f"http://127.0.0.1:{server.port}").jobs()


def test_a_submitter_that_is_ended_goes_at_once_so_that_the_next_can_follow(tmp_path: Path) -> None:
    """As process 1 it would sit out its grace period of 30 s, and its Job makes no other one before."""
    order = {"name": "a", "address": "http://127.0.0.1:9", "job_id": "a", "body": {"entrypoint": "true"}}
    (tmp_path / "order.json").write_text(json.dumps(order))
    words = [sys.executable, "-m", "raystead.incluster.submitter", str(tmp_path / "order.json")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "still trying to reach" in process.stderr.readline()
        process.terminate()
        assert process.wait(patience(5)) == 143
        assert "whoever comes next follows the same job" in process.stderr.read()
