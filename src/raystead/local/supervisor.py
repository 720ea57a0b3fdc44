"""The resident part of a local cluster: starts the nodes of the plan and restarts those that die.

Run as `python -m raystead.local.supervisor DIRECTORY`; it reads plan.json there (again when it
changes) and writes status.json. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raystead.local.loopback import open_directly
from raystead.local.model import ClusterPlan, NodePlan, write_atomically
from raystead.local.processes import end_node, end_rest, started_at

_TICK = 0.2
_BACKOFF = 30.0  # seconds at most between two starts of a node
_LOG_BYTES = 8 * 2**20  # a log is cut there; what Ray's own processes write, Ray itself rotates
_ROTATE_EVERY = 50  # turns: 10 s
_TAIL = 64 * 2**10  # bytes of a log that are looked through for its last words
_ERROR = re.compile(r"error|exception|refused|cannot|failed|fatal", re.I)
_STEADY = 60.0  # a node that lived that long starts again at once


@dataclass
class Node:
    """A node and its process; `due` is the earliest time of its next start."""

    plan: NodePlan
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    due: float = 0.0
    restarts: int = 0
    quick: int = 0
    note: str = ""
    error: str = ""  # the last words of its latest end
    same: int = 0  # ends in a row with these words, each soon after its start
    at: int = 0  # bytes of its log when it began


class Supervisor:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan_file = directory / "plan.json"
        self.nodes: dict[str, Node] = {}
        self.ending = False
        self.orphaned = False
        self.stamp = 0
        self.written: object = None

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        turn = 0
        while not self.ending:
            self._read_plan()
            if self.ending:
                break
            for node in self.nodes.values():
                self._care_for(node)
            self._tell()
            if turn % _ROTATE_EVERY == 0:
                self._rotate()
            turn += 1
            time.sleep(_TICK)
        for node in self.nodes.values():
            self._stop(node)
        if self.orphaned:
            shutil.rmtree(self.plan.root, ignore_errors=True)

    def _end(self, *_: object) -> None:
        self.ending = True

    def _read_plan(self) -> None:
        try:
            stamp = self.plan_file.stat().st_mtime_ns
            if stamp == self.stamp:
                return
            self.plan = ClusterPlan.read(self.plan_file)
        except FileNotFoundError:
            # Whoever removed our state can no longer end us by it: nothing may outlive it.
            self.ending = self.orphaned = True
            return
        except (OSError, ValueError):
            if not self.stamp:
                raise
            return  # damaged: the nodes of the last plan go on, and every command says what to do
        self.stamp = stamp
        wanted = {node.name: node for node in self.plan.nodes}
        for name in [name for name in self.nodes if name not in wanted]:
            self._stop(self.nodes.pop(name))
        for name, plan in wanted.items():
            self.nodes.setdefault(name, Node(plan))

    def _care_for(self, node: Node) -> None:
        now = time.monotonic()
        if node.process is not None and node.process.poll() is not None:
            self._lost(node, now)
        if node.process is None and now >= node.due and (node.plan.name == "head" or self._gcs_open()):
            log = self._log(node.plan.name)
            node.at = log.tell()
            if node.plan.name == "head":
                # Ray takes living workers of a dead head for a running cluster when it reads this file.
                (Path(self.plan.root) / "head" / "ray_current_cluster").unlink(missing_ok=True)
            env = {**os.environ, **self.plan.env, **node.plan.env}
            node.process = subprocess.Popen(
                node.plan.command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            log.close()
            node.began = now

    def _log_path(self, name: str) -> Path:
        return self.directory / "logs" / f"{name.replace('/', '-')}.log"

    def _log(self, name: str) -> BinaryIO:
        """A node's log; on a full disk its words are lost, not the node."""
        try:
            return self._log_path(name).open("ab")
        except OSError:
            return Path(os.devnull).open("wb")

    def _lost(self, node: Node, now: float) -> None:
        """A node died: what is left of it is ended, and it starts again, later each time."""
        assert node.process is not None
        node.quick = 0 if now - node.began > _STEADY else node.quick + 1
        wait = 0.0 if node.quick == 0 else min(_BACKOFF, 2.0 ** (node.quick - 1))
        error = self._last_words(node)
        killed = node.process.returncode in (-signal.SIGKILL, -signal.SIGTERM)  # not by itself
        again = node.quick > 0 and _alike(error) == _alike(node.error)
        node.same = 0 if killed else node.same + 1 if again else 1
        node.error = error
        at = time.strftime("%H:%M:%S")
        node.note = f"lost at {at} (exit {node.process.returncode}), restarted after {wait:.0f} s"
        end_rest(node.process.pid, self.plan.uid)
        node.process, node.due, node.restarts = None, now + wait, node.restarts + 1
        if node.plan.name == "head":
            self._fail_dead_jobs_later()

    def _last_words(self, node: Node) -> str:
        """Its exit code, and of its last lines the one that names an error."""
        words: list[str] = []
        with contextlib.suppress(OSError), self._log_path(node.plan.name).open("rb") as stream:
            stream.seek(max(node.at, stream.seek(0, os.SEEK_END) - _TAIL))
            words = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines()]
        words = [line for line in words if line and line.strip("=-~^ ")]
        errors = [line for line in words if _ERROR.search(line)]
        assert node.process is not None
        return f"exit {node.process.returncode}: {(errors or words or ['no word'])[-1][:300]}"

    def _rotate(self) -> None:
        """Keeps each log below a size, and one older part of it; the writers append, so they go on."""
        for log in [*(self.directory / "logs").glob("*.log"), self.directory / "supervisor.log"]:
            with contextlib.suppress(OSError):
                if log.stat().st_size > _LOG_BYTES:
                    shutil.copyfile(log, log.with_suffix(".log.1"))
                    os.truncate(log, 0)

    def _fail_dead_jobs_later(self) -> None:
        """Ray looks for dead drivers only when its job agent is first asked (docs/facts/ray.md#jobs)."""
        subprocess.Popen([sys.executable, "-m", "raystead.local.supervisor", str(self.directory), "ask-jobs"])

    def _gcs_open(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.plan.gcs_port), timeout=0.2),
        ):
            return True
        return False

    def _stop(self, node: Node) -> None:
        if node.process is not None:
            end_node(node.process.pid, grace=8.0)
            node.process.wait()

    def _tell(self) -> None:
        nodes = [
            {
                "name": n.plan.name,
                "pid": n.process.pid if n.process else None,
                "restarts": n.restarts,
                "note": n.note,
                "error": n.error,
                "same": n.same,
            }
            for n in self.nodes.values()
        ]
        if nodes != self.written:
            told = {"pid": os.getpid(), "started": started_at(os.getpid()), "nodes": nodes}
            with contextlib.suppress(OSError):  # a full disk: said again at the next turn
                write_atomically(self.directory / "status.json", told)
                self.written = nodes


def _alike(error: str) -> str:
    """An error without its numbers: times, process ids and ports differ each time."""
    return re.sub(r"\d+", "#", error)


def ask_jobs(directory: Path) -> None:
    """Asks the head's job agent for the logs of a job until it answers, 60 s at most."""
    plan = ClusterPlan.read(directory / "plan.json")
    token = (directory / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            url = f"http://127.0.0.1:{plan.dashboard_port}/api/jobs/"
            with open_directly(urllib.request.Request(url, headers=headers), timeout=5) as answer:
                jobs = [job.get("submission_id") for job in json.load(answer) if job.get("submission_id")]
            if not jobs:
                return
            url = f"http://127.0.0.1:{plan.agent_port}/api/job_agent/jobs/{jobs[0]}/logs"
            open_directly(urllib.request.Request(url, headers=headers), timeout=10).close()
            return
        time.sleep(0.5)


if __name__ == "__main__":
    if sys.argv[2:] == ["ask-jobs"]:
        ask_jobs(Path(sys.argv[1]))
    else:
        Supervisor(Path(sys.argv[1])).run()
