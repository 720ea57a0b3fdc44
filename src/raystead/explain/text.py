"""Findings as plain lines: why, what it means, what to do. Colour is the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from raystead.explain.model import Evidence, Finding

__all__ = ["ago", "headline", "joined", "render"]

_LABEL = 9  # columns before the sentence
_EVIDENCE = 3
_LONGEST = 300  # characters of a message; -o json has it all


def render(findings: Iterable[Finding], now: datetime) -> str:
    """One block a finding, a blank line between; "" when there is none.

    What is word for word the same in several groups is said once, of all of them.
    """
    return "\n\n".join(_block(finding, now) for finding in joined(findings))


def joined(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of several groups that say the same are one, whose `group` names them all."""
    same: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        same.setdefault((finding.why, finding.means, finding.remedy), []).append(finding)
    return [alike[0] if len(alike) == 1 else _one(alike) for alike in same.values()]


def _one(alike: list[Finding]) -> Finding:
    times = [f.since for f in alike if f.since]
    return replace(
        alike[0],
        group=", ".join(f.group or "cluster" for f in alike),
        pods=sum(f.pods for f in alike),
        since=min(times, default=None),
    )


def headline(finding: Finding, now: datetime) -> str:
    """`worker: 2 pods, for 4 min`."""
    parts = [f"{finding.pods} pods"] if finding.pods > 1 else []
    if finding.since and (now - finding.since).total_seconds() >= 1:
        parts.append(f"for {ago(finding.since, now)}")
    if finding.confidence != "sure":
        parts.append(finding.confidence)
    return f"{finding.group or 'cluster'}: {', '.join(parts) or 'now'}"


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


def _block(finding: Finding, now: datetime) -> str:
    lines = [headline(finding, now)]
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
