"""The test cluster is what the other tests take it for: users, admission, quota, volumes, the audit log,
faults.
"""

import json
import time
from pathlib import Path

import pytest
from audit import Audit
from faults import Faults
from kube import RESTRICTED, Kube, pod, until

pytestmark = pytest.mark.cluster
RAY, REDIS = "rayproject/ray:2.60.0", "redis:7"
SLEEP = ["sleep", "3600"]


def ready(kube: Kube, *names: str) -> None:
    kube.run("wait", "--for=condition=Ready", *(f"pod/{n}" for n in names), "--timeout=90s", timeout=100)


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_a_users_rights_are_those_of_his_role_in_his_namespace_alone(namespace, as_user, role: str) -> None:
    kube, other = namespace(), namespace()
    user = as_user(kube, role)
    writes = role != "view"
    assert user.can("list", "pods")
    assert user.can("create", "deployments.apps") is writes
    assert user.can("get", "secrets") is writes
    assert user.can("create", "pods", "exec") is writes
    assert user.can("create", "rolebindings.rbac.authorization.k8s.io") is (role == "admin")
    for verb, resource in [
        ("list", "nodes"),
        ("create", "namespaces"),
        ("list", "storageclasses.storage.k8s.io"),
    ]:
        assert not user.can(verb, resource)
    assert not user.at(other.namespace).can("list", "pods")


@pytest.mark.long
def test_pod_security_and_any_uid(namespace) -> None:
    kube = namespace(security="restricted")
    loose = pod("loose", RAY, SLEEP, securityContext={})
    refused = kube.run("apply", "-f", "-", stdin=json.dumps(loose), check=False)
    assert "violates PodSecurity" in refused.stderr
    kube.apply(
        pod("ray", RAY, SLEEP),
        pod("stranger", RAY, SLEEP, securityContext=RESTRICTED | {"runAsUser": 1234567}),
        pod(
            "redis",
            REDIS,
            ["docker-entrypoint.sh", "redis-server"],
            securityContext=RESTRICTED | {"runAsUser": 999},
        ),
    )
    ready(kube, "ray", "stranger", "redis")
    assert kube.exec("ray", "id", "-u").strip() == "1000"
    assert kube.exec("stranger", "sh", "-c", "id -u; touch ~/x && ray --version").split()[0] == "1234567"
    assert kube.exec("redis", "redis-cli", "ping").strip() == "PONG"


def test_admission_refuses_an_owner_one_may_not_delete(namespace, as_user) -> None:
    kube = namespace()
    user = as_user(kube, "edit")
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": kube.namespace, "blockOwnerDeletion": True}
    owner["uid"] = kube.get("namespace", kube.namespace)["metadata"]["uid"]
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "ownerReferences": [owner]}}
    with pytest.raises(AssertionError, match="cannot set blockOwnerDeletion"):
        user.apply(thing)


