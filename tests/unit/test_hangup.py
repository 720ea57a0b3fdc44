"""A terminal that is closed while `run` has a cluster: what is said meanwhile is lost, what has to be deleted is deleted."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import patience

from raystead.cli.run import ended_by_signals


def wait() -> None:
    """For a signal. (One that comes in the moment before `signal.pause` would not end it.)"""
    while True:
        time.sleep(0.05)


def at_a_terminal(work: Callable[[], None]) -> tuple[int, int]:
    """A process whose terminal it is; its pid and our end of the terminal, once it has said that it is there."""
    pid, ours = pty.fork()
    if pid == 0:
        signal.alarm(round(patience(20)))
        code = 70
        try:
            work()
        except SystemExit as end:
            code = int(str(end.code))
        finally:
            os._exit(code)
    assert b"there" in os.read(ours, 100)
    return pid, ours


def test_a_closed_terminal_unwinds_and_nothing_that_is_said_stops_it(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    def work() -> None:
        with ended_by_signals():
            try:
                os.write(1, b"there\n")
                wait()
            finally:
                os.kill(os.getpid(), signal.SIGHUP)  # as the shell does beside the kernel
                os.write(1, b"deleting\n")
                os.write(2, b"deleting\n")
                gone.touch()

    pid, ours = at_a_terminal(work)
    os.close(ours)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert gone.exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_sigterm_unwinds_and_what_is_said_is_read() -> None:
    def work() -> None:
        with ended_by_signals():
            try:
                os.write(1, b"there\n")
                wait()
            finally:
                os.write(1, b"deleting\n")

    pid, ours = at_a_terminal(work)
    os.kill(pid, signal.SIGTERM)
    assert b"deleting" in os.read(ours, 100)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGTERM
    os.close(ours)
