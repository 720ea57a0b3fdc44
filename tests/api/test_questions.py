"""What is asked before something is lost, and what is said of a cluster instead, by a real API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.api


@pytest.fixture
def space(namespace: Callable[..., Kube]) -> Kube:
    return namespace(quota={"pods": "20"})


@pytest.fixture
def edit(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(space, "edit"))


def pods_there(space: Kube, count: int) -> None:
    def there() -> bool:
        status: dict[str, Any] = space.get("deployment", "deployment-ray-worker").get("status") or {}
        return int(status.get("replicas") or 0) == count

    until(there, 30, f"{count} workers are counted")


def test_without_a_terminal_a_restart_needs_yes_and_the_question_names_it(edit: Cli, space: Kube) -> None:
    edit("up", "--wait=false")
    pods_there(space, 2)
    generation = space.get("deployment", "deployment-ray-worker")["metadata"]["generation"]
    refused = edit("up", "--wait=false", "--worker-memory", "2Gi", code=2)
    assert "worker: 2 pods restart (memory 1G → 2Gi" in refused.stderr
    assert "--yes" in refused.stderr
    assert space.get("deployment", "deployment-ray-worker")["metadata"]["generation"] == generation
    changes = edit("plan", "--worker-memory", "2Gi", "--exit-code", code=1)
    assert "2Gi" in changes.stdout
    edit("up", "--wait=false", "--worker-memory", "2Gi", "--yes")
    assert edit("plan", "--exit-code").stdout.startswith("nothing to change")
    edit("up", "--wait=false", "--workers", "3")  # nothing is lost: nothing is asked


def test_a_bare_up_beside_a_cluster_of_another_name_needs_yes(edit: Cli, space: Kube) -> None:
    edit("up", "--name", "mine", "--wait=false")
    refused = edit("up", "--wait=false", code=2)
    assert '"ray-cluster" would be a new cluster next to mine' in refused.stderr
    assert "raystead up --name mine" in refused.stderr
    assert len(edit("list").stdout.splitlines()) == 2
    edit("up", "--name", "ray-cluster", "--wait=false")
    assert len(edit("list").stdout.splitlines()) == 3


def test_a_plan_shows_everything_beside_a_conflict(edit: Cli, space: Kube) -> None:
    edit("up", "--wait=false")
    edit.user.run("scale", "deployment/deployment-ray-worker", "--replicas=1")
    done = edit("plan", "--env", "SOME_WORD=hello", code=79)
    assert "conflict" in done.stdout
    assert ".spec.replicas" in done.stdout
    assert "Deployment/deployment-ray-head" in done.stdout, "the rest of the plan is there too"
    assert "hello" not in done.stdout
    assert "the same command with --force-conflicts" in done.stderr, "what --env brings is not repeated"
    shown = edit("plan", "--env", "SOME_WORD=hello", "--show-values", code=79)
    assert "hello" in shown.stdout


def test_scaling_a_suspended_cluster_says_what_is_true(edit: Cli, space: Kube) -> None:
    edit("up", "--wait=false")
    edit("suspend", code=2)
    edit("suspend", "--yes", "--timeout", "60s")
    assert "is suspended already" in edit("suspend").stderr
    done = edit("scale", "3")
    assert '"ray-cluster" is suspended: worker will have 3 workers when it is resumed' in done.stderr
    assert "nothing to change" not in done.stderr
    assert space.get("deployment", "deployment-ray-worker")["spec"]["replicas"] == 0


def test_a_user_who_may_only_read_is_told_what_to_ask_for(
    space: Kube, as_user: Callable[[Kube, str], Kube]
) -> None:
    done = Cli(as_user(space, "view"))("up", "--wait=false", code=78)
    first = done.stderr.splitlines()[0]
    assert first == f"raystead: you have `view` in namespace {space.namespace}, and this needs `edit`"
    assert "kubectl create rolebinding" in done.stderr
    assert f"-n {space.namespace}" in done.stderr


def test_a_namespace_that_is_not_there_is_named_with_the_files_line(
    edit: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("spec") / "ray.yaml"
    text = edit("render", "--as", "raycluster").stdout
    file.write_text(text.replace("metadata:\n", "metadata:\n  namespace: no-such-place\n", 1))
    done = edit("up", "-f", str(file), "--wait=false", code=78)
    assert "there is no namespace no-such-place, or you have no role in it" in done.stderr.splitlines()[0]
    assert "ray.yaml:" in done.stderr.splitlines()[0]


def test_logs_of_pods_that_never_ran_are_a_sentence(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    mine = Cli(as_user(namespace(quota={"pods": "0"}), "edit"))
    mine("up", "--yes", "--wait=false")
    assert (
        mine("logs").stderr == '"ray-cluster" has no log yet; raystead explain says what its pods wait for\n'
    )
    assert (
        mine("logs", "head", "--since", "5m").stderr == '"head" of "ray-cluster" wrote nothing in that time\n'
    )
