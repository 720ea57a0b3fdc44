"""`raystead autoscale` as an `edit` user: one acts, the next waits for its end, however that comes. No pod runs here."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import Cli
from kube import Kube, until
from patience import patience

pytestmark = pytest.mark.api
STEWARD = "raystead-auto-steward"
RAY = {"name": "ray", "image": "rayproject/ray:2.60.0"}
SIZED = {**RAY, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
GROUP = {
    "groupName": "small",
    "minReplicas": 1,
    "maxReplicas": 3,
    "template": {"spec": {"containers": [SIZED]}},
}
DOCUMENT = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "auto"},
    "spec": {
        "rayVersion": "2.60.0",
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {"template": {"spec": {"containers": [SIZED]}}},
        "workerGroupSpecs": [GROUP],
    },
}


class Acting:
    """A `raystead autoscale` that runs, and what it has said so far."""

    def __init__(self, cli: Cli) -> None:
        self.process = cli.start("autoscale")
        self.said = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.said += line

    def says(self, words: str) -> None:
        until(lambda: words in self.said, 30, f"it says: {words} (it said: {self.said})")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(patience(30))


@pytest.fixture
def user(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Kube:
    return as_user(namespace(), "edit")


@pytest.fixture
def cli(user: Kube) -> Cli:
    out = Cli(user)
    said = out("up", "--wait=false", "-f", "-", stdin=yaml.safe_dump(DOCUMENT)).stderr
    assert "`raystead autoscale auto` runs" in said
    return out


def claim(user: Kube) -> Any:
    return json.loads(user.get("configmap", STEWARD)["data"].get("client", "{}"))


def test_one_acts_and_the_next_takes_over_however_the_first_one_ends(
    cli: Cli, user: Kube, audit: Audit
) -> None:
    first = Acting(cli)
    first.says('acting for "auto"')
    first.says("the head is away")  # no pod runs on this server
    second = Acting(cli)
    second.says('acts for "auto" already')
    renewed = claim(user)["renewed"]
    until(lambda: claim(user)["renewed"] != renewed, 20, "its claim is renewed")
    assert first.end(signal.SIGINT) == 0
    assert "raystead autoscale runs again" in first.said
    assert "asyncio" not in first.said
    second.says('acting for "auto"')
    assert second.end(signal.SIGKILL) < 0
    begun = time.monotonic()
    third = Acting(cli)
    third.says('acting for "auto"')  # it sees that the process is gone, and need not wait for the claim's end
    assert time.monotonic() - begun < patience(10)
    cli("down", "--yes")
    assert third.process.wait(patience(60)) == 64
    assert "is gone" in third.said
    audit.none_refused(user.user)


def test_a_claim_of_another_machine_is_waited_for_until_it_is_old(cli: Cli, user: Kube) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    other = json.dumps({"id": "elsewhere:1:ab", "who": "bob@elsewhere", "renewed": now})
    user.run("patch", "configmap", STEWARD, "--type=merge", "-p", json.dumps({"data": {"client": other}}))
    assert "bob@elsewhere" not in cli("status").stdout
    acting = Acting(cli)
    acting.says('bob@elsewhere acts for "auto" already')
    acting.says('acting for "auto"')
    assert claim(user)["id"] != "elsewhere:1:ab"
    acting.end(signal.SIGINT)
    assert claim(user) == {}


class WrongClock(Cli):
    """`raystead` on a machine whose clock is some hours ahead, or behind."""

    def __init__(self, user: Kube, folder: Path, hours: int) -> None:
        super().__init__(user)
        (folder / "sitecustomize.py").write_text(
            f"import time; right = time.time; time.time = lambda: right() + {hours * 3600}"
        )
        object.__setattr__(self, "folder", folder)

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "PYTHONPATH": str(self.folder)}  # type: ignore[attr-defined]


@pytest.mark.long
def test_a_clock_that_is_wrong_takes_nobodys_place(cli: Cli, user: Kube, tmp_path: Path) -> None:
    """The server's clock counts: the claim of who acts is neither old nor new for anybody."""
    acting = Acting(cli)
    acting.says('acting for "auto"')
    for hours in (3, -3):
        folder = tmp_path / str(hours)
        folder.mkdir()
        second = Acting(WrongClock(user, folder, hours))
        second.says('acts for "auto" already')
        renewed = claim(user)["renewed"]
        until(lambda renewed=renewed: claim(user)["renewed"] != renewed, 20, "the claim is renewed")
        time.sleep(3)
        assert 'acting for "auto"' not in second.said
        acting.end(signal.SIGINT)
        second.says('acting for "auto"')
        written = datetime.fromisoformat(claim(user)["renewed"]).timestamp()
        assert abs(written - time.time()) < patience(20)
        acting = second
    acting.end(signal.SIGINT)


