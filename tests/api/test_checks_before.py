"""What doctor knows, `plan` and `up` know: in its words, and before anything is stopped."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import Cli
from doctors import check, doctor
from kube import Kube, pod, until

pytestmark = pytest.mark.api
MakeSpace = Callable[..., Kube]
AsUser = Callable[[Kube, str], Kube]
SMALL = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "3Gi"}}]},
}


def test_a_size_over_the_limit_range_is_refused_before_a_healthy_worker_is_stopped(
    namespace: MakeSpace, as_user: AsUser
) -> None:
    space = namespace()
    edit = Cli(as_user(space, "edit"))
    edit("up", "--wait=false")
    space.apply(SMALL)
    generation = space.get("deployment", "deployment-ray-worker")["metadata"]["generation"]
    words = check(doctor(edit.user, "--worker-memory", "4Gi"), "limits")
    assert "the limit of memory 4Gi is over the maximum 3Gi" in words["what"]

    refused = edit("up", "--wait=false", "--worker-memory", "4Gi", code=84)
    assert f"limits: {words['what']}" in refused.stderr
    assert words["remedy"].splitlines()[0] == "raystead up --worker-memory 3Gi"
    assert words["remedy"].splitlines()[0] in refused.stderr
    assert space.get("deployment", "deployment-ray-worker")["metadata"]["generation"] == generation

    planned = edit("plan", "--worker-memory", "4Gi", "-o", "json", code=84)
    assert [one["what"] for one in json.loads(planned.stdout)["checks"]] == [words["what"]]
    for verb in (["plan"], ["up", "--dry-run=server"]):
        assert words["what"] in edit(*verb, "--worker-memory", "4Gi", code=84).stdout

    edit("up", "--wait=false", "--worker-memory", "3Gi", "--yes")  # what the advice says is taken
    edit("up", "--wait=false", "--worker-memory", "4Gi", "--yes")  # who insists gets it
    assert space.get("deployment", "deployment-ray-worker")["metadata"]["generation"] == generation + 2


def test_too_small_a_quota_is_told_in_numbers_before_anything_is_made(
    namespace: MakeSpace, as_user: AsUser
) -> None:
    space = namespace(quota={"requests.cpu": "1200m"})
    edit = Cli(as_user(space, "edit"))
    until(lambda: space.get("quota", "quota").get("status", {}).get("used"), 20, "the quota counts")
    words = check(doctor(edit.user), "quota")
    refused = edit("up", "--wait=false", code=84)
    assert words["what"] in refused.stderr
    assert "raystead up --workers 1" in refused.stderr
    assert not space.items("configmaps,deployments", "-l", "raystead.io/cluster")
    edit("up", "--wait=false", "--workers", "1")
    grown = edit("scale", "3", code=84)
    assert "of worker will be refused" in grown.stderr
    edit("scale", "0", "--yes", "--timeout", "1s", code=None)  # fewer is never refused
    assert space.get("deployment", "deployment-ray-worker")["spec"]["replicas"] == 0


REFUSED = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: refused}
spec:
  headGroupSpec:
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0
        - name: side
          image: busybox:1.36
          env:
          - name: "A=B"
  workerGroupSpecs:
  - groupName: w
    replicas: 1
    template:
      spec:
        nodeSelector:
          "bad key!": x
        containers:
        - name: ray
          image: rayproject/ray:2.60.0
          securityContext: {runAsUser: -5}
"""


def test_what_the_server_refuses_of_the_files_templates_is_told_with_its_lines(
    namespace: MakeSpace, as_user: AsUser, tmp_path: Path
) -> None:
    space, file = namespace(), tmp_path / "ray.yaml"
    file.write_text(REFUSED)
    edit = Cli(as_user(space, "edit"))
    group = "spec.workerGroupSpecs[0].template.spec"
    lines = (
        f"{file}:14:13: spec.headGroupSpec.template.spec.containers[1].env[0].name: Invalid value",
        f"{file}:20:9: {group}.nodeSelector: Invalid value",
        f"{file}:25:29: {group}.containers[0].securityContext.runAsUser: Invalid value: -5",
    )
    for verb, code in ((["plan"], 80), (["doctor"], 84), (["up", "--wait=false"], 80)):
        done = edit(*verb, "-f", str(file), code=code)
        for line in lines:
            assert line in done.stdout + done.stderr, done.stdout + done.stderr
        assert "administrator" not in done.stdout + done.stderr
    (head, worker) = (
        one
        for one in json.loads(edit("doctor", "-f", str(file), "-o", "json", code=84).stdout)["checks"]
        if one["verdict"] == "fail"
    )
    assert head["remedy"] == f"correct line 14 of the file, then raystead up -f {file}"
    assert worker["remedy"] == f"correct line 20 of the file and the others, then raystead up -f {file}"
    assert not space.items("configmaps,deployments", "-l", "raystead.io/cluster")


