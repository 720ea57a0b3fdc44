"""From a RayCluster to processes of this machine: what reaches `ray start`, and what is said to have no effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raystead.errors import NotEnough, PortInUse
from raystead.local import plan as planning
from raystead.local.model import ClusterPlan, NodePlan
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster

VERSION = planning.find_ray()[1]


def cluster(
    head: dict[str, Any] | None = None, worker: dict[str, Any] | None = None, **spec: Any
) -> RayCluster:
    """A head and one group; `head` and `worker` change the group, `container` in them the Ray container."""

    def group(change: dict[str, Any] | None) -> dict[str, Any]:
        change = dict(change or {})
        container = {"name": "ray", "image": f"rayproject/ray:{VERSION}", **change.pop("container", {})}
        return {"template": {"spec": {"containers": [container], **change.pop("pod", {})}}, **change}

    return RayCluster.model_validate(
        {
            "metadata": {"name": "mine"},
            "spec": {
                "headGroupSpec": group(head),
                "workerGroupSpecs": [{"groupName": "small", "replicas": 1, **group(worker)}],
                **spec,
            },
        }
    )


def made(spec: RayCluster, tmp_path: Path) -> ClusterPlan:
    return planning.make(spec, uid="u", root="/tmp/rs-x", directory=tmp_path, started=0)


def flags(node: NodePlan) -> dict[str, str]:
    return {w.partition("=")[0].removeprefix("--"): w.partition("=")[2] for w in node.command[2:]}


def test_quotes_for_a_shell_do_not_reach_ray(tmp_path: Path) -> None:
    spec = cluster(
        {"rayStartParams": {"resources": "'{\"disk\": 2}'"}},
        {"resources": {"CPU": 2, "special": 1}, "labels": {"zone": "a"}},
    )
    head, worker = made(spec, tmp_path).nodes
    assert json.loads(flags(head)["resources"]) == {"disk": 2}
    assert json.loads(flags(worker)["resources"]) == {"special": 1}
    assert flags(worker)["num-cpus"] == "2"
    assert flags(worker)["labels"] == "zone=a"


def test_what_asks_the_containers_shell_is_taken_from_its_resources_and_said(tmp_path: Path) -> None:
    resources = {"limits": {"cpu": "1500m", "memory": "1Gi"}}
    spec = cluster({"rayStartParams": {"num-cpus": "$MY_CPU_REQUEST"}, "container": {"resources": resources}})
    assert flags(made(spec, tmp_path).nodes[0])["num-cpus"] == "2"
    assert "head: rayStartParams num-cpus (it asks a shell) has no effect on this machine" in list(
        planning.warnings(spec, VERSION)
    )


def test_a_files_redis_and_token_settings_do_not_reach_the_local_processes(tmp_path: Path) -> None:
    names = ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "RAY_AUTH_MODE", "RAY_gcs_storage_path", "MINE")
    env = [{"name": name, "value": "elsewhere"} for name in names]
    spec = cluster({"container": {"env": env}})
    head = made(spec, tmp_path).nodes[0]
    assert {k for k, v in head.env.items() if v == "elsewhere"} == {"MINE"}
    said = "\n".join(planning.warnings(spec, VERSION))
    assert all(f"head: env {name} has no effect" in said for name in names[:-1])
    assert "MINE" not in said


def test_every_field_without_effect_is_one_line() -> None:
    spec = cluster(
        {"pod": {"nodeSelector": {"a": "b"}}, "container": {"livenessProbe": {}, "image": "mine/ray:1"}},
        {"container": {"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}}]}},
        networkPolicy={},
        suspend=True,
    )
    assert list(planning.warnings(spec, VERSION)) == [
        "spec.networkPolicy has no effect on this machine",
        "spec.suspend has no effect on this machine",
        "head: nodeSelector has no effect on this machine",
        "head: containers[0].livenessProbe has no effect on this machine",
        f"head: image mine/ray:1 is not used; Ray {VERSION} of this machine runs",
        "small: env S (not a literal) has no effect on this machine",
    ]


def test_the_built_in_cluster_has_nothing_to_say() -> None:
    assert list(planning.warnings(build(Flags()), VERSION)) == []


def test_requests_count_and_not_limits() -> None:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "100", "memory": "1Ti"}}
    spec = cluster({"container": {"resources": resources}}, {"container": {"resources": resources}})
    planning.check_fits(spec, cores=2, free_memory=2 * 2**30, free_disk=2**40)
    with pytest.raises(NotEnough) as caught:
        planning.check_fits(spec, cores=1.5, free_memory=2**30, free_disk=2**20)
    text = caught.value.diagnostics()
    for words in ("2 CPU asked for, 1.5 here", "2.1 GB of memory asked for, 1.1 GB free", "1.0 MB free"):
        assert words in text


def test_a_port_that_the_spec_fixes_and_somebody_has_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} is taken"):
            made(cluster({"rayStartParams": {"dashboard-port": str(port)}}), tmp_path)
