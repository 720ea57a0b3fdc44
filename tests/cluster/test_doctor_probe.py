"""`raystead doctor --probe`: what only a pod finds out, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from audit import Audit
from doctors import RAYSTEAD, REQUESTS, check, doctor, nothing_is_left
from kube import RESTRICTED, Kube, pod, until
from patience import patience

pytestmark = pytest.mark.cluster
MakeSpace = Callable[..., Kube]
AsUser = Callable[[Kube, str], Kube]


@pytest.mark.parametrize("deny", [False, True])
def test_a_probe_finds_what_only_a_pod_knows_and_goes(
    namespace: MakeSpace, as_user: AsUser, audit: Audit, deny: bool
) -> None:
    """Over 60 s on a busy machine: a pod that connects to what is closed waits for time-outs."""
    space = namespace(security="restricted", deny=deny)
    user = as_user(space, "edit")
    audit.mark()
    said = doctor(user, "--probe")
    audit.none_refused(user.user)
    assert said["requests"] <= REQUESTS
    assert "Ray 2.60.0, Python 3.11" in check(said, "ray")["what"]
    assert check(said, "dns")["verdict"] == "ok", said["checks"]
    assert check(said, "egress")["verdict"] == "warn"  # pods of this cluster have no way out
    until(lambda: not space.items("jobs,pods"), 20, "the Job and its pod are gone")
    nothing_is_left(space)


@pytest.mark.long
def test_a_probe_in_a_closed_namespace_does_not_resolve(
    namespace: MakeSpace, as_user: AsUser, own_cluster: Path
) -> None:
    user = as_user(namespace(deny=True), "edit")
    found = check(doctor(user, "--probe", "--policies", "never"), "dns")
    assert found["verdict"] == "fail"
    assert "cannot resolve names" in found["remedy"]


@pytest.mark.parametrize(
    ("password", "verdict", "words"),
    [("right", "ok", "answers PONG"), ("wrong", "fail", "refuses the password")],
)
def test_a_probe_logs_in_to_a_redis_of_ones_own(
    namespace: MakeSpace, as_user: AsUser, tmp_path: Path, password: str, verdict: str, words: str
) -> None:
    space = namespace(security="restricted")
    user = as_user(space, "edit")
    server = ["redis-server", "--requirepass", "right", "--protected-mode", "no", "--dir", "/tmp"]
    space.apply(pod("store", "redis:7.0.15", server, securityContext=RESTRICTED | {"runAsUser": 999}))
    space.run("expose", "pod", "store", "--port=6379")
    space.run("create", "secret", "generic", "word", f"--from-literal=pass={password}")
    until(lambda: space.get("pod", "store")["status"].get("phase") == "Running", 60, "Redis runs")
    ray = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0-py311"}]}}
    key = {"valueFrom": {"secretKeyRef": {"name": "word", "key": "pass"}}}
    options = {"redisAddress": "store:6379", "redisPassword": key}
    spec = {"rayVersion": "2.60.0", "gcsFaultToleranceOptions": options, "headGroupSpec": {"template": ray}}
    kind = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "mine"}}
    file = tmp_path / "ray.yaml"
    file.write_text(yaml.safe_dump({**kind, "spec": spec}))
    assert check(doctor(user, "-f", str(file)), "state")["verdict"] == "unknown"
    found = check(doctor(user, "-f", str(file), "--probe"), "state")
    assert found["verdict"] == verdict, found
    assert words in found["what"], found


def test_a_probe_that_is_interrupted_leaves_nothing(namespace: MakeSpace, as_user: AsUser) -> None:
    space = namespace()
    user = as_user(space, "edit")
    env = {**os.environ, "KUBECONFIG": str(user.kubeconfig)}
    words = [RAYSTEAD, "doctor", "--probe", "--image", "nowhere.invalid/ray:1", "--ray-version", "2.60.0"]
    running = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: space.items("jobs"), 30, "the probe's Job is there")
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    assert running.wait(patience(30)) == 130
    until(lambda: not space.items("jobs,pods"), 20, "the Job and its pod are gone")
    nothing_is_left(space)