def test_an_unchanged_up_asks_nothing_more(namespace: MakeSpace, as_user: AsUser, audit: Audit) -> None:
    space = namespace()
    edit = Cli(as_user(space, "edit"))
    edit("up", "--wait=false")
    audit.mark()
    edit("up", "--wait=false")
    asked = audit.requests(edit.user.user)
    assert not [r for r in asked if r.resource in ("resourcequotas", "limitranges")]
    assert not [r for r in asked if r.resource == "pods" and r.verb == "create"]


def test_a_claim_and_a_secret_that_the_file_brings_are_not_missing(
    namespace: MakeSpace, as_user: AsUser, tmp_path: Path
) -> None:
    edit = Cli(as_user(namespace(), "edit"))
    cluster = yaml.safe_load(edit("render", "--as", "raycluster").stdout)
    pod = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    pod["containers"][0]["envFrom"] = [{"secretRef": {"name": "keys"}}]
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "b"}}
    whole, bare = tmp_path / "whole.yaml", tmp_path / "bare.yaml"
    whole.write_text(yaml.safe_dump_all([cluster, claim, secret]))
    bare.write_text(yaml.safe_dump_all([cluster]))
    assert doctor(edit.user, "-f", str(whole))["problems"] == 0
    edit("plan", "-f", str(whole))
    assert "mounts the claim data, which is not there" in edit("up", "-f", str(bare), code=84).stderr


def test_a_size_beyond_any_machine_is_honestly_not_checked(namespace: MakeSpace, as_user: AsUser) -> None:
    user = as_user(namespace(), "edit")
    found = check(doctor(user, "--worker-cpu", "4000"), "nodes")
    assert found["verdict"] == "unknown"
    assert found["what"].startswith("not checked, you may not list nodes; worker pod asks for 4000 of cpu")
    assert not [c for c in doctor(user)["checks"] if c["name"] == "nodes"]
    planned = Cli(user)("plan", "--worker-cpu", "4000")
    assert "? nodes" in planned.stdout


def test_in_too_small_a_quota_redis_and_the_head_come_first(namespace: MakeSpace, as_user: AsUser) -> None:
    space = namespace(quota={"requests.cpu": "1200m"})
    edit = Cli(as_user(space, "edit"))
    edit("up", "--wait=false", "--yes", "--workers", "8", "--worker-cpu", "200m")
    until(lambda: len(space.items("pods")) == 5, 30, "all that fits is made")
    names = [item["metadata"]["name"] for item in space.items("pods")]
    assert [n for n in names if n.startswith("redis")], names
    assert [n for n in names if n.startswith("deployment-ray-head")], names


def test_a_wait_wakes_the_kubelet_that_was_refused_a_claim_too_early(
    namespace: MakeSpace, as_user: AsUser
) -> None:
    """Its own pod alone: not one with another trouble, nor a colleague's with this cluster's label."""
    space = namespace()
    running = Cli(as_user(space, "edit")).start("up", "--timeout", "10m")

    def pods() -> dict[str, Any]:
        return {p["metadata"]["name"]: p for p in space.items("pods")}

    try:
        until(lambda: "redis-0" in pods() and any("head" in name for name in pods()), 30, "pods are made")
        copied = pods()["redis-0"]["metadata"]["labels"]
        space.apply(pod("copy", "redis:7", ["true"], {"raystead.io/cluster": copied["raystead.io/cluster"]}))
        head = next(name for name in pods() if "head" in name)
        early = "no relationship found between node 'n1' and this object"
        for name, why in (("copy", early), (head, "not yet"), ("redis-0", early)):
            uid = pods()[name]["metadata"]["uid"]
            about = {"kind": "Pod", "name": name, "namespace": space.namespace, "uid": uid}
            event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{name}.1"}}
            message = f'persistentvolumeclaims "data" is forbidden: {why}'
            told = {"type": "Warning", "reason": "FailedMount", "message": message}
            space.apply({**event, "involvedObject": about, **told})
        tried = "raystead.io/tried-at"

        def woken() -> set[str]:
            return {name for name, p in pods().items() if tried in p["metadata"].get("annotations", {})}

        until(lambda: "redis-0" in woken(), 10, "the kubelet is woken")
        assert woken() == {"redis-0"}
    finally:
        running.terminate()
        running.communicate()


