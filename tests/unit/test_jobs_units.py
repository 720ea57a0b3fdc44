"""Following, placing and starting jobs against answers that a real cluster gives only by accident."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from raystead.base.groups import HEAD, REDIS, GroupId, worker
from raystead.errors import Forbidden, JobFailed, JobNotFound, RayRefuses, RayUnreachable, StreamLost
from raystead.explain.model import Finding
from raystead.ops import following
from raystead.ops.following import JobOutcome, Lost, exit_code, follow, outcome, patiently
from raystead.ops.jobs import SubmitOptions, submit, submit_once
from raystead.ops.placing import DriverNeeds, Placement, place
from raystead.ops.reaching import of_the_head
from raystead.rayapi.jobs import Job, JobClient


def job(status: str, code: int | None = None, message: str = "") -> Job:
    return Job("j", status, "true", message, None, 1.0, None, {}, code, None, {})


class Ray:
    """A job API with a script: each stream is a list of texts, an exception breaks it off."""

    def __init__(self, streams: list[list[Any]], states: list[Any], logs: Any = "") -> None:
        self.streams, self.states, self.whole = streams, states, logs

    def stream(self, job_id: str) -> Iterator[str]:
        for text in self.streams.pop(0) if self.streams else []:
            if isinstance(text, Exception):
                raise text
            yield text

    def get(self, job_id: str) -> Job:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return state

    def logs(self, job_id: str) -> str:
        if isinstance(self.whole, Exception):
            raise self.whole
        return self.whole


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds slept so far, each at its place: nobody waits, and time goes on."""
    slept: list[float] = []
    monkeypatch.setattr(following.time, "sleep", slept.append)
    monkeypatch.setattr(following.time, "monotonic", lambda: sum(slept))
    return slept


def followed(ray: Ray, patience: float = 60) -> tuple[str, Job]:
    written: list[str] = []
    end = follow(ray, "j", write=written.append, tell=lambda event: None, patience=patience)  # type: ignore[arg-type]
    return "".join(written), end


def test_a_stream_that_begins_anew_is_written_once() -> None:
    ray = Ray([["a\n", "b\n"], ["a\n", "b\n", "c\n"]], [job("RUNNING"), job("SUCCEEDED")], "a\nb\nc\nd\n")
    assert followed(ray) == ("a\nb\nc\nd\n", job("SUCCEEDED"))


def test_a_silent_stream_is_left_when_the_job_has_ended() -> None:
    ray = Ray([["a\n", "", ""]], [job("RUNNING"), job("FAILED", 3)], "a\nb\n")
    text, end = followed(ray)
    assert (text, exit_code(end)) == ("a\nb\n", 3)


def test_output_that_cannot_be_read_does_not_hide_the_jobs_end(clock: list[float]) -> None:
    ray = Ray([], [job("FAILED", 4)], RayUnreachable("500"))
    text, end = followed(ray)
    assert "could not be read" in text
    assert exit_code(end) == 4
    assert 20 < sum(clock) < 22, "a head that restarts gets its time, a worker that is gone costs no more"


def test_the_end_of_the_output_is_awaited_while_a_restarted_head_finds_the_workers() -> None:
    output = ["a\n", "x" * 2**20]
    ray = Ray([*([[]] * 20), output], [job("SUCCEEDED")], RayUnreachable("500"))
    assert followed(ray)[0] == "".join(output)


def test_a_job_whose_node_died_before_it_ran_is_begun_anew_and_its_output_is_read_from_the_start() -> None:
    died = dataclasses.replace(
        job("FAILED", message="Job supervisor actor died: …\nThe actor never ran - it was cancelled"),
        error_type="JOB_SUPERVISOR_ACTOR_DIED",
    )
    ray = Ray([["died"], ["a\n"]], [died, died, job("SUCCEEDED")], "a\n")
    begun: list[int] = []
    told: list[Any] = []
    written: list[str] = []
    follow(ray, "j", write=written.append, tell=told.append, again=lambda: begun.append(1))  # type: ignore[arg-type]
    assert len(begun) == len(told) == 2
    assert written == ["died", "a\n", "a\n"]
    for other in (
        dataclasses.replace(died, driver_node_id="it ran there"),
        dataclasses.replace(died, message="Job supervisor actor died: OOM"),
        job("FAILED", 1, "The actor never ran"),
    ):
        ray = Ray([], [other])
        assert follow(ray, "j", write=lambda text: None, tell=told.append, again=lambda: 1 / 0) == other  # type: ignore[arg-type, return-value]
    ray = Ray([], [died])
    assert follow(ray, "j", write=lambda text: None, tell=told.append, again=lambda: begun.append(1)) == died  # type: ignore[arg-type]
    assert len(begun) == 2 + 3, "not for ever"


