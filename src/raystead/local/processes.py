"""Processes that are ours: found by a mark in their environment, ended by pid, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from raystead.local.model import MARKER


def marked(uid: str) -> list[int]:
    """Living processes whose environment carries this cluster's mark."""
    mark = f"{MARKER}={uid}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0") and state_of(int(entry.name)) != "Z":
                    found.append(int(entry.name))
    return found


def state_of(pid: int) -> str:
    """The state letter of a process, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def started_at(pid: int) -> str:
    """When the process started, in ticks since boot: with the pid it names a process for ever.

    "" when it has ended, also where its parent has not yet asked how: then /proc still lists it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return ""


def end_marked(uid: str, *, grace: float) -> None:
    """SIGTERM to every marked process, SIGKILL to those that are there after `grace` seconds."""
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + wait
        signalled: set[int] = set()
        while pids := marked(uid):
            for pid in pids:
                if pid not in signalled:
                    signalled.add(pid)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)


def session(leader: int) -> list[int]:
    """Living processes of `leader`'s session (Ray's children change their group, not their session)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def end_node(leader: int, *, grace: float) -> None:
    """Ends a node whose leader lives: SIGTERM to it, which drains; SIGKILL to its session after `grace` s."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while session(leader) and time.monotonic() < deadline:
        time.sleep(0.05)
    end_rest(leader)


def end_rest(leader: int, uid: str | None = None) -> None:
    """SIGKILL to a session; with `uid` only to those marked so (a dead leader's pid may be reused)."""
    pids = session(leader)
    if uid is not None:
        pids = sorted(set(pids) & set(marked(uid)))
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
