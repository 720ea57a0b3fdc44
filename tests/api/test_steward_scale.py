"""The steward's own part in 1,000 workers: from the autoscaler's patch to the last pod created, and its memory."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from cli import Cli
from kube import Kube
from patience import patience

import raystead

pytestmark = [pytest.mark.api, pytest.mark.long]
COUNT, SECONDS = 1000, 8.0
EMPTY_MB, FULL_MB = 40.0, 60.0
STEWARD = "raystead-auto-steward"
RUN = """
import sys, threading
from incluster.facade import server
from incluster.hands import AccountApi, Hands
from incluster.kept import Kept
host, port, namespace, account, owner, token, pem = sys.argv[1:]
api = AccountApi(host, int(port), namespace, account)
kept = Kept(api, "raystead-auto-steward", owner)
board = kept.begin(kept.read())
say = lambda text: print(text, flush=True)
hands = Hands(board, api, owner, lambda: kept.templates, kept.hashes, say, kept.tell)
facade = server(board, namespace, token, pem, 0)
say(f"port {facade.server_address[1]}")
for what in (hands.run, facade.serve_forever):
    threading.Thread(target=what, daemon=True).start()
kept.follow(board, say, threading.Event())
"""


def spec() -> str:
    container = {"name": "ray", "image": "rayproject/ray:2.60.0"}
    container |= {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    template = {"spec": {"containers": [container]}}
    group = {
        "groupName": "small",
        "minReplicas": 0,
        "maxReplicas": COUNT,
        "replicas": 0,
        "template": template,
    }
    body = {"rayVersion": "2.60.0", "enableInTreeAutoscaling": True, "headGroupSpec": {"template": template}}
    document = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "auto"}}
    return yaml.safe_dump({**document, "spec": {**body, "workerGroupSpecs": [group]}})


def resident(process: subprocess.Popen[str]) -> float:
    """Megabytes of memory that the process has now."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def test_a_thousand_workers_are_made_in_eight_seconds_with_sixty_megabytes(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], tmp_path: Path
) -> None:
    """A thousand pods on a real API server, where none of them runs."""
    user = as_user(namespace(), "admin")
    Cli(user)("up", "--wait=false", "-f", "-", stdin=spec())
    config = yaml.safe_load(user.kubeconfig.read_text())
    place = urlsplit(config["clusters"][0]["cluster"]["server"])
    authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(authority))
    (tmp_path / "token").write_text(config["users"][0]["user"]["token"])
    secret = {k: base64.b64decode(v).decode() for k, v in user.get("secret", STEWARD)["data"].items()}
    (tmp_path / "tls.pem").write_text(secret["tls.pem"])
    given = json.loads(user.get("configmap", STEWARD)["data"]["steward.json"])
    words = (place.hostname, str(place.port), given["namespace"], str(tmp_path), given["owner"])
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, words), secret["token"], str(tmp_path / "tls.pem")],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(raystead.__file__).parent)},
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[1])
        time.sleep(2)  # it has looked once
        before, made = resident(process), threading.Event()
        lines: list[str] = []

        def read() -> None:
            for line in process.stdout or ():
                lines.append(line)
                if sum(" made, " in text for text in lines[-1:]) and len(lines) >= COUNT:
                    made.set()

        threading.Thread(target=read, daemon=True).start()
        path = f"/apis/ray.io/v1/namespaces/{user.namespace}/rayclusters/auto"
        wish = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": COUNT}]
        request = urllib.request.Request(
            f"https://localhost:{port}{path}", json.dumps(wish).encode(), method="PATCH"
        )
        request.add_header("Authorization", f"Bearer {secret['token']}")
        tls = ssl.create_default_context(cadata=secret["ca.crt"])
        begun = time.monotonic()
        urllib.request.urlopen(request, context=tls, timeout=30).read()
        assert made.wait(patience(120)), lines[-3:]
        took = time.monotonic() - begun
        time.sleep(5)  # the watch has told of all of them
        after = resident(process)
    finally:
        process.kill()
        process.wait()
    print(f"{COUNT} pods in {took:.1f} s; {before:.0f} MB with none, {after:.0f} MB with all")
    assert len(user.out("get", "pods", "-l", "ray.io/group=small", "-o", "name").splitlines()) == COUNT
    assert before < EMPTY_MB
    assert after < FULL_MB
    assert took < patience(SECONDS)