def test_a_job_that_ray_has_forgotten_has_failed() -> None:
    ray = Ray([["a\n"], []], [job("RUNNING"), JobNotFound("gone")])
    with pytest.raises(JobFailed, match="forgotten"):
        followed(ray)


def test_a_job_that_never_was_is_not_found() -> None:
    with pytest.raises(JobNotFound):
        followed(Ray([], [JobNotFound("none")]))


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(following.time, "monotonic", lambda: float(next(now)))
    told: list[Any] = []

    def ask() -> None:
        raise RayUnreachable("no answer")

    with pytest.raises(RayUnreachable):
        patiently(ask, told.append, 50)
    assert [event.seconds == 0 for event in told] == [True, False], (
        "the reason once, then that it still holds"
    )


def test_a_head_that_cannot_start_is_told_with_its_reason_and_ends(clock: list[float]) -> None:
    reasons = iter([RayUnreachable("no answer")] * 20)
    stuck = RayUnreachable("the head does not run: no such image", remedy="raystead up --image", stuck=True)

    def ask() -> None:
        raise next(reasons, stuck)

    told: list[Any] = []
    with pytest.raises(RayUnreachable, match="no such image"):
        patiently(ask, told.append, 900)
    assert [event.why.what for event in told if not event.seconds] == ["no answer", stuck.what], (
        "each reason once"
    )
    times = [event.seconds for event in told]
    assert len([seconds for seconds in times if seconds]) >= 20, "nobody waits five seconds in silence"
    assert 120 < sum(clock) < 125


def test_what_explain_knowsof_the_head_is_why_ray_does_not_answer() -> None:
    def finding(group: GroupId | None, why: str, confidence: Any = "sure") -> Finding:
        return Finding("c", group, "pod/x", why, "m", "raystead up", confidence)

    found = [finding(worker("w"), "w"), finding(REDIS, "r", "unknown"), finding(HEAD, "no such image")]
    known = of_the_head(found)
    assert known is not None
    assert known.what == "the head does not run: no such image"
    assert of_the_head(found[:2]) is None
    with pytest.raises(RayUnreachable, match="no such image") as caught:
        client(*[httpx.ConnectError("refused")] * 3, why=lambda: known).list()
    assert caught.value.stuck
    assert caught.value.remedy == "raystead up"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (job("SUCCEEDED", 0), 0),
        (job("FAILED", 3), 3),
        (job("FAILED", -9), 137),
        (job("FAILED", None, "failed with exit code 5, last"), 5),
        (job("FAILED"), 70),
        (job("STOPPED"), 70),
    ],
)
def test_exit_codes(end: Job, code: int) -> None:
    assert exit_code(end) == code


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (job("SUCCEEDED", 0), JobOutcome("")),
        (job("FAILED", 7, "Job entrypoint command failed with exit code 7, last available logs (truncated to 20,000 chars):\nTraceback\nsecret"), JobOutcome("exit code 7")),
        (job("FAILED", None, "Job entrypoint command failed with exit code 5, last available logs"), JobOutcome("exit code 5")),
        (job("FAILED", -9), JobOutcome("killed by SIGKILL")),
        (job("FAILED", 137), JobOutcome("exit code 137, killed by SIGKILL")),
        (job("FAILED", 192), JobOutcome("exit code 192")),
        (job("STOPPED", None, "Job was intentionally stopped."), JobOutcome("somebody stopped it")),
        (job("FAILED", None, "runtime_env setup failed: Failed to set up runtime environment.\npip: no such package"), JobOutcome("runtime_env setup failed: Failed to set up runtime environment", "pip: no such package")),
        (job("FAILED", None, "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n\tclass_name: JobSupervisor\nThe actor died because its node has died. Node Id: 4"), JobOutcome("the node that ran it is gone")),
        (job("FAILED", None, "Job supervisor actor died: x\nThe actor never ran - it was cancelled"), JobOutcome("its node died before it began")),
        (job("FAILED", None, "Job supervisor actor died: OutOfMemoryError"), JobOutcome("Ray stopped it because its node was short of memory")),
        (job("FAILED"), JobOutcome("")),
    ],
)  # fmt: skip
def test_a_failed_job_is_told_once(end: Job, told: JobOutcome) -> None:
    """Why in a few words; never the output that was on the screen already."""
    assert outcome(end) == told


