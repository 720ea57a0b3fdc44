"""What a pod template may say that only the API server judges: a priority class it has not; any text at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.api
FILE = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: ranked}
spec:
  headGroupSpec:
    template:
      spec:
        containers: [{name: ray-head, image: "rayproject/ray:2.60.0"}]
  workerGroupSpecs:
  - groupName: w
    replicas: 1
    template:
      spec:
        priorityClassName: rush-hour
        containers: [{name: ray-worker, image: "rayproject/ray:2.60.0"}]
"""
WHY = "PriorityClass rush-hour does not exist in this cluster"


def test_any_text_of_a_file_reaches_the_server_as_it_is(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], tmp_path: Path
) -> None:
    space, file, text = namespace(), tmp_path / "ray.yaml", "🚀 日本 ä\u2028\x7f"
    env = 'name: ray-worker, env: [{name: TEXT, value: "🚀 日本 ä\\u2028\\x7f"}]'
    plain = FILE.replace("        priorityClassName: rush-hour\n", "").replace("name: ray-worker", env)
    file.write_text(plain)
    edit = Cli(as_user(space, "edit"))
    edit("up", "--wait=false", "-f", str(file))
    (ray,) = space.get("deployment", "ranked-w-worker")["spec"]["template"]["spec"]["containers"]
    assert text in [one.get("value") for one in ray["env"]]
    again = edit("up", "--wait=false", "-f", str(file))
    assert "nothing to change" in (again.stdout + again.stderr).lower()


def test_a_missing_priority_class_is_told_before_and_after(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], admin: Kube, tmp_path: Path
) -> None:
    space, file = namespace(), tmp_path / "ray.yaml"
    file.write_text(FILE)
    edit = Cli(as_user(space, "edit"))
    for verb, code in ((["plan"], 84), (["doctor"], 84), (["up", "--wait=false"], 84)):
        done = edit(*verb, "-f", str(file), code=code)
        assert WHY in done.stdout + done.stderr
        assert "remove priorityClassName rush-hour" in done.stdout + done.stderr
    assert not space.items("configmaps,deployments", "-l", "raystead.io/cluster")

    edit("up", "--wait=false", "--yes", "-f", str(file))  # who insists gets it, and is told why nothing comes
    until(lambda: WHY in edit("explain", "ranked", code=None).stdout, 30, "explain names the class")
    (found,) = json.loads(edit("explain", "ranked", "-o", "json", code=None).stdout)["findings"][:1]
    assert found["cause"] == "priority-class-missing"


@pytest.mark.parametrize("autoscales", [False, True])
def test_what_a_group_without_pods_will_lack_is_told_and_refuses_nothing(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], tmp_path: Path, autoscales: bool
) -> None:
    space, file = namespace(), tmp_path / "ray.yaml"
    lacks = "        runtimeClassName: nvidia\n        serviceAccountName: trainer\n        volumes:\n"
    lacks += (
        "        - {name: keys, secret: {secretName: keys}}\n        - {name: set, configMap: {name: set}}\n"
    )
    idle = FILE.replace("replicas: 1", "replicas: 0")
    groups = [FILE.split("  - groupName: w\n")[1].replace("replicas: 1", "replicas: 0")]
    for name, extra in (
        ("runs", "        runtimeClassName: nvidia\n"),
        ("acts", "        serviceAccountName: trainer\n"),
    ):
        groups.append(
            f"  - groupName: {name}\n" + groups[0].replace("        priorityClassName: rush-hour\n", extra)
        )
    mounts = lacks.split("trainer\n")[1]
    groups.append(
        "  - groupName: mounts\n" + groups[0].replace("        priorityClassName: rush-hour\n", mounts)
    )
    text = idle.split("  - groupName: w\n")[0] + "  - groupName: w\n" + "".join(groups)
    sized = '"rayproject/ray:2.60.0", resources: {limits: {cpu: "1"}}}'
    text = text.replace('"rayproject/ray:2.60.0"}', sized)
    if autoscales:
        text = text.replace(
            "spec:\n  headGroupSpec", "spec:\n  enableInTreeAutoscaling: true\n  headGroupSpec", 1
        )
    file.write_text(text)
    edit = Cli(as_user(space, "edit"))
    told = [
        f"w has no pods yet; once it has: {WHY}",
        "runs has no pods yet; once it has: RuntimeClass nvidia does not exist in this cluster",
        "acts has no pods yet; once it has: ServiceAccount trainer does not exist",
    ]
    named = ["the Secret keys is not there", "the ConfigMap set is not there"]
    doctor = edit("doctor", "-f", str(file), code=None).stdout
    plan, up = edit("plan", "-f", str(file)), edit("up", "--wait=false", "-f", str(file))
    for said, words in ((doctor, told + named), (plan.stdout, told), (up.stderr, told)):
        assert [text for text in words if text not in said] == [], said
    assert space.items("deployments", "-l", "raystead.io/cluster")
