"""The API server goes away in the middle of a verb: Ctrl-C ends it at once, whatever it was doing."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from bare import Server
from cli import RAYSTEAD, Cli
from kube import Kube, until
from patience import patience
from relay import Relay

pytestmark = pytest.mark.api
VERBS = (
    "up --timeout 300s",
    "logs -f",
    "status",
    "explain",
    "plan",
    "doctor",
    "down --yes",
    "restart",
    "scale 3",
)


@pytest.fixture(scope="module")
def user(space: Kube, as_user: Callable[[Kube, str], Kube]) -> Kube:
    """Somebody whose namespace has a cluster; nothing of it runs here."""
    one = as_user(space, "edit")
    Cli(one)("up", "--timeout", "2s", code=68)
    return one


def through(relay: Relay, user: Kube, folder: Path) -> dict[str, str]:
    """The environment of a verb whose way to the server is the relay."""
    document = yaml.safe_load(user.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return {**Cli(user).env, "KUBECONFIG": str(path)}


def test_an_interrupted_run_cleans_up_for_seconds_at_most(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], server: Server, tmp_path: Path
) -> None:
    """It has promised to delete its cluster; where the server is away the lease does that."""
    user = as_user(namespace(), "edit")
    relay = Relay(server.port)
    env = through(relay, user, tmp_path)
    with subprocess.Popen(
        [RAYSTEAD, "run", "--name", "once", "--", "true"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(
            lambda: user.run("get", "deployment/once-head", check=False).returncode == 0, 60, "it has begun"
        )
        relay.refuse()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert time.monotonic() - begun < patience(4), err
    assert process.returncode in (77, 130), (process.returncode, out, err)
    assert "Traceback" not in err


@pytest.mark.parametrize("how", ["freeze", "refuse"])
@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupt_in_an_outage_ends_a_verb_within_a_second(
    verb: str, how: str, user: Kube, server: Server, tmp_path: Path
) -> None:
    relay = Relay(server.port)
    env = through(relay, user, tmp_path)
    with subprocess.Popen(
        [RAYSTEAD, *verb.split()], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while relay.answered < 3000 and process.poll() is None:  # a handshake and an answer or two
            assert time.monotonic() < deadline
            time.sleep(0.005)
        getattr(relay, how)()
        time.sleep(3)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            try:
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()
            took = time.monotonic() - begun
            assert took < patience(1.0), f"{took:.1f} s\n{out}\n{err}"
            assert process.returncode == 130, (process.returncode, out, err)
            assert "Traceback" not in err
        else:
            assert process.returncode in (0, 77), process.communicate()
