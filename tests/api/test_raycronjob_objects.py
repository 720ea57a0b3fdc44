"""A RayCronJob as objects: its CronJobs and ticks, that an unchanged file changes nothing, that `down` leaves nothing."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cli import Cli
from kube import Kube, until
from raycronjobs import NEVER, raycronjob

pytestmark = pytest.mark.api
Json = dict[str, Any]


@pytest.fixture
def cli(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(namespace(quota={"pods": "0"}), "edit"))


def up(cli: Cli, text: str, *words: str, code: int = 0) -> str:
    done = cli("up", "-f", "-", "--yes", *words, stdin=text, code=code)
    return done.stdout + done.stderr


def owner(user: Kube, kind: str, name: str) -> list[str]:
    refs = user.get(kind, name)["metadata"].get("ownerReferences") or []
    return [f"{ref['kind']}/{ref['name']}" for ref in refs]


def names(user: Kube, kind: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in user.items(kind))


def test_a_cronjob_for_each_group_hangs_on_the_anchor(cli: Cli) -> None:
    up(cli, raycronjob(annotations={"raystead.io/concurrency-policy": "Forbid"}))
    user = cli.user
    assert names(user, "cronjobs") == ["nightly-head", "nightly-small-worker"]
    for name in names(user, "cronjobs"):
        assert owner(user, "cronjob", name) == ["ConfigMap/raystead-nightly"]
        spec = user.get("cronjob", name)["spec"]
        assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (NEVER, "Etc/UTC", "Forbid")
    assert user.get("service", "nightly")["spec"]["clusterIP"] == "None"
    assert names(user, "deployments") == []


def test_an_unchanged_file_changes_nothing_and_a_change_is_planned(cli: Cli) -> None:
    up(cli, raycronjob())
    before = {kind: versions(cli.user, kind) for kind in ("cronjobs", "services", "configmaps", "secrets")}
    up(cli, raycronjob())
    assert {kind: versions(cli.user, kind) for kind in before} == before
    told = cli("plan", "-f", "-", stdin=raycronjob("5 5 * * *", replicas=3)).stdout
    assert "~ CronJob/nightly-head" in told
    assert "~ CronJob/nightly-small-worker" in told
    assert "0 pods restart" in told, "a change counts from the next tick"
    up(cli, raycronjob("5 5 * * *", replicas=0))
    assert names(cli.user, "cronjobs") == ["nightly-head"], "a group without pods needs none"


def versions(user: Kube, kind: str) -> dict[str, str]:
    return {i["metadata"]["name"]: i["metadata"]["resourceVersion"] for i in user.items(kind)}


def test_drift_is_seen_and_repaired(cli: Cli) -> None:
    up(cli, raycronjob())
    cli.user.run("patch", "cronjob", "nightly-head", "-p", '{"spec":{"suspend":true}}')
    cli.user.run("delete", "cronjob", "nightly-small-worker")
    status = cli("status").stdout
    assert "CronJob/nightly-head" in status
    assert "CronJob/nightly-small-worker" in status
    assert ".spec.suspend belongs to kubectl-patch" in up(cli, raycronjob(), code=79)
    up(cli, raycronjob(), "--force-conflicts")
    assert names(cli.user, "cronjobs") == ["nightly-head", "nightly-small-worker"]
    assert cli.user.get("cronjob", "nightly-head")["spec"]["suspend"] is False
    assert "drift" not in cli("status").stdout


def test_suspend_stops_the_ticks_and_resume_starts_them(cli: Cli) -> None:
    up(cli, raycronjob())
    assert "scheduled" in cli("list").stdout
    cli("suspend", "--yes")
    for name in names(cli.user, "cronjobs"):
        assert cli.user.get("cronjob", name)["spec"]["suspend"] is True
    assert "suspended" in cli("status").stdout
    assert "suspended" in cli("list").stdout
    cli("resume")
    assert cli.user.get("cronjob", "nightly-head")["spec"]["suspend"] is False
    seen = json.loads(cli("status", "-o", "json").stdout)["raystead"]
    assert seen["state"] == "scheduled"
    assert seen["rayCronJob"]["nextScheduleTime"].endswith("-02-29T00:00:00Z")


def test_no_tick_comes_while_it_is_suspended_and_down_leaves_nothing_of_those_that_came(cli: Cli) -> None:
    """Over 60 s at worst: CronJobs are made at full minutes only, and one passes while they rest."""
    user = cli.user
    up(cli, raycronjob("* * * * *").replace("schedule:", "suspend: true\n  schedule:"))
    begun = int(time.time() // 60)
    until(lambda: time.time() > (begun + 1) * 60 + 4, 90, "a full minute has passed")
    assert names(user, "jobs") == [], "suspended, it makes nothing"
    cli("resume")
    until(lambda: len(names(user, "jobs")) >= 2, 90, "a tick")
    made = names(user, "jobs")
    minutes = {name.rpartition("-")[2] for name in made}
    assert len(minutes) == 1, "the Jobs of a tick share its minute"
    assert len(made) == 2, "one for the head and one for the workers, none twice"
    tick = minutes.pop()
    listed = json.loads(cli("job", "list", "-o", "json").stdout)
    assert [row["job"] for row in listed] == [f"nightly-head-{tick}"]
    assert f"nightly-{tick}" in cli("status").stdout
    cli("down", "nightly", "--yes")
    for kind in ("cronjobs", "jobs", "services", "networkpolicies", "secrets", "pods"):
        assert names(user, kind) == [], kind
    assert names(user, "configmaps") == ["kube-root-ca.crt"]


def test_the_quota_of_a_tick_is_reckoned(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    cli = Cli(as_user(namespace(quota={"pods": "2"}), "edit"))
    done = cli("doctor", "-f", "-", stdin=raycronjob(), code=None)
    assert "needs 3 of pods, 2 left" in done.stdout
    assert "1 of 2 pods of small" in done.stdout


def test_verbs_that_need_a_running_cluster_say_why_not(cli: Cli) -> None:
    up(cli, raycronjob())
    assert "its pods are new at each tick" in cli("restart", "--yes", code=90).stderr
    assert 'no tick of "nightly" runs now' in cli("submit", "--", "true", code=90).stderr
    assert "has had no tick yet" in cli("job", "logs", code=None).stderr
    told = cli("up", "-f", "-", "--local", stdin=raycronjob(), code=None).stderr
    assert "a RayCronJob runs in a namespace" in told


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        ({}, ("Allow", 3, 1, [60, 90])),
        (
            {
                "concurrency-policy": "Replace",
                "successful-jobs-history-limit": "7",
                "failed-jobs-history-limit": "0",
                "starting-deadline-seconds": "300",
            },
            ("Replace", 7, 0, [300, 330]),
        ),
    ],
)
def test_what_kuberay_has_no_field_for_is_the_cronjobs_own(
    cli: Cli, annotations: dict[str, str], wanted: tuple[str, int, int, list[int]]
) -> None:
    """Workers may begin half a minute later than their head: no tick is half made."""
    up(cli, raycronjob(annotations={f"raystead.io/{key}": value for key, value in annotations.items()}))
    specs = [cli.user.get("cronjob", name)["spec"] for name in names(cli.user, "cronjobs")]
    for spec in specs:
        found = (
            spec["concurrencyPolicy"], spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"],
        )  # fmt: skip
        assert found == wanted[:3]
    assert sorted(spec["startingDeadlineSeconds"] for spec in specs) == wanted[3]
