"""A plan as text for people, as one line for `up`, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from difflib import SequenceMatcher
from typing import Any

from raystead.plan.model import Action, By, Change, FieldChange, Plan

__all__ = ["SYMBOLS", "counts", "plan_brief", "plan_json", "plan_text", "summary"]

SYMBOLS = {
    Action.CREATE: "+",
    Action.CHANGE: "~",
    Action.REPLACE: "±",
    Action.DELETE: "-",
    Action.UNCHANGED: "=",
}
_COLOURS = {Action.CREATE: "32", Action.CHANGE: "33", Action.REPLACE: "35", Action.DELETE: "31"}
_MORE = "…  "
_NONE = "(none)"
_SHORT = 60  # characters of a value that stands next to its path
_PIECES = 3  # of a long text, so many differing pieces are shown
# Says again what the container's args say; KubeRay's tools read it, people need not.
_TWICE = re.compile(r"env\[KUBERAY_GEN_RAY_START_CMD\]")


def plan_text(plan: Plan, *, colour: bool = False) -> str:
    """One line per object that is touched, its fields and costs below it; notes, problems, the sums last."""
    lines: list[str] = []
    for change in plan.mutating:
        symbol = _paint(SYMBOLS[change.action], _COLOURS[change.action], colour)
        why = f"   {'; '.join(_why(change))}" if _why(change) else ""
        lines.append(f"{symbol} {change.kind}/{change.name}{why}")
        lines += [f"    {line}" for field in change.fields for line in _field(field)]
        if change.conflict:
            lines.append(f"    {_paint('conflict', '31', colour)} {change.conflict}")
        if change.loses:
            lines.append(f"    {_paint('loses', '31', colour)} {change.loses}")
    lines += [f"{_paint('note', '36', colour)} {note}" for note in plan.notes]
    lines += [f"{_paint('problem', '31', colour)} {problem}" for problem in plan.problems]
    return "\n".join([*lines, summary(plan)])


def plan_brief(plan: Plan, width: int = 200) -> str:
    """One line for `up`: as many objects by symbol and name as fit in `width` columns, and the sums."""
    sums = summary(plan)
    left = width - len(sums) - len(_MORE)
    names: list[str] = []
    for change in plan.mutating:
        name = f"{SYMBOLS[change.action]} {change.kind}/{change.name}  "
        left -= len(name)
        if left < 0:
            break
        names.append(name)
    return f"{''.join(names)}{_MORE if names and len(names) < len(plan.mutating) else ''}{sums}"


def summary(plan: Plan) -> str:
    """The sums: `3 to create, 1 to change, 0 to delete; 2 pods restart`."""
    if not plan.mutates:
        return f"nothing to change: {_count(len(plan.changes), 'object')} as the spec wants"
    sums = counts(plan)
    parts = [f"{sums['create']} to create", f"{sums['change']} to change", f"{sums['delete']} to delete"]
    if sums["replace"]:
        parts.insert(2, f"{sums['replace']} to replace")
    if plan.creates == len(plan.mutating):
        return ", ".join(parts)  # nothing runs yet that could restart
    costs = [_pods(plan.restarts, "restart")] if plan.restarts or not plan.stops else []
    if plan.stops:
        costs.append(_pods(plan.stops, "stop"))
    return f"{', '.join(parts)}; {', '.join(costs)}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as `-o json` prints it; every number exact, objects left alone included."""
    return {
        "changes": [asdict(change) for change in plan.changes],
        "notes": list(plan.notes),
        "problems": list(plan.problems),
        "summary": {**counts(plan), "restarts": plan.restarts, "stops": plan.stops},
    }


def counts(plan: Plan) -> dict[str, int]:
    """Objects by action."""
    return {str(action): len(plan.of(action)) for action in Action}


def _why(change: Change) -> list[str]:
    parts = [change.reason] if change.reason else []
    if change.restarts:
        parts.append(_pods(change.restarts, "restart"))
    if change.stops:
        parts.append(_pods(change.stops, "stop"))
    return parts


def _field(field: FieldChange) -> Iterator[str]:
    if _TWICE.search(field.path):
        return
    by = {By.VERSION: "   (a newer raystead)", By.DRIFT: "   (not as it was applied)"}.get(field.by, "")
    before, after = _bare(field.before), _bare(field.after)
    if (
        _NONE in (before, after)
        and _long(before + after)
        and not isinstance(field.before or field.after, str)
    ):
        yield f"{field.path}   {'added' if field.before is None else 'removed'}{by}"
    elif _long(before) and _long(after):
        yield f"{field.path}{by}"
        yield from _pieces(before, after)
    elif before == after:
        yield f"{field.path}   changed, its value is hidden (plan --show-values){by}"
    else:
        yield f"{field.path}   {_clipped(before)} → {_clipped(after)}{by}"


def _bare(value: Any) -> str:
    """A value as text: of a variable only what it holds, of a list of one text that text."""
    if value is None:
        return _NONE
    if isinstance(value, dict) and set(value) == {"name", "value"}:
        value = value["value"]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _long(text: str) -> bool:
    return len(text) > _SHORT or "\n" in text


def _clipped(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _pieces(before: str, after: str) -> Iterator[str]:
    """Where two long texts differ, word by word."""
    old, new = before.split(), after.split()
    opcodes = [op for op in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if op[0] != "equal"]
    if not opcodes:
        yield "  only blanks or line ends differ"
    for _, a, b, c, d in opcodes[:_PIECES]:
        if b > a:
            yield f"  - {_clipped(' '.join(old[a:b]))}"
        if d > c:
            yield f"  + {_clipped(' '.join(new[c:d]))}"
    if len(opcodes) > _PIECES:
        yield f"  … {_count(len(opcodes) - _PIECES, 'more difference')}"


def _pods(count: int, verb: str) -> str:
    return f"{_count(count, 'pod')} {verb}{'s' if count == 1 else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\033[{code}m{text}\033[0m" if colour else text