def test_what_is_printed_for_an_administrator_works_as_printed(cli: Cli, user: Kube, admin: Kube) -> None:
    there = admin.at(user.namespace)
    there.run("apply", "-f", "-", stdin=cli("autoscale", "auto", "--rbac").stdout)
    cli("up", "--wait=false", "--name", "auto", "--service-account", "raystead-auto-autoscaler", "--yes")
    account = f"system:serviceaccount:{user.namespace}:raystead-auto-autoscaler"
    for words in ("create pods", "watch pods", f"patch configmaps/{STEWARD}", f"watch configmaps/{STEWARD}"):
        assert there.out("auth", "can-i", *words.split(), f"--as={account}").strip() == "yes"
    done = cli("autoscale", code=90)
    assert "there is nothing to run here" in done.stderr
    spec = there.get("deployment", "auto-head")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "raystead-auto-autoscaler"


def test_doctor_says_which_it_will_be(
    user: Kube, namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    text = yaml.safe_dump(DOCUMENT)
    said = Cli(user)("doctor", "-f", "-", stdin=text, code=None).stdout
    assert "workers are made only while raystead autoscale auto runs" in said
    assert "you may not create roles" not in said
    said = Cli(as_user(namespace(), "admin"))("doctor", "-f", "-", stdin=text, code=None).stdout
    assert "with a Role that up makes" in said
    said = Cli(user)("doctor", "-f", "-", "--service-account", "mine", stdin=text, code=None).stdout
    assert "with the rights of ServiceAccount mine" in said


def test_a_cluster_that_is_not_autoscaled_is_told_how_to_be(user: Kube) -> None:
    cli = Cli(user)
    cli("up", "--wait=false", "--name", "plain", "--storage", "none")
    done: subprocess.CompletedProcess[str] = cli("autoscale", "plain", code=90)
    assert "raystead up --name plain --autoscale --min 0 --max 10" in done.stderr


def test_who_has_more_rights_restarts_no_head_by_the_way_and_is_told_how_to_give_them(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """An `edit` user made it, and an administrator changes something else."""
    space = namespace()
    admin, edit = (Cli(as_user(space, role)) for role in ("admin", "edit"))
    edit("up", "--wait=false", "-f", "-", stdin=yaml.safe_dump(DOCUMENT))

    def generation() -> int:
        return int(space.get("deployment", "auto-head")["metadata"]["generation"])

    before = generation()
    told = "`raystead up --name auto --autoscale` (restarts the head)"
    shown = admin("plan", "--name", "auto").stdout
    assert told in shown
    assert "nothing to change" in shown
    assert "`raystead up --name auto --autoscale`" not in edit("plan", "--name", "auto").stdout
    admin("scale", "small=1..2", "--yes", "--timeout", "1s", code=None)
    assert generation() == before
    assert "raystead up --name auto --autoscale" in admin("doctor", "--name", "auto", code=None).stdout
    shown = admin("plan", "--name", "auto", "--autoscale").stdout
    assert "with rights of its own, for which the head restarts" in " ".join(shown.split())
    refused = admin("up", "--name", "auto", "--autoscale", "--wait=false", code=2)
    assert "head: 1 pod restarts" in refused.stderr
    admin("up", "--name", "auto", "--autoscale", "--wait=false", "--yes")
    assert generation() == before + 1
    assert space.get("role", STEWARD)["rules"]
    assert 'in the head of "auto" makes the workers' in edit("autoscale", code=90).stderr


def test_who_has_fewer_rights_leaves_the_stewards_as_they_are(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """An administrator made it, and an `edit` user changes something."""
    space = namespace()
    admin, edit = (Cli(as_user(space, role)) for role in ("admin", "edit"))
    admin("up", "--wait=false", "-f", "-", stdin=yaml.safe_dump(DOCUMENT))
    template = space.get("deployment", "auto-head")["spec"]["template"]
    role = space.get("role", STEWARD)
    assert "nothing to change" in edit("plan", "--name", "auto").stdout
    edit("up", "--name", "auto", "--max", "5", "--wait=false", "--yes")
    assert space.get("deployment", "auto-head")["spec"]["template"] == template
    assert space.get("role", STEWARD)["metadata"]["uid"] == role["metadata"]["uid"]
    assert space.get("rolebinding", STEWARD)
    assert "nothing to change" in admin("plan", "--name", "auto").stdout
