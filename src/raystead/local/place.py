"""A local cluster by its name: up, status, scale, down, token and logs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from raystead.base.groups import worker
from raystead.errors import (
    ClusterExists,
    ClusterNotFound,
    NotReady,
    RaysteadError,
    RayUnreachable,
    StateError,
    WrongState,
)
from raystead.local import home
from raystead.local.machine import here
from raystead.local.model import ClusterPlan, Event, LocalStatus, NodeState, write_atomically
from raystead.local.processes import end_marked, started_at
from raystead.local.shrinking import Shrinking, alive_nodes, asker

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = ["TIMEOUT", "Event", "LocalPlace", "LocalStatus", "NodeState", "UpOptions"]

TIMEOUT = 120.0  # seconds to wait for all nodes: Ray starts in ten, or not at all
Emit = Callable[[Event], None]
SAME = 3  # times that a node may end with the same error before a wait gives up
_GRACE = 5.0  # seconds that jobs and actors have after SIGTERM when the whole cluster goes


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
        self.home = state_dir or home.state_home()
        self.directory = self.home / name

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
        with self._locked():
            if self._exists():
                return self._again(cluster, options)
            from raystead.local import plan as planning

            for text in planning.warnings(cluster, planning.find_ray()[1]):
                options.on_event(Event("warning", text))
            planning.check_fits(cluster, here(), free_disk=planning.free_disk(self.home))
            self._end()  # what an `up` that was killed before it had a plan may have left
            try:
                self._create(cluster)
                self._supervise()
                return self._wait(options)
            except BaseException:
                self._end()
                raise

    def status(self) -> LocalStatus:
        """What is alive now, asked of the processes and of Ray."""
        plan = self._plan()
        told, supervisor = self._told()
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

        if not self._exists() or _without_counts(self._spec()) != _without_counts(cluster):
            return Shrinking()
        counts = {group.name: group.wanted for group in cluster.spec.workers}
        plan = self._plan()
        return shrinking(plan, counts, asker(plan, self.token()))

    def scaled(self, counts: dict[str, int]) -> RayCluster:
        """Its spec with another number of workers in groups, by the words for them.

        Raises:
            UsageError: there is no such group.
        """
        from raystead.spec.edits import scaled

        self._plan()
        return scaled(self._spec(), counts)

    def scale(self, counts: dict[str, int], options: UpOptions) -> LocalStatus:
        """Sets the number of workers of groups, by the words for them, and waits until they are alive.

        Raises:
            UsageError: there is no such group.
            NotEnough: this machine has not enough memory for so many.
        """
        with self._locked():
            return self._again(self.scaled(counts), options)

    def down(self, *, on_event: Emit = _nothing) -> None:
        """Ends every process of the cluster, and only those, and forgets its state, damaged or not."""
        with self._locked():
            if not self._exists():
                raise self._not_found()
            self._end()

    def groups(self) -> list[str]:
        """The words for the worker groups, also of those that have no worker now."""
        self._plan()
        return [str(worker(group.name)) for group in self._spec().spec.workers]

    def spec(self) -> RayCluster | None:
        """What it was brought to last; None when there is no such cluster, or its state is damaged."""
        try:
            return self._spec() if self._exists() else None
        except StateError:
            return None

    @property
    def address(self) -> str:
        """Of the dashboard and job API, whether they answer or not."""
        return f"http://127.0.0.1:{self._plan().dashboard_port}"

    @property
    def uid(self) -> str:
        """Tells this cluster from another one that had its name before."""
        return self._plan().uid

    def token(self) -> str:
        """The token of the cluster's dashboard and job API."""
        self._plan()
        try:
            return (self.directory / "token").read_text().strip()
        except (OSError, ValueError) as error:
            raise self._damaged("token", error) from error

    def unreachable(self) -> RaysteadError:
        """Why its job API does not answer, asked after it did not."""
        if not self._exists():
            return self._not_found()
        if (failing := self._failing()) is not None:
            return failing
        if self._told()[1] is None:
            return WrongState(
                f'the local cluster "{self.name}" does not run: its supervisor has ended',
                remedy=f"raystead up --local --name {self.name}",
            )
        what = f'the head of the local cluster "{self.name}" does not answer'
        return RayUnreachable(what, remedy=f"raystead status --local --name {self.name}")

    def log_files(self, node: str | None = None) -> list[Path]:
        """The logs of `ray start` of all nodes, or of one."""
        wanted = f"{node.replace('/', '-')}.log" if node else "*.log"
        self._plan()
        return sorted((self.directory / "logs").glob(wanted))

    def _again(self, cluster: RayCluster, options: UpOptions) -> LocalStatus:
        """Brings the running cluster to the number of workers that the spec wants, and waits."""
        from raystead.local import plan as planning

        spec = self._spec()
        if _without_counts(spec) != _without_counts(cluster):
            raise ClusterExists(
                f'a local cluster "{self.name}" is there with another spec',
                evidence=f"{self.directory / 'spec.json'} differs in more than replicas",
                remedy=f"raystead down --local --name {self.name}, then this command again",
            )
        if self._told()[1] is None:
            # Its supervisor was killed: what it left is ended, the state on disk stays and comes back.
            plan = self._plan()
            end_marked(plan.uid, grace=_GRACE)
            self._supervise()
        plan, program = self._plan(), planning.find_ray()[0]
        machine = here()
        have = sum(n.memory for n in plan.nodes)
        machine = replace(machine, free_memory=machine.free_memory + have)
        planning.check_fits(cluster, machine, free_disk=planning.free_disk(self.home))
        changed = plan
        for group in cluster.spec.workers:
            changed = planning.with_workers(
                changed, cluster, group, group.wanted, program, first=options.first
            )
        changed = planning.divided(changed, cluster, machine.gpus)
        if changed != plan:
            write_atomically(self.directory / "spec.json", cluster.document())
            changed.save(self.directory / "plan.json")
        return self._wait(options)

    def _create(self, cluster: RayCluster) -> None:
        try:
            (self.directory / "logs").mkdir(parents=True, exist_ok=True)
            (self.directory / "gcs").mkdir(exist_ok=True)
            root, uid = tempfile.mkdtemp(prefix="rs-", dir="/tmp"), uuid.uuid4().hex
            try:
                write_atomically(self.directory / "made.json", {"root": root, "uid": uid})
            except OSError:
                Path(root).rmdir()
                raise
            descriptor = os.open(self.directory / "token", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_hex(32))
            write_atomically(self.directory / "spec.json", cluster.document())
            from raystead.local import plan as planning

            plan = planning.make(
                cluster,
                uid=uid,
                root=root,
                directory=self.directory,
                started=time.time(),
                machine=here(),
            )
            plan.save(self.directory / "plan.json")
        except OSError as error:
            raise StateError(
                "the cluster's state cannot be written",
                evidence=f"{error.filename or self.directory}: {error.strerror}",
                remedy="free space there, or set XDG_STATE_HOME to another directory",
            ) from error

    def _supervise(self) -> None:
        plan = self._plan()
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
                tail = self._tail(late[0].name)
                raise NotReady(
                    f"{len(late)} of {len(status.nodes)} nodes are not alive after {options.timeout:.0f} s: "
                    + ", ".join(n.name for n in late),
                    evidence=tail or "the log is empty",
                    remedy="run it again with a larger --timeout",
                )
            time.sleep(0.15)

    def _failing(self) -> NotReady | None:
        """What the supervisor tells of a node that ends over and over for the same reason."""
        told, _ = self._told()
        failing = next((node for node in told.values() if node.get("same", 0) >= SAME), None)
        if failing is None:
            return None
        return NotReady(
            f"{failing['name']} has ended {failing['same']} times with the same error",
            evidence=failing["error"] or failing["note"],
            remedy=f"fix that and run the command again; {self.directory / 'logs'} has more",
        )

    def _tail(self, node: str) -> str:
        for path in self.log_files(node):
            lines = path.read_text(errors="replace").strip().splitlines()
            return "\n         ".join(lines[-5:])
        return ""

    def _alive(self, plan: ClusterPlan) -> set[int]:
        """Node manager ports of the nodes that Ray counts as alive."""
        with contextlib.suppress(StateError):  # a token that cannot be read: Ray cannot be asked
            return set(alive_nodes(asker(plan, self.token())))
        return set()

    def _told(self) -> tuple[dict[str, Json], int | None]:
        """What the supervisor last wrote, and its pid if it lives."""
        try:
            told = json.loads((self.directory / "status.json").read_text())
        except (OSError, ValueError):
            return {}, None
        pid = int(told["pid"])
        living = pid if started_at(pid) and started_at(pid) == told.get("started") else None
        return {node["name"]: node for node in told["nodes"]}, living

    def _end(self) -> None:
        """Ends the processes and removes all files; `made.json` says which, whatever the plan holds."""
        with contextlib.suppress(OSError, ValueError):
            made = json.loads((self.directory / "made.json").read_text())
            end_marked(made["uid"], grace=_GRACE)
            shutil.rmtree(made["root"], ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _exists(self) -> bool:
        return (self.directory / "plan.json").exists()

    def _spec(self) -> RayCluster:
        from raystead.spec.model import RayCluster, read

        try:
            return read(RayCluster, json.loads((self.directory / "spec.json").read_text()))
        except (OSError, ValueError) as error:
            raise self._damaged("spec.json", error) from error

    def _plan(self) -> ClusterPlan:
        try:
            return ClusterPlan.read(self.directory / "plan.json")
        except FileNotFoundError:
            raise self._not_found() from None
        except (OSError, ValueError, TypeError) as error:
            raise self._damaged("plan.json", error) from error

    def _damaged(self, file: str, error: Exception) -> StateError:
        return StateError(
            f'the state of "{self.name}" cannot be read',
            evidence=f"{self.directory / file}: {error}",
            remedy=f"raystead down --local --name {self.name} --yes",
        )

    def _not_found(self) -> ClusterNotFound:
        return ClusterNotFound(f'there is no local cluster "{self.name}"', remedy="raystead up --local")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time works on a cluster; another one waits."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            stream = (self.home / f".{self.name}.lock").open("w")
        except OSError as error:
            raise StateError(
                "the state directory cannot be used",
                evidence=f"{self.home}: {error.strerror}",
                remedy="set XDG_STATE_HOME to a directory of yours",
            ) from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


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
