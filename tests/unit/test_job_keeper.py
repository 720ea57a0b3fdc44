"""The keeper of a RayJob: it ends what it owns soon after the outcome, never before it, and for its own job only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from raystead.incluster.keeper import Keeper, Watch
from raystead.incluster.outcome import mark_name

Json = dict[str, Any]


@dataclass
class Ray:
    """A dashboard by the second: the job's status, and since when which mark is there. Its clock is the keeper's."""

    status_at: Callable[[float], str | None]
    marked_at: dict[str, float] = field(default_factory=dict)
    second: float = 0.0
    requests: int = 0
    left: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.second += seconds
        if self.second > 5000:
            raise TimeoutError

    def jobs(self) -> list[Json]:
        self.requests += 1
        status = self.status_at(self.second)
        return [{"submission_id": "train-1", "status": status}] if status else []

    def marked(self, name: str) -> bool:
        self.requests += 1
        return self.second >= self.marked_at.get(name, 1e9)

    def mark(self, name: str) -> None:
        self.left.append(name)

    def ends(self, *rules: tuple[str, float], **more: Any) -> float | None:
        """The second at which the keeper ends; None: not in 5,000 s."""
        dashboard: Any = self
        watch = Watch("train", "http://head", list(rules), job_id="train-1", **more)
        try:
            Keeper(watch, dashboard, clock=lambda: self.second, sleep=self.sleep).run()
        except TimeoutError:
            return None
        return self.second


def until(end: float, status: str) -> Callable[[float], str]:
    return lambda second: "RUNNING" if second < end else status


def test_it_ends_within_a_second_and_a_half_of_the_jobs_end_and_not_before_the_outcome() -> None:
    ray = Ray(until(100.5, "SUCCEEDED"), {mark_name("train-1", "ended"): 101.3})
    ended = ray.ends(("ended", 0.0), ends=["over-head", "over-worker"])
    assert ended is not None
    assert 101.3 <= ended <= 101.6, "the submitter writes the output's rest, then tells"
    assert ray.left == ["over-head", "over-worker"], "who gets SIGTERM now has nothing to hand over"


def test_a_time_to_live_is_kept_to_the_second() -> None:
    ray = Ray(until(100, "SUCCEEDED"), {mark_name("train-1", "ended"): 100.4})
    ended = ray.ends(("ended", 600.0))
    assert ended == pytest.approx(700.6, abs=0.5)


def test_it_asks_little_while_the_job_runs_and_when_it_waits_for_what_did_not_come() -> None:
    ray = Ray(until(1000, "FAILED"))
    assert ray.ends(("jobStatus=SUCCEEDED", 0.0)) is None, "a job that failed has not succeeded"
    assert ray.requests < 1000 * 1.2 + 30 * 10 + 4000 / 3 * 2.2


def test_a_deadline_is_believed_of_a_job_that_could_not_be_stopped() -> None:
    ray = Ray(lambda second: "RUNNING", {mark_name("train-1", "jobDeploymentStatus=Failed"): 100.0})
    ended = ray.ends(("jobDeploymentStatus=Failed", 0.0))
    assert ended == pytest.approx(105, abs=6)


def test_what_an_earlier_job_of_the_name_left_ends_nothing() -> None:
    """Marks stay where the state is kept: in somebody else's cluster, in a Redis of the user's own."""
    ray = Ray(until(1e9, ""), {mark_name("train-0", "ended"): 0.0, mark_name("train", "ended"): 0.0})
    assert ray.ends(("ended", 0.0)) is None
