"""Namespaces with odd bounds: what will be refused is told before, and nothing is half made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.api
Json = dict[str, Any]
AsUser = Callable[[Kube, str], Kube]
UP = ("--wait=false", "--worker-cpu", "500m", "--worker-memory", "1Gi", "--workers", "1")


def quota(hard: Json, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "odd"},
        "spec": {"hard": hard, **spec},
    }


def limits(**one: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "odd"},
        "spec": {"limits": [one]},
    }


def scope(name: str, operator: str, *values: str) -> Json:
    term = {"scopeName": name, "operator": operator, **({"values": [*values]} if values else {})}
    return {"scopeSelector": {"matchExpressions": [term]}}


ROWS = {
    "pods that have no end": (quota({"pods": "0"}, scopes=["NotTerminating"]), "fail", "of pods"),
    "pods of no class": (quota({"pods": "0"}, **scope("PriorityClass", "DoesNotExist")), "fail", "of pods"),
    "ConfigMaps counted": (quota({"count/configmaps": "1"}), "fail", "count/configmaps"),
    "Secrets counted": (quota({"secrets": "0"}), "fail", "of secrets"),
    "no GPUs": (quota({"requests.nvidia.com/gpu": "0"}), "ok", ""),
    "a minimum": (limits(type="Container", min={"memory": "64Gi"}), "fail", "under the minimum 64Gi"),
    "a pod's bound": (limits(type="Pod", max={"cpu": "300m"}), "fail", "over the maximum 300m"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_what_a_namespace_bounds_is_told_before(
    namespace: Callable[..., Kube], as_user: AsUser, kind: str
) -> None:
    rule, verdict, words = ROWS[kind]
    space = namespace()
    space.apply(rule)
    if rule["kind"] == "ResourceQuota":
        until(lambda: "hard" in space.get("quota", "odd").get("status", {}), 20, "the quota counts")
    edit = Cli(as_user(space, "edit"))
    doctor = edit("doctor", *UP[1:], "-o", "json", code=None)
    checks = json.loads(doctor.stdout)["checks"]
    failed = [check["what"] for check in checks if check["verdict"] == "fail"]
    plan = edit("plan", *UP[1:], code=None)
    up = edit("up", *UP, code=None)
    told = doctor.stdout + plan.stdout + plan.stderr + up.stdout + up.stderr
    assert "Traceback" not in told
    assert "unexpected" not in told
    if verdict == "fail":
        assert any(words in what for what in failed), failed
        assert {plan.returncode, up.returncode} <= {80, 84}, up.stderr
        assert not space.items("configmaps,deployments", "-l", "raystead.io/cluster")
    else:
        assert failed == []
        assert (plan.returncode, up.returncode) == (0, 0), up.stderr
    edit("up", *UP, "--yes", code=None)
    edit("down", "--yes", code=None)
    assert not space.items("deployments,statefulsets,services,networkpolicies", "-l", "raystead.io/cluster")


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (quota({"persistentvolumeclaims": "0"}), "exceeded quota"),
        (quota({"requests.storage": "100Mi"}), "exceeded quota"),
        (limits(type="PersistentVolumeClaim", max={"storage": "100Mi"}), "maximum storage usage"),
    ],
    ids=["a number of claims", "their sizes", "the size of one"],
)
def test_a_namespace_that_refuses_claims_is_not_said_to_lack_a_class(
    namespace: Callable[..., Kube], as_user: AsUser, rule: Json, why: str
) -> None:
    """Redis then keeps its data in its pod, as where no volume can be had."""
    space = namespace()
    space.apply(rule)
    if rule["kind"] == "ResourceQuota":
        until(lambda: "hard" in space.get("quota", "odd").get("status", {}), 20, "the quota counts")
    edit = Cli(as_user(space, "edit"))
    doctor = edit("doctor", "-o", "json", code=None)
    (told,) = [c for c in json.loads(doctor.stdout)["checks"] if c["name"] == "state"]
    assert told["verdict"] == "warn"
    assert told["what"].startswith("the namespace refuses a claim: Redis keeps its data in its pod alone")
    assert why in told["evidence"]
    up = edit("up", "--wait=false")
    assert "the namespace refuses a claim of 1Gi: Redis keeps its data in its pod alone (" in up.stderr
    assert why in up.stderr
    assert "StorageClass" not in up.stderr + doctor.stdout
    refused = edit("up", "--name", "rocks", "--storage", "rocksdb", code=75)
    assert why in refused.stderr
