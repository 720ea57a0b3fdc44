"""`ray start`: parameters from resources, ports pinned, the command parses back."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystead.base.names import Names, check_label, check_name
from raystead.manifests.context import ray_version
from raystead.manifests.start import overwritten, start_command, start_params
from raystead.spec.model import RayCluster, read


def cluster(
    container: dict[str, Any] | None = None, version: str | None = "2.60.0", **head: Any
) -> RayCluster:
    container = {"name": "c", "image": "i", **(container or {})}
    spec: dict[str, Any] = {"headGroupSpec": {"template": {"spec": {"containers": [container]}}, **head}}
    if version:
        spec["rayVersion"] = version
    return read(RayCluster, {"metadata": {"name": "c"}, "spec": spec})


def params(container: dict[str, Any] | None = None, **head: Any) -> dict[str, str]:
    made = cluster(container, **head)
    return start_params(made, made.spec.head, head=True)


def test_every_port_is_pinned() -> None:
    made = params()
    assert {k: v for k, v in made.items() if k.endswith("port")} == {
        "port": "6379",
        "ray-client-server-port": "10001",
        "dashboard-port": "8265",
        "object-manager-port": "8076",
        "node-manager-port": "8077",
        "dashboard-agent-grpc-port": "8078",
        "runtime-env-agent-port": "8079",
        "dashboard-agent-listen-port": "52365",
        "metrics-export-port": "8080",
        "min-worker-port": "10002",
        "max-worker-port": "19999",
    }


def test_old_ray_knows_no_runtime_env_agent() -> None:
    made = cluster(version="2.3.0")
    assert "runtime-env-agent-port" not in start_params(made, made.spec.head, head=True)


def test_user_wins() -> None:
    made = params(rayStartParams={"node-manager-port": "1", "num-cpus": "0", "block": "false"})
    assert (made["node-manager-port"], made["num-cpus"], made["block"]) == ("1", "0", "true")


def test_cpus_round_up_and_limit_before_request() -> None:
    assert params({"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}})["num-cpus"] == "1"
    assert "memory" not in params({"resources": {"requests": {"memory": "1Gi"}}})
    assert params({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2500m"}}})["num-cpus"] == "3"


@pytest.mark.parametrize("key", ["nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.10gb"])
def test_gpus(key: str) -> None:
    assert params({"resources": {"limits": {key: "2"}}})["num-gpus"] == "2"


def test_group_resources_override_and_rest_is_json() -> None:
    made = params(
        {"resources": {"limits": {"cpu": "4", "google.com/tpu": "4"}}}, resources={"CPU": "0", "x": "2.5"}
    )
    assert made["num-cpus"] == "0"
    assert json.loads(shlex.split(made["resources"])[0]) == {"TPU": 4, "x": 2.5}


def resources_of(made: dict[str, str]) -> dict[str, float]:
    return dict(json.loads(shlex.split(made["resources"])[0]))


@pytest.mark.parametrize(
    ("said", "limits", "expected"),
    [
        ('{"a": 1}', {"google.com/tpu": "4"}, {"a": 1, "TPU": 4}),
        ("'{\"a\": 1}'", {"google.com/tpu": "4"}, {"a": 1, "TPU": 4}),
        ('"{\\"a\\": 1}"', {"google.com/tpu": "4"}, {"a": 1, "TPU": 4}),
        ("'{\"TPU\": 8}'", {"google.com/tpu": "4"}, {"TPU": 8}),
        ("'{\"TPU\": 8}'", {"aws.amazon.com/neuroncore": "4"}, {"TPU": 8}),
        ("'{\"a\": 1}'", {"google.com/tpu": "0"}, {"a": 1}),
    ],
)
def test_an_accelerator_joins_the_users_own_resources(
    said: str, limits: dict[str, str], expected: dict[str, float]
) -> None:
    made = params({"resources": {"limits": limits}}, rayStartParams={"resources": said})
    assert resources_of(made) == expected


def test_zero_in_kubernetes_is_none() -> None:
    none = {"limits": {"cpu": "0", "amd.com/gpu": 0, "nvidia.com/gpu": 1}, "requests": {"cpu": "2"}}
    made = params({"resources": none})
    assert (made["num-cpus"], made["num-gpus"]) == ("2", "1")


def test_group_resources_by_any_name() -> None:
    made = params(resources={"cpu": "3", "Memory": "1Gi", "nvidia.com/gpu": "2", "neuron_cores": "1"})
    assert (made["num-cpus"], made["memory"], made["num-gpus"]) == ("3", str(2**30), "2")
    assert resources_of(made) == {"neuron_cores": 1}


def test_switches() -> None:
    said = start_command(
        {"a": "true", "b": "false", "log-color": "false", "include-dashboard": "true"}, False
    )
    assert said == "ray start --a --include-dashboard=true --log-color=false"


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        (["bash", "-c"], ["ray start --head"], True),
        (["ray", "start"], [], True),
        ([], ["echo"], False),
    ],
)
def test_overwritten(command: list[str], args: list[str], expected: bool) -> None:
    made = cluster({"command": command, "args": args})
    assert overwritten(made, made.spec.head) is expected


_KEYS = st.from_regex(r"[a-z]{2,8}(-[a-z]{2,8}){0,2}", fullmatch=True)
_VALUES = st.from_regex(r"[A-Za-z0-9_.:/,=-]{1,20}", fullmatch=True)


@given(st.dictionaries(_KEYS, _VALUES, max_size=12), st.booleans())
def test_command_parses_back(said: dict[str, str], head: bool) -> None:
    words = shlex.split(start_command(said, head))
    assert words[:2] == ["ray", "start"]
    flags = words[2:]
    assert ("--head" in flags[:1]) is head or "head" in said
    switches = {k for k, v in said.items() if v.lower() == "true"}
    back = dict(w[2:].split("=", 1) for w in flags if "=" in w)
    kept = {k: v for k, v in said.items() if v.lower() not in ("true", "false")}
    assert kept.items() <= back.items()
    assert {f"--{k}" for k in switches - {"log-color"}} <= set(flags) | {f"--{k}=true" for k in switches}


def test_version_from_spec_then_tag() -> None:
    assert ray_version(cluster()) == (2, 60)
    assert ray_version(cluster({"image": "h:5000/rayproject/ray:2.9.3-py310"}, version=None)) == (2, 9)
    assert ray_version(cluster({"image": "h:5000/ray"}, version=None)) is None


def test_clipping() -> None:
    assert check_name("x" * 10 + "1" + "y" * 49) == "r" + "y" * 49
    assert check_label("b" * 70) == "b" * 63


def test_names_of_a_long_cluster_fit() -> None:
    names = Names("c" * 53, False)
    assert len(names.redis) <= 52, "with the revision's hash it is a label value"
    for name in (names.head_service, names.serve_service, names.headless_service):
        assert len(name) <= 63
