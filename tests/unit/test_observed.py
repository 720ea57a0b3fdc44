"""What `status` knows of a cluster: recordings of a real one, and what no test cluster does on demand."""

import copy
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from observed import RECORDINGS, built_in, moment, recording, view
from patience import patience

from raystead.plan.observed import view_json
from raystead.plan.raynodes import ray_nodes

GOES = {"suspending", "suspended"}


@pytest.mark.parametrize(
    "name, state, head, worker",
    [  # head and worker: running, ready, alive of 1 and 2 wanted
        ("starting", "not ready", (0, 0, 0), (0, 0, 0)),
        ("rolling", "not ready", (0, 0, 0), (1, 0, None)),
        ("busy", "Ready", (1, 1, 1), (2, 2, 2)),
        ("oom1", "not ready", (1, 0, None), (2, 2, None)),
        ("oom", "Ready", (1, 1, 1), (2, 2, 2)),
        ("deleting", "not ready", (1, 0, None), (2, 2, None)),
        ("deleted", "Ready", (1, 1, 1), (2, 2, 2)),
        ("worker-killed", "partly", (1, 1, 1), (2, 1, 1)),
        ("suspending", "suspended", (0, 0, 0), (0, 0, 0)),
        ("suspended", "suspended", (0, 0, 0), (0, 0, 0)),
        ("resumed", "Ready", (1, 1, 1), (2, 2, 2)),
        ("evicted", "Ready", (1, 1, 1), (2, 2, 2)),
    ],
)
def test_state_and_counts_are_live(name: str, state: str, head: tuple, worker: tuple) -> None:
    seen = view(recording(name), cluster=built_in(suspend=name in GOES))
    assert seen.state == state
    assert [(g.running, g.ready, g.alive) for g in seen.groups] == [head, worker]
    assert [g.wanted for g in seen.groups] == ([0, 0] if name in GOES else [1, 2])


@pytest.mark.parametrize(
    "name, loss",
    [  # cause, seconds until it was back, workers restarted
        ("starting", None),
        ("rolling", None),  # a change of the spec replaces the head: no loss
        ("busy", None),
        ("oom1", ("OOMKilled (limit 2 GB)", None, 0)),
        ("oom", ("OOMKilled (limit 2 GB)", 15.0, 0)),
        ("deleting", ("pod deleted", None, 0)),
        ("deleted", ("pod deleted", 19.0, 0)),
        ("worker-killed", ("pod deleted", 19.0, 1)),
        ("suspended", None),
        ("resumed", None),  # the user took it away himself
    ],
)
def test_last_head_loss(name: str, loss: tuple | None) -> None:
    found = view(recording(name), cluster=built_in(suspend=name in GOES)).last_head_loss
    assert (found and (found.cause, found.back_after, found.workers_restarted)) == loss


@pytest.mark.parametrize("still", [True, False])
def test_a_first_start_that_crashed_is_no_loss(still: bool) -> None:
    """Whether it still crashes or came up at the second attempt."""
    data = recording("busy")
    if still:
        deployment = next(d for d in data["deployments"] if "-head" in d["metadata"]["name"])
        rollout = next(c for c in deployment["status"]["conditions"] if c["type"] == "Progressing")
        rollout["reason"] = "ReplicaSetUpdated"
    status = _head(data)["status"]["containerStatuses"][0]
    born = _head(data)["metadata"]["creationTimestamp"]
    status["restartCount"] = 1
    status["lastState"] = {
        "terminated": {"exitCode": 1, "reason": "Error", "startedAt": born, "finishedAt": born}
    }
    assert view(data).last_head_loss is None


def test_an_evicted_head_says_what_the_node_lacked() -> None:
    found = view(recording("evicted")).last_head_loss
    assert found is not None
    assert found.cause.startswith("evicted: ")
    assert "ephemeral" in found.cause


def test_after_an_hour_the_cause_of_a_deleted_head_is_not_invented() -> None:
    data = recording("deleted")
    found = view(data, events=[]).last_head_loss
    assert found is not None
    assert found.cause == "cause not recorded"
    assert found.at.isoformat() == "2026-11-24T07:41:18+00:00"  # its successor was made at once
    assert view(data, events=None).last_head_loss == found


