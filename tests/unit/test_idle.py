"""Idle clusters that end by themselves: who asks for it, when a keeper ends one, and what is said meanwhile."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from raystead.errors import SpecError
from raystead.incluster.dashboard import Unreachable
from raystead.incluster.keeper import Keeper, Watch
from raystead.live.idle import IdleState, idle_state
from raystead.live.imposed import imposed
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.spec.flags import Flags, build
from raystead.spec.idle import IdleEnd, idle_end, idle_end_of
from raystead.spec.load import load
from raystead.spec.model import RayCluster, read
from raystead.ui.status import idle_parts

Json = dict[str, Any]
NOW = datetime(2026, 11, 26, 16, 0, tzinfo=UTC)


def cluster(annotations: dict[str, str] | None = None, **spec: Any) -> Json:
    container = {"name": "ray", "image": "rayproject/ray:2.60.0"}
    head = {"template": {"spec": {"containers": [container]}}}
    metadata: Json = {"name": "demo", **({"annotations": annotations} if annotations else {})}
    body = {"rayVersion": "2.60.0", "headGroupSpec": head, **spec}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": body}


def options(seconds: int, policy: str | None = None) -> Json:
    more = {"policy": policy} if policy else {}
    return {"idleTerminationOptions": {"timeoutSeconds": seconds, **more}}


WISHES: dict[str, tuple[Json, Flags, IdleEnd | None]] = {
    "nobody asks": (cluster(), Flags(), None),
    "KubeRay's default keeps the state": (cluster(**options(60)), Flags(), IdleEnd(60, keeps_data=True)),
    "KubeRay's Delete": (cluster(**options(60, "Delete")), Flags(), IdleEnd(60)),
    "the annotation": (cluster({"raystead.io/idle-timeout": "30m"}), Flags(), IdleEnd(1800)),
    "the annotation says never": (cluster({"raystead.io/idle-timeout": "never"}), Flags(), None),
    "the flag": (cluster(), Flags(idle="2h"), IdleEnd(7200)),
    "the flag, data kept": (cluster(), Flags(idle="90", idle_keeps_data=True), IdleEnd(90, keeps_data=True)),
    "the flag goes before the file": (cluster(**options(60, "Delete")), Flags(idle="2m"), IdleEnd(120)),
    "and leaves the file's policy": (cluster(**options(60)), Flags(idle="2m"), IdleEnd(120, keeps_data=True)),
    "and before the annotation": (
        cluster({"raystead.io/idle-timeout": "30m"}),
        Flags(idle="1h"),
        IdleEnd(3600),
    ),
    "never": (cluster(**options(60)), Flags(idle="never"), None),
    "the policy alone": (
        cluster(**options(60, "Delete")),
        Flags(idle_keeps_data=True),
        IdleEnd(60, keeps_data=True),
    ),
    "and back": (cluster(**options(60)), Flags(idle_keeps_data=False), IdleEnd(60)),
}


@pytest.mark.parametrize(("given", "flags", "wanted"), WISHES.values(), ids=WISHES)
def test_who_asks_for_an_end_and_for_which(given: Json, flags: Flags, wanted: IdleEnd | None) -> None:
    found = load(yaml.safe_dump(given), "f.yaml", flags).cluster
    assert idle_end(found) == wanted
    assert idle_end_of(found.document()) == wanted


REFUSED: dict[str, tuple[Json, Flags, str]] = {
    "too short": (cluster(**options(3)), Flags(), "expected 10 seconds or more, got 3"),
    "no time": (cluster(idleTerminationOptions={"policy": "Delete"}), Flags(), "timeoutSeconds"),
    "a policy that is none": (cluster(**options(60, "Stop")), Flags(), "policy"),
    "set twice": (cluster({"raystead.io/idle-timeout": "1h"}, **options(60)), Flags(), "keep one"),
    "no span": (cluster({"raystead.io/idle-timeout": "soon"}), Flags(), '"soon" is not a time span'),
    "a flag without a time": (cluster(), Flags(idle="soon"), '"soon" is not a time of 10 s or more'),
    "keep-data alone": (cluster(), Flags(idle_keeps_data=True), "it has an effect with --idle only"),
    "keep-data and never": (
        cluster(),
        Flags(idle="never", idle_keeps_data=True),
        "it has an effect with --idle only",
    ),
}


@pytest.mark.parametrize(("given", "flags", "said"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(given: Json, flags: Flags, said: str) -> None:
    with pytest.raises(SpecError) as error:
        load(yaml.safe_dump(given), "f.yaml", flags)
    assert said in str(error.value)


def test_a_rayjobs_cluster_ends_as_the_rayjob_says() -> None:
    spec = {"entrypoint": "true", "rayClusterSpec": cluster(**options(60))["spec"]}
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "demo"}, "spec": spec}
    with pytest.raises(SpecError, match="a RayJob's cluster ends as the RayJob says"):
        load(yaml.safe_dump(job), "f.yaml")


def rendered(flags: Flags) -> dict[tuple[str, str], Json]:
    facts = Facts(namespace="ns", anchor_uid="u")
    return {(i["kind"], i["metadata"]["name"]): i for i in manifests(build(flags), facts)}


def test_a_label_that_the_namespace_demands_is_on_the_keepers_pod_too() -> None:
    pod = rendered(Flags(name="demo", idle="30m", label=("example.edu/queue=lab",)))[
        "Job", "raystead-demo-self"
    ]
    assert pod["spec"]["template"]["metadata"]["labels"]["example.edu/queue"] == "lab"


def test_nothing_is_rendered_for_who_does_not_ask() -> None:
    assert not [kind for kind, _ in rendered(Flags(name="demo")) if kind == "Job"]


def test_the_keeper_may_reach_the_dashboard_and_mounts_no_api_token() -> None:
    objects = rendered(Flags(name="demo", idle="30m"))
    pod = objects["Job", "raystead-demo-self"]["spec"]["template"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "RAY_AUTH_TOKEN" not in {one["name"] for one in pod["spec"]["containers"][0]["env"]}
    rules = objects["NetworkPolicy", "demo-head"]["spec"]["ingress"]
    roles = [
        peer["podSelector"]["matchExpressions"]
        for rule in rules
        for peer in rule["from"]
        if "matchExpressions" in peer["podSelector"]
    ]
    assert roles == [[{"key": "raystead.io/role", "operator": "In", "values": ["submitter", "keeper"]}]]


# -- the keeper -----------------------------------------------------------------------------------------


@dataclass
class Head:
    """A dashboard whose answers are by the second: what runs then. Its clock moves only when somebody sleeps."""

    folder: Path
    seconds: float = 0.0
    jobs_at: dict[range, list[Json]] = field(default_factory=dict)
    actors_at: dict[range, list[Json]] = field(default_factory=dict)
    away: range = range(0)
    ends: float = 100.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds > self.ends:
            raise TimeoutError

    def jobs(self) -> list[Json]:
        if int(self.seconds) in self.away:
            raise Unreachable("refused")
        return self._now(self.jobs_at)

    def state(self, kind: str) -> list[Json]:
        return self._now(self.actors_at) if kind == "actors" else []

    def _now(self, by_second: dict[range, list[Json]]) -> list[Json]:
        return [row for when, rows in by_second.items() if int(self.seconds) in when for row in rows]

    def keeper(self, seconds: float = 20.0) -> Keeper:
        watch = Watch("demo", "http://head", [("idle", seconds)], folder=str(self.folder))
        dashboard: Any = self
        return Keeper(watch, dashboard, clock=lambda: self.seconds, sleep=self.sleep)

    def ended(self, seconds: float = 20.0) -> float | None:
        """When the keeper ends the cluster; None: it does not within 100 s."""
        try:
            self.keeper(seconds).run()
        except TimeoutError:
            return None
        return self.seconds


def job(status: str, end: float = 0.0, **more: Any) -> Json:
    return {"submission_id": "j", "status": status, "end_time": end, **more}


@pytest.fixture
def head(tmp_path: Path) -> Head:
    return Head(tmp_path / "keeper")


def test_an_idle_cluster_ends_after_its_time(head: Head) -> None:
    assert head.ended() == pytest.approx(20.0, abs=0.5)


BUSY: dict[str, tuple[str, list[Json]]] = {
    "a job": ("jobs_at", [job("RUNNING")]),
    "a job that waits": ("jobs_at", [job("PENDING")]),
    "a ray:// client": ("jobs_at", [{"submission_id": None, "job_id": "01000000", "status": "RUNNING"}]),
    "an actor": ("actors_at", [{"state": "ALIVE", "name": "counter"}]),
    "an actor that waits": ("actors_at", [{"state": "PENDING_CREATION", "class_name": "A"}]),
}


@pytest.mark.parametrize(("what", "rows"), BUSY.values(), ids=BUSY)
def test_a_busy_cluster_does_not_end_and_counts_from_the_end_of_the_work(
    head: Head, what: str, rows: list[Json], capsys: pytest.CaptureFixture[str]
) -> None:
    setattr(head, what, {range(50): rows})
    ended = head.ended()
    assert ended is not None
    assert 70 <= ended <= 74
    assert " busy: " in capsys.readouterr().out


def test_a_job_between_two_looks_counts_as_work(head: Head) -> None:
    head.jobs_at = {range(13, 100): [job("SUCCEEDED", end=1_700_000_000_000.0)]}
    ended = head.ended()
    assert ended is not None
    assert 33 <= ended <= 37


def test_a_head_that_does_not_answer_is_no_idle_head(head: Head) -> None:
    head.away = range(15, 60)
    ended = head.ended()
    assert ended is not None
    assert 80 <= ended <= 84


def test_rays_own_actors_do_not_count(head: Head) -> None:
    head.actors_at = {range(100): [{"state": "ALIVE", "name": "_ray_internal_job_actor_x"}]}
    assert head.ended() == pytest.approx(20.0, abs=0.5)


def test_who_holds_the_cluster_before_the_last_look_wins(head: Head) -> None:
    real, held = head.sleep, []

    def sleep(seconds: float) -> None:
        real(seconds)
        if head.seconds > 18 and not held:
            held.append(head.seconds)
            (head.folder / "over").mkdir(parents=True)  # as ops.keepers' hold does in the pod
            used = head.folder / "used"
            used.touch()
            os.utime(used, (1, 1))
            (head.folder / "over").rmdir()

    keeper = head.keeper()
    keeper.sleep = sleep
    keeper.run()
    assert 38 <= head.seconds <= 44
    assert (head.folder / "over").exists(), "who comes now sees that it is late"


def test_work_that_comes_with_the_last_look_wins(head: Head) -> None:
    keeper, looks = head.keeper(), []
    jobs = head.jobs

    def asked() -> list[Json]:
        looks.append(head.seconds)
        late = head.seconds >= 20 and looks.count(head.seconds) == 2 and head.seconds < 40
        return [job("RUNNING")] if late else jobs()

    head.jobs = asked  # type: ignore[method-assign]
    keeper.run()
    assert head.seconds >= 40
    assert max(looks.count(second) for second in looks) >= 2, "it looks once more before it ends"


def test_a_new_time_is_taken_while_it_waits(head: Head) -> None:
    keeper = head.keeper()
    keeper.read = lambda: Watch(
        "demo", "", [("idle", 60.0 if head.seconds > 10 else 20.0)], folder=str(head.folder)
    )
    keeper.run()
    assert 60 <= head.seconds <= 61


# -- what is said ---------------------------------------------------------------------------------------

IDLE_LINE = "2026-11-26T15:59:00Z idle since 2026-11-26T15:50:00Z; the cluster ends at 2026-11-26T16:20:00Z"
END = IdleEnd(1800)
LINES: dict[str, tuple[IdleState, str]] = {
    "idle": (
        idle_state(END, {"status": {}}, IDLE_LINE),
        "idle since 10 min   ends in 20 min (nothing stays)",
    ),
    "busy": (
        idle_state(END, {"status": {}}, "2026-11-26T15:59:00Z busy: job a is RUNNING"),
        "not idle: busy: job a is RUNNING   ends after 30 min without work (nothing stays)",
    ),
    "not heard yet": (
        idle_state(IdleEnd(1800, keeps_data=True), {"status": {}}, ""),
        "idle: its keeper has said nothing yet   ends after 30 min without work (spec and data stay)",
    ),
    "no pod": (
        idle_state(END, None, ""),
        "idle: its keeper has no pod   ends after 30 min without work (nothing stays)",
    ),
}


@pytest.mark.parametrize(("state", "text"), LINES.values(), ids=LINES)
def test_status_says_since_when_it_is_idle_and_when_it_ends(state: IdleState, text: str) -> None:
    assert "   ".join(idle_parts(state, NOW)) == text


def test_for_machines_the_times_are_exact() -> None:
    found = idle_state(END, {"status": {}}, IDLE_LINE).json()
    assert found["since"] == "2026-11-26T15:50:00Z"
    assert found["endsAt"] == "2026-11-26T16:20:00Z"
    assert (found["timeoutSeconds"], found["policy"]) == (1800, "Delete")


def test_the_line_of_the_keeper_is_what_status_reads(head: Head, capsys: pytest.CaptureFixture[str]) -> None:
    head.ended()
    first = capsys.readouterr().out.splitlines()[0]
    state = idle_state(IdleEnd(20), {"status": {}}, first)
    assert state.since is not None
    assert state.ends_at is not None
    assert (state.ends_at - state.since).total_seconds() == 20


def test_the_model_is_kuberays(tmp_path: Path) -> None:
    document = cluster(**options(60))
    assert read(RayCluster, document).document()["spec"]["idleTerminationOptions"] == {"timeoutSeconds": 60}


# -- what a namespace adds --------------------------------------------------------------------------------


def batch(role: str, **spec: Any) -> Json:
    return {"kind": "Job", "metadata": {"name": "j", "labels": {"raystead.io/role": role}}, "spec": spec}


ADDED: dict[str, tuple[Json, Json, list[tuple[str, bool]]]] = {
    "nothing": (batch("keeper", ttlSecondsAfterFinished=0), {}, []),
    "an end of Jobs would end the cluster": (
        batch("keeper", ttlSecondsAfterFinished=0),
        {"activeDeadlineSeconds": 3600},
        [("Jobs end after 60 min here, and with its keeper the cluster would", True)],
    ),
    "a later clean-up": (
        batch("keeper", ttlSecondsAfterFinished=0),
        {"ttlSecondsAfterFinished": 300},
        [("what a keeper ends goes 5 min after its time here", False)],
    ),
    "a submitter's output goes": (
        batch("submitter"),
        {"ttlSecondsAfterFinished": 300, "activeDeadlineSeconds": 7200},
        [
            ("Job/j ends after 2 h here, whatever its job does", False),
            ("the output and the outcome of Job/j are deleted 5 min after its end", False),
        ],
    ),
}


@pytest.mark.parametrize(("job", "more", "wanted"), ADDED.values(), ids=ADDED)
def test_what_a_namespace_adds_to_our_jobs_is_said(
    job: Json, more: Json, wanted: list[tuple[str, bool]]
) -> None:
    found = imposed(job, {**job, "spec": {**job["spec"], **more}})
    assert [(one.what, one.ends) for one in found] == wanted
