"""What `explain` found, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raystead.explain.model import Finding
from raystead.explain.text import render
from raystead.ops.explain import Explanation

__all__ = ["explained_json", "explained_text"]


def explained_text(explained: Explanation) -> str:
    """A block a finding; one line when there is none."""
    if explained.findings:
        return render(explained.findings, explained.now)
    if explained.runs_on:
        there = f"its cluster is {explained.runs_on}: raystead explain {explained.runs_on}"
        return f"{explained.name}: nothing is wrong with the job itself; {there}"
    if explained.suspended:
        return f"{explained.name} is suspended: no pod is wanted"
    pods = f"{explained.ready} of {explained.wanted} pods are ready"
    if explained.ready < explained.wanted:
        return f"{explained.name} is starting, nothing is wrong so far: {pods}"
    return f"{explained.name}: nothing is wrong, {pods}"


def explained_json(explained: Explanation) -> dict[str, Any]:
    """Stable: what `-o json` prints. Times are RFC 3339, None where they are not known."""
    return {
        "cluster": explained.name,
        "namespace": explained.namespace,
        "ready": explained.ready,
        "wanted": explained.wanted,
        "suspended": explained.suspended,
        "runsOn": explained.runs_on,
        "findings": [_plain(finding) for finding in explained.findings],
        "unread": list(explained.unread),
    }


def _plain(found: Finding) -> dict[str, Any]:
    def text(moment: Any) -> str | None:
        return moment.isoformat() if moment else None

    finding = asdict(found)
    evidence = [{**e, "at": text(e["at"])} for e in finding["evidence"]]
    group = str(found.group) if found.group else None
    return {**finding, "group": group, "since": text(finding["since"]), "evidence": evidence}