@pytest.mark.parametrize(
    "reason, message, cause",
    [
        ("TaintManagerEviction", "Marking for deletion Pod obs-status/x", "node lost"),
        ("NodeNotReady", "Node is not ready", "node lost"),
        ("Preempted", "Preempted by pod 7a on node node1", "preempted by a pod of higher priority"),
        (
            "Evicted",
            "The node was low on resource: memory. ",
            "evicted: The node was low on resource: memory",
        ),
    ],
)
def test_the_most_telling_event_names_the_cause(reason: str, message: str, cause: str) -> None:
    data = recording("deleted")
    killing = next(
        e for e in data["events"] if e["reason"] == "Killing" and "-jfr49" in e["involvedObject"]["name"]
    )
    events = [*data["events"], {**copy.deepcopy(killing), "reason": reason, "message": message}]
    found = view(data, events=events).last_head_loss
    assert found is not None
    assert found.cause == cause


def test_a_head_killed_by_its_liveness_probe_says_so() -> None:
    data = recording("oom")
    head = _head(data)
    ended = head["status"]["containerStatuses"][0]["lastState"]["terminated"]
    ended["reason"] = "Error"
    event = {
        "metadata": {"name": "x"},
        "reason": "Killing",
        "message": "Container ray-head failed liveness probe, will be restarted",
        "lastTimestamp": ended["finishedAt"],
        "involvedObject": {"kind": "Pod", "name": head["metadata"]["name"]},
    }
    found = view(data, events=[event]).last_head_loss
    assert found is not None
    assert found.cause == "liveness probe failed, exit code 137 (killed)"


def test_used_and_all_resources_are_ray_s_cpus_and_the_pods_memory() -> None:
    head, worker = view(recording("busy")).groups
    assert (head.cpu_used, head.cpu_total) == (1.0, 1.0)
    assert (worker.cpu_used, worker.cpu_total) == (1.0, 2.0)
    assert (worker.gpu_used, worker.gpu_total) == (0.0, 0.0)
    assert worker.memory_total == pytest.approx(2e9, rel=1e-4)
    assert worker.memory_used is not None
    assert 1e8 < worker.memory_used < 2e9


def test_without_the_right_to_ask_ray_all_of_it_is_unknown_and_the_right_is_named() -> None:
    right = "alive: needs get and create on pods/portforward"
    seen = view(recording("busy"), ray_nodes=None, policies=None, events=None, missing_rights=[right])
    assert seen.state == "Ready"  # of its pods
    assert {g.alive for g in seen.groups} == {None}
    assert {g.cpu_total for g in seen.groups} == {None}
    assert seen.policies is None
    assert seen.notes == (right,)
    assert {n.alive for n in seen.nodes} == {None}


def test_nodes_of_a_ray_that_knows_no_pod_names_are_found_by_address() -> None:
    data = recording("busy")
    for entry in data["ray"]["summary"]:
        entry["raylet"].pop("instanceId")
    assert [g.alive for g in view(data).groups] == [1, 2]


