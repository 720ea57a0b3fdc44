"""A plan as people read it and as programs do."""

from __future__ import annotations

import json

from syrupy.assertion import SnapshotAssertion

from raystead.plan.model import Action, By, Change, FieldChange, Plan
from raystead.ui.plans import plan_brief, plan_json, plan_text, summary

IMAGE = "spec.template.spec.containers[ray-head].image"
ARGS = "spec.template.spec.containers[ray-head].args"
LONG = (
    "ulimit -n 65536; exec ray start --head --block --port=6379 --num-cpus={} --dashboard-host=0.0.0.0 --x={}"
)
PLAN = Plan(
    (
        Change(Action.UNCHANGED, "ConfigMap", "same"),
        Change(Action.CREATE, "Service", "a-head-svc"),
        Change(
            Action.CHANGE,
            "Deployment",
            "a-head",
            (
                FieldChange(IMAGE, "ray:1", "ray:2"),
                FieldChange(ARGS, [LONG.format(1, "a")], [LONG.format(2, "b")]),
                FieldChange(
                    "spec.template.spec.containers[ray-head].env[KUBERAY_GEN_RAY_START_CMD].value", "x", "y"
                ),
                FieldChange("spec.template.spec.containers[ray-head].env[HF_TOKEN].value", "***", "***"),
                FieldChange(
                    "spec.template.spec.containers[ray-head].env[A]", None, {"name": "A", "value": "1"}
                ),
                FieldChange("spec.template.spec.terminationGracePeriodSeconds", 30, 5, By.VERSION),
                FieldChange("spec.replicas", 3, 1, By.DRIFT),
            ),
            restarts=1,
            loses="drivers that run on the head; actors and workers stay",
        ),
        Change(
            Action.REPLACE,
            "StatefulSet",
            "a-redis",
            (FieldChange("spec.volumeClaimTemplates[data].spec.storageClassName", None, "fast"),),
            restarts=1,
            reason="volumeClaimTemplates cannot be changed in place",
        ),
        Change(Action.DELETE, "Deployment", "a-b-worker", stops=3, reason='group "b" is removed'),
    ),
    notes=("PersistentVolumeClaim/x stays",),
    problems=("Service/y exists and was not made by raystead",),
)


def test_text(snapshot: SnapshotAssertion) -> None:
    assert plan_text(PLAN) == snapshot


def test_colour_adds_nothing_but_colour() -> None:
    import re

    coloured = plan_text(PLAN, colour=True)
    assert coloured != plan_text(PLAN)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plan_text(PLAN)


def test_an_empty_plan_says_so() -> None:
    same = Plan((Change(Action.UNCHANGED, "Service", "a"),))
    assert plan_text(same) == plan_brief(same) == "nothing to change: 1 object as the spec wants"


def test_the_sums() -> None:
    assert summary(PLAN) == "1 to create, 1 to change, 1 to replace, 1 to delete; 2 pods restart, 3 pods stop"


def test_one_line_holds_as_many_names_as_fit() -> None:
    assert plan_brief(PLAN, 110).startswith("+ Service/a-head-svc  …  1 to create")
    for width in (80, 100, 120, 200):
        assert len(plan_brief(PLAN, width)) <= max(width, len(summary(PLAN)))
    assert "…" not in plan_brief(PLAN, 400)


def test_json_has_everything(snapshot: SnapshotAssertion) -> None:
    assert json.dumps(plan_json(PLAN), indent=1, ensure_ascii=False) == snapshot
