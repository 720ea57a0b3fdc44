"""A cause: its words, once, for the tool and for the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from raystead.explain.model import Confidence, Evidence, Finding

__all__ = ["Cause"]


@dataclass(frozen=True)
class Cause:
    """`why`, `means` and `remedy` are templates (`str.format`); the rules fill them in.

    Attributes:
        slug: the stable name.
        title: the heading of its page.
        why: what is wrong.
        means: what follows.
        remedy: what to do.
        seen: how it is found, with the source of every number: for the documentation.
        confidence: the usual one.
        symptom: it may well follow from trouble in what its group depends on (head on Redis, workers on the
            head); then it is not shown beside that.
    """

    slug: str
    title: str
    why: str
    means: str
    remedy: str
    seen: str
    confidence: Confidence = "sure"
    symptom: bool = False

    def found(
        self,
        group: str | None,
        subject: str,
        evidence: Iterable[Evidence] = (),
        *,
        since: datetime | None = None,
        confidence: Confidence | None = None,
        pods: int = 1,
        **values: object,
    ) -> Finding:
        """The finding, its sentences filled in with `values`."""
        return Finding(
            self.slug,
            group,
            subject,
            self.why.format(**values),
            self.means.format(**values),
            self.remedy.format(**values),
            confidence or self.confidence,
            tuple(evidence),
            since,
            pods,
        )