def test_a_raylet_older_than_its_container_is_not_alive() -> None:
    """The container restarted in place; Ray has not missed the old raylet yet."""
    data = recording("busy")
    worker = next(p for p in data["pods"] if "-worker-" in p["metadata"]["name"])
    worker["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = data["now"]
    seen = view(data)
    assert seen.groups[1].alive == 1
    assert seen.state == "partly"
    assert seen.groups[1].note == "1 pod ready, not alive in Ray"


def test_a_dead_entry_of_the_same_pod_does_not_hide_the_living() -> None:
    data = recording("busy")
    for entry in copy.deepcopy(data["ray"]["summary"]):
        entry["raylet"] |= {"state": "DEAD", "nodeId": "f" * 56}
        data["ray"]["summary"].append(entry)
    assert [g.alive for g in view(data).groups] == [1, 2]


def test_a_draining_node_is_alive_and_named() -> None:
    data = recording("busy")
    entry = _alive_worker(data)
    entry["raylet"]["stateSnapshot"] = {"state": "DRAINING"}
    worker = view(data).groups[1]
    assert (worker.alive, worker.note) == (2, "1 pod draining")


def test_used_cpus_are_unknown_when_ray_s_monitor_does_not_run() -> None:
    data = recording("busy")
    data["ray"]["nodeLogicalResources"] = {}
    head, worker = view(data).groups
    assert (worker.cpu_used, worker.cpu_total) == (None, 2.0)
    assert head.memory_used is not None


def test_cpus_in_placement_groups_count_as_ray_counts_them() -> None:
    data = recording("busy")
    data["ray"]["nodeLogicalResources"] = dict.fromkeys(
        data["ray"]["nodeLogicalResources"],
        "1.0/1.0 CPU (0.5 used of 1.0 reserved in placement groups)\n0B/1.86GiB memory",
    )
    assert view(data).groups[1].cpu_used == 2.0


def test_pods_that_quota_refuses_are_in_the_note() -> None:
    note = view(recording("quota")).groups[1].note
    assert note == "2 pods refused: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4"


def test_pods_of_an_older_version_do_not_count_and_are_named() -> None:
    seen = view(recording("rolling"))
    assert seen.groups[1].running == 1
    assert "1 pod of an older version" in seen.groups[1].note
    assert "1 pod being deleted" in seen.groups[1].note


def test_storage_without_a_volume_and_a_pending_claim_are_told() -> None:
    data = recording("busy")
    data["claims"][0]["status"]["phase"] = "Pending"
    assert view(data).notes == ("state: the volume claim data-redis-0 is Pending",)
    del data["statefulsets"][0]["spec"]["volumeClaimTemplates"]
    assert view(data).storage == "redis (no volume)"


def test_redis_that_is_down_makes_a_cluster_partly_ready() -> None:
    data = recording("busy")
    data["statefulsets"][0]["status"]["readyReplicas"] = 0
    seen = view(data)
    assert seen.state == "partly"
    assert "redis is not ready" in seen.notes[0]


def test_endpoints_are_hosts_and_ports_a_load_balancer_s_when_there_is_one() -> None:
    data = recording("busy")
    assert view(data).endpoints["dashboard"] == "service-ray-cluster.obs-status.svc:8265"
    service = next(s for s in data["services"] if s["metadata"]["name"] == "service-ray-cluster")
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}
    assert view(data).endpoints["dashboard"] == "192.0.2.7:8265"


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("LoadBalancer", [{"ip": "192.0.2.7"}], "192.0.2.7"),
        ("LoadBalancer", [{"hostname": "a.elb.example"}], "a.elb.example"),
        ("LoadBalancer", None, "its load balancer has given no address; raystead connect needs none"),
        ("NodePort", None, ""),
    ],
)
def test_a_load_balancer_is_named_with_its_address_or_the_lack_of_one(
    kind: str, given: list | None, says: str
) -> None:
    data = recording("busy")
    service = next(s for s in data["services"] if s["metadata"]["name"] == "service-ray-cluster")
    service["spec"]["type"] = kind
    service["status"] = {"loadBalancer": {"ingress": given} if given else {}}
    assert view(data).notes == ((f"Service service-ray-cluster: {says}",) if says else ())


def test_json_is_a_raycluster_with_kuberay_s_status() -> None:
    data = recording("busy")
    out = json.loads(json.dumps(view_json(view(data))))
    assert (out["apiVersion"], out["kind"]) == ("ray.io/v1", "RayCluster")
    assert out["metadata"]["name"] == "ray-cluster"
    assert out["metadata"]["namespace"] == "obs-status"
    assert out["spec"]["workerGroupSpecs"][0]["replicas"] == 2
    status = out["status"]
    conditions = {c["type"]: c for c in status.pop("conditions")}
    head = next(p for p in data["pods"] if "-head-" in p["metadata"]["name"])
    since = conditions["RayClusterProvisioned"]["lastTransitionTime"]
    assert status == {
        "state": "ready",
        "stateTransitionTimes": {"ready": since},
        "desiredWorkerReplicas": 2,
        "availableWorkerReplicas": 2,
        "readyWorkerReplicas": 2,
        "minWorkerReplicas": 0,
        "maxWorkerReplicas": 2147483647,
        "desiredCPU": "3",
        "desiredMemory": "4G",
        "desiredGPU": "0",
        "desiredTPU": "0",
        "endpoints": {"client": "10001", "dashboard": "8265", "gcs-server": "6380"},
        "head": {
            "podIP": head["status"]["podIP"],
            "podName": head["metadata"]["name"],
            "serviceIP": "10.96.165.109",
            "serviceName": "service-ray-cluster",
        },
        "lastUpdateTime": data["now"],
        "observedGeneration": out["metadata"]["generation"],
    }
    assert {k: (c["status"], c["reason"]) for k, c in conditions.items()} == {
        "HeadPodReady": ("True", "HeadPodRunningAndReady"),
        "RayClusterProvisioned": ("True", "AllPodRunningAndReadyFirstTime"),
        "RayClusterSuspending": ("False", "RayClusterSuspending"),
        "RayClusterSuspended": ("False", "RayClusterSuspended"),
    }


