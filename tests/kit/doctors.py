"""`raystead doctor` as the tests ask it: its answer as JSON, and what must be true of it in any case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from audit import Audit
from kube import Kube

Json = dict[str, Any]
RAYSTEAD = str(Path(sys.executable).with_name("raystead"))
REQUESTS = 25


def raystead(user: Kube, *words: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KUBECONFIG": str(user.kubeconfig)}
    command = [RAYSTEAD, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=env)


def doctor(user: Kube, *words: str) -> Json:
    done = raystead(user, "doctor", "-o", "json", *words)
    assert done.stdout, done.stderr
    said: Json = json.loads(done.stdout)
    assert done.returncode == (84 if said["problems"] else 0), done.stderr
    return said


def checks(said: Json, name: str) -> list[Json]:
    found = [check for check in said["checks"] if check["name"] == name]
    assert found, said["checks"]
    return found


def check(said: Json, name: str) -> Json:
    found = checks(said, name)
    assert len(found) == 1, found
    return found[0]


def asked_little(audit: Audit, user: Kube) -> None:
    """No more than 25 requests, nothing changed, no right missing. What admission refuses is its answer."""
    seen = audit.requests(user.user)
    assert 10 <= len(seen) <= REQUESTS, len(seen)
    refused = [r for r in seen if r.code in (401, 403) and not (r.resource == "pods" and r.verb == "create")]
    assert not refused, refused


def nothing_is_left(space: Kube) -> None:
    kinds = "configmaps,secrets,services,deployments,statefulsets,networkpolicies,pods,jobs,pvc"
    left = [f"{i['kind']}/{i['metadata']['name']}" for i in space.items(kinds)]
    assert [name for name in left if "raystead" in name or "ray" in name.split("/")[1]] == []
