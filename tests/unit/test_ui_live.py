"""What a wait looks like: in place on a terminal, one line per change of state elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raystead.base.groups import named
from raystead.explain.model import Finding
from raystead.ops.events import Applied, Done, Event, Explained, GroupProgress, Note, Planned, Progress
from raystead.plan.model import Action, Change, Plan
from raystead.ui.board import Board, screen
from raystead.ui.live import view
from raystead.ui.plain import Reporter

HEAD = GroupProgress(named("head"), wanted=1, running=1, ready=1, alive=1)
PULL = GroupProgress(named("worker"), wanted=2, running=2, ready=0, note="pulling rayproject/ray:2.60.0")
BOTH = GroupProgress(named("worker"), wanted=2, running=2, ready=2, alive=2)
PLAN = Plan((Change(Action.CREATE, "Service", "a"), Change(Action.CREATE, "Deployment", "a-head")))
IMAGE = Finding(
    cause="image-not-found",
    group=named("worker"),
    subject="pod/worker-1",
    why="image rayproject/ray:2.60.O cannot be pulled: not found",
    means='the tag does not exist in the registry; "2.60.O" ends in a letter O',
    remedy="raystead up --image rayproject/ray:2.60.0",
    confidence="sure",
)
QUOTA = Finding("quota", None, "quota/q", "the quota is used up", "no pod is made", "ask for more", "sure")


def board(*events: Event) -> Board:
    out = Board()
    for event in events:
        out.take(event)
    return out


def lines(board: Board, width: int = 80, height: int = 24, since: float = 0.0) -> list[str]:
    return [text.rstrip() for text, _ in screen(board, width, height, since)]


def plain(*events: Event, quiet: bool = False) -> list[str]:
    err = io.StringIO()
    with view(Reporter(quiet=quiet, err=err)) as take:
        for event in events:
            take(event)
    return err.getvalue().splitlines()


def test_a_line_a_group_says_state_reason_and_time() -> None:
    assert lines(board(Progress((HEAD, PULL), 9.0))) == [
        "head    ●  ready  alive in Ray                    9.0 s",
        "worker  ◐  0/2    pulling rayproject/ray:2.60.0   9.0 s",
    ]


def test_a_finished_group_keeps_its_time_and_the_others_go_on() -> None:
    state = board(Progress((HEAD, PULL), 9.0), Progress((HEAD, PULL), 38.0))
    assert [line[-6:] for line in lines(state, since=2.0)] == [" 9.0 s", "  40 s"]


def test_a_group_that_falls_back_counts_again() -> None:
    fell = GroupProgress(named("head"), 1, 1, 0, note="restarts: OOMKilled")
    state = board(Progress((HEAD,), 9.0), Progress((fell,), 20.0))
    assert lines(state) == ["head  ◐  0/1  restarts: OOMKilled    20 s"]


def test_counts_speak_where_no_note_does() -> None:
    some = GroupProgress(named("a"), 3, 3, 2, alive=1)
    more = GroupProgress(named("b"), 1, 3, 3, alive=None)
    none = GroupProgress(named("c"), 0, 0, 0, alive=0)
    wait = GroupProgress(named("d"), 2, 0, 0, alive=0)
    text = lines(board(Progress((some, more, none, wait), 1.0)))
    assert [" ".join(line.split()) for line in text] == [
        "a ◐ 2/3 1 alive in Ray 1.0 s",
        "b ◐ 3/1 2 stopping 1.0 s",
        "c ● stopped 1.0 s",
        "d ○ 0/2 1.0 s",
    ]


def test_a_finding_stands_under_its_group_until_it_is_over() -> None:
    state = board(Progress((HEAD, PULL), 60.0), Explained((IMAGE, QUOTA)))
    assert lines(state)[1:] == [
        "worker  !  0/2    pulling rayproject/ray:2.60.0    60 s",
        "    why    image rayproject/ray:2.60.O cannot be pulled: not found",
        '    means  the tag does not exist in the registry; "2.60.O" ends in a letter O',
        "    do     raystead up --image rayproject/ray:2.60.0",
        "    why    the quota is used up",
        "    means  no pod is made",
        "    do     ask for more",
    ]
    state.take(Explained(()))
    assert len(lines(state)) == 2


def test_a_narrow_terminal_cuts_the_note_and_keeps_the_time() -> None:
    for line in lines(board(Progress((HEAD, PULL), 38.0)), width=44):
        assert len(line) <= 44
    assert lines(board(Progress((HEAD, PULL), 38.0)), width=44)[1].endswith("…    38 s")


def test_many_groups_fit_and_the_unfinished_are_seen() -> None:
    ready = tuple(GroupProgress(named(f"g{i:02}"), 1, 1, 1, 1) for i in range(40))
    text = lines(board(Progress((*ready, PULL), 5.0)), height=10)
    assert len(text) <= 10
    assert text[0].startswith("worker")
    assert text[-1] == "    and 40 more groups, 40 of them ready"
    text = lines(
        board(Progress(tuple(GroupProgress(named(f"g{i:02}"), 1, 0, 0) for i in range(40)), 5.0)), height=10
    )
    assert len(text) <= 10
    assert text[-1] == "    and 32 more groups, 0 of them ready"


def test_explanations_wrap_and_give_way_to_groups() -> None:
    groups = tuple(GroupProgress(named(f"g{i}"), 1, 0, 0) for i in range(4))
    stuck = tuple(replace(IMAGE, group=named(f"g{i}")) for i in range(4))
    state = board(Progress(groups, 5.0), Explained(stuck))
    wide = lines(state, width=60, height=24)
    assert max(map(len, wide)) <= 60
    assert "           ends in a letter O" in wide
    low = lines(state, width=80, height=9)
    assert len(low) <= 8
    assert [line[:2] for line in low if not line.startswith(" ")] == ["g0", "g1", "g2", "g3"]
    assert sum("why" in line for line in low) == 1


def test_the_apply_is_counted_until_groups_are_seen() -> None:
    state = board(Planned(PLAN), Applied("Service", "a", Action.CREATE))
    assert lines(state) == ["applying 1 of 2: Service/a"]
    state.take(Progress((HEAD,), 0.0))
    assert len(lines(state)) == 1
    down = board(Applied("Service", "a", Action.DELETE), Applied("Secret", "b", Action.DELETE))
    assert lines(down) == ["2 objects deleted, the last Secret/b"]


def test_a_pipe_gets_one_line_a_change_of_state() -> None:
    ticks = [Progress((HEAD, PULL), 9.0 + i) for i in range(30)]
    done = Progress((HEAD, BOTH), 52.0)
    text = plain(
        Planned(PLAN), Applied("Service", "a", Action.CREATE), *ticks, done, done, Done("a", 52.3, 3, 2.5)
    )
    assert text == [
        "+ Service/a  + Deployment/a-head  2 to create, 0 to change, 0 to delete",
        "head   ready   alive in Ray   9.0 s",
        "worker   0/2   pulling rayproject/ray:2.60.0   9.0 s",
        "worker   2/2 ready   alive in Ray   52 s",
        "a is ready in 52 s: 3 nodes, 2.5 CPU",
    ]


def test_a_thousand_workers_do_not_flood_a_log() -> None:
    grows = [Progress((GroupProgress(named("w"), 1000, i, i, alive=i // 2),), i / 10) for i in range(1000)]
    text = plain(*grows, Progress((GroupProgress(named("w"), 1000, 1000, 1000, 1000),), 100.0))
    assert 5 <= len(text) <= 10
    assert text[-1] == "w   1000/1000 ready   alive in Ray   100 s"


def test_a_pipe_hears_each_finding_once() -> None:
    text = plain(Explained((IMAGE,)), Explained((IMAGE, QUOTA)), Note("the policy stays"))
    assert text == [
        "worker: why    image rayproject/ray:2.60.O cannot be pulled: not found",
        '  means  the tag does not exist in the registry; "2.60.O" ends in a letter O',
        "  do     raystead up --image rayproject/ray:2.60.0",
        "why    the quota is used up",
        "  means  no pod is made",
        "  do     ask for more",
        "the policy stays",
    ]


def test_quiet_says_nothing() -> None:
    assert plain(Planned(PLAN), Progress((HEAD,), 1.0), Done("a", 1.0, 1, 1), quiet=True) == []


def test_down_ends_with_a_sentence() -> None:
    assert plain(Done("a", 9.0, 0, 0)) == ["a has stopped after 9.0 s"]


CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
from test_ui_live import *
with view(Reporter()) as take:
    take(Planned(PLAN))
    for i in range({ticks}):
        take(Progress((HEAD, PULL), float(i)))
        time.sleep(0.2)
    take(Note("a note"))
    take(Progress((HEAD, BOTH), 52.0))
    take(Done("a", 52.0, 3, 3))
"""