@pytest.mark.parametrize(
    "name, kind, status, reason",
    [
        ("oom1", "HeadPodReady", "False", "ContainersNotReady"),
        ("oom1", "RayClusterProvisioned", "False", "RayClusterPodsProvisioning"),
        ("suspended", "HeadPodReady", "False", "HeadPodNotFound"),
        ("suspending", "RayClusterSuspending", "True", "RayClusterSuspending"),
        ("suspended", "RayClusterSuspended", "True", "RayClusterSuspended"),
        ("quota", "ReplicaFailure", "True", "FailedCreateWorkerPod"),
    ],
)
def test_conditions_are_kuberay_s_and_live(name: str, kind: str, status: str, reason: str) -> None:
    out = view_json(view(recording(name), cluster=built_in(suspend=name in GOES)))
    found = next(c for c in out["status"]["conditions"] if c["type"] == kind)
    assert (found["status"], found["reason"]) == (status, reason)
    assert out["status"].get("state") != "ready" or kind == "ReplicaFailure"


def test_the_json_of_raystead_has_exact_times_and_a_line_a_pod() -> None:
    block = view_json(view(recording("oom"), drift=["Deployment/x spec.replicas: 2 → 3"]))["raystead"]
    assert block["lastHeadLoss"] == {
        "at": "2026-11-24T07:40:34Z",
        "cause": "OOMKilled (limit 2 GB)",
        "backAfter": 15.0,
        "workersRestarted": 0,
    }
    assert block["drift"] == ["Deployment/x spec.replicas: 2 → 3"]
    assert [n["alive"] for n in block["nodes"]] == [True] * 3
    assert set(block["groups"][0]) >= {"wanted", "running", "ready", "alive", "cpuUsed", "memoryTotal"}
    assert block["nodes"][0]["nodeIP"].startswith("10.244.")


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recording_has_a_view_without_ray_or_optional_lists(name: str) -> None:
    seen = view(recording(name), ray_nodes=None, claims=None, policies=None, events=None)
    json.dumps(view_json(seen))


def test_an_evicted_pod_that_still_lies_there_does_not_keep_a_cluster_from_being_suspended() -> None:
    data = recording("suspended")
    data["pods"] += [p for p in recording("evicted")["pods"] if p["status"]["phase"] == "Failed"]
    assert view_json(view(data, cluster=built_in(suspend=True)))["status"]["state"] == "suspended"


def test_conditions_of_a_quiet_cluster_do_not_change_from_call_to_call() -> None:
    data = recording("busy")
    first, second = (
        view_json(view(data, now=moment(data) + timedelta(seconds=later)))["status"] for later in (0, 60)
    )
    assert first["conditions"] == second["conditions"]


def test_a_cluster_whose_objects_are_all_gone_is_not_ready() -> None:
    empty: list[Any] = []
    seen = view(
        recording("busy"), deployments=empty, statefulsets=empty, services=empty, pods=empty, ray_nodes=None
    )
    assert seen.state == "not ready"
    assert seen.endpoints == {}
    assert seen.document["status"]["head"] == {}


def test_a_thousand_workers_take_a_third_of_a_second_at_most() -> None:
    data = _many(1000)
    text = json.dumps(data["ray"])
    begun = time.process_time()
    seen = view({**data, "pods": []}, pods=data["pods"], ray_nodes=ray_nodes(json.loads(text)))
    json.dumps(view_json(seen))
    assert time.process_time() - begun < patience(0.3)
    assert seen.groups[1].alive == 1000


def _head(data: dict[str, Any]) -> dict[str, Any]:
    return next(p for p in data["pods"] if "-head-" in p["metadata"]["name"])


def _alive_worker(data: dict[str, Any]) -> dict[str, Any]:
    return next(
        entry
        for entry in data["ray"]["summary"]
        if entry["raylet"]["state"] == "ALIVE" and not entry["raylet"].get("isHeadNode")
    )


def _many(number: int) -> dict[str, Any]:
    """The busy recording with that many workers, each with a node."""
    data = recording("busy")
    worker = next(p for p in data["pods"] if "-worker-" in p["metadata"]["name"])
    entry = next(e for e in data["ray"]["summary"] if e["raylet"]["instanceId"] == worker["metadata"]["name"])
    head = [p for p in data["pods"] if "-worker-" not in p["metadata"]["name"]]
    pods, nodes = [], []
    for index in range(number):
        pod, node = copy.deepcopy(worker), copy.deepcopy(entry)
        pod["metadata"]["name"] = node["raylet"]["instanceId"] = f"deployment-ray-worker-{index}"
        node["raylet"]["nodeId"] = f"{index:056x}"
        pods.append(pod)
        nodes.append(node)
    data["pods"] = [*head, *pods]
    data["ray"]["summary"] = nodes
    data["now"] = (moment(data) + timedelta(seconds=1)).isoformat()
    return data
