"""The wait for a cluster: until the wanted pods are ready and as many nodes are alive in Ray."""

from __future__ import annotations

import time
from collections.abc import Callable

from raystead.base.groups import HEAD
from raystead.errors import KubeConfigError, NotReady
from raystead.kube.api import Api
from raystead.manifests.facts import Facts
from raystead.ops import secrets
from raystead.ops.anchor import Anchor
from raystead.ops.events import Done, Event, Explained, GroupProgress, Note, Progress
from raystead.ops.explaining import Explainer
from raystead.ops.up import still_ours
from raystead.ops.watching import Watched
from raystead.spec.builtin import NAME

__all__ = ["TIMEOUT", "wait"]

TIMEOUT = 900.0  # seconds that a wait may last: a large image on a slow network takes ten minutes
_TICK = 0.25  # seconds between two looks while nothing changes
_FIRST_LOOK = 5.0  # seconds for the first lists; then what is there is shown, not that nothing is there
_UNTIL_EVERY = 3.0  # seconds between two looks at what ends a wait early
_ANCHOR_EVERY = 3.0  # seconds between two questions for the anchor while the objects are not as applied
Emit = Callable[[Event], None]


def wait(
    api: Api,
    anchor: Anchor,
    *,
    timeout: float = TIMEOUT,
    emit: Emit,
    until: Callable[[], bool] | None = None,
    up: str = "",
) -> Done:
    """Waits until the wanted pods are ready and as many nodes are alive in Ray.

    `timeout` in seconds. An API server that goes away is waited for; the reason for every wait is emitted.
    `up` are the words that brought the cluster up, for advice; "" where they are not known.
    `until` ends the wait early, for example when the job for which the cluster was made has begun.

    Raises:
        NotReady: not within `timeout`; with the findings as evidence.
        Busy: another raystead has changed or deleted the cluster in the meantime.
    """
    facts: Facts = anchor.with_facts()
    begun = time.monotonic()
    reported: str | None = None

    def token() -> str | None:
        return secrets.token_of(api, anchor.cluster, facts)

    with Watched(api, anchor.cluster, token) as watched:
        explainer = Explainer(api, anchor, watched, up)
        asked = looked = begun
        watched.listed(_FIRST_LOOK)
        while True:
            watched.changed.clear()
            now = time.monotonic() - begun
            groups = watched.groups()
            pods_ready = watched.listed(0) and watched.settled() and all(g.done for g in groups)
            if _head_ready(groups):
                groups = watched.with_ray(groups)
            emit(Progress(groups, now))
            alive_too = all(g.done for g in groups) and (watched.ray is not None or not _wants_head(groups))
            if pods_ready and alive_too:
                done = _done(anchor, watched, now)
                emit(done)
                return done
            if until is not None and time.monotonic() - looked > _UNTIL_EVERY:
                looked = time.monotonic()
                if until():
                    return _done(anchor, watched, now)
            if watched.overtaken() and time.monotonic() - asked > _ANCHOR_EVERY:
                asked = time.monotonic()
                still_ours(api, anchor)
            watched.follow_events()
            if (findings := explainer.look()) is not None:
                emit(Explained(findings))
            if isinstance(
                watched.error, KubeConfigError
            ):  # the login is refused for good: nothing is seen any more
                raise watched.error
            trouble = str(watched.error.what) if watched.error else None
            if trouble and trouble != reported:
                emit(Note(trouble))
            reported = trouble
            if now > timeout:
                raise _not_ready(anchor, watched, explainer, now)
            watched.changed.wait(_TICK)


def _head_ready(groups: tuple[GroupProgress, ...]) -> bool:
    return any(g.id == HEAD and g.ready for g in groups)


def _wants_head(groups: tuple[GroupProgress, ...]) -> bool:
    return any(g.id == HEAD and g.wanted for g in groups)


def _done(anchor: Anchor, watched: Watched, seconds: float) -> Done:
    alive = watched.alive_nodes()
    return Done(anchor.name, seconds, len(alive), sum(node.cpu_total or 0 for node in alive))


def _not_ready(anchor: Anchor, watched: Watched, explainer: Explainer, seconds: float) -> NotReady:
    late = [
        f"{g.name}: {g.ready} of {g.wanted} ready{', ' + g.note if g.note else ''}"
        for g in watched.groups()
        if not g.done
    ]
    findings = explainer.latest
    if watched.ray_error and not findings:
        late.append(watched.ray_error.what)
    evidence = "; ".join([*(f.why for f in findings), *late]) or "every pod is ready, Ray lacks nodes"
    name = "" if anchor.name == NAME else f" --name {anchor.name}"
    again = f"raystead explain{name}\nraystead up{name} waits again"
    remedy = findings[0].remedy if findings else again
    what = f'"{anchor.name}" is not ready after {seconds:.0f} s'
    return NotReady(what, evidence=evidence, remedy=remedy, findings=tuple(findings))
