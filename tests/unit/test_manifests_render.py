"""What the objects promise: the guide's names, the deviations of docs/deviations.md, speed, purity."""

from __future__ import annotations

import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from patience import patience

from raystead.errors import SpecError
from raystead.manifests import scripts
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.render import manifests, secret_commands
from raystead.manifests.storage import inline_password, storage_kind
from raystead.spec.builtin import builtin
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster, read

GOLDEN = Path(__file__).parent.parent / "golden"


def raw(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text())
    return spec


def load(name: str) -> RayCluster:
    return read(RayCluster, raw(name))


def find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))


def env(item: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value") for e in item["spec"]["template"]["spec"]["containers"][0]["env"]}


def args(item: dict[str, Any]) -> str:
    return str(item["spec"]["template"]["spec"]["containers"][0]["args"][0])


def test_guide_names_ports_selectors() -> None:
    objects = manifests(load("guide"), Facts(), Choices(policies="always"))
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    assert {n for k, n in names if k == "NetworkPolicy"} == {
        "ray-head-ingress",
        "ray-head-egress",
        "ray-worker-ingress",
        "ray-worker-egress",
        "redis-ingress",
    }
    head = find(objects, "Deployment", "deployment-ray-head")
    worker = find(objects, "Deployment", "deployment-ray-worker")
    service = find(objects, "Service", "service-ray-cluster")
    ports = {p["name"]: p["port"] for p in service["spec"]["ports"]}
    assert ports == {"client": 10001, "dashboard": 8265, "gcs-server": 6380}
    assert service["spec"]["selector"] == {"app": "ray-cluster-head"}
    for item, role in ((head, "head"), (worker, "worker")):
        assert item["spec"]["selector"]["matchLabels"] == {
            "component": f"ray-{role}",
            "type": "ray",
            "app": f"ray-cluster-{role}",
        }
    assert (head["spec"]["replicas"], worker["spec"]["replicas"]) == (1, 2)
    assert head["spec"]["template"]["spec"]["containers"][0]["name"] == "ray-head"
    assert "--address=service-ray-cluster:6380" in args(worker)
    assert ("ConfigMap", "redis-config") in names
    assert find(objects, "Service", "redis")["spec"]["ports"][0]["port"] == 6379


def test_no_policy_opens_the_dashboard() -> None:
    for policy in [
        o
        for o in manifests(load("guide"), Facts(), Choices(policies="always"))
        if o["kind"] == "NetworkPolicy"
    ]:
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], "a rule without peers lets everybody in"
            assert {} not in [peer.get("podSelector") for peer in rule["from"]]


@pytest.mark.parametrize(
    ("policies", "isolated", "types"),
    [
        ("auto", False, {"Ingress"}),
        ("auto", True, {"Ingress", "Egress"}),
        ("always", False, {"Ingress", "Egress"}),
    ],
)
def test_policies_modes(policies: str, isolated: bool, types: set[str]) -> None:
    objects = manifests(load("rocksdb"), Facts(isolated=isolated), Choices(policies=policies))
    found = {t for o in objects if o["kind"] == "NetworkPolicy" for t in o["spec"]["policyTypes"]}
    assert found == types


def test_policies_never() -> None:
    assert not [
        o
        for o in manifests(load("guide"), Facts(), Choices(policies="never"))
        if o["kind"] == "NetworkPolicy"
    ]


def test_policies_annotation() -> None:
    spec = raw("rocksdb")
    spec["metadata"]["annotations"] = {"raystead.io/policies": "never"}
    cluster = read(RayCluster, spec)
    assert not [o for o in manifests(cluster, Facts()) if o["kind"] == "NetworkPolicy"]
    assert [
        o for o in manifests(cluster, Facts(), Choices(policies="always")) if o["kind"] == "NetworkPolicy"
    ]


def test_built_in_spec_is_the_guides() -> None:
    objects = manifests(builtin(), Facts(), Choices(policies="always"))
    assert {(o["kind"], o["metadata"]["name"]) for o in objects} == {
        (o["kind"], o["metadata"]["name"])
        for o in manifests(load("guide"), Facts(), Choices(policies="always"))
    }
    head = find(objects, "Deployment", "deployment-ray-head")
    assert "--port=6380" in args(head)
    ports = find(objects, "Service", "service-ray-cluster")["spec"]["ports"]
    assert [p["port"] for p in ports] == [10001, 8265, 6380]