def test_a_wait_wakes_the_controller_once_the_quota_has_room(namespace: MakeSpace, as_user: AsUser) -> None:
    """A minute: only after 41 s of refusals is the controller's next own try, at 82 s, far enough away."""
    space = namespace(quota={"pods": "2"})
    edit = Cli(as_user(space, "edit"))
    running = edit.start("up", "--yes", "--timeout", "10m")
    until(lambda: len(space.items("pods")) == 2, 30, "what fits is made")
    time.sleep(46)  # by now the controller pauses for about as long
    space.run("patch", "quota", "quota", "-p", '{"spec":{"hard":{"pods":"9"}}}')
    try:
        until(lambda: len(space.items("pods")) == 4, 14, "the refused pods are made")
    finally:
        running.terminate()
        running.communicate()
    woken = [i["metadata"]["annotations"] for i in space.items("replicasets") if i["spec"]["replicas"] == 2]
    assert "raystead.io/tried-at" in woken[0]


ROLED = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: roled}
spec:
  headGroupSpec: {template: {spec: {serviceAccountName: sa, containers: [{name: h, image: "rayproject/ray:2.60.0"}]}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: sa}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [events], verbs: [get, list]}]
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: sa}}
"""


def test_a_file_may_bring_the_account_of_its_pods_with_its_role_and_binding(
    namespace: MakeSpace, as_user: AsUser, tmp_path: Path
) -> None:
    """None of the three is there when the server is asked by dry-run about the pod and the binding."""
    space = namespace()
    admin, file = Cli(as_user(space, "admin")), tmp_path / "roled.yaml"
    file.write_text(ROLED)
    for verb in (["plan"], ["doctor"], ["up", "--wait=false"]):
        admin(*verb, "-f", str(file))
    assert space.get("rolebinding", "reads")["roleRef"]["name"] == "reader"
    assert space.get("deployment", "roled-head")["spec"]["template"]["spec"]["serviceAccountName"] == "sa"
    gone = admin("down", "-f", str(file), "--yes").stderr
    assert "gone with the file: ServiceAccount/sa, Role/reader, RoleBinding/reads" in gone


def test_a_claim_that_is_there_is_not_missing_to_status(namespace: MakeSpace, as_user: AsUser) -> None:
    edit = Cli(as_user(namespace(), "edit"))
    edit("up", "--wait=false", "--storage", "rocksdb")
    seen = json.loads(edit("status", "-o", "json").stdout)["raystead"]
    assert seen["drift"] == []
    (claim,) = edit.user.items("pvc")
    name = claim["metadata"]["name"]
    finalizers = {"metadata": {"finalizers": None}}  # no pod uses it: none runs here
    edit.user.run("patch", "pvc", name, "--type=merge", "-p", json.dumps(finalizers))
    edit.user.run("delete", "pvc", name)
    seen = json.loads(edit("status", "-o", "json").stdout)["raystead"]
    assert seen["drift"] == [f"PersistentVolumeClaim/{name} is missing"]


@pytest.mark.parametrize("storage", ["none", "redis", "rocksdb"])
def test_up_and_down_count_objects_alike(namespace: MakeSpace, as_user: AsUser, storage: str) -> None:
    """Whatever controllers have made beside them: pods, ReplicaSets, Redis' claim."""
    edit = Cli(as_user(namespace(), "edit"))
    up = edit("up", "--name", "mine", "--wait=false", "--storage", storage).stderr
    made = re.search(r"(\d+) to create", up)
    assert made, up
    until(lambda: len(edit.user.items("pods")) >= 3, 30, "the controllers have made their pods")
    assert f'"mine" is gone: {made[1]} objects' in edit("down", "mine").stderr