def test_a_driver_whose_pod_is_gone_is_told_at_once_and_its_output_is_not_awaited(clock: list[float]) -> None:
    gone = Lost("the pod w-1, where j ran, was deleted", gone=True)
    fates = iter([None, Lost("the pod w-1, where j runs, is being stopped", gone=False), gone])
    ray = Ray([["a\n", ""], [""], ["", ""]], [*[job("RUNNING")] * 6, job("FAILED")], RayUnreachable("500"))
    told: list[Any] = []
    written: list[str] = []
    end = follow(ray, "j", write=written.append, tell=told.append, fate=lambda job: next(fates, gone))  # type: ignore[arg-type]
    assert [event.text.rpartition(" ")[2] for event in told] == ["stopped", "deleted"]
    assert end.status == "FAILED"
    assert written == ["a\n", "\n[raystead: the end of the output could not be read; the job has ended]\n"]
    assert sum(clock) < 5


def test_ray_need_not_notice_that_a_driver_is_gone(clock: list[float]) -> None:
    """It takes Ray a minute where a pod went silently, and for ever where it was the head's."""
    gone = Lost("the pod w-1, where j ran, was deleted", gone=True)
    ray = Ray([["a\n", ""]], [job("RUNNING")], RayUnreachable("500"))
    end = follow(ray, "j", write=lambda text: None, tell=lambda event: None, fate=lambda job: gone)  # type: ignore[arg-type]
    assert (end.status, exit_code(end)) == ("FAILED", 70)
    assert outcome(end) == JobOutcome(gone.text)
    assert 4 < sum(clock) < 6


def test_a_job_that_has_not_begun_is_never_silent(clock: list[float]) -> None:
    """One that runs and prints nothing is told of once: the silence is its own then."""
    told: list[Any] = []

    class Slow(Ray):
        def stream(self, job_id: str) -> Iterator[str]:
            for _ in range(40):
                clock.append(1.0)
                yield ""

    states = [*[job("PENDING")] * 12, *[job("RUNNING")] * 20, job("SUCCEEDED")]
    follow(Slow([], states), "j", write=lambda text: None, tell=told.append)  # type: ignore[arg-type]
    assert [event.runs for event in told] == [*[False] * (len(told) - 1), True]
    times = [0.0, *(event.seconds for event in told)]
    assert len(times) > 3
    assert max(b - a for a, b in itertools.pairwise(times)) <= 6  # 5 s with the real clock's finer steps
    told.clear()
    follow(
        Ray([["a\n", "", ""]], [job("RUNNING"), job("SUCCEEDED")], "a\n"),
        "j",
        write=lambda text: None,
        tell=told.append,
    )  # type: ignore[arg-type]
    assert told == []


def test_output_that_breaks_the_stream_is_read_another_way_while_the_job_runs() -> None:
    ray = Ray([["a\n"], ["a\n"]], [job("RUNNING"), job("RUNNING"), job("SUCCEEDED")], "a\n\ufffd\n")
    written: list[str] = []
    follow(ray, "j", write=written.append, tell=lambda event: None)  # type: ignore[arg-type]
    assert written == ["a\n", "\ufffd\n"]


