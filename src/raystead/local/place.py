"""A local cluster by its name: up, status, scale, down, token and logs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from raystead.base.groups import worker
from raystead.errors import (
    ClusterExists,
    NotReady,
    RaysteadError,
    RayUnreachable,
    StateError,
    WrongState,
)
from raystead.local import home
from raystead.local.logs import LocalLog, last_lines, logs_of
from raystead.local.machine import here
from raystead.local.model import ClusterPlan, Event, LocalStatus, NodeState
from raystead.local.processes import end_marked
from raystead.local.shrinking import Shrinking, alive_nodes, asker
from raystead.local.state import GRACE, LocalState

if TYPE_CHECKING:
    from raystead.spec.model import RayCluster

__all__ = ["TIMEOUT", "LocalPlace", "UpOptions"]

TIMEOUT = 120.0  # seconds to wait for all nodes: Ray starts in ten, or not at all
Emit = Callable[[Event], None]
SAME = 3  # times that a node may end with the same error before a wait gives up


def _nothing(event: Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class UpOptions:
    """How `up` and `scale` go about it.

    Attributes:
        timeout: seconds to wait until all nodes are alive.
        on_event: gets what happens meanwhile.
        first: workers that go before others where a group shrinks.
    """

    timeout: float = TIMEOUT
    on_event: Emit = _nothing
    first: Collection[str] = ()


class LocalPlace:
    """The cluster `name` on this machine, whether it runs or not."""

    def __init__(self, name: str, *, state_dir: Path | None = None) -> None:
        self.name = name
        self.state = LocalState(name, state_dir or home.state_home())
        self.directory = self.state.directory

    @staticmethod
    def names(state_dir: Path | None = None) -> list[str]:
        """The local clusters there are."""
        return home.names(state_dir)

    def up(self, cluster: RayCluster, options: UpOptions) -> LocalStatus:
        """Starts the cluster and waits until all nodes are alive; a running one is brought to the spec.

        Raises:
            ClusterExists: it runs with another spec than that, and not only other replicas.
            NotEnough, RayMissing, PortInUse, NotReady, StateError: nothing is left behind.
        """
        with self.state.locked():
            if self.state.exists:
                return self._again(cluster, options)
            from raystead.local import plan as planning

            for text in planning.warnings(cluster, planning.find_ray()[1]):
                options.on_event(Event("warning", text))
            planning.check_fits(cluster, here(), free_disk=planning.free_disk(self.state.home))
            self.state.end()  # what an `up` that was killed before it had a plan may have left
            try:
                self.state.create(cluster)
                self._supervise()
                return self._wait(options)
            except BaseException:
                self.state.end()
                raise

    def status(self) -> LocalStatus:
        """What is alive now, asked of the processes and of Ray."""
        plan = self.state.plan()
        told, supervisor = self.state.last_status()
        alive = self._alive(plan)
        nodes = []
        for node in plan.nodes:
            entry = told.get(node.name, {})
            restarts = entry.get("restarts", 0)
            if node.manager_port in alive:
                state = "alive"
            elif supervisor is None:
                state = "dead"
            else:
                state = "restarting" if restarts else "starting"
            pid, note = entry.get("pid"), entry.get("note", "")
            nodes.append(NodeState(node.name, node.group, pid, node.cpus, node.memory, state, restarts, note))
        # A node that Ray still counts and the plan no longer has is one that is just leaving.
        ready = supervisor is not None and alive == {node.manager_port for node in plan.nodes}
        return LocalStatus(
            name=plan.name,
            ready=ready,
            dashboard=f"http://127.0.0.1:{plan.dashboard_port}",
            gcs_address=f"127.0.0.1:{plan.gcs_port}",
            nodes=tuple(nodes),
            supervisor_pid=supervisor,
            ray_version=plan.ray_version,
            started=plan.started,
            session_dir=plan.root,
        )

    def shrinking(self, cluster: RayCluster) -> Shrinking:
        """The workers that `up` with this spec would end; none where it would be refused."""
        from raystead.local.shrinking import shrinking

        if not self.state.exists or _without_counts(self.state.spec()) != _without_counts(cluster):
            return Shrinking()
        counts = {group.name: group.wanted for group in cluster.spec.workers}
        plan = self.state.plan()
        return shrinking(plan, counts, asker(plan, self.token()))

    def scaled(self, counts: dict[str, int]) -> RayCluster:
        """Its spec with another number of workers in groups, by the words for them.

        Raises:
            UsageError: there is no such group.
        """
        from raystead.spec.edits import scaled

        self.state.plan()
        return scaled(self.state.spec(), counts)

    def scale(self, counts: dict[str, int], options: UpOptions) -> LocalStatus:
        """Sets the number of workers of groups, by the words for them, and waits until they are alive.

        Raises:
            UsageError: there is no such group.
            NotEnough: this machine has not enough memory for so many.
        """
        with self.state.locked():
            return self._again(self.scaled(counts), options)

    def down(self) -> None:
        """Ends every process of the cluster, and only those, and forgets its state, damaged or not."""
        with self.state.locked():
            if not self.state.exists:
                raise self.state.not_found()
            self.state.end()

    def groups(self) -> list[str]:
        """The words for the worker groups, also of those that have no worker now."""
        self.state.plan()
        return [str(worker(group.name)) for group in self.state.spec().spec.workers]

    def spec(self) -> RayCluster | None:
        """What it was brought to last; None when there is no such cluster, or its state is damaged."""
        try:
            return self.state.spec() if self.state.exists else None
        except StateError:
            return None

    @property
    def address(self) -> str:
        """Of the dashboard and job API, whether they answer or not."""
        return f"http://127.0.0.1:{self.state.plan().dashboard_port}"

    @property
    def uid(self) -> str:
        """Tells this cluster from another one that had its name before."""
        return self.state.plan().uid

    def token(self) -> str:
        """The token of the cluster's dashboard and job API."""
        self.state.plan()
        return self.state.token()

    def logs(self, what: str | None = None) -> list[LocalLog]:
        """The logs of `ray start` of all nodes, of a group's nodes, or of one node.

        Raises:
            UsageError: the cluster has no such group or node.
        """
        self.state.plan()
        return logs_of(self.name, self.directory / "logs", what, self.groups)

    def unreachable(self) -> RaysteadError:
        """Why its job API does not answer, asked after it did not."""
        if not self.state.exists:
            return self.state.not_found()
        if (failing := self._failing()) is not None:
            return failing
        if self.state.last_status()[1] is None:
            return WrongState(
                f'the local cluster "{self.name}" does not run: its supervisor has ended',
                remedy=f"raystead up --local --name {self.name}",
            )
        what = f'the head of the local cluster "{self.name}" does not answer'
        return RayUnreachable(what, remedy=f"raystead status --local --name {self.name}")

    def _again(self, cluster: RayCluster, options: UpOptions) -> LocalStatus:
        """Brings the running cluster to the number of workers that the spec wants, and waits."""
        from raystead.local import plan as planning

        spec = self.state.spec()
        if _without_counts(spec) != _without_counts(cluster):
            raise ClusterExists(
                f'a local cluster "{self.name}" is there with another spec',
                evidence=f"{self.directory / 'spec.json'} differs in more than replicas",
                remedy=f"raystead down --local --name {self.name}, then this command again",
            )
        if self.state.last_status()[1] is None:
            # Its supervisor was killed: what it left is ended, the state on disk stays and comes back.
            plan = self.state.plan()
            end_marked(plan.uid, grace=GRACE)
            self._supervise()
        plan, program = self.state.plan(), planning.find_ray()[0]
        machine = here()
        have = sum(n.memory for n in plan.nodes)
        machine = replace(machine, free_memory=machine.free_memory + have)
        planning.check_fits(cluster, machine, free_disk=planning.free_disk(self.state.home))
        changed = plan
        for group in cluster.spec.workers:
            changed = planning.with_workers(
                changed, cluster, group, group.wanted, program, first=options.first
            )
        changed = planning.divided(changed, cluster, machine.gpus)
        if changed != plan:
            self.state.save(cluster, changed)
        return self._wait(options)

    def _supervise(self) -> None:
        plan = self.state.plan()
        # RAY_* of the caller's shell would reach Ray and mean another cluster.
        env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        env |= {"PATH": f"{Path(sys.executable).parent}:{env.get('PATH', '')}"}
        env |= {key: value for key, value in plan.env.items() if key.startswith("RAYSTEAD_")}
        (self.directory / "status.json").unlink(missing_ok=True)
        log = (self.directory / "supervisor.log").open("ab")
        subprocess.Popen(
            [sys.executable, "-m", "raystead.local.supervisor", str(self.directory)],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def _wait(self, options: UpOptions) -> LocalStatus:
        deadline, told = time.monotonic() + options.timeout, ""
        while True:
            status = self.status()
            if status.ready:
                return status
            if (now := _waited_for(status)) != told:
                told = now
                options.on_event(Event("progress", now))
            if (failing := self._failing()) is not None:
                raise failing
            if time.monotonic() > deadline:
                late = [n for n in status.nodes if n.state != "alive"] or list(status.nodes)
                tail = "\n         ".join(last_lines(self.directory / "logs", late[0].name, 5))
                raise NotReady(
                    f"{len(late)} of {len(status.nodes)} nodes are not alive after {options.timeout:.0f} s: "
                    + ", ".join(n.name for n in late),
                    evidence=tail or "the log is empty",
                    remedy="run it again with a larger --timeout",
                )
            time.sleep(0.15)

    def _failing(self) -> NotReady | None:
        """What the supervisor tells of a node that ends over and over for the same reason."""
        told, _ = self.state.last_status()
        failing = next((node for node in told.values() if node.get("same", 0) >= SAME), None)
        if failing is None:
            return None
        return NotReady(
            f"{failing['name']} has ended {failing['same']} times with the same error",
            evidence=failing["error"] or failing["note"],
            remedy=f"fix that and run the command again; {self.directory / 'logs'} has more",
        )

    def _alive(self, plan: ClusterPlan) -> set[int]:
        """Node manager ports of the nodes that Ray counts as alive."""
        with contextlib.suppress(StateError):  # a token that cannot be read: Ray cannot be asked
            return set(alive_nodes(asker(plan, self.token())))
        return set()


def _waited_for(status: LocalStatus) -> str:
    """`head: alive, workers: 1 of 2`."""
    head, *workers = status.nodes
    alive = sum(node.state == "alive" for node in workers)
    return f"head: {head.state}" + (f", workers: {alive} of {len(workers)}" if workers else "")


def _without_counts(cluster: RayCluster) -> RayCluster:
    from msgspec.structs import replace as changed

    counts = dict.fromkeys(("replicas", "min_replicas", "max_replicas"), 0)
    workers = [changed(group, **counts) for group in cluster.spec.workers]
    return changed(cluster, spec=changed(cluster.spec, workers=workers), status=None)
