"""Why Ray does not answer: what `explain` knows of the head, looked up again every few seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from raystead.base.groups import HEAD, REDIS
from raystead.errors import Forbidden, KubeConfigError, NotReady, RaysteadError, RayUnreachable

if TYPE_CHECKING:
    from raystead.explain.model import Finding
    from raystead.kube.api import Api
    from raystead.ops.anchor import Anchor

__all__ = ["Reasons", "of_the_head"]

_EVERY = 5.0  # seconds between two looks


class Reasons:
    """Asked after a request to Ray that failed: why.

    A transport's own error ("the connection broke") says nothing to a person: the head's pod does.

    Args:
        last_error: why the newest connection of the forward failed; None where it failed behind it.
    """

    def __init__(self, api: Api, anchor: Anchor, last_error: Callable[[], RaysteadError | None]) -> None:
        self._api, self._anchor, self._last_error = api, anchor, last_error
        self._looked = -_EVERY
        self._known: RaysteadError | None = None

    def __call__(self) -> RaysteadError | None:
        """A right that is missing, the cluster's end, what keeps the head away; the surest first."""
        from raystead.ops.clusters import deleted

        last = self._last_error()
        if isinstance(last, (Forbidden, KubeConfigError)):
            return last
        known = deleted(self._api, self._anchor) or self._looked_up()
        if isinstance(known, RayUnreachable) and last is not None:
            return RayUnreachable(known.what, evidence=last.what, remedy=known.remedy)
        return known or last

    def _looked_up(self) -> RaysteadError | None:
        now = time.monotonic()
        if now - self._looked >= _EVERY:
            self._looked = now
            with contextlib.suppress(RaysteadError):
                self._known = self._look()
        return self._known

    def _look(self) -> RaysteadError:
        from raystead.live.pods import Pod
        from raystead.ops.explain import look
        from raystead.ops.pods import pods_of
        from raystead.ops.ray import head_of

        head = head_of(pods_of(self._api, self._anchor))
        if head is not None and Pod.of(head).ready:
            what = f'the head of "{self._anchor.name}" runs, and Ray in it does not answer'
            return RayUnreachable(what, remedy="raystead logs head")
        known = of_the_head(look(self._api, self._anchor).findings)
        what = f'the head of "{self._anchor.name}" is not ready'
        return known or RayUnreachable(what, remedy="raystead explain")


def of_the_head(findings: Iterable[Finding]) -> NotReady | None:
    """The first cause that keeps the head away: its own, its Redis', or the whole cluster's."""
    for found in findings:
        if found.group in (HEAD, REDIS, None) and found.confidence != "unknown":
            seen = "; ".join(evidence.text for evidence in found.evidence[:1])
            what = f"the head does not run: {found.why}"
            return NotReady(what, evidence=seen, remedy=found.remedy, findings=(found,))
    return None
