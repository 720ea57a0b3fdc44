"""`connect --open` lets one browser in; outputs that go with pods are counted beforehand."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from patience import patience

from raystead.base.groups import HEAD, worker
from raystead.errors import RayUnreachable
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.ops import outputs
from raystead.ops.browser import opened
from raystead.ops.outputs import going_with
from raystead.plan.model import Action, Change, Plan
from raystead.rayapi.jobs import Job
from raystead.spec.builtin import builtin


def get(address: str, **more: Any) -> httpx.Response:
    return httpx.get(address, trust_env=False, **more)


def test_one_browser_is_let_in_and_sent_on() -> None:
    seen: list[str] = []
    with opened("http://127.0.0.1:8265", "a-token", lambda address: not seen.append(address)) as found:
        assert found
        (address,) = seen
        assert "a-token" not in address
        assert get(address.rpartition("/")[0] + "/guess").status_code == 404
        assert get(address, headers={"Host": "evil.example"}).status_code == 404, "no page of others gets it"
        answer = get(address)
        assert answer.status_code == 303
        assert answer.headers["location"] == "http://127.0.0.1:8265"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("ray-authentication-token=a-token; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert get(address).status_code == 404, "good once"
    with pytest.raises(httpx.ConnectError):
        get(address)


def test_a_browser_that_connects_in_advance_keeps_neither_the_page_nor_the_end_waiting() -> None:
    seen: list[str] = []
    began = time.monotonic()
    with opened("http://127.0.0.1:8265", "a-token", lambda address: not seen.append(address)):
        host, port = seen[0].split("/")[2].split(":")
        idle = socket.create_connection((host, int(port)))
        assert get(seen[0]).status_code == 303
    idle.close()
    assert time.monotonic() - began < patience(5)


def test_without_a_token_the_page_itself_is_opened() -> None:
    seen: list[str] = []
    with opened("http://127.0.0.1:8265", None, lambda address: bool(seen.append(address))) as found:
        assert not found
    assert seen == ["http://127.0.0.1:8265"]


def job(status: str, ip: str) -> Job:
    raw = {"driver_agent_http_address": f"http://{ip}:52365"}
    return Job("j", status, "true", "", None, 1.0, None, {}, None, "n", raw)


JOBS = [job("SUCCEEDED", "10.0.0.1"), job("FAILED", "10.0.0.2"), job("RUNNING", "10.0.0.1"), job("FAILED", "10.0.0.9")]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("deployment-ray-worker", 0, 2)], "the output of 2 finished jobs goes"),
        ([("deployment-ray-worker", 1, 0)], "the output of up to 2 finished jobs goes"),
        ([("deployment-ray-head", 0, 1)], "the output of 1 finished job goes"),
        ([("deployment-ray-worker", 0, 2), ("deployment-ray-head", 0, 1)], "of 3 finished jobs"),
        ([("deployment-ray-worker", 0, 0)], None),
    ],
)
def test_outputs_that_go_are_told_beforehand(
    changes: list[tuple[str, int, int]], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = {worker("worker"): {"10.0.0.1", "10.0.0.2"}, HEAD: {"10.0.0.9"}}
    monkeypatch.setattr(outputs, "_addresses", lambda prepared, group: pods[group])
    made = [Change(Action.CHANGE, "Deployment", n, stops=s, restarts=r, loses="x") for n, s, r in changes]
    objects = manifests(builtin(), Facts(namespace="here"))
    prepared: Any = SimpleNamespace(
        cluster=builtin(), objects=objects, plan=Plan(tuple(made)), anchor="there"
    )
    text = going_with(prepared, lambda: JOBS)
    assert (text is None) if told is None else (told in (text or ""))

    def unreachable() -> list[Job]:
        raise RayUnreachable("no head")

    assert going_with(prepared, unreachable) is None, "no question is no reason to stop"
