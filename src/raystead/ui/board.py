"""What a wait looks like at one moment: events go in, lines of words come out; nothing is drawn here."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from raystead.base.text import plural
from raystead.base.times import rounded
from raystead.explain.model import Finding
from raystead.ops.events import Applied, Done, Event, Explained, GroupProgress, Planned, Progress
from raystead.plan.model import Plan

__all__ = ["ASCII", "Board", "Line", "Row", "done_text", "finding_lines", "screen"]

Line = tuple[str, str]  # text, and the symbol that gives its colour

NONE, SOME, ALL, LATE = "○", "◐", "●", "!"  # the words beside them say the same
ASCII = {NONE: "o", SOME: "~", ALL: "*", LATE: "!"}
_INDENT = " " * 4
_GAP = "  "
_LEAST_NOTE = 12  # columns; below it a narrow terminal cuts the line's end instead
_NARROWEST = 40  # columns; below it an explanation is cut, not wrapped
_TIME = 6  # columns of "38 min"
_WORD = 6  # columns of "means"


@dataclass(frozen=True)
class Row:
    """One group: `seconds` since the wait began, or until it was done."""

    name: str
    symbol: str
    state: str
    note: str
    seconds: float
    done: bool
    findings: tuple[Finding, ...] = ()

    @property
    def text(self) -> str:
        parts = (self.name, self.state, self.note, rounded(self.seconds))
        return "   ".join(part for part in parts if part)


@dataclass
class Board:
    """The state of a wait, as far as its events have told."""

    plan: Plan | None = None
    applied: int = 0
    last: str = ""  # the object that was applied last
    groups: tuple[GroupProgress, ...] = ()
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    finished: dict[str, float] = field(default_factory=dict)  # group -> seconds when it was done

    def take(self, event: Event) -> None:
        match event:
            case Planned(plan):
                self.plan = plan
            case Applied(kind, name, _):
                self.applied, self.last = self.applied + 1, f"{kind}/{name}"
            case Progress(groups, seconds):
                self._progress(groups, seconds)
            case Explained(findings):
                self.findings = tuple(findings)
            case Done():
                self.findings = ()

    def _progress(self, groups: Sequence[GroupProgress], seconds: float) -> None:
        self.groups, self.seconds = tuple(groups), seconds
        for group in groups:
            if not group.done:
                self.finished.pop(group.name, None)
            elif group.name not in self.finished:
                self.finished[group.name] = seconds

    def rows(self) -> list[Row]:
        return [self._row(group) for group in self.groups]

    def elsewhere(self) -> tuple[Finding, ...]:
        """Findings of no group that is shown: they concern the cluster or the namespace."""
        shown = {group.id for group in self.groups}
        return tuple(one for one in self.findings if one.group not in shown)

    def applying(self) -> str:
        """How far the apply has come; empty before it and once the wait for groups has begun."""
        if not self.applied or self.groups:
            return ""
        if self.plan is None:  # down has none
            return f"{plural(self.applied, 'object')} deleted, the last {self.last}"
        return f"applying {self.applied} of {len(self.plan.mutating)}: {self.last}"

    def _row(self, group: GroupProgress) -> Row:
        findings = () if group.done else tuple(one for one in self.findings if one.group == group.id)
        symbol = ALL if group.done else LATE if findings else SOME if group.running else NONE
        seconds = self.finished.get(group.name, self.seconds)
        return Row(group.name, symbol, _state(group), _note(group), seconds, group.done, findings)


def _state(group: GroupProgress) -> str:
    if group.wanted == 0 and group.done:
        return "stopped"
    counts = f"{group.ready}/{group.wanted}"
    if group.done:
        return "ready" if group.wanted == 1 else f"{counts} ready"
    return counts


def _note(group: GroupProgress) -> str:
    """What the group waits for: its own note, else what the counts say."""
    if group.note:
        return group.note
    if group.running > group.wanted:
        return f"{group.running - group.wanted} stopping"
    if group.alive is None or group.wanted == 0:
        return ""
    if group.done:
        return "alive in Ray"
    return f"{group.alive} alive in Ray" if group.ready else ""


def finding_lines(finding: Finding) -> list[str]:
    """Why, what it means and what to do; what is not known is left out."""
    parts = (("why", finding.why), ("means", finding.means), ("do", finding.remedy))
    lines = [(word, line) for word, text in parts for line in text.splitlines()]
    words = ["" if index and lines[index - 1][0] == word else word for index, (word, _) in enumerate(lines)]
    return [f"{word:<{_WORD}} {line}" for word, (_, line) in zip(words, lines, strict=True)]


def done_text(event: Done) -> str:
    """The last line of a wait that ended well."""
    took = rounded(event.seconds)
    if not event.nodes:
        return f"{event.name} has stopped after {took}"
    nodes = "1 node" if event.nodes == 1 else f"{event.nodes} nodes"
    return f"{event.name} is ready in {took}: {nodes}, {event.cpus:g} CPU"


def screen(board: Board, width: int, height: int, since: float = 0.0) -> list[Line]:
    """The board's lines in `width` columns and `height` lines, `since` seconds after its last progress.

    Where height lacks, groups that are done give way to one line that counts them, explanations to groups.
    """
    rows = board.rows()
    room = max(2, height - 1)  # a full screen would scroll with the cursor's own line
    kept = rows
    if len(rows) > room:
        kept = [row for row in rows if not row.done][: room - 1]
    last: list[Line] = [(board.applying(), "")] if board.applying() else []
    if hidden := [row for row in rows if row not in kept]:
        ready = sum(row.done for row in hidden)
        last.append((f"{_INDENT}and {len(hidden)} more groups, {ready} of them ready", ""))
    free = room - len(kept) - len(last)
    lines: list[Line] = []
    for row in kept:
        below = _explained(row.findings, width, free)
        free -= len(below)
        lines += [(_row_text(row, kept, width, since), row.symbol), *below]
    return [*lines, *last, *_explained(board.elsewhere(), width, free)]


def _explained(findings: Sequence[Finding], width: int, room: int) -> list[Line]:
    """What is known, wrapped; only findings that fit whole."""
    out: list[Line] = []
    for finding in findings:
        lines: list[Line] = []
        for line in finding_lines(finding):
            indent = " " * (len(_INDENT) + _WORD + 1)
            wrapped = textwrap.wrap(
                _INDENT + line, max(width, _NARROWEST), subsequent_indent=indent, break_on_hyphens=False
            )
            lines += [(text, LATE) for text in wrapped]
        if len(out) + len(lines) > room:
            break
        out += lines
    return out


def _row_text(row: Row, rows: Sequence[Row], width: int, since: float) -> str:
    """A group's line, in columns as wide as the widest of all rows."""
    took = rounded(row.seconds if row.done else row.seconds + since)
    name, state = max(len(r.name) for r in rows), max(len(r.state) for r in rows)
    head = f"{row.name:<{name}}{_GAP}{row.symbol}{_GAP}{row.state:<{state}}{_GAP}"
    wide = min(width - len(head) - len(_GAP) - _TIME, max(len(r.note) for r in rows))
    wide = max(_LEAST_NOTE, wide)
    note = row.note if len(row.note) <= wide else f"{row.note[: wide - 1]}…"
    return f"{head}{note:<{wide}}{_GAP}{took:>{_TIME}}"
