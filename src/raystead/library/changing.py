"""What changes an existing cluster: each method plans, checks, applies and waits as its verb does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from raystead.library.handle import TIMEOUT, UNCHECKED
from raystead.library.inputs import OnEvent, must_be
from raystead.library.jobs import ignore
from raystead.library.reading import ReadableCluster

if TYPE_CHECKING:
    from raystead.base.groups import GroupId
    from raystead.ops.anchor import Anchor
    from raystead.ops.down import Downed
    from raystead.ops.events import Done
    from raystead.ops.specs import Desired
    from raystead.ops.survival import FaultOutcome
    from raystead.plan.observed import ClusterView

__all__ = ["ChangeableCluster"]


class ChangeableCluster(ReadableCluster):
    """`wait`, `scale`, `restart`, `suspend`, `resume`, `autoscale`, `verify`, `down`."""

    def wait(self, *, timeout: float = TIMEOUT, on_event: OnEvent | None = None) -> Done:
        """Waits until all pods are ready and all nodes are alive in Ray; changes nothing.

        Raises:
            NotReady: not within `timeout` seconds; its `findings` say why.
            Busy: it was deleted, or another spec was applied in the meantime.
        """
        from raystead.ops.bring import awaited

        must_be(timeout=("a number of seconds", timeout), on_event=("a function", on_event))
        return awaited(self._api, self._anchor(), on_event or ignore, timeout=timeout)

    def scale(
        self,
        counts: Mapping[str, int | tuple[int, int]] | None = None,
        /,
        *,
        wait: bool = True,
        timeout: float = TIMEOUT,
        checks: bool = True,
        on_event: OnEvent | None = None,
        **replicas: int | tuple[int, int],
    ) -> ClusterView:
        """Changes the number of workers of groups, `scale(worker=3)`; idle workers go first. Waits.

        Of an autoscaled cluster the bounds: `scale(worker=(0, 10))`, at least none and at most ten.

        Args:
            counts: the same by group, for names that are not Python's: `scale({"gpu-large": 2})`.
            checks: False goes on although doctor's checks find that the cluster would not be whole.

        Raises:
            UsageError: there is no such group, a number is not one, or it has bounds in place of a number.
            ProblemsFound: a check of doctor's fails (a quota, a LimitRange); nothing was changed.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.specs import Desired
        from raystead.ops.suspending import refuse_guest
        from raystead.spec.edits import scaled

        must_be(counts=("a mapping with strings as keys", counts))
        given = {**(counts or {}), **replicas}
        must_be(**{group: ("a whole number or two as bounds", count) for group, count in given.items()})
        anchor = self._anchor()
        refuse_guest(anchor)
        wish = anchor.document.with_cluster(scaled(anchor.cluster, given))
        waits = wait and not anchor.suspended
        checks = checks and not anchor.suspended  # which makes no pod now
        self._bring(Desired(wish), anchor, waits=waits, timeout=timeout, checks=checks, on_event=on_event)
        return self.status()

    def restart(
        self,
        *groups: str,
        wait: bool = True,
        timeout: float = TIMEOUT,
        checks: bool = True,
        on_event: OnEvent | None = None,
    ) -> ClusterView:
        """Restarts all workers, one at a time in each group; or only these groups; "head" is the head.

        Args:
            checks: False goes on although doctor's checks find that the cluster would not be whole.

        Raises:
            UsageError: there is no such group.
            ProblemsFound: a check of doctor's fails; nothing was changed.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.restart import groups_named, stamp
        from raystead.ops.specs import Desired
        from raystead.ops.suspending import refuse_guest

        must_be(groups=("a list of strings", groups))
        anchor = self._anchor()
        refuse_guest(anchor)
        restart = dict.fromkeys(groups_named(anchor.cluster, groups), stamp())
        asked = Desired(anchor.document)
        self._bring(
            asked, anchor, restart=restart, waits=wait, timeout=timeout, checks=checks, on_event=on_event
        )
        return self.status()

    def suspend(
        self, *, lose_state: bool = False, timeout: float = TIMEOUT, on_event: OnEvent | None = None
    ) -> ClusterView:
        """Stops all pods and keeps the spec and the GCS' state, which `resume` brings back.

        Args:
            lose_state: also where the state is kept nowhere and is lost with the head.

        Raises:
            WrongState: it keeps its state in the head's memory alone, or is a RayJob on another cluster.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.specs import Desired, with_suspend
        from raystead.ops.suspending import refuse_elsewhere, refuse_loss

        must_be(lose_state=("true or false", lose_state))
        anchor = self._anchor()
        refuse_elsewhere(anchor)
        if not lose_state:
            refuse_loss(anchor)
        asked = Desired(with_suspend(anchor.document, True))
        self._bring(asked, anchor, waits=True, timeout=timeout, on_event=on_event)
        return self.status()

    def resume(
        self, *, wait: bool = True, timeout: float = TIMEOUT, on_event: OnEvent | None = None
    ) -> ClusterView:
        """Starts a suspended cluster again, with its spec and its state.

        Raises:
            WrongState: it is a RayJob on another cluster.
            NotReady, Conflict, ApiError
        """
        from raystead.ops.specs import Desired, with_suspend
        from raystead.ops.suspending import refuse_elsewhere

        anchor = self._anchor()
        refuse_elsewhere(anchor)
        asked = Desired(with_suspend(anchor.document, False))
        self._bring(asked, anchor, waits=wait, timeout=timeout, on_event=on_event)
        return self.status()

    def verify(
        self,
        *faults: str,
        beside_jobs: bool = False,
        on_event: Callable[[str | FaultOutcome], None] | None = None,
    ) -> list[FaultOutcome]:
        """Proves that it survives: deletes its head, Redis, a worker, under a job and an actor of its own.

        Args:
            faults: of "head", "redis", "worker"; default: all that can be survived.
            beside_jobs: also while jobs of others run.

        Raises:
            WrongState: jobs run, or it is not whole now.
            Unsupported: nothing of this cluster could survive.
            UsageError, NotReady
        """
        from raystead.ops.verify import new_id, possible, refuse_beside_jobs, verify

        must_be(
            faults=("a list of strings", faults),
            beside_jobs=("true or false", beside_jobs),
            on_event=("a function", on_event),
        )
        anchor = self._anchor()
        chosen = possible(anchor, faults)
        if not beside_jobs:
            refuse_beside_jobs(self._api, anchor)
        return verify(self._api, anchor, chosen, new_id(), on_event or ignore)

    def autoscale(self, *, stop: threading.Event | None = None, on_event: OnEvent | None = None) -> None:
        """Makes the workers that Ray's autoscaler wants, with this user's rights, until `stop` is set.

        For an autoscaled cluster whose steward has no rights of its own. It may end at any time and run again
        anywhere; where another one acts, it waits for the end of that one. Without `stop`: until Ctrl-C.

        Args:
            stop: ends it, within a second or two, from another thread.
            on_event: gets a `Note` for each thing that happens.

        Raises:
            WrongState: it is not autoscaled, or the steward in its head acts itself.
            ClusterNotFound: it was deleted meanwhile.
            Forbidden
        """
        from raystead.ops.autoscale import autoscale
        from raystead.ops.events import Note

        must_be(on_event=("a function", on_event))
        tell = on_event or ignore
        autoscale(self._api, self._anchor(), lambda text: tell(Note(text)), stop=stop)

    def down(self, *, keep_data: bool = False, on_event: OnEvent | None = None) -> Downed:
        """Deletes it: everything it owns and nothing else; what remains, if anything, is in the result."""
        from raystead.ops.down import down, found

        must_be(keep_data=("true or false", keep_data), on_event=("a function", on_event))
        return down(self._api, found(self._api, self.name), keep_data=keep_data, emit=on_event or ignore)

    def _bring(
        self,
        asked: Desired,
        anchor: Anchor,
        *,
        waits: bool,
        timeout: float,
        on_event: OnEvent | None,
        checks: bool = False,
        restart: Mapping[GroupId, str] | None = None,
    ) -> None:
        from raystead.ops.bring import bring
        from raystead.ops.checking import refuse_failing
        from raystead.ops.planning import prepare
        from raystead.ops.typed import up_words

        must_be(
            wait=("true or false", waits),
            timeout=("a number of seconds", timeout),
            checks=("true or false", checks),
            on_event=("a function", on_event),
        )
        prepared = prepare(self._api, asked, anchor, restart=restart)
        if checks:
            prepared.refuse_problems()
            refuse_failing(prepared, up_words(self.name), otherwise=UNCHECKED)
        bring(prepared, on_event or ignore, waits=waits, timeout=timeout)
