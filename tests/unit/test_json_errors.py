"""`-o json` on failure: one object on stdout with all that the error knows; and what the logger shows."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scriptedserver import ScriptedServer, answer

from raystead import errors
from raystead.cli.failure import as_json
from raystead.kube.api import Api
from raystead.spec.problems import Problem


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KUBECONFIG": "/nonexistent", "XDG_STATE_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-m", "raystead", *words], capture_output=True, text=True, env=env, check=False
    )


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["plan", "-o", "json"], "KubeConfigError", 76),
        (["status", "--local", "-ojson"], "ClusterNotFound", 64),
        (["explain", "--local", "-o", "json"], "Unsupported", 75),
        (["status", "--no-such", "-o", "json"], "UsageError", 2),
    ],
)
def test_a_failure_is_an_object_too(tmp_path: Path, words: list[str], kind: str, code: int) -> None:
    done = run(tmp_path, *words)
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["exitCode"], done.returncode) == (kind, code, code)
    assert error["what"].split(":")[0] in done.stderr


def test_without_it_stdout_stays_empty(tmp_path: Path) -> None:
    assert run(tmp_path, "status", "--local").stdout == ""
    assert run(tmp_path, "submit", "--local", "--", "x", "-o", "json").stdout == ""


def test_the_object_carries_the_errors_data_and_no_secret() -> None:
    broken = errors.SpecError(
        'token: "planted-secret-1"', problems=(Problem("f.yaml", 3, 1, "spec", "is missing"),)
    )
    error = json.loads(as_json(broken))["error"]
    assert error["problems"][0] == {
        "file": "f.yaml",
        "line": 3,
        "column": 1,
        "path": "spec",
        "what": "is missing",
        "instead": "",
    }
    assert "planted" not in as_json(broken)
    refused = errors.Forbidden("no", status=403, verb="get", resource="pods", namespace="x")
    error = json.loads(as_json(refused))["error"]
    assert [error[key] for key in ("verb", "resource", "namespace", "status")] == ["get", "pods", "x", 403]


def test_the_logger_shows_requests_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "raystead")
    with ScriptedServer(answer(200, {"kind": "Secret", "data": {"password": "cGxhbnRlZA=="}})) as server:
        api = Api(server.access())
        api.get("/api/v1/namespaces/x/secrets/y", token="planted-secret-1")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "raystead"]
    assert line.startswith("GET /api/v1/namespaces/x/secrets/y?token=*** 200 ")
    assert "planted" not in caplog.text
    assert "cGxhbnRlZA" not in caplog.text


def test_another_namespace_is_another_value() -> None:
    with ScriptedServer(answer(200, {})) as server:
        api = Api(server.access())
        other = api.inside("elsewhere")
        assert (other.namespace, api.namespace) == ("elsewhere", api.access.namespace)
        assert api.inside(None) is api
        other.get("/api")
        assert len(server.seen) == 1
