"""`raystead doctor` on a real API server: what it says is so, it asks little, and is never refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit import Audit
from doctors import REQUESTS, asked_little, check, checks, doctor, nothing_is_left, raystead
from fixtures import USERS
from kube import Kube, until

pytestmark = pytest.mark.api
Json = dict[str, Any]
MakeSpace = Callable[..., Kube]
AsUser = Callable[[Kube, str], Kube]


@pytest.fixture
def custom(admin: Kube, as_user: AsUser) -> Callable[[Kube, list[Json]], Kube]:
    """A user with these rules in the namespace and nothing else."""

    def make(space: Kube, rules: list[Json]) -> Kube:
        user = as_user(space, "view")
        space.run("delete", "rolebinding", "test-view")
        kind = "rbac.authorization.k8s.io/v1"
        space.apply(
            {"apiVersion": kind, "kind": "Role", "metadata": {"name": "few"}, "rules": rules},
            {
                "apiVersion": kind,
                "kind": "RoleBinding",
                "metadata": {"name": "few"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "few"},
                "subjects": [
                    {"kind": "ServiceAccount", "namespace": USERS, "name": user.user.rpartition(":")[2]}
                ],
            },
        )
        return user

    return make


def test_in_a_healthy_namespace_nothing_stands_in_the_way(
    namespace: MakeSpace, as_user: AsUser, audit: Audit
) -> None:
    space = namespace(security="restricted")
    user = as_user(space, "edit")
    audit.mark()
    said = doctor(user)
    asked_little(audit, user)
    assert said["requests"] == len(audit.requests(user.user))
    assert (said["problems"], said["unknown"]) == (0, 0), said["checks"]
    assert said["user"] == user.user
    assert check(said, "rights")["what"].startswith("all ")
    assert check(said, "pod security")["what"] == "restricted: passes"
    assert check(said, "state")["verdict"] == "ok"
    nothing_is_left(space)


def test_for_a_viewer_every_missing_right_is_a_line_and_the_rest_unknown(
    namespace: MakeSpace, as_user: AsUser, audit: Audit
) -> None:
    user = as_user(namespace(), "view")
    audit.mark()
    said = doctor(user)
    seen = audit.none_refused(user.user)
    assert len(seen) <= REQUESTS
    missing = {c["what"].split(":")[0] for c in checks(said, "rights")}
    assert "you may not create, patch or delete deployments.apps" in missing
    assert check(said, "admission")["verdict"] == "unknown"
    assert check(said, "state")["verdict"] == "unknown"
    assert check(said, "quota")["verdict"] == "ok"


def test_the_role_that_doctor_prints_is_enough(
    namespace: MakeSpace, custom: Callable[[Kube, list[Json]], Kube], audit: Audit
) -> None:
    space = namespace()
    user = custom(space, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])
    audit.mark()
    before = doctor(user)
    audit.none_refused(user.user)
    assert len(checks(before, "rights")) > 5
    assert check(before, "quota")["verdict"] == "unknown"
    role = raystead(user, "doctor", "--rbac")
    assert role.returncode == 0
    assert [d["kind"] for d in yaml.safe_load_all(role.stdout)] == ["Role", "RoleBinding"]
    space.apply(*(yaml.safe_dump(document) for document in yaml.safe_load_all(role.stdout)))
    until(lambda: doctor(user)["problems"] == 0, 20, "the new role holds")
    audit.mark()
    after = doctor(user)
    asked_little(audit, user)
    assert after["unknown"] == 0, after["checks"]
    for words in (("up", "--wait=false"), ("down", "-y")):
        done = raystead(user, *words)
        assert done.returncode == 0, done.stderr
    audit.none_refused(user.user)


@pytest.mark.parametrize(("verb", "missing"), [("get", "create"), ("create", "get")])
def test_port_forward_and_exec_need_both_verbs(
    namespace: MakeSpace, custom: Callable[[Kube, list[Json]], Kube], verb: str, missing: str
) -> None:
    every = ["get", "list", "watch", "create", "update", "patch", "delete"]
    groups = ["", "apps", "batch", "networking.k8s.io"]
    rules = [
        {"apiGroups": groups, "resources": [kind], "verbs": every}
        for kind in (
            "configmaps", "secrets", "services", "persistentvolumeclaims", "pods", "pods/log", "events",
            "deployments", "statefulsets", "replicasets", "networkpolicies", "jobs", "resourcequotas", "limitranges",
        )
    ]  # fmt: skip
    rules.append({"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": [verb]})
    said = doctor(custom(namespace(), rules))
    found = {c["what"].split(":")[0]: c["verdict"] for c in checks(said, "rights")}
    assert found == {
        f"you may not {missing} pods/portforward": "fail",
        f"you may not {missing} pods/exec": "warn",
    }


def test_a_quota_in_numbers_and_what_it_says_comes_true(
    namespace: MakeSpace, as_user: AsUser, audit: Audit
) -> None:
    space = namespace(quota={"requests.cpu": "1200m", "limits.memory": "8Gi", "pods": "20"})
    user = as_user(space, "edit")
    until(lambda: space.get("quota", "quota").get("status", {}).get("used"), 20, "the quota counts")
    audit.mark()
    said = doctor(user)
    asked_little(audit, user)
    quota = check(said, "quota")
    assert "needs 1.6 of requests.cpu, 1.2 left: 1 of 2 pods of worker will be refused" in quota["what"]
    assert quota["remedy"].startswith("raystead up --workers 1\n")
    assert "requests.cpu ≥ 1.6" in quota["remedy"]
    assert check(said, "pod security")["verdict"] == "ok"
    assert raystead(user, "up", "--wait=false", "--yes").returncode == 0
    until(lambda: len(space.items("pods")) == 3, 30, "all but one pod are made")
    again = doctor(user)  # what the cluster itself uses is not held against it
    assert check(again, "quota")["what"] == quota["what"]
    assert check(again, "names")["verdict"] == "ok"
    assert check(doctor(user, "--workers", "1"), "quota")["verdict"] == "ok"
    assert raystead(user, "down", "-y").returncode == 0


def test_a_limit_range_and_the_sizes_that_fit_it(namespace: MakeSpace, as_user: AsUser, audit: Audit) -> None:
    user = as_user(namespace(limits=True), "edit")
    assert check(doctor(user), "limits")["verdict"] == "ok"
    audit.mark()
    said = doctor(user, "--worker-cpu", "3")
    asked_little(audit, user)
    found = check(said, "limits")
    assert "the limit of cpu 3 is over the maximum 2" in found["what"]
    assert found["remedy"].startswith("raystead up --worker-cpu 2\n")
    assert check(said, "admission")["verdict"] == "unknown"
    assert check(doctor(user, "--worker-cpu", "2"), "limits")["verdict"] == "ok"


def test_pod_security_refuses_what_the_file_asks_for(
    namespace: MakeSpace, as_user: AsUser, audit: Audit, tmp_path: Path
) -> None:
    file = tmp_path / "ray.yaml"
    plain = {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0-py311"}]}
    rooted = {"containers": [{**plain["containers"][0], "securityContext": {"privileged": True}}]}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "ray.io/v1",
                "kind": "RayCluster",
                "metadata": {"name": "mine"},
                "spec": {
                    "rayVersion": "2.60.0",
                    "headGroupSpec": {"template": {"spec": plain}},
                    "workerGroupSpecs": [{"groupName": "gpu", "replicas": 1, "template": {"spec": rooted}}],
                },
            }
        )
    )
    for level in ("baseline", "restricted"):
        user = as_user(namespace(security=level), "edit")
        audit.mark()
        said = doctor(user, "-f", str(file))
        asked_little(audit, user)
        found = check(said, "pod security")
        assert f"PodSecurity `{level}` refuses 1 pod" in found["what"]
        assert "privileged" in found["what"]
    user = as_user(namespace(security="privileged"), "edit")
    assert doctor(user, "-f", str(file))["problems"] == 0


def test_default_deny_is_a_note_and_without_our_policies_a_problem(
    namespace: MakeSpace, as_user: AsUser, audit: Audit
) -> None:
    user = as_user(namespace(deny=True), "edit")
    audit.mark()
    found = check(doctor(user), "network")
    asked_little(audit, user)
    assert (found["verdict"], "policies will be added" in found["what"]) == ("warn", True)
    assert "cannot be seen here" in found["evidence"]
    closed = check(doctor(user, "--policies", "never"), "network")
    assert closed["verdict"] == "fail"
    assert "worker to DNS (default-deny)" in closed["what"]


def test_names_that_somebody_else_has(namespace: MakeSpace, as_user: AsUser) -> None:
    space = namespace()
    user = as_user(space, "edit")
    space.run("create", "service", "clusterip", "redis", "--tcp=6379")
    space.run("create", "deployment", "deployment-ray-head", "--image=x", "--replicas=0")
    found = check(doctor(user), "names")
    assert "Deployment/deployment-ray-head exist" in found["what"]
    assert "Service/redis" in found["what"]


def test_an_image_that_no_one_can_pull_and_a_version_that_differs(
    namespace: MakeSpace, as_user: AsUser
) -> None:
    user = as_user(namespace(), "edit")
    refused = raystead(user, "doctor", "--image", "https://x/ray")
    assert (refused.returncode, "did you mean x/ray?" in refused.stderr) == (2, True), refused.stderr
    slip = check(doctor(user, "--image", "rayproject/ray:2.60.O"), "image")
    assert slip["remedy"] == "raystead up --image rayproject/ray:2.60.0"


def test_a_namespace_that_is_not_there_is_a_sentence(admin: Kube) -> None:
    done = raystead(admin, "doctor", "-n", "no-such-namespace")
    assert done.returncode == 80
    assert "there is no namespace no-such-namespace" in done.stderr


def test_a_probe_that_the_quota_refuses_says_so(namespace: MakeSpace, as_user: AsUser) -> None:
    space = namespace(quota={"pods": "0"})
    user = as_user(space, "edit")
    found = check(doctor(user, "--probe"), "probe")
    assert found["verdict"] == "unknown"
    assert "exceeded quota" in found["evidence"]
    until(lambda: not space.items("jobs"), 20, "the Job is gone")
