"""Using a cluster without knowing it: connect, token, exec and logs by a user with `edit`."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from chromium import browser
from cli import Cli
from faults import Faults
from kube import until
from patience import patience
from shared import Running

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
RAY = str(Path(sys.executable).parent / "ray")
HEAD = "app=ray-cluster-head"


@pytest.fixture
def raystead(running: Running) -> Cli:
    """The built-in cluster, and its user."""
    return running.cli


def serving(raystead: Cli, old: str) -> bool:
    """Another head than that one is ready."""
    return any(
        c["type"] == "Ready" and c["status"] == "True"
        for pod in raystead.user.items("pods", "-l", HEAD)
        if pod["metadata"]["name"] != old
        for c in pod["status"].get("conditions") or []
    )


class Connected:
    """`raystead connect` as it runs."""

    def __init__(self, cli: Cli, *words: str) -> None:
        self.process = cli.start("connect", *words)
        assert self.process.stdout is not None
        self.dashboard = self.process.stdout.readline().split()[-1]
        self.token = cli("token").stdout.strip()

    def version(self) -> int:
        """The status code of the dashboard's answer; 0 without one."""
        headers = {"Authorization": f"Bearer {self.token}"}
        with contextlib.suppress(httpx.HTTPError):
            url = f"{self.dashboard}/api/version"
            return httpx.get(url, headers=headers, timeout=patience(5), trust_env=False).status_code
        return 0

    def end(self) -> tuple[int, str]:
        """Ctrl-C: exit code and what was said."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=patience(20))
        return self.process.returncode, err


@pytest.fixture
def connected(raystead: Cli) -> Iterator[Callable[..., Connected]]:
    made: list[Connected] = []

    def make(*words: str) -> Connected:
        made.append(Connected(raystead, *words))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def test_the_dashboard_answers_with_the_token_and_not_without(raystead: Cli, connected) -> None:
    here = connected()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", here.dashboard)
    assert here.version() == 200
    assert httpx.get(f"{here.dashboard}/api/version", trust_env=False).status_code == 401
    code, said = here.end()
    assert code == 0
    assert here.token not in said, "a token is written to a terminal only"


def test_the_dashboard_in_a_browser_asks_once_and_outlives_its_head(raystead: Cli, connected) -> None:
    """In a real Chromium: the token typed, nodes and a job seen, a lost head, a reload."""
    raystead("submit", "--submission-id", "seen-in-the-dashboard", "--", "true")
    here = connected()
    with browser() as page:
        page.go(here.dashboard)
        page.shows("Authentication Token Required")
        page.type_into("input[type=password]", here.token)
        page.click("SUBMIT")
        until(lambda: page.cookie("ray-authentication-token") is not None, 30, "the token is accepted")
        for round in ("at first", "after the head was lost"):
            page.go(f"{here.dashboard}/#/jobs")
            page.shows("seen-in-the-dashboard", "SUCCEEDED", within=120)
            page.go(f"{here.dashboard}/#/cluster")
            page.shows("ALIVE", within=120)
            assert "Authentication Token Required" not in page.text, round
            if keep := os.environ.get("RAYSTEAD_PICTURES"):
                page.picture(Path(keep) / f"{round}.png")
            if round == "at first":
                old = raystead.user.items("pods", "-l", HEAD)[0]["metadata"]["name"]
                raystead.user.run("delete", "pod", "-l", HEAD, "--force", "--grace-period=0")
                # the old head answers until its containers end; only a page of the new one tells anything
                until(lambda old=old: serving(raystead, old), 180, "a new head serves")
                until(lambda: here.version() == 200, 60, "it answers at the same address", every=1)
                page.reload()


def test_exec_worker_goes_into_a_worker(raystead: Cli) -> None:
    assert "deployment-ray-worker" in raystead("exec", "worker", "--", "hostname").stdout
    assert 'no cluster "nosuch"' in raystead("exec", "nosuch", "--", "true", code=64).stderr


def test_connections_side_by_side_and_a_taken_port(raystead: Cli, connected) -> None:
    one, two = connected(), connected()
    assert one.dashboard != two.dashboard
    assert one.version() == two.version() == 200
    port = one.dashboard.rpartition(":")[2]
    refused = raystead("connect", "--port", port, code=69)
    assert f"port {port} of 127.0.0.1 is taken" in refused.stderr


def test_a_command_gets_address_and_token_and_gives_its_exit_code(raystead: Cli) -> None:
    ask = "import os, sys, urllib.request as u; e = os.environ; "
    ask += "r = u.Request(e['RAY_ADDRESS'] + '/api/version', headers=__import__('json').loads(e['RAY_JOB_HEADERS'])); "
    ask += "print(u.urlopen(r).status); sys.exit(7)"
    assert raystead("connect", "--", sys.executable, "-c", ask, code=7).stdout == "200\n"
    assert 'there is no program "nosuch"' in raystead("connect", "--", "nosuch", code=86).stderr


def test_ray_init_over_the_client_port(raystead: Cli) -> None:
    program = "import ray; ray.init(); print('CPU', ray.cluster_resources()['CPU'])"
    assert "CPU 3.0" in raystead("connect", "--client", "--", sys.executable, "-c", program).stdout


def test_what_the_guides_reader_knows_still_works(raystead: Cli) -> None:
    """kubectl port-forward of the Service, and Ray's own job client with the token's shell lines."""
    command = "\n".join(
        (
            f'eval "$("{Path(sys.executable).parent}/raystead" token --env)"',
            f"{raystead.user.kubectl} port-forward service/service-ray-cluster 8265:8265 >/dev/null &",
            "sleep 3",
            f"{RAY} job submit --address http://localhost:8265 -- python -c 'print(6 * 7)'; code=$?",
            "kill %1; exit $code",
        )
    )
    done = subprocess.run(
        ["bash", "-c", command], env=raystead.env, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert "\n42\n" in done.stdout


def test_exec_in_the_head_reaches_ray_without_any_setting(raystead: Cli) -> None:
    program = "import ray; ray.init(); print('CPU', ray.cluster_resources()['CPU'])"
    assert "CPU 3.0" in raystead("exec", "--", "python", "-c", program).stdout
    assert raystead("exec", "--", "sh", "-c", "cat; exit 3", code=3, stdin="input").stdout == "input"


def test_exec_chooses_its_pod(raystead: Cli) -> None:
    worker = raystead("exec", "--group", "worker", "--", "hostname").stdout.strip()
    assert worker.startswith("deployment-ray-worker-")
    assert raystead("exec", "--pod", worker, "--", "hostname").stdout.strip() == worker
    assert "groups: head, redis, worker" in raystead("exec", "--group", "nope", "--", "true", code=2).stderr
    missing = raystead("exec", "--", "nosuch", code=86)
    assert "nosuch cannot be started" in missing.stderr


def test_logs_of_all_of_a_group_and_of_rays_files(raystead: Cli) -> None:
    margins = {line.split(": ")[0].split("/")[0] for line in raystead("logs").stdout.splitlines()}
    assert margins == {"head", "worker", "redis"}
    tail = raystead("logs", "worker", "--tail", "1", "--timestamps").stdout.splitlines()
    assert len(tail) == 2
    assert all(re.match(r"worker/\w+: \d{4}-\d\d-\d\dT", line) for line in tail)
    ray = raystead("logs", "--ray", "raylet.out", "--tail", "1").stdout.splitlines()
    assert {line.split("/")[0].split(":")[0] for line in ray} == {"head", "worker"}
    assert "gcs_server.out" in raystead("logs", "head", "--ray", "nosuch.out").stderr


def test_followed_logs_end_with_the_users_ctrl_c(raystead: Cli) -> None:
    process = raystead.start("logs", "head", "-f", "--tail", "1")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("head: ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=patience(20))
    assert process.returncode == 130


@pytest.mark.parametrize("force", [True, False], ids=["force", "grace"])
def test_a_lost_head_interrupts_and_does_not_end_connect_and_logs(
    raystead: Cli, connected, faults: Faults, tmp_path: Path, force: bool
) -> None:
    here = connected()
    follower = subprocess.Popen(
        [str(Path(sys.executable).parent / "raystead"), "logs", "head", "-f"],
        env=raystead.env,
        stdout=(tmp_path / "out").open("w"),
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (tmp_path / "out").read_text().count("Ray runtime started"), 60, "the log is followed")
    old = raystead.user.get("pods", "-l", HEAD)["items"][0]["metadata"]["name"]
    faults.delete_pod(raystead.user, old, force=force)

    until(lambda: serving(raystead, old), 180, "a new head serves")
    begun = time.monotonic()
    until(lambda: here.version() == 200, 3, "the same address serves again", every=0.1)
    print(f"back {time.monotonic() - begun:.1f} s after the new head is ready")
    until(
        lambda: (tmp_path / "out").read_text().count("Ray runtime started") == 2,
        60,
        "the new head's log came",
    )
    follower.send_signal(signal.SIGINT)
    assert follower.wait(patience(20)) == 130
    assert here.process.poll() is None


def test_connect_ends_when_the_cluster_is_deleted(raystead: Cli, connected) -> None:
    """The last test of those that share the cluster: it is gone after it."""
    here = connected()
    raystead("down", "--yes")
    until(
        lambda: here.version() != 200 and here.process.poll() is not None, 60, "connect has ended", every=0.5
    )
    assert here.process.returncode == 64