class Terminal:
    """A child on a terminal of its own."""

    def __init__(self, ticks: int = 3, **env: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 70))
        self.before = termios.tcgetattr(slave)
        code = CHILD.format(tests=str(Path(__file__).parent), ticks=ticks)
        words = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", "COLUMNS": "70", "LINES": "24", **env}
        if "NO_COLOR" not in env:
            words.pop("NO_COLOR", None)
        self.child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=words,
            start_new_session=True,
        )
        self.slave = slave
        self.text = ""

    def read(self, until: str = "", seconds: float = 30.0) -> str:
        """What the child wrote until `until` comes or it ends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 65536).decode()
            elif self.child.poll() is not None:
                break
            if until and until in self.text:
                break
        return self.text

    def shown(self) -> list[str]:
        """The lines that stand on the screen at the end: cursor moves and erasures carried out."""
        lines: list[str] = [""]
        row = column = 0
        for part in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.text):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part == "\r":
                column = 0
            elif part.startswith("\x1b") and part.endswith("A"):
                row -= int(part[2:-1] or 1)
            elif part.startswith("\x1b") and part.endswith("K"):
                lines[row] = ""
            elif not part.startswith("\x1b"):
                lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(**kw: Any) -> Terminal:
        opened.append(Terminal(**kw))
        return opened[-1]

    yield start
    for one in opened:
        if one.child.poll() is None:
            one.child.kill()
        one.child.wait()
        os.close(one.master)
        os.close(one.slave)


def test_a_terminal_keeps_a_summary_and_is_as_before(terminal: Callable[..., Terminal]) -> None:
    one = terminal()
    one.read()
    assert one.child.wait() == 0
    assert one.shown() == [
        "+ Service/a  …  2 to create, 0 to change, 0 to delete",
        "a note",
        "head    ●  ready      alive in Ray   0.0 s",
        "worker  ●  2/2 ready  alive in Ray    52 s",
        "a is ready in 52 s: 3 nodes, 3 CPU",
    ]
    assert one.text.rindex("\x1b[?25h") > one.text.rindex("\x1b[?25l")
    assert termios.tcgetattr(one.slave) == one.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_midway_leaves_the_last_state_and_the_cursor(
    terminal: Callable[..., Terminal], number: int
) -> None:
    one = terminal(ticks=300)
    one.read(until="pulling")
    one.child.send_signal(number)
    one.read()
    assert one.child.wait() != 0
    assert one.text.rindex("\x1b[?25h") > one.text.rindex("\x1b[?25l")
    assert any(line.startswith("worker  ◐  0/2") for line in one.shown())
    assert termios.tcgetattr(one.slave) == one.before


def test_no_color_and_a_dumb_terminal(terminal: Callable[..., Terminal]) -> None:
    one = terminal(NO_COLOR="1")
    assert "ready" in one.read()
    assert not re.search(r"\x1b\[[\d;]+m", one.text.replace("\x1b[0m", ""))
    dumb = terminal(TERM="dumb")
    assert "alive in Ray" in dumb.read()
    assert "\x1b" not in dumb.text


def test_ascii_where_the_terminal_knows_no_more(terminal: Callable[..., Terminal]) -> None:
    one = terminal(PYTHONIOENCODING="ascii:replace")
    one.read()
    assert "*  2/2 ready" in "\n".join(one.shown())


def test_rich_is_imported_on_a_terminal_only() -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), ticks=1) + "\nprint('rich' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.stdout == "False\n"
