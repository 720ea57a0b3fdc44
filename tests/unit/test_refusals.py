"""A refusal says what the user has in the namespace and the one thing to ask for."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scriptedserver import ScriptedServer, answer, status
from test_last_resort import Case, kubeconfig, run

from raystead.cli.options import _origin
from raystead.errors import Forbidden
from raystead.ops.planning import ANCHOR_BYTES, too_large
from raystead.ops.rights import explained
from raystead.plan.listing import KEPT, list_rows

READS = [{"verbs": ["get", "list", "watch"], "apiGroups": ["", "apps"], "resources": ["*"]}]
WRITES = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
REFUSED = Forbidden(
    "you may not patch services in namespace team", evidence="apply services/x: …", namespace="team"
)


class Server:
    """As much of an Api as knows rights."""

    namespace = "team"

    def __init__(self, rules: list[dict[str, Any]], user: str = "ann", incomplete: bool = False) -> None:
        self.rules, self.user, self.incomplete = rules, user, incomplete

    def inside(self, namespace: str) -> Server:
        return self

    def create(self, path: str, body: Any) -> Any:
        if path.endswith("selfsubjectreviews"):
            return {"status": {"userInfo": {"username": self.user}}}
        return {"status": {"resourceRules": self.rules, "incomplete": self.incomplete}}


def told(server: Server, error: Forbidden = REFUSED, origin: str = "") -> Forbidden:
    api: Any = server
    return explained(api, error, origin)


def test_who_may_only_read_is_told_to_ask_for_edit() -> None:
    error = told(Server(READS))
    assert error.what == "you have `view` in namespace team, and this needs `edit`"
    assert error.remedy == (
        "ask an administrator: kubectl create rolebinding raystead-edit --clusterrole=edit --user=ann -n team"
    )
    assert error.evidence.startswith("you may not patch services in namespace team")


def test_a_namespace_without_any_role_may_not_exist_and_its_line_is_named() -> None:
    error = told(Server([]), origin=" (ray.yaml:5 names it)")
    assert error.what == "there is no namespace team, or you have no role in it (ray.yaml:5 names it)"
    assert "-n" in error.remedy
    service = told(Server([], user="system:serviceaccount:ci:bot"))
    assert "--serviceaccount=ci:bot" in service.remedy


@pytest.mark.parametrize(
    "server", [Server(WRITES), Server([], incomplete=True)], ids=["edit", "a webhook decides"]
)
def test_other_refusals_stay_as_they_are(server: Server) -> None:
    assert told(server) is REFUSED
    elsewhere = Forbidden("you may not list configmaps")
    assert told(Server([]), elsewhere) is elsewhere


def test_the_line_that_names_a_namespace() -> None:
    text = "kind: RayCluster\nmetadata:\n  name: a\n  # namespace: other\n  namespace: 'team'  # ours\n"
    assert _origin(text, "ray.yaml", "team") == " (ray.yaml:5 names it)"
    assert _origin(text, "ray.yaml", "oth") == ""


def test_a_view_user_meets_one_sentence(tmp_path: Path) -> None:
    def send(handler: Any) -> None:
        if "selfsubjectrulesreviews" in handler.path:
            answer(201, {"kind": "X", "status": {"resourceRules": READS}})(handler)
        elif "selfsubjectreviews" in handler.path:
            answer(201, {"kind": "X", "status": {"userInfo": {"username": "ann"}}})(handler)
        elif handler.command == "GET" and handler.path.startswith("/readyz"):
            answer(200, {"kind": "X"})(handler)
        else:
            right = 'configmaps is forbidden: User "ann" cannot get resource "configmaps" in API group "" in the namespace "default"'
            answer(403, status(403, right, "Forbidden"))(handler)

    with ScriptedServer(send) as server:
        kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}")
        done: subprocess.CompletedProcess[str] = run(Case(["up"], 78), tmp_path)
    assert done.returncode == 78, done.stderr
    first, *_ = done.stderr.splitlines()
    assert first == "raystead: you have `view` in namespace default, and this needs `edit`"
    assert "--clusterrole=edit --user=ann -n default" in done.stderr


def test_a_spec_that_is_too_large_to_be_kept_is_foreseen_with_its_size() -> None:
    def anchor(size: int) -> dict[str, Any]:
        return {"metadata": {"name": "raystead-a"}, "data": {"spec": "x" * (size - 2), "hash": "ab"}}

    assert too_large(anchor(ANCHOR_BYTES)) == []
    (problem,) = too_large(anchor(ANCHOR_BYTES + 2**19))
    assert "1.50 MiB" in problem
    assert "ConfigMap/raystead-a" in problem


def test_data_that_down_kept_is_listed() -> None:
    def item(name: str) -> dict[str, Any]:
        made = {"name": name, "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"}
        return {"metadata": {**made, "labels": {"raystead.io/cluster": name}}}

    now = datetime(2026, 1, 1, 1, tzinfo=UTC)
    rows = list_rows([item("a")], [], now, claims=[item("a"), item("b"), item("b")])
    assert [(row.name, row.state) for row in rows] == [("a", "not ready"), ("b", KEPT)]
    assert rows[1].age == 3600