def test_token_is_on_and_a_file() -> None:
    for item in manifests(load("rocksdb"), Facts()):
        if item["kind"] == "Deployment":
            assert env(item)["RAY_AUTH_MODE"] == "token"
            assert env(item)["RAY_AUTH_TOKEN_PATH"] == "/etc/raystead/token/auth_token"
            assert "RAY_AUTH_TOKEN" not in env(item)


def test_token_off() -> None:
    head = find(manifests(load("overridden"), Facts()), "Deployment", "custom-head")
    assert env(head)["RAY_AUTH_MODE"] == "disabled"
    old = find(manifests(load("ray29"), Facts()), "Deployment", "old-head")
    assert "RAY_AUTH_MODE" not in env(old)


def test_head_service_is_clusterip() -> None:
    service = find(manifests(load("kuberay-minimal"), Facts()), "Service", "raycluster-mini-head-svc")
    assert service["spec"]["type"] == "ClusterIP"
    assert "clusterIP" not in service["spec"]
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_head_service_selector_survives_label_overrides() -> None:
    spec = raw("kuberay-minimal")
    labels = {"app.kubernetes.io/created-by": "me", "ray.io/cluster": "other"}
    spec["spec"]["headGroupSpec"]["template"]["metadata"] = {"labels": labels}
    objects = manifests(read(RayCluster, spec), Facts())
    head = find(objects, "Deployment", "raycluster-mini-head")["spec"]["template"]["metadata"]["labels"]
    service = find(objects, "Service", "raycluster-mini-head-svc")
    assert service["spec"]["selector"].items() <= head.items()
    assert head["app.kubernetes.io/created-by"] == "me"


def test_no_init_container_and_no_index_label() -> None:
    objects = manifests(load("gpu-groups"), Facts())
    for item in [o for o in objects if o["kind"] == "Deployment"]:
        assert "initContainers" not in item["spec"]["template"]["spec"]
        assert "ray.io/worker-group-replica-index" not in item["spec"]["template"]["metadata"]["labels"]


def test_restart_policy_becomes_always() -> None:
    item = find(manifests(load("gpu-groups"), Facts()), "Deployment", "train-mig-worker")
    assert item["spec"]["template"]["spec"]["restartPolicy"] == "Always"


def test_no_storage_without_a_word() -> None:
    assert storage_kind(load("kuberay-minimal")) == "none"
    objects = manifests(load("kuberay-minimal"), Facts())
    assert not [o for o in objects if o["kind"] in ("StatefulSet", "PersistentVolumeClaim")]


