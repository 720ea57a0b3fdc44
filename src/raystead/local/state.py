"""The directory of one local cluster: what is in it, who may change it, and what is wrong with it.

`plan.json` is what the supervisor keeps running, `status.json` what it last saw, `spec.json` the spec that
was applied, `token` the token, `made.json` what has to be removed with it, `logs` a file for each node.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raystead.errors import ClusterNotFound, StateError
from raystead.local.machine import here
from raystead.local.model import ClusterPlan, write_atomically
from raystead.local.processes import end_marked, started_at

if TYPE_CHECKING:
    from raystead.spec.model import Json, RayCluster

__all__ = ["GRACE", "LocalState"]

_ROOTS, _ROOT = Path("/tmp"), "rs-"  # Ray's own directory is short: the kernel limits a socket's path
GRACE = 5.0  # seconds that jobs and actors have after SIGTERM when the whole cluster goes


class LocalState:
    """The state of the cluster `name` below `home`, whether there is one or not."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.directory = home / name

    @property
    def exists(self) -> bool:
        return (self.directory / "plan.json").exists()

    def plan(self) -> ClusterPlan:
        """What the supervisor keeps running.

        Raises:
            ClusterNotFound: there is no such cluster.
            StateError: it is damaged, as for every file of the state.
        """
        try:
            return ClusterPlan.read(self.directory / "plan.json")
        except FileNotFoundError:
            raise self.not_found() from None
        except (OSError, ValueError) as error:
            raise self._damaged("plan.json", error) from error

    def spec(self) -> RayCluster:
        """The spec that was applied last."""
        from raystead.spec.model import RayCluster, read

        try:
            return read(RayCluster, json.loads((self.directory / "spec.json").read_text()))
        except (OSError, ValueError) as error:
            raise self._damaged("spec.json", error) from error

    def last_status(self) -> tuple[dict[str, Json], int | None]:
        """What the supervisor last wrote of each node, and its pid if it lives.

        A damaged file says nothing: then no supervisor is known, and the next `up` starts another one.
        """
        try:
            status = json.loads((self.directory / "status.json").read_text())
            pid, started = int(status["pid"]), str(status["started"])
            nodes = {str(node["name"]): dict(node) for node in status["nodes"]}
        except (OSError, ValueError, LookupError, TypeError):
            return {}, None
        return nodes, pid if started and started_at(pid) == started else None

    def token(self) -> str:
        """The token of the cluster's dashboard and job API."""
        try:
            return (self.directory / "token").read_text().strip()
        except (OSError, ValueError) as error:
            raise self._damaged("token", error) from error

    def create(self, cluster: RayCluster) -> None:
        """Makes the directory of a new cluster; its plan comes last, and with it the cluster is there.

        Raises:
            StateError: it cannot be written.
        """
        try:
            (self.directory / "logs").mkdir(parents=True, exist_ok=True)
            (self.directory / "gcs").mkdir(exist_ok=True)
            root, uid = tempfile.mkdtemp(prefix=_ROOT, dir=_ROOTS), uuid.uuid4().hex
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

    def save(self, cluster: RayCluster, plan: ClusterPlan) -> None:
        """Another spec and plan of a cluster that is there; the supervisor does the rest."""
        write_atomically(self.directory / "spec.json", cluster.document())
        plan.save(self.directory / "plan.json")

    def end(self) -> None:
        """Ends the processes and removes all files, whichever of them are damaged."""
        uid, root = self._made()
        if uid:
            end_marked(uid, grace=GRACE)
        if (
            Path(root).name.startswith(_ROOT) and Path(root).parent == _ROOTS
        ):  # nothing but what `create` made
            shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _made(self) -> tuple[str, str]:
        """The mark of the processes and Ray's directory; `made.json` is there before the plan is."""
        for file in ("made.json", "plan.json"):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                made = json.loads((self.directory / file).read_text())
                return str(made["uid"]), str(made["root"])
        return "", ""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
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

    def not_found(self) -> ClusterNotFound:
        again = f"raystead up --local --name {self.name}"
        return ClusterNotFound(f'there is no local cluster "{self.name}"', remedy=again)

    def _damaged(self, file: str, error: Exception) -> StateError:
        return StateError(
            f'the state of "{self.name}" cannot be read',
            evidence=f"{self.directory / file}: {error}",
            remedy=f"raystead down --local --name {self.name} --yes",
        )
