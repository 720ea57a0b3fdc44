"""Golden specs: NAME.in.yaml is a document of Ray's, NAME.out.yaml what it becomes; UPDATE_GOLDEN=1 writes them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from raystead.base.kinds import pod_template
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.manifests.render import manifests, secret_commands
from raystead.spec.documents import parsed

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))
FACTS = {
    "guide-always-isolated": Facts(
        namespace="ns", anchor_uid="0-uid", isolated=True, storage_namespace="0-uid"
    ),
    "external-redis": Facts(namespace="ns", isolated=True),
    "overridden": Facts(has_default_storage=False),
    "rayjob": Facts(
        namespace="ns",
        anchor_uid="0-uid",
        isolated=True,
        keepers={"self": "1-uid", "cluster": "2-uid", "workers": "3-uid"},
    ),
    "raycronjob": Facts(namespace="ns", anchor_uid="0-uid", isolated=True),
}
CHOICES = {"guide-always-isolated": Choices(policies="always"), "kuberay-minimal": Choices(policies="never")}
VERSIONS = ("1.25", "1.30", str(kubernetes_validate.latest_version()).rpartition(".")[0])
PLANTED = "PLANTED-s3cret"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def rendered(name: str, **facts: Any) -> list[dict[str, Any]]:
    spec = yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text())
    objects = manifests(
        parsed(spec), replace(FACTS.get(name, Facts()), **facts), CHOICES.get(name, NO_CHOICES)
    )
    for item in objects:  # programs have tests of their own
        item.update({"data": _without_programs(item["data"])} if "data" in item else {})
    return objects


def _without_programs(data: dict[str, str]) -> dict[str, str]:
    return {key: "the program\n" if key.endswith(".py") else text for key, text in data.items()}


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [template["spec"] for o in objects if (template := pod_template(o))]


def containers(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [c for p in pods(objects) for k in ("initContainers", "containers") for c in p.get(k, [])]


def test_there_are_enough_specs() -> None:
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    text = yaml.dump_all(rendered(name), Dumper=_Dumper, sort_keys=False, width=100)
    path = GOLDEN / f"{name}.out.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_published_schemas(name: str, version: str) -> None:
    for item in rendered(name, server_version=version):
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_container_has_what_a_quota_demands(name: str) -> None:
    demanded = [f"{side}.{key}" for side in ("requests", "limits") for key in ("cpu", "memory")]
    for container in containers(rendered(name, demanded=demanded)):
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind]), container["name"]


@pytest.mark.parametrize("name", NAMES)
def test_restricted_pod_security_where_the_namespace_enforces_it(name: str) -> None:
    for pod in pods(rendered(name, restricted=True)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            said = container["securityContext"]
            if "add" not in said.get("capabilities", {}):  # the user's own wish stays
                assert said["allowPrivilegeEscalation"] is False
                assert said["capabilities"] == {"drop": ["ALL"]}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


@pytest.mark.parametrize("name", NAMES)
def test_names_unique_and_env_without_doubles(name: str) -> None:
    objects = rendered(name)
    keys = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(set(keys)) == len(keys)
    for container in containers(objects):
        env = [e["name"] for e in container.get("env", [])]
        assert len(set(env)) == len(env)
    for item in objects:
        assert list(item)[:3] == ["apiVersion", "kind", "metadata"]
        assert item["metadata"]["labels"]["raystead.io/cluster"]


@pytest.mark.parametrize("name", NAMES)
def test_selectors_match_their_templates(name: str) -> None:
    for item in rendered(name):
        if item["kind"] in ("Deployment", "StatefulSet"):
            chosen = item["spec"]["selector"]["matchLabels"].items()
            assert chosen <= item["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_value_anywhere(name: str) -> None:
    spec = parsed(yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text())).cluster
    assert PLANTED not in repr(rendered(name))
    assert PLANTED not in repr(secret_commands(spec, Facts()))
    assert all(o["kind"] != "Secret" for o in rendered(name))


@pytest.mark.parametrize("name", NAMES)
def test_shell_parses(name: str) -> None:
    spec = parsed(yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text())).cluster
    texts = [c["args"][0] for c in containers(rendered(name)) if c.get("args")]
    for text in [*texts, *secret_commands(spec, Facts(namespace="ns"))]:
        done = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_offline_knows_no_uid(name: str) -> None:
    if not FACTS.get(name, Facts()).anchor_uid:
        assert "ownerReferences" not in repr(rendered(name))
