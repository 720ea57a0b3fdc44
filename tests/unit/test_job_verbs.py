"""`job`: which job is meant, what is told of it, what Ctrl-C does; where drivers run and what becomes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from raystead.cli import jobs as shared
from raystead.cli.job import _one_line, _status_text
from raystead.cli.jobs import JobTarget, meant, say_output
from raystead.cli.options import Where
from raystead.cli.retyped import again, place_flags
from raystead.cli.root import root
from raystead.errors import JobNotFound, OutputGone, RayUnreachable, UsageError
from raystead.ops import drivers, kept
from raystead.ops.drivers import NamespaceDrivers, RayDrivers, ended_on
from raystead.ops.following import Lost
from raystead.ops.jobs import Submitted, Submitting
from raystead.rayapi.jobs import Job
from raystead.ui.plain import Reporter


def job(id: str, start: float = 1.0, **more: Any) -> Job:
    address = {"driver_agent_http_address": "http://10.0.0.7:52365"}
    return Job(id, more.pop("status", "RUNNING"), "python x.py", more.pop("message", ""), None, start, more.pop("end", None), {}, more.pop("code", None), "n1", address)  # fmt: skip


class Client:
    """A job API with these jobs."""

    def __init__(self, *jobs: Job, logs: Any = "", nodes: dict[str, Any] | None = None) -> None:
        self.jobs, self.output, self.nodes, self.stopped = jobs, logs, nodes or {}, []  # type: ignore[var-annotated]

    def list(self) -> list[Job]:
        return [*self.jobs]

    def get(self, job_id: str) -> Job:
        for one in self.jobs:
            if one.id == job_id:
                return one
        raise JobNotFound("none")

    def logs(self, job_id: str) -> str:
        if isinstance(self.output, Exception):
            raise self.output
        return str(self.output)

    def node(self, node_id: str) -> Any:
        return self.nodes.get(node_id)

    def stop(self, job_id: str) -> bool:
        self.stopped.append(job_id)
        return True


JOBS = (job("raysubmit_abc", 1), job("raysubmit_abd", 3), job("nightly", 2))


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (None, "raysubmit_abd"),
        ("raysubmit_abc", "raysubmit_abc"),
        ("raysubmit_abd", "raysubmit_abd"),
        ("abc", "raysubmit_abc"),
        ("night", "nightly"),
    ],
)
def test_the_last_job_is_meant_and_a_beginning_is_enough(typed: str | None, found: str) -> None:
    assert meant(Client(*JOBS), typed).id == found  # type: ignore[arg-type]


def test_a_beginning_of_several_and_of_none() -> None:
    with pytest.raises(UsageError, match="2 jobs begin"):
        meant(Client(*JOBS), "raysubmit_ab")  # type: ignore[arg-type]
    with pytest.raises(JobNotFound, match='no job "x"'):
        meant(Client(*JOBS), "x")  # type: ignore[arg-type]
    with pytest.raises(JobNotFound, match="no jobs yet"):
        meant(Client(), None)  # type: ignore[arg-type]


def test_status_says_when_how_long_how_and_where() -> None:
    ended = job("j", 1000.0, status="FAILED", end=1008.4, code=7, message="failed with exit code 7, last available logs: x")  # fmt: skip
    text = _status_text(ended, "worker-1 on node-2", 9999.0)
    assert text.splitlines()[0] == "j   FAILED: exit code 7"
    assert "took   8.4 s" in text
    assert "code   7" in text
    assert "where  worker-1 on node-2" in text
    assert "last available" not in text
    running = _status_text(job("j", 1000.0), "", 1030.0)
    assert "for    30 s" in running
    assert "end" not in running


@pytest.mark.parametrize(("state", "told"), [("RUNNING", "is stopping"), ("PENDING", "has not begun; Ray stops it as soon as it does")])  # fmt: skip
def test_stop_says_when_the_job_ends(state: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def there(*_: object) -> Iterator[JobTarget]:
        yield target(Client(job("j", status=state)))

    monkeypatch.setattr(shared, "target_of", there)
    done = CliRunner().invoke(root, ["job", "stop", "--local", "j"], prog_name="raystead")
    assert done.output == f"j {told}\n"


def test_a_command_of_several_lines_is_one_line() -> None:
    assert _one_line("python -c 'import os\nprint(1)'") == "python -c 'import os …"
    assert _one_line("python train.py --epochs 3", 16) == "python train.py…"
    assert _one_line("true") == "true"


class _Nobody:
    """Looks after no driver."""

    def __init__(self, lost: Lost | None = None) -> None:
        self.lost = lost

    def fate(self, job: Job) -> Lost | None:
        return self.lost

    def place(self, job: Job) -> str:
        return ""


def target(client: Client, lost: Lost | None = None) -> JobTarget:
    return JobTarget(client, _Nobody(lost), "uid-1", " -n team")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def own_ctrl_c() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(client: Client, reporter: Reporter, job_id: str | None, *, may_stop: bool) -> None:
    with shared.detaching(target(client), reporter, may_stop=may_stop) as followed:
        followed.job_id = job_id
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("may_stop", "twice"), [(True, True), (True, False), (False, True)])
def test_a_reader_never_stops_a_job(may_stop: bool, twice: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared._Interrupts, "another", lambda self, seconds: twice)
    client, err = Client(), io.StringIO()
    with pytest.raises(SystemExit) as left:
        interrupt(client, Reporter(err=err), "j", may_stop=may_stop)
    assert left.value.code == 130
    assert client.stopped == (["j"] if may_stop and twice else [])
    assert ("stops the job" in err.getvalue()) == may_stop, "an offer only to who may accept it"
    if not client.stopped:
        assert "raystead job logs -n team j -f" in err.getvalue()


def test_before_there_is_a_job_ctrl_c_ends_the_verb() -> None:
    client = Client()
    with pytest.raises(KeyboardInterrupt):
        interrupt(client, Reporter(), None, may_stop=True)
    assert client.stopped == []


def interrupted(client: Client, event: Submitting | Submitted | None, code: int) -> str:
    """What is said after Ctrl-C when a job had come so far."""
    err = io.StringIO()
    err.isatty = lambda: True  # type: ignore[method-assign]
    reporter = Reporter(err=err)
    with pytest.raises((click.exceptions.Exit, SystemExit)) as left:  # noqa: PT012, SIM117
        with shared.saying_what_was_submitted(reporter, "raystead submit -- true"):
            with shared.detaching(target(client), reporter) as followed:
                if event:
                    followed.take(event)
                signal.raise_signal(signal.SIGINT)
    assert getattr(left.value, "exit_code", None) or left.value.code == code
    return err.getvalue()


def test_ctrl_c_says_whether_a_job_was_submitted_and_what_to_run_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "_ANSWER", 0.4)
    nothing = "interrupted; nothing was submitted\nnext: raystead submit -- true\n"
    assert interrupted(Client(), None, 130) == nothing
    assert interrupted(Client(), Submitting("j"), 130) == nothing, "Ray says that it has none"
    there = interrupted(Client(job("j")), Submitting("j"), 130)
    assert there == "detached, the job goes on; raystead job logs -n team j -f\n"
    assert interrupted(Client(job("j")), Submitted("j", True), 130) == there

    class Silent(Client):
        def get(self, job_id: str) -> Job:
            raise RayUnreachable("no answer")

    said = interrupted(Silent(), Submitting("j"), 130)
    assert "it does not say whether it has; raystead job status -n team j tells" in said


def test_the_offer_to_stop_leaves_the_screen_when_it_no_longer_stands() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    err = Terminal()
    with Reporter(err=err).passing("Ctrl-C again stops the job"):
        assert err.getvalue() == "Ctrl-C again stops the job"
    assert err.getvalue().endswith("\r\033[K")


def test_output_whose_worker_is_gone_comes_from_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    lost, failing = Lost("the pod w-1 was deleted", gone=True), Client(logs=RayUnreachable("500"))
    with pytest.raises(OutputGone) as caught:
        say_output(target(failing, lost), job("j"), Reporter())
    assert "w-1" in caught.value.evidence
    with kept.keeping("uid-1", "j") as keeper:
        keeper.write("epoch 1\n")
        out, err = io.StringIO(), io.StringIO()
        say_output(target(failing, lost), job("j"), Reporter(out=out, err=err))
        assert out.getvalue() == "epoch 1\n", "while it is written too"
    assert "what this machine kept" in err.getvalue()
    with pytest.raises(RayUnreachable):
        say_output(target(failing), job("j"), Reporter())
    with pytest.raises(OutputGone):
        say_output(JobTarget(failing, _Nobody(lost), "another cluster", ""), job("j"), Reporter())  # type: ignore[arg-type]


def test_of_each_output_the_end_is_kept_for_owner_alone_and_of_the_newest_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(kept, "LIMIT", 100)
    monkeypatch.setattr(kept, "JOBS", 3)
    with kept.keeping("c", "../../evil") as keeper:
        for number in range(100):
            keeper.write(f"line {number:04}\n")
    text, whole = kept.read("c", "../../evil") or ("", True)
    assert not whole
    assert text.startswith("line ")
    assert text.endswith("line 0099\n")
    assert len(text) <= 100
    (file,) = (tmp_path / "raystead" / "jobs").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    for number in range(5):
        with kept.keeping("c", str(number)) as keeper:
            keeper.write("x")
    assert len([*(tmp_path / "raystead" / "jobs").iterdir()]) == 3
    assert kept.read("c", "4") == ("x", True)


def test_a_disk_that_takes_nothing_keeps_nothing_and_hinders_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with kept.keeping("c", "j") as keeper:
        keeper.write("x")
    assert kept.read("c", "j") is None


def pod(name: str = "w-1", uid: str = "u1", ip: str = "10.0.0.7", **status: Any) -> dict[str, Any]:
    restarts = status.pop("restarts", 0)
    state = status.pop("state", {"running": {}})
    last = status.pop("last", {})
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if status.pop("deleted", False) else {}
    ray = {"name": "ray", "restartCount": restarts, "state": state, "lastState": last}
    sidecar = {"name": "a-sidecar", "restartCount": 9, "state": {"terminated": {"reason": "Error"}}}
    return {
        "metadata": {"name": name, "uid": uid, **deleted},
        "spec": {"containers": [{"name": "ray", "resources": {"limits": {"memory": "1Gi"}}}, {"name": "a-sidecar"}]},
        "status": {"phase": "Running", "podIP": ip, "containerStatuses": [sidecar, ray], **status},
    }  # fmt: skip


KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


@pytest.mark.parametrize(
    ("later", "text", "gone"),
    [
        ([pod()], None, None),
        ([], "the pod w-1, where j ran, was deleted", True),
        ([pod("w-2", "u2")], "the pod w-1, where j ran, was deleted", True),  # another with its address
        ([pod(deleted=True)], "the pod w-1, where j runs, is being stopped", False),
        ([pod(restarts=1, last=KILLED)], "Ray in the pod w-1, where j ran, has died: OOMKilled (its limit is 1Gi)", True),
        ([pod(state={"terminated": {"reason": "Error", "exitCode": 1}})], "Ray in the pod w-1, where j ran, has died: Error, exit code 1", True),
        ([pod(phase="Failed", reason="Evicted", message="low on disk")], "the pod w-1, where j ran, has ended: Evicted: low on disk", True),
    ],
)  # fmt: skip
def test_what_became_of_the_pod_of_a_driver(
    later: list[Any], text: str | None, gone: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 5))
    monkeypatch.setattr(drivers.time, "monotonic", lambda: float(next(now)))
    looks = NamespaceDrivers(None, None, Client())  # type: ignore[arg-type]
    answers = iter([[pod()], later])
    monkeypatch.setattr(looks, "_read", lambda: next(answers))
    assert looks.fate(job("j")) is None
    found = looks.fate(job("j"))
    assert found == (None if text is None else Lost(text, gone=bool(gone)))


def test_a_pod_that_nobody_saw_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = NamespaceDrivers(None, None, Client())  # type: ignore[arg-type]
    monkeypatch.setattr(looks, "_read", lambda: [pod(ip="10.0.0.8")])
    assert looks.fate(job("j")) == Lost("the pod at 10.0.0.7, where j ran, is gone", gone=True)
    assert looks.place(job("j")) == "a pod that is gone (10.0.0.7)"


def test_a_node_of_a_local_cluster_is_told_by_ray() -> None:
    dead = Client(nodes={"n1": {"state": "DEAD", "state_message": "it was killed.", "node_id": "n1"}})
    assert RayDrivers(dead).fate(job("j")) == Lost("the node that runs j died: it was killed", gone=True)  # type: ignore[arg-type]
    alive = Client(nodes={"n1": {"state": "ALIVE", "is_head_node": True}})
    assert RayDrivers(alive).fate(job("j")) is None  # type: ignore[arg-type]
    assert RayDrivers(alive).place(job("j")) == "the head"  # type: ignore[arg-type]


def test_outputs_that_go_with_a_pod_are_those_of_ended_jobs() -> None:
    there = [job("a", status="FAILED"), job("b", status="SUCCEEDED"), job("c")]
    elsewhere = dataclasses.replace(job("d", status="FAILED"), raw={})
    assert ended_on([*there, elsewhere], {"10.0.0.7"}) == 2


def test_hints_mean_the_cluster_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place_flags(None, Where()) == ""
    where = Where(namespace="team", context="prod eu", as_user="me", as_groups=("a", "b"), verbose=True)
    flags = " --name mine -n team --context 'prod eu' --as me --as-group a --as-group b"
    assert place_flags("mine", where) == flags
    typed = ("train.py", "--x")
    monkeypatch.setattr("sys.argv", ["x", "submit", "--local", "--", *typed])
    assert again(("python", *typed), typed) == "raystead submit --local -- python train.py --x"
    assert (
        again(typed, typed, "--exclude /data/") == "raystead submit --local --exclude /data/ -- train.py --x"
    )
    monkeypatch.setattr("sys.argv", ["x", "submit", "--env", "KEY=hidden", "--", *typed])
    assert again(typed, typed) is None, "what may be a secret is not repeated"
