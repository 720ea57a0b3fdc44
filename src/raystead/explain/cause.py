"""A cause: its words, once, for the tool and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from raystead.base.groups import GroupId
from raystead.explain.model import Confidence, Evidence, Finding

__all__ = ["Cause", "Sighting"]


class Sighting(Struct, frozen=True):
    """Where a cause was seen, by what, and since when."""

    group: GroupId | None
    subject: str
    evidence: Sequence[Evidence] = ()
    since: datetime | None = None
    pods: int = 1


class Cause(Struct, frozen=True):
    """`why`, `means` and `remedy` are templates (`str.format`); the rules fill them in.

    Attributes:
        slug: the stable name.
        title: the heading of its page.
        why: what is wrong.
        means: what follows.
        remedy: what to do.
        how: how it is found, with the source of every number: for the documentation.
        confidence: the usual one.
        symptom: it may well follow from trouble in what its group depends on (head on Redis, workers on the
            head); then it is not shown beside that.
    """

    slug: str
    title: str
    why: str
    means: str
    remedy: str
    how: str
    confidence: Confidence = "sure"
    symptom: bool = False

    def found(self, seen: Sighting, /, **words: object) -> Finding:
        """The finding, its sentences filled in with `words`."""
        return Finding(
            cause=self.slug,
            group=seen.group,
            subject=seen.subject,
            why=self.why.format(**words),
            means=self.means.format(**words),
            remedy=self.remedy.format(**words),
            confidence=self.confidence,
            evidence=tuple(seen.evidence),
            since=seen.since,
            pods=seen.pods,
        )
