"""What a RayCronJob's CronJob, Jobs and pods tell: its ticks, in KubeRay's words, and when the next one is due."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from raystead.live.raycron import CronState, cron_state, minute_of

Json = dict[str, Any]
NOW = datetime(2026, 11, 26, 16, 48, 30, tzinfo=UTC)


def cronjob(**spec: Any) -> Json:
    status = {"lastScheduleTime": "2026-11-26T16:48:00Z"}
    return {"metadata": {"name": "beat-head"}, "spec": {"schedule": "* * * * *", **spec}, "status": status}


def job(minute: int, ended: str = "") -> Json:
    conditions = (
        [{"type": ended, "status": "True", "lastTransitionTime": "2026-11-26T16:47:40Z"}] if ended else []
    )
    metadata = {"name": f"beat-head-{minute}", "creationTimestamp": "2026-11-26T16:47:00Z"}
    return {"metadata": metadata, "spec": {"template": {"spec": {}}}, "status": {"conditions": conditions}}


def pod(minute: int, *, ready: bool = False, **told: Any) -> Json:
    state = {"terminated": {"message": json.dumps(told)}} if told else {"running": {}}
    metadata = {"name": f"beat-head-{minute}-0-x1y2z", "labels": {"job-name": f"beat-head-{minute}"}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    containers = [{"name": "ray-job-submitter", "state": state}]
    return {"metadata": metadata, "status": {"conditions": conditions, "containerStatuses": containers}}


def state(*jobs: Json, pods: tuple[Json, ...] = (), job_id: str = "", **spec: Any) -> CronState:
    return cron_state(cronjob(**spec), jobs, pods, name="beat", job_id=job_id, now=NOW)


FAILED = {
    "jobDeploymentStatus": "Failed",
    "jobStatus": "FAILED",
    "reason": "AppFailed",
    "message": "code 3",
    "exitCode": 3,
}


def test_ticks_are_told_the_newest_first_each_with_its_own_pod() -> None:
    pods = (pod(29928527, **FAILED), pod(29928528, ready=True))
    seen = state(job(29928527, "Failed"), job(29928528), pods=pods)
    assert [(tick.id, tick.word, tick.why) for tick in seen.ticks] == [
        ("beat-29928528", "RUNNING", ""),
        ("beat-29928527", "FAILED", "AppFailed: code 3"),
    ]
    assert [tick.job for tick in seen.running] == ["beat-head-29928528"]
    assert seen.ticks[1].state.exit_code == 3
    assert seen.ticks[0].at == datetime(2026, 11, 26, 16, 48, tzinfo=UTC)


def test_the_last_and_the_next_tick() -> None:
    seen = state(timeZone="Etc/UTC")
    assert seen.json()["lastScheduleTime"] == "2026-11-26T16:48:00Z"
    assert seen.json()["nextScheduleTime"] == "2026-11-26T16:49:00Z"
    assert state(suspend=True).next is None
    assert state(timeZone="Mars/Olympus").next is None, "a zone that is not known here"


def test_the_files_own_id_counts_and_a_job_of_another_name_is_no_tick() -> None:
    assert state(job(29928528), job_id="mine").ticks[0].id == "mine"
    stranger = {**job(29928528), "metadata": {"name": "beat-head-again"}}
    assert state(stranger).ticks == ()
    assert minute_of("beat-head-²") is None


def test_without_a_cronjob_only_the_ticks_are_known() -> None:
    seen = cron_state(None, [job(29928527, "Complete")], [], name="beat", job_id="", now=NOW)
    assert (seen.next, seen.last, seen.ticks[0].word) == (None, None, "Complete")