def test_quota_and_limit_range(namespace, as_user) -> None:
    kube = namespace(quota={"pods": "1", "limits.memory": "1Gi"}, limits=True)
    user = as_user(kube, "edit")
    until(lambda: kube.get("quota", "quota")["status"].get("used"), 20, "quota is counted")
    user.apply(pod("first", RAY, SLEEP, resources={}))
    assert user.get("pod", "first")["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi"
    with pytest.raises(AssertionError, match="exceeded quota"):
        user.apply(pod("second", RAY, SLEEP))


def claim(name: str) -> dict[str, object]:
    size = {"resources": {"requests": {"storage": "1Gi"}}}
    spec = {"accessModes": ["ReadWriteOnce"]} | size
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def test_volumes_bind_keep_data_and_go(own_cluster: Path, namespace) -> None:
    """Over 60 s on a busy machine: a pod is started, ended and started again."""
    kube, never = namespace(), namespace(volumes=False)
    kube.apply(claim("data"))
    never.apply(claim("data"))
    until(lambda: kube.get("pvc", "data")["status"]["phase"] == "Bound", 15, "the claim binds")
    volume = pod(
        "writer",
        RAY,
        ["sh", "-c", "echo kept >> /d/f; sleep 3600"],
        volumeMounts=[{"name": "d", "mountPath": "/d"}],
    )
    volume["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    for times in (1, 2):
        kube.apply(volume)
        ready(kube, "writer")
        assert kube.exec("writer", "cat", "/d/f").split() == ["kept"] * times
        kube.run("delete", "pod", "writer")
    name = kube.get("pvc", "data")["spec"]["volumeName"]
    kube.run("delete", "pvc", "data")
    until(lambda: kube.run("get", "pv", name, check=False).returncode, 20, "the volume goes with its claim")
    assert never.get("pvc", "data")["status"]["phase"] == "Pending"


def test_audit_counts_requests_and_tells_refusals(namespace, as_user, audit: Audit) -> None:
    kube = namespace()
    user = as_user(kube, "edit")
    audit.mark()
    user.run("get", "pods")
    user.run("create", "configmap", "a", "--from-literal=a=b")
    seen = [r for r in audit.none_refused(user.user) if r.resource]
    assert [(r.verb, r.resource, r.code) for r in seen] == [
        ("list", "pods", 200),
        ("create", "configmaps", 201),
    ]
    assert [r.mutates for r in seen] == [False, True]
    user.run("get", "nodes", check=False)
    with pytest.raises(AssertionError, match="was refused"):
        audit.none_refused(user.user)


def test_a_killed_container_restarts_and_a_pod_goes_by_force(namespace, machine_faults: Faults) -> None:
    kube = namespace()
    kube.apply(pod("victim", RAY, SLEEP))
    ready(kube, "victim")
    machine_faults.kill_container(kube, "victim", "main")
    until(
        lambda: kube.get("pod", "victim")["status"]["containerStatuses"][0]["restartCount"] == 1,
        30,
        "a restart",
    )
    machine_faults.delete_pod(kube, "victim", force=True)
    until(lambda: not kube.items("pods"), 5, "it is gone at once")


@pytest.mark.alone
def test_network_and_dns_are_cut_and_mended(namespace, machine_faults: Faults) -> None:
    kube = namespace()
    kube.apply(pod("client", RAY, SLEEP))
    ready(kube, "client")

    def reach() -> bool:
        return "yes" in kube.exec("client", "sh", "-c", "nc -z -w 1 10.96.0.1 443 && echo yes || true")

    def resolve() -> bool:
        name = "kubernetes.default.svc.cluster.local"
        return "10.96.0.1" in kube.exec("client", "sh", "-c", f"timeout 3 getent hosts {name} || true")

    until(reach, 10, "the API server answers")
    with machine_faults.no_network(kube, "client"):
        assert not reach()
    until(reach, 10, "mended")
    until(resolve, 20, "names resolve")
    with machine_faults.no_dns():
        assert not resolve()
    until(resolve, 30, "names resolve again")


@pytest.mark.alone
def test_api_server_stops_and_comes_back(namespace, machine_faults: Faults) -> None:
    kube = namespace()
    kube.apply(pod("stays", RAY, SLEEP))
    ready(kube, "stays")
    with machine_faults.no_api_server():
        assert kube.run("get", "pods", check=False).returncode
    until(lambda: kube.get("pod", "stays")["status"]["phase"] == "Running", 20, "the pod stayed")
    assert kube.get("pod", "stays")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_full_quota_refuses_and_mends(namespace, faults: Faults) -> None:
    kube = namespace()
    with faults.full_quota(kube), pytest.raises(AssertionError, match="exceeded quota"):
        kube.apply(pod("late", RAY, SLEEP))
    time.sleep(0.5)
    until(lambda: kube.apply(pod("late", RAY, SLEEP)) is None, 10, "room again")
