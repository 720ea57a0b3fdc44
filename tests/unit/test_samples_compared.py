"""scripts/samples says what of a RayJob has been lost on its way to objects: each field, one at a time."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))

from sample_jobs import lost_of_job  # noqa: E402

JOB = yaml.safe_load((ROOT / "tests/golden/rayjob.in.yaml").read_text())
OBJECTS = list(yaml.safe_load_all((ROOT / "tests/golden/rayjob.out.yaml").read_text()))
CRON = yaml.safe_load((ROOT / "tests/golden/raycronjob.in.yaml").read_text())
TICKING = list(yaml.safe_load_all((ROOT / "tests/golden/raycronjob.out.yaml").read_text()))


def of(objects: list[Json], kind: str, name: str) -> Json:
    return next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))


def order(objects: list[Json], change: Callable[[Json], object], name: str) -> None:
    data = of(objects, "ConfigMap", f"raystead-{name}-programs")["data"]
    said = json.loads(data["order.json"])
    change(said)
    data["order.json"] = json.dumps(said)


def test_nothing_of_the_goldens_is_lost() -> None:
    assert list(lost_of_job(JOB, "train", OBJECTS)) == []
    assert list(lost_of_job(CRON, CRON["metadata"]["name"], TICKING)) == []


LOST: dict[str, tuple[Callable[[list[Json]], object], str]] = {
    "the entrypoint": (lambda o: order(o, lambda s: s["body"].update(entrypoint="x"), "train"), "entrypoint"),
    "a variable": (lambda o: order(o, lambda s: s["body"].update(runtime_env={}), "train"), "runtimeEnvYAML"),
    "metadata": (lambda o: order(o, lambda s: s["body"].update(metadata={}), "train"), "metadata"),
    "CPUs": (
        lambda o: order(o, lambda s: s["body"].pop("entrypoint_num_cpus"), "train"),
        "entrypointNumCpus",
    ),
    "retries": (lambda o: order(o, lambda s: s.update(attempts=1), "train"), "backoffLimit"),
    "the deadline": (lambda o: order(o, lambda s: s.update(deadline=None), "train"), "activeDeadlineSeconds"),
    "a keeper": (
        lambda o: of(o, "ConfigMap", "raystead-train-programs")["data"].pop("keeper-self.json"),
        "what ends and when",
    ),
    "the submitter": (lambda o: o.remove(of(o, "Job", "train")), "the submitter"),
    "suspend": (lambda o: of(o, "Job", "train")["spec"].update(suspend=True), "suspend"),
}


@pytest.mark.parametrize(("lose", "told"), LOST.values(), ids=LOST)
def test_what_is_lost_is_named(lose: Callable[[list[Json]], object], told: str) -> None:
    objects = copy.deepcopy(OBJECTS)
    lose(objects)
    (found,) = lost_of_job(JOB, "train", objects)
    assert found.startswith(told)


def test_a_field_that_is_new_to_kuberay_is_not_passed_over() -> None:
    job = {**JOB, "spec": {**JOB["spec"], "retryPolicy": "Always"}}
    assert list(lost_of_job(job, "train", OBJECTS)) == ["retryPolicy: compared with nothing"]


@pytest.mark.parametrize("field", ["schedule", "timeZone"])
def test_a_cronjob_with_another_time_is_named(field: str) -> None:
    objects = copy.deepcopy(TICKING)
    cron = {**CRON, "spec": {"timeZone": "Etc/UTC", **CRON["spec"]}}
    next(o for o in objects if o["kind"] == "CronJob")["spec"][field] = "other"
    assert field in list(lost_of_job(cron, CRON["metadata"]["name"], objects))
