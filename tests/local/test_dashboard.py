"""The dashboard in a real browser: the token is asked for once, `connect --open` brings it, a head is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from chromium import Page, browser
from patience import patience

from raystead.local.place import LocalPlace

from .conftest import RAYSTEAD, Cli

pytestmark = pytest.mark.local
ASKS = "Authentication Token Required"
COOKIE = "ray-authentication-token"


def shows_nodes_and_job(page: Page, dashboard: str, job: str) -> None:
    page.go(f"{dashboard}/#/jobs")
    page.shows(job, "SUCCEEDED")
    page.go(f"{dashboard}/#/cluster")
    page.shows("ALIVE")
    assert ASKS not in page.text


def test_the_dashboard_lets_its_user_in(cli: Cli, state: Path, tmp_path: Path) -> None:
    place = LocalPlace("ray-cluster", state_dir=state / "raystead" / "local")
    job = "seen-in-the-dashboard"
    assert cli("submit", "--submission-id", job, "--", "true").returncode == 0
    with browser() as page:
        page.go(place.address)
        page.shows(ASKS)
        page.type_into("input[type=password]", place.token())
        page.click("SUBMIT")
        deadline = time.monotonic() + 30
        while page.cookie(COOKIE) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        shows_nodes_and_job(page, place.address, job)
        page.reload()
        time.sleep(3)
        assert ASKS not in page.text, "asked for once"

    with browser() as page:
        opened = tmp_path / "opened"
        script = tmp_path / "browser"
        script.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
        script.chmod(0o755)
        env = {**os.environ, "XDG_STATE_HOME": str(state), "BROWSER": str(script)}
        connect = subprocess.Popen([RAYSTEAD, "connect", "--local", "--open"], env=env)
        try:
            deadline = time.monotonic() + 30
            while not opened.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            address = opened.read_text().strip()
            assert place.token() not in address, "what a process list shows holds no token"
            page.go(address)
            shows_nodes_and_job(page, place.address, job)
            cookie = page.cookie(COOKIE)
            assert cookie is not None
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
            page.go(address)
            page.shows("404")  # good once
            page.go(place.address)
        finally:
            connect.send_signal(signal.SIGINT)
            connect.wait(timeout=30)
        head = next(node for node in place.status().nodes if node.name == "head")
        assert head.pid
        os.kill(head.pid, signal.SIGKILL)
        time.sleep(2)
        deadline = time.monotonic() + patience(90)
        while not place.status().ready and time.monotonic() < deadline:
            time.sleep(0.5)
        assert place.status().ready, "before that a page tells of no head, and goes on telling it"
        page.reload()
        shows_nodes_and_job(page, place.address, job)
        page.picture(tmp_path / "dashboard.png")
        if keep := os.environ.get("RAYSTEAD_PICTURES"):
            page.picture(Path(keep) / "dashboard.png")
