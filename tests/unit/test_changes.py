"""Scale, restart, suspend and leases, without a cluster."""

from __future__ import annotations

import io
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from raystead.base.groups import HEAD, worker
from raystead.cli.changing import ask, tell_and_ask
from raystead.cli.run import seconds
from raystead.cli.scale import parse_counts
from raystead.errors import UsageError
from raystead.live.nodeidle import NodeIdle
from raystead.live.pods import Pod
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.lease import lease_job
from raystead.manifests.render import manifests
from raystead.ops.idle import victims
from raystead.ops.restart import groups_named, stamps
from raystead.plan.model import Action, Change, FieldChange, Plan
from raystead.spec.builtin import builtin
from raystead.spec.edits import scaled, suspended
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster, read
from raystead.ui.plain import Reporter
from raystead.ui.questions import costs

FACTS = Facts(namespace="here")


def worker_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return next(i["spec"] for i in objects if i["metadata"]["name"] == "deployment-ray-worker")


@pytest.mark.parametrize(
    "least, most, count, hints",
    [
        (1, 3, 0, ["raystead scale worker=0..3", "raystead scale worker=0..0"]),
        (1, 3, 2, ["raystead scale worker=2..3", "raystead scale worker=1..2"]),
        (0, 3, 9, ["raystead scale worker=9..9", "raystead scale worker=0..9"]),
        (2, None, 4, ["raystead scale worker=2..4"]),
    ],
)
def test_a_number_for_an_autoscaled_group_is_answered_with_bounds_that_can_be_typed(
    least: int, most: int | None, count: int, hints: list[str]
) -> None:
    document = builtin().document()
    document["spec"]["enableInTreeAutoscaling"] = True
    (group,) = document["spec"]["workerGroupSpecs"]
    group.update({"minReplicas": least, "maxReplicas": most})
    if most is None:
        del group["maxReplicas"]
    cluster = read(RayCluster, document)
    with pytest.raises(UsageError) as refused:
        scaled(cluster, {"worker": count})
    lines = (refused.value.remedy or "").splitlines()
    assert [line.partition("   ")[0] for line in lines] == hints
    for hint in hints:
        assert scaled(cluster, parse_counts((hint.split()[-1],), ["worker"]))


def test_scaling_changes_the_count_alone() -> None:
    cluster = builtin()
    assert scaled(cluster, {"worker": 5}).spec.workers[0].wanted == 5
    assert scaled(scaled(cluster, {"worker": 5}), {"worker": 2}) == cluster


def test_a_groups_limits_give_way() -> None:
    document = builtin().document()
    document["spec"]["workerGroupSpecs"][0] |= {"minReplicas": 2, "maxReplicas": 3}
    cluster = read(type(builtin()), document)
    assert [scaled(cluster, {"worker": n}).spec.workers[0].wanted for n in (0, 9)] == [0, 9]


MEMORY = FieldChange("spec.template.spec.containers[ray-head].resources.limits.memory", "1G", "2Gi")
SHRINKS = Change(Action.CHANGE, "Deployment", "ray-worker", stops=1, loses="what runs on these pods")
RESTARTS = Change(Action.CHANGE, "Deployment", "ray-head", (MEMORY,), restarts=1, loses="drivers on the head")
ASKED_FOR = Change(
    Action.CHANGE,
    "Deployment",
    "ray-head",
    (
        FieldChange(
            "spec.template.metadata.annotations[raystead.io/restarted-at]", None, "2026-11-27T05:00:00"
        ),
    ),
    restarts=1,
    loses="drivers on the head",
)
HARMLESS = Change(Action.CHANGE, "Deployment", "ray-idle", stops=2)
GROUPS = {("Deployment", "ray-worker"): "worker", ("Deployment", "ray-head"): "head"}


