"""The logs of a local cluster's nodes: a file for each, which the supervisor cuts when it has grown large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from raystead.base.groups import HEAD, GroupId, named, worker
from raystead.errors import UsageError

__all__ = ["Following", "LocalLog", "last_lines", "logs_of"]


@dataclass(frozen=True)
class LocalLog:
    """The log of one node, `head` or `worker/0`; nodes that are gone keep theirs."""

    node: str
    path: Path

    @classmethod
    def of(cls, path: Path) -> LocalLog:
        group, _, number = path.stem.rpartition("-")
        return cls(f"{group}/{number}" if group else path.stem, path)

    @property
    def group(self) -> GroupId:
        return worker(self.node.rpartition("/")[0]) if "/" in self.node else HEAD

    def lines(self) -> list[str]:
        """What it holds now; none once its cluster is ended."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []


def logs_of(cluster: str, folder: Path, what: str | None, groups: Callable[[], list[str]]) -> list[LocalLog]:
    """The logs that `what` means, by name: a node, a group as people write it, or None for all.

    Args:
        cluster: its name, for advice.
        groups: the words for the worker groups there are; asked where no log fits.

    Raises:
        UsageError: there is neither such a group nor such a node.
    """
    found = [LocalLog.of(path) for path in sorted(folder.glob("*.log"))]
    if what is None:
        return found
    fitting = [log for log in found if what in (log.node, log.path.stem) or log.group == named(what)]
    if not fitting and named(what) != HEAD and what not in (words := groups()):
        raise UsageError(
            f'"{cluster}" has no group and no node "{what}"',
            evidence=f"groups: {', '.join(('head', *words))}",
            remedy=f"raystead status --local --name {cluster}",
        )
    return fitting


def last_lines(folder: Path, node: str, count: int) -> list[str]:
    """The end of one node's log; [] where it has none."""
    return LocalLog(node, folder / f"{node.replace('/', '-')}.log").lines()[-count:]


@dataclass
class Following:
    """Reads what was added to logs, in whole lines.

    Attributes:
        tail: how many lines of what is there at the first look; None: all. A log that comes later is new,
            and is read from its beginning.
    """

    tail: int | None = None
    _read: dict[str, int] = field(default_factory=dict)  # bytes of each log that are done with
    _begun: bool = False

    def added(self, logs: list[LocalLog], *, last: bool = False) -> list[tuple[str, str]]:
        """Node and line, for each line since the last look; `last`: also a line that has no end yet."""
        lines = [(log.node, line) for log in logs for line in self._lines(log, last)]
        self._begun = True
        return lines

    def _lines(self, log: LocalLog, last: bool) -> list[str]:
        done = self._read.get(log.node, 0)
        try:
            with log.path.open("rb") as stream:
                done = 0 if log.path.stat().st_size < done else done  # it was cut
                stream.seek(done)
                text = stream.read()
        except FileNotFoundError:  # the cluster is being ended
            return []
        first = log.node not in self._read and not self._begun
        text = text if last else text[: text.rfind(b"\n") + 1]
        self._read[log.node] = done + len(text)
        lines = text.decode("utf-8", "replace").splitlines()
        return lines[max(0, len(lines) - self.tail) :] if first and self.tail is not None else lines