def test_usage_stats_off() -> None:
    head = find(manifests(load("kuberay-minimal"), Facts()), "Deployment", "raycluster-mini-head")
    assert env(head)["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "RAY_USAGE_STATS_KUBERAY_IN_USE" not in env(head)


def test_probes_ask_for_no_program_in_the_image() -> None:
    head = find(manifests(load("rocksdb"), Facts()), "Deployment", "rocks-head")
    ray = head["spec"]["template"]["spec"]["containers"][0]
    assert ray["readinessProbe"]["httpGet"] == {"path": "/api/gcs_healthz", "port": 8265}
    assert ray["livenessProbe"]["httpGet"] == {"path": "/api/healthz", "port": 52365}


def test_a_shared_memory_volume_of_the_users_is_the_one_that_is_mounted() -> None:
    document = raw("kuberay-minimal")
    group = document["spec"]["workerGroupSpecs"][0]
    own = {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": "10Gi"}}
    group["template"]["spec"]["volumes"] = [own]
    objects = manifests(read(RayCluster, document), Facts())
    name = f"{document['metadata']['name']}-{group['groupName']}-worker"
    spec = find(objects, "Deployment", name)["spec"]["template"]["spec"]
    assert [v for v in spec["volumes"] if v.get("emptyDir")] == [own]
    mounts = {m["mountPath"]: m["name"] for m in spec["containers"][0]["volumeMounts"]}
    assert mounts["/dev/shm"] == "shared-mem"


def test_drain_fits_into_grace() -> None:
    for name in ("guide", "gpu-groups", "rocksdb"):
        for item in [o for o in manifests(load(name), Facts()) if o["kind"] == "Deployment"]:
            drain = int(env(item)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
            assert drain < item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert env(item)["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"


def test_group_name_capitals_and_multi_host() -> None:
    objects = manifests(load("gpu-groups"), Facts())
    big = find(objects, "Deployment", "train-a100-worker")
    assert big["spec"]["template"]["metadata"]["labels"]["ray.io/group"] == "A100"
    assert big["spec"]["replicas"] == 3
    assert find(objects, "Deployment", "train-mig-worker")["spec"]["replicas"] == 2
    assert find(objects, "Service", "train-headless")["spec"]["clusterIP"] == "None"


def test_suspended_runs_nothing() -> None:
    objects = manifests(load("overridden"), Facts())
    assert {o["spec"]["replicas"] for o in objects if o["kind"] == "Deployment"} == {0}


def test_inline_password_becomes_a_secret() -> None:
    cluster = load("inline-password")
    assert inline_password(cluster) == "PLANTED-s3cret"
    head = find(manifests(cluster, Facts()), "Deployment", "inline-head")
    assert '--redis-password="$(cat /etc/raystead/redis/password)"' in args(head)
    assert any("raystead-inline-redis" in line for line in secret_commands(cluster, Facts()))


@pytest.mark.parametrize("where", ["param", "env"])
def test_password_in_param_or_env_becomes_a_secret(where: str) -> None:
    spec = raw("kuberay-minimal")
    head = spec["spec"]["headGroupSpec"]
    ray = head["template"]["spec"]["containers"][0]
    ray["env"] = [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]
    if where == "param":
        head["rayStartParams"] = {"redis-password": "PLANTED"}
    else:
        head["rayStartParams"] = {"redis-password": "$REDIS_PASSWORD"}
        ray["env"].append({"name": "REDIS_PASSWORD", "value": "PLANTED"})
    cluster = read(RayCluster, spec)
    assert "PLANTED" not in repr(manifests(cluster, Facts()))
    assert "PLANTED" not in repr(secret_commands(cluster, Facts()))


def test_secrets_of_the_users_are_not_made() -> None:
    assert secret_commands(load("external-redis"), Facts()) == []
    lines = secret_commands(load("guide"), Facts(namespace="ns"))
    assert ["generic ray-cluster" in lines[0], "raystead-ray-cluster-redis" in lines[1]] == [
        True,
        True,
    ]


def test_bad_redis_user_is_a_sentence() -> None:
    spec = raw("guide")
    spec["metadata"]["annotations"]["raystead.io/redis-user"] = "root"
    with pytest.raises(SpecError, match="not a user id"):
        manifests(read(RayCluster, spec), Facts())


def test_redis_start_script(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("port 1\n")
    (tmp_path / "password").write_text('a"b\\c d')
    text = scripts.redis_start(f"{tmp_path}/conf", f"{tmp_path}/password", f"{tmp_path}/out")
    subprocess.run(["sh", "-ec", text.replace("exec redis-server", "cat")], check=True, capture_output=True)
    assert (tmp_path / "out").read_text() == 'port 1\nrequirepass "a\\"b\\\\c d"\n'


def test_redis_does_not_start_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("port 1\n")
    (tmp_path / "password").write_text("")
    text = scripts.redis_start(f"{tmp_path}/conf", f"{tmp_path}/password", f"{tmp_path}/out")
    done = subprocess.run(["sh", "-ec", text.replace("exec redis-server", "cat")], capture_output=True)
    assert done.returncode == 1
    assert b"empty" in done.stderr


def test_python_in_scripts_compiles() -> None:
    texts = (scripts.WAIT_FOR_REDIS, scripts.fail_dead_jobs("52365"), scripts.take_redis("x"))
    for text in texts:
        compile(text.split("'")[1], "script", "exec")


def test_a_pods_http_proxy_does_not_see_what_the_head_asks_itself(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    asked: list[str] = []

    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['Authorization']}")
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Agent) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        program = scripts.fail_dead_jobs(str(server.server_port)).split("'")[1].replace("time.sleep(4)", "")
        env = {"http_proxy": "http://127.0.0.1:9", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
        subprocess.run([sys.executable, "-IS", "-c", program], check=True, env=env, timeout=patience(20))
        server.shutdown()
    assert asked == ["/api/job_agent/jobs/x/logs Bearer secret"]


def test_pure_and_stable() -> None:
    cluster = load("overridden")
    before = cluster.document()
    first = manifests(cluster, Facts())
    first[-1]["spec"]["template"]["spec"].clear()
    assert cluster.document() == before
    assert manifests(cluster, Facts()) == manifests(load("overridden"), Facts())


def test_two_hundred_groups_in_half_a_second() -> None:
    spec = raw("rocksdb")
    group = spec["spec"]["workerGroupSpecs"][0]
    spec["spec"]["workerGroupSpecs"] = [{**group, "groupName": f"g{i}"} for i in range(200)]
    cluster = read(RayCluster, spec)
    start = time.process_time()
    objects = manifests(cluster, Facts(), Choices(policies="always"))
    assert time.process_time() - start < patience(0.5)
    assert sum(o["kind"] == "Deployment" for o in objects) == 201


def test_allow_from_opens_what_it_names_and_nothing_else() -> None:
    text = "namespace=mon,pods=app=prom to metrics; pods=app=web to dashboard,client"
    spec = raw("kuberay-minimal")
    spec["metadata"].setdefault("annotations", {})["raystead.io/allow-from"] = text
    objects = manifests(read(RayCluster, spec), Facts(namespace="ns"))
    head, *workers = [o["spec"]["ingress"][1:] for o in objects if o["kind"] == "NetworkPolicy"]
    prom = {"kubernetes.io/metadata.name": "mon"}
    assert [[p["port"] for p in rule["ports"]] for rule in head] == [[8080, 44217, 44227], [8265, 10001]]
    assert head[0]["from"][0]["namespaceSelector"]["matchLabels"] == prom
    assert head[1]["from"] == [{"podSelector": {"matchLabels": {"app": "web"}}}], "its own namespace"
    assert [[p["port"] for p in rule["ports"]] for rules in workers for rule in rules] == [[8080]]


def test_redis_refuses_before_its_memory_is_gone() -> None:
    for said, limit, data in ((None, "1Gi", 671088640), ("4Gi", "4Gi", 2684354560)):
        spec = builtin().document()
        if said:
            spec["metadata"]["annotations"]["raystead.io/redis-memory"] = said
        objects = manifests(read(RayCluster, spec), Facts())
        config = next(o["data"]["redis.conf"] for o in objects if o["metadata"]["name"] == "redis-config")
        assert f"maxmemory {data}\nmaxmemory-policy noeviction" in config
        redis = next(o for o in objects if o["kind"] == "StatefulSet")["spec"]["template"]["spec"]
        assert redis["containers"][0]["resources"]["limits"]["memory"] == limit


def test_redis_takes_the_cpu_that_the_user_names_as_request_and_limit() -> None:
    for said, request, limit in ((None, "100m", "1"), ("250m", "250m", "250m")):
        objects = manifests(build(Flags(redis_cpu=said), None), Facts())
        redis = next(o for o in objects if o["kind"] == "StatefulSet")["spec"]["template"]["spec"]
        resources = redis["containers"][0]["resources"]
        assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == (request, limit)


@pytest.mark.parametrize("given", ["livenessProbe", "readinessProbe"])
def test_each_probe_is_filled_in_by_itself(given: str) -> None:
    spec = raw("kuberay-minimal")
    own = {"exec": {"command": ["true"]}}
    for group in (spec["spec"]["headGroupSpec"], *spec["spec"]["workerGroupSpecs"]):
        group["template"]["spec"]["containers"][0][given] = own
    for item in manifests(read(RayCluster, spec), Facts()):
        if item["kind"] == "Deployment":
            ray = item["spec"]["template"]["spec"]["containers"][0]
            other = ({"livenessProbe", "readinessProbe"} - {given}).pop()
            assert ray[given] == own
            assert "httpGet" in ray[other]


@pytest.mark.parametrize(
    ("on_cluster", "on_head", "kept"),
    [
        ("true", None, {"head", "worker"}),
        ("True", None, {"head", "worker"}),
        (None, "TRUE", {"head"}),
        ("false", "true", {"head"}),
        ("false", None, set()),
    ],
)
def test_a_command_is_kept_where_an_annotation_says_so(on_cluster: Any, on_head: Any, kept: set[str]) -> None:
    spec = raw("kuberay-minimal")
    key, command = "ray.io/overwrite-container-cmd", ["/bin/sh", "-c", "echo hi; $KUBERAY_GEN_RAY_START_CMD"]
    if on_cluster:
        spec["metadata"]["annotations"] = {key: on_cluster}
    for group in (spec["spec"]["headGroupSpec"], *spec["spec"]["workerGroupSpecs"]):
        group["template"]["spec"]["containers"][0]["command"] = command
    if on_head:
        spec["spec"]["headGroupSpec"]["template"]["metadata"] = {"annotations": {key: on_head}}
    found = set()
    for item in manifests(read(RayCluster, spec), Facts()):
        if item["kind"] == "Deployment":
            ray = item["spec"]["template"]["spec"]["containers"][0]
            if ray["command"] == command and "args" not in ray:
                found.add(item["spec"]["template"]["metadata"]["labels"]["ray.io/node-type"])
    assert found == kept