def client(*answers: Any, asked: list[httpx.Request] | None = None, **more: Any) -> JobClient:
    """A JobClient whose server gives these answers in turn."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        status, value = one if isinstance(one, tuple) else (200, one)
        return httpx.Response(status, json=value)

    return JobClient("http://ray", transport=httpx.MockTransport(answer), **more)


def workers(*totals: dict[str, float]) -> dict[str, Any]:
    found = [{"node_ip": f"10.0.0.{i}", "resources_total": total} for i, total in enumerate(totals)]
    return {"data": {"result": {"result": found}}}


NEW, OLD = {"ray_version": "2.60.0"}, {"ray_version": "2.9.3"}


def test_a_driver_goes_to_a_worker_by_its_label() -> None:
    found = place(client(NEW, workers({"CPU": 1})), DriverNeeds())
    assert found == Placement(True, {"ray.io/node-group": "!headgroup"})


def test_an_old_ray_gets_a_crumb_of_one_workers_own_resource() -> None:
    found = place(client(OLD, workers({"CPU": 1})), DriverNeeds())
    assert found == Placement(True, resources={"node:10.0.0.0": 0.001})


@pytest.mark.parametrize(
    ("answer", "needs"),
    [
        (workers(), DriverNeeds()),
        (workers({"CPU": 1}), DriverNeeds(num_cpus=2)),
        (workers({"CPU": 1}), DriverNeeds(resources={"only-the-head": 1})),
        ((400, {}), DriverNeeds()),
    ],
)
def test_where_no_worker_can_hold_it_ray_chooses(answer: Any, needs: DriverNeeds) -> None:
    assert place(client(NEW, answer), needs) == Placement()


def test_a_start_whose_answer_was_lost_is_not_repeated() -> None:
    asked: list[httpx.Request] = []
    there = {"submission_id": "mine", "status": "PENDING"}
    ray = client(httpx.ReadError("cut"), there, asked=asked)
    options = SubmitOptions(("true",), submission_id="mine")
    assert submit(ray, options, emit=lambda event: None).id == "mine"
    assert [request.method for request in asked] == ["POST", "GET"]


@pytest.mark.parametrize("status", [400, 500])  # the agent's own, and what the dashboard makes of it
def test_an_id_that_is_taken_is_refused_when_it_was_not_us(status: int) -> None:
    ray = client((status, "ValueError: Job with submission_id x already exists."))
    with pytest.raises(RayRefuses, match="has a job of that id already"):
        submit(ray, SubmitOptions(("true",)), emit=lambda event: None)


class Twice:
    """A job API that knows `jobs`; `late`: a job of that id appears at the moment of a start."""

    def __init__(self, *jobs: str, late: bool = False) -> None:
        self.jobs, self.late, self.started = set(jobs), late, 0

    def get(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise JobNotFound("none")
        return dataclasses.replace(job("RUNNING"), id=job_id)

    def submit(self, entrypoint: str, *, submission_id: str, **more: Any) -> str:
        self.started += 1
        self.jobs.add(submission_id)
        if self.late:
            raise RayRefuses("it is there")
        return submission_id


@pytest.mark.parametrize(
    ("ray", "started", "ours"),
    [(Twice(), 1, True), (Twice("mine"), 0, False), (Twice(late=True), 1, False)],
    ids=["new", "there", "somebody was faster"],
)
def test_a_submission_id_may_be_repeated(ray: Any, started: int, ours: bool) -> None:
    options = SubmitOptions(("true",), submission_id="mine")
    begun = submit_once(ray, options, emit=lambda _: None)
    assert (begun.id, begun.again is not None, ray.started) == ("mine", ours, started)
    again = submit_once(ray, options, emit=lambda _: None)
    assert (again.id, again.again, ray.started) == ("mine", None, started)


def test_a_reason_that_stays_is_told_at_once_and_one_that_passes_is_waited_for() -> None:
    def ask(reason: Any) -> None:
        client(*[httpx.ConnectError("refused")] * 3, why=lambda: reason).list()

    with pytest.raises(Forbidden):
        ask(Forbidden("no right"))
    with pytest.raises(RayUnreachable) as caught:
        ask(StreamLost("the pod of a forward is gone"))
    assert "the pod of a forward is gone" in caught.value.evidence


def test_a_stream_that_cannot_begin_is_no_output() -> None:
    with pytest.raises(StopIteration):
        next(JobClient("http://127.0.0.1:9").stream("j"))


def test_output_that_is_no_text_comes_from_rays_files() -> None:
    """Ray's job API fails as a whole at the first byte that is no UTF-8."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path.endswith("/logs"):
            return httpx.Response(500, text="Traceback …\nUnicodeDecodeError: 'utf-8' codec can't decode\n.")
        if request.url.path == "/api/v0/logs/file":
            return httpx.Response(200, content=b"a\r\n\xff\n")
        return httpx.Response(200, json={"submission_id": "j", "status": "RUNNING", "driver_node_id": "n1"})

    ray = JobClient("http://ray", transport=httpx.MockTransport(answer))
    assert ray.logs("j") == "a\n\ufffd\n"
    assert len(asked) == 3, "no answer of that kind is asked for again"
    assert dict(asked[-1].url.params)["node_id"] == "n1"
    quoting = client({"logs": "my own UnicodeDecodeError"})
    assert quoting.logs("j") == "my own UnicodeDecodeError", "a job may print the word"


def test_the_request_carries_the_selector() -> None:
    asked: list[httpx.Request] = []
    ray = client(NEW, workers({"CPU": 1}), {"submission_id": "x"}, asked=asked)
    submit(ray, SubmitOptions(("true",)), emit=lambda event: None, on_worker=True)
    assert json.loads(asked[-1].content)["entrypoint_label_selector"] == {"ray.io/node-group": "!headgroup"}