@pytest.mark.parametrize(
    ("changes", "told", "question"),
    [
        ((HARMLESS,), [], ""),
        ((SHRINKS,), [], "worker: 1 pod stops"),
        ((RESTARTS,), ["! lost: drivers on the head"], "head: 1 pod restarts (memory 1G → 2Gi)"),
        ((ASKED_FOR,), ["! lost: drivers on the head"], "head: 1 pod restarts"),
        (
            (SHRINKS, RESTARTS),
            ["! lost: drivers on the head"],
            "worker: 1 pod stops; head: 1 pod restarts (memory 1G → 2Gi)",
        ),
    ],
)
def test_the_question_names_what_it_is_about(
    changes: tuple[Change, ...], told: list[str], question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    err, questions = io.StringIO(), list[str]()
    plan = Plan(changes, notes=("mind",))

    def answer(text: str, **_: object) -> bool:
        questions.append(text)
        return True

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", answer)
    tell_and_ask(Reporter(err=err), plan, GROUPS, yes=False, stops_meant=True)
    assert err.getvalue().splitlines() == ["! mind", *told]
    assert questions == ([f"{question}. Go on?"] if question else [])
    tell_and_ask(Reporter(err=err), plan, GROUPS, yes=True, stops_meant=True)
    assert len(questions) <= 1


def test_without_a_terminal_what_loses_something_needs_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    reporter = Reporter(err=io.StringIO())
    tell_and_ask(reporter, Plan((HARMLESS,)), GROUPS, yes=False)
    tell_and_ask(reporter, Plan((SHRINKS,)), GROUPS, yes=True)
    with pytest.raises(UsageError) as caught:
        tell_and_ask(reporter, Plan((SHRINKS,)), GROUPS, yes=False)
    assert caught.value.what.startswith("worker: 1 pod stops")
    assert "--yes" in caught.value.remedy
    assert caught.value.evidence == "nothing was changed"


def test_no_is_answered_and_ends_the_command() -> None:
    @click.command()
    def verb() -> None:
        ask(Reporter(), "worker: 1 pod stops", yes=False)
        click.echo("done")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
        done = CliRunner().invoke(verb, input="n\n")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.endswith("worker: 1 pod stops. Go on? [y/N]: n\nnothing was changed\n")
        assert CliRunner().invoke(verb, input="y\n").stdout == "done\n"


def test_a_question_stays_short() -> None:
    image = FieldChange("spec.template.spec.containers[ray].image", "a:1", "a:2")
    env = FieldChange("spec.template.spec.containers[ray].env[A].value", "1", "2")
    secret = FieldChange("spec.template.spec.containers[ray].env[B].value", "***", "***")
    many = tuple(
        Change(Action.CHANGE, "Deployment", f"g{i}", (image,), restarts=2, loses="x") for i in range(6)
    )
    assert costs(Plan(many), {}).endswith("g3: 2 pods restart (image a:1 → a:2); and 2 more groups")
    one = Change(Action.CHANGE, "Deployment", "a", (secret, env, image), restarts=1, loses="x")
    assert costs(Plan((one,)), {}) == "a: 1 pod restarts (image a:1 → a:2, A 1 → 2 and 1 more)"


def test_a_group_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        scaled(builtin(), {"gpu": 1})
    assert "worker" in caught.value.evidence


def test_suspended_and_resumed_is_the_same_spec() -> None:
    assert suspended(suspended(builtin(), True), False) == builtin()
    off = manifests(suspended(builtin(), True), FACTS)
    assert {i["spec"]["replicas"] for i in off if i["kind"] in ("Deployment", "StatefulSet")} == {0}


def test_a_restart_replaces_pods_one_at_a_time_and_an_unchanged_up_none() -> None:
    cluster = builtin()
    restarted = stamps({}, cluster, cluster, {worker("worker"): "T1"})
    spec = worker_of(manifests(cluster, Facts(namespace="here"), Choices(restarted=restarted)))
    assert spec["template"]["metadata"]["annotations"] == {"raystead.io/restarted-at": "T1"}
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert stamps(restarted, cluster, scaled(cluster, {"worker": 7}), {}) == restarted


def test_a_new_template_loses_the_stamp_and_so_restarts_once() -> None:
    cluster = builtin()
    other = build(Flags(worker_cpu="2"), cluster)
    assert stamps({"worker": "T1", "head": "T0"}, cluster, other, {}) == {"head": "T0"}


def test_what_can_be_restarted() -> None:
    assert groups_named(builtin(), []) == [worker("worker")]
    assert groups_named(builtin(), ["head"]) == [HEAD]
    with pytest.raises(UsageError):
        groups_named(builtin(), ["gpu"])


def pod(name: str, *, ready: bool = True, deleted: bool = False) -> Pod:
    metadata = {"name": name, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return Pod.of({"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}})


def test_who_is_not_ready_or_idle_longest_goes_first() -> None:
    pods = [
        pod("busy"),
        pod("light"),
        pod("idle"),
        pod("old"),
        pod("new", ready=False),
        pod("x", deleted=True),
    ]
    idle = {"busy": NodeIdle(0, 2), "light": NodeIdle(0, 0), "idle": NodeIdle(5, 0), "old": NodeIdle(90, 0)}
    order = [p.name for p in victims(pods, 9, idle)]
    assert order == ["new", "old", "idle", "light", "busy"]


def test_what_a_worker_did_is_told_in_words() -> None:
    assert str(NodeIdle(200, 0)) == "idle for 3 min"
    assert str(NodeIdle(0, 2)) == "busy, 2 CPU in use"


def test_a_lease_has_no_pod_and_deletes_itself() -> None:
    spec = lease_job(builtin(), "here", 600)["spec"]
    assert (spec["parallelism"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (
        0,
        600,
        0,
    )


def test_times_of_a_lease() -> None:
    assert [seconds(text) for text in ("90", "90s", "10m", "1d")] == [90, 90, 600, 86400]
    for text in ("5s", "", "1w", "-1m"):
        with pytest.raises(UsageError):
            seconds(text)
