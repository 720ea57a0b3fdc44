"""One gate for all foreign text: whatever a view was given, only text and colours reach the terminal."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import click
import pytest

from raystead.cli import root
from raystead.cli.changing import tell_and_ask
from raystead.doctor.model import Check
from raystead.errors import ApiError
from raystead.explain.model import Finding
from raystead.ops.doctor import Examined
from raystead.ops.events import Applied, Explained, GroupProgress, Note, Planned, Progress
from raystead.ops.explain import Explanation as Look
from raystead.plan.listing import ListRow
from raystead.plan.model import Action, Change, FieldChange, Plan
from raystead.ui import terminal
from raystead.ui.doctor import examined_text
from raystead.ui.findings import explained_text
from raystead.ui.live import TerminalView, view
from raystead.ui.plain import Reporter
from raystead.ui.plans import plan_text
from raystead.ui.status import list_text

# clipboard, title, cursor home and erase, C1, overwriting, deletion, a word that reads backwards
EVIL = "a\x1b]52;c;aGk=\x07b\x1b]0;t\x1b\\c\x1b[2J\x1b[Hd\x9b31me\rf\x08g\u202eh\u2066i"
SHOWN = r"a\x1b]52;c;aGk=\x07b\x1b]0;t\x1b\c\x1b[2J\x1b[Hd\x9b31me\x0df\x08g\u202eh\u2066i"
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FINDING = Finding("cause", None, EVIL, EVIL, EVIL, EVIL, "sure")
PLAN = Plan(
    (Change(Action.CHANGE, "Service", EVIL, (FieldChange("spec.type", "x", EVIL),), loses=EVIL),),
    (EVIL,),
    (EVIL,),
)


def screen(action: Callable[[], object], *, tty: bool = False) -> str:
    """What reaches stdout and stderr, as it is written, while `action` runs."""
    bottom = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(bottom, encoding="utf-8", write_through=True, newline="")
            patch.setattr(stream, "isatty", lambda: tty, raising=False)
            patch.setattr(sys, name, stream)
        terminal.guard()
        action()
        return bottom.getvalue().decode()


def an_event(event: object) -> Callable[[], None]:
    def show() -> None:
        with view(Reporter()) as take:
            take(event)  # type: ignore[arg-type]

    return show


def drawn() -> None:
    shown = TerminalView(Reporter())
    shown._console.file = io.TextIOWrapper(io.BytesIO())
    group = GroupProgress("worker", 1, 1, 0, note=EVIL)
    for event in (Planned(PLAN), Note(EVIL), Progress((group,), 1.0), Explained((FINDING,))):
        shown.take(event)
    with shown._console.capture() as got:
        shown._print(EVIL)
        shown._console.print(shown._draw())
    shown.close()
    assert not ACTING.search(re.sub(r"\x1b\[[0-9;]*m", "", got.get()))
    print(got.get())


VIEWS: dict[str, Callable[[], object]] = {
    "an error": lambda: root._say(ApiError(EVIL, evidence=EVIL, remedy=EVIL).diagnostics(), 1),
    "click's own error": lambda: click.UsageError(EVIL).show(),
    "explain": lambda: click.echo(explained_text(Look("a", "n", (FINDING,), 0, 1, False, (), datetime.now(UTC)))),
    "plan": lambda: click.echo(plan_text(PLAN)),
    "up's plan": an_event(Planned(PLAN)),
    "up's object": an_event(Applied("Service", EVIL, Action.CREATE)),
    "up's note": an_event(Note(EVIL)),
    "up's group": an_event(Progress((GroupProgress("worker", 1, 1, 0, note=EVIL),), 1.0)),
    "up's finding": an_event(Explained((FINDING,))),
    "up on a terminal": drawn,
    "what a change costs": lambda: tell_and_ask(Reporter(), PLAN, {}, yes=True),
    "doctor": lambda: click.echo(
        examined_text(Examined("c", "n", "1.34", EVIL, "a", (Check("quota", "fail", EVIL, EVIL, EVIL),), 1), width=60)
    ),
    "list": lambda: click.echo(list_text([ListRow("n", "a", "Ready", 1, 1, 1, EVIL, 1.0)])),
    "a job's stream": lambda: Reporter().write(EVIL.replace("\r", "")),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_no_view_sends_what_others_wrote_as_it_is(name: str) -> None:
    got = screen(VIEWS[name])
    assert not ACTING.search(re.sub(r"\x1b\[[0-9;]*m", "", got))
    if name != "up's object":  # it is told on a terminal only
        assert r"\x1b]0;t" in got


def test_the_text_stands_there_readable() -> None:
    assert screen(lambda: print(EVIL)) == f"{SHOWN}\n"


def test_our_colours_pass_and_foreign_ones_end_with_their_line() -> None:
    assert screen(lambda: print("\x1b[36m▸\x1b[0m done")) == "\x1b[36m▸\x1b[0m done\n"
    got = screen(lambda: (print("\x1b[1;31mred", "and more"), print("plain")))
    assert got == "\x1b[1;31mred and more\x1b[0m\nplain\n"


def test_a_job_may_draw_its_bar_and_windows_line_ends_are_line_ends() -> None:
    assert screen(lambda: Reporter().write("10%\r20%\r\nend\n")) == "10%\r20%\nend\n"


def test_what_an_encoding_cannot_say_is_escaped() -> None:
    bottom = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(bottom, encoding="ascii", write_through=True))
        terminal.guard()
        click.echo("é\udcff ✓ \x1b]0;t\x07")
        assert bottom.getvalue() == b"\\xe9\\udcff \\u2713 \\x1b]0;t\\x07\n"


def test_a_document_for_a_program_is_exact_in_a_pipe_and_harmless_on_a_terminal() -> None:
    assert screen(lambda: terminal.data("\u202eabc\n")) == "\u202eabc\n"
    assert screen(lambda: terminal.data("\u202eabc\n"), tty=True) == "\\u202eabc\n"
