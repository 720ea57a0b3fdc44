"""Findings as plain lines: why, what it means, what to do. Colour is the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from msgspec import Struct

from raystead.explain.model import Evidence, Finding

__all__ = ["Shared", "ago", "headline", "joined", "render"]

_LABEL = 9  # columns before the sentence
_EVIDENCE = 3
_LONGEST = 300  # characters of a message; -o json has it all


def render(findings: Iterable[Finding], now: datetime) -> str:
    """One block a finding, a blank line between; "" when there is none.

    What is word for word the same in several groups is said once, of all of them.
    """
    return "\n\n".join(_block(shared, now) for shared in joined(findings))


class Shared(Struct, frozen=True):
    """A finding, and the groups in which it is word for word the same: "" for the whole cluster."""

    groups: str
    finding: Finding


def joined(findings: Iterable[Finding]) -> list[Shared]:
    """Findings of several groups that say the same are one that names them all."""
    same: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        same.setdefault((finding.why, finding.means, finding.remedy), []).append(finding)
    return [_merged(alike) for alike in same.values()]


def _merged(alike: list[Finding]) -> Shared:
    if len(alike) == 1:
        return Shared(str(alike[0].group or ""), alike[0])
    times = [f.since for f in alike if f.since]
    whole = replace(alike[0], pods=sum(f.pods for f in alike), since=min(times, default=None))
    return Shared(", ".join(str(f.group or "cluster") for f in alike), whole)


def headline(shared: Shared, now: datetime) -> str:
    """`worker: 2 pods, for 4 min`."""
    finding = shared.finding
    parts = [f"{finding.pods} pods"] if finding.pods > 1 else []
    if finding.since and (now - finding.since).total_seconds() >= 1:
        parts.append(f"for {ago(finding.since, now)}")
    if finding.confidence != "sure":
        parts.append(finding.confidence)
    return f"{shared.groups or 'cluster'}: {', '.join(parts) or 'now'}"


def ago(moment: datetime, now: datetime) -> str:
    """A span of time rounded for people: 12 s, 4 min, 2 h, 3 days."""
    seconds = max(0, round((now - moment).total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86400)} days"


def _block(shared: Shared, now: datetime) -> str:
    finding = shared.finding
    lines = [headline(shared, now)]
    lines += _labelled("why", finding.why)
    lines += [_seen(e, now) for e in finding.evidence[:_EVIDENCE]]
    lines += _labelled("means", finding.means)
    lines += _labelled("do", finding.remedy)
    return "\n".join(lines)


def _labelled(label: str, text: str) -> list[str]:
    first, *rest = text.split("\n")
    return [f"  {label:<{_LABEL - 2}}{first}", *(f"{'':<{_LABEL}}{line}" for line in rest)]


def _seen(evidence: Evidence, now: datetime) -> str:
    when = f", {ago(evidence.at, now)} ago" if evidence.at else ""
    times = f", {evidence.count} times" if evidence.count > 1 else ""
    text = " ".join(evidence.text.split())
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"  {'seen':<{_LABEL - 2}}{evidence.source}{when}{times}: {text}"
