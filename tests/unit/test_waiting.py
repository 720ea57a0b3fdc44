"""A wait at a terminal is never silent, and its line is gone when it is over; a no changes nothing."""

import io
import sys
from pathlib import Path

import pytest
from patience import patience
from terminal import Terminal, raystead_env, shows

from raystead.ui import progress
from raystead.ui.plain import Reporter

SCRIPT = """\
import time
from raystead.ui import terminal
from raystead.ui.plain import Reporter
from raystead.ui.progress import waiting
terminal.guard()
reporter = Reporter()
with waiting(reporter, "waits for its nodes") as shown:
    time.sleep(2.2)
    shown.warn("memory is short")
    shown.tell("workers: 1 of 2" + " and more" * 30)
    time.sleep(0.5)
reporter.step("done")
"""


@pytest.fixture
def walk(tmp_path: Path) -> Terminal:
    (tmp_path / "wait.py").write_text(SCRIPT)
    return Terminal(raystead_env(XDG_STATE_HOME=str(tmp_path)), tmp_path, columns=80)


def test_a_wait_counts_its_seconds_in_one_line_and_is_gone_at_its_end(walk: Terminal) -> None:
    with walk as terminal:
        done = terminal.run(f"{sys.executable} wait.py")
    assert 0.5 < done.silence < patience(2), "the seconds go on"
    lines = [line for line in done.text.splitlines() if line]
    assert lines == ["! memory is short", "▸ done"]


def test_on_a_narrow_terminal_the_seconds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Narrow(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    err = Narrow()
    progress.WaitLine(Reporter(err=err), "").tell("workers: 1 of 2" + " and more" * 30)
    assert err.getvalue() == "\rworkers: 1 of 2 and mo…   0 s\033[K"


def test_elsewhere_a_wait_tells_itself_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(progress, "_EVERY", 0.2)
    monkeypatch.setattr(progress, "_REDRAWS", 0.05)
    with progress.waiting(Reporter(err=err), "head: starting") as shown:
        while err.getvalue().count("\n") < 2:
            shown._over.wait(0.05)
    first, second, *_ = err.getvalue().splitlines()
    assert first.startswith("▸ head: starting   ")
    assert second.startswith("▸ head: starting   ")
    assert "\x1b" not in err.getvalue().replace("\x1b[36m▸\x1b[0m", "▸")


def test_a_quiet_wait_says_nothing() -> None:
    err = io.StringIO()
    with progress.waiting(Reporter(err=err, quiet=True), "head: starting") as shown:
        shown.tell("head: alive")
    assert err.getvalue() == ""


def test_a_slip_in_a_verb_is_answered_with_the_whole_line(walk: Terminal) -> None:
    with walk as terminal:
        slip = terminal.run("raystead lits --local -q", 2)
        shows(
            slip,
            """
            raystead: there is no command "lits", did you mean list?
              do     raystead list --local -q
            """,
        )
        terminal.run(slip.hint("raystead list"))
        secret = terminal.run("raystead sumbit --env TOKEN=abc -- python x.py", 2)
        assert secret.hint("raystead submit") == "raystead submit"


PASSING = """\
from raystead.ui import terminal
from raystead.ui.plain import Reporter
terminal.guard()
with Reporter().passing("Ctrl-C again stops the job"):
    pass
Reporter().line("detached")
"""


def test_a_line_that_is_true_for_a_moment_leaves_nothing_behind(walk: Terminal, tmp_path: Path) -> None:
    (tmp_path / "passing.py").write_text(PASSING)
    with walk as terminal:
        assert terminal.run(f"{sys.executable} passing.py").text == "detached"
