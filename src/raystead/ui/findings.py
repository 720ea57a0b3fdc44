"""What `explain` found, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raystead.explain.model import Finding
from raystead.explain.text import render
from raystead.ops.explain import Explained

__all__ = ["explained_json", "explained_text"]


def explained_text(said: Explained) -> str:
    """A block a finding; one line when there is none."""
    if said.findings:
        return render(said.findings, said.now)
    if said.suspended:
        return f"{said.name} is suspended: no pod is wanted"
    pods = f"{said.ready} of {said.wanted} pods are ready"
    if said.ready < said.wanted:
        return f"{said.name} is starting, nothing is wrong so far: {pods}"
    return f"{said.name}: nothing is wrong, {pods}"


def explained_json(said: Explained) -> dict[str, Any]:
    """Stable: what `-o json` prints. Times are RFC 3339, None where they are not known."""
    return {
        "cluster": said.name,
        "namespace": said.namespace,
        "ready": said.ready,
        "wanted": said.wanted,
        "suspended": said.suspended,
        "findings": [_plain(finding) for finding in said.findings],
        "unread": list(said.unread),
    }


def _plain(found: Finding) -> dict[str, Any]:
    def text(moment: Any) -> str | None:
        return moment.isoformat() if moment else None

    finding = asdict(found)
    evidence = [{**e, "at": text(e["at"])} for e in finding["evidence"]]
    group = str(found.group) if found.group else None
    return {**finding, "group": group, "since": text(finding["since"]), "evidence": evidence}
