"""What a client keeps of the jobs it followed: the end of each output, for when its worker is gone.

Ray keeps a job's output on the node of its driver alone. Whoever follows a job has read it anyway; the last
4 MiB of it stay in the user's state directory, for 50 jobs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

__all__ = ["JOBS", "LIMIT", "KeptOutput", "directory", "keeping", "read"]

LIMIT = 4 * 2**20  # bytes of each job's output that are kept
JOBS = 50  # outputs that are kept, the newest


def directory() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "raystead" / "jobs"


def file_of(cluster: str, job_id: str) -> Path:
    """The file of a job; `cluster` is what tells clusters of one name apart."""
    return directory() / f"{quote(cluster, safe='')[:80]}.{quote(job_id, safe='')[:120]}.log"


def read(cluster: str, job_id: str) -> tuple[str, bool] | None:
    """The output that was kept, and whether it is whole; None when there is none."""
    path = file_of(cluster, job_id)
    try:  # one that is written now, or whose writer was killed, still has the writer's number
        found = sorted(path.parent.glob(f"{path.name}*"), key=lambda file: file.stat().st_mtime)
        data = found[-1].read_bytes()
    except (OSError, IndexError):
        return None
    if len(data) <= LIMIT:
        return data.decode("utf-8", "replace"), True
    return data[-LIMIT:].partition(b"\n")[2].decode("utf-8", "replace"), False


class KeptOutput:
    """Takes a job's output as it comes; what cannot be written is not kept, and hinders nobody."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text.encode("utf-8", "replace"))
            self._stream.flush()
            if self._stream.tell() > 2 * LIMIT:
                self._halve(self._stream)
        except OSError:
            self._stream = None

    @staticmethod
    def _halve(stream: BinaryIO) -> None:
        """Keeps a little more than the limit, so that a reader sees that something is missing."""
        stream.seek(-LIMIT - 1, os.SEEK_END)
        end = stream.read()
        stream.seek(0)
        stream.write(end)
        stream.truncate()


@contextmanager
def keeping(cluster: str, job_id: str) -> Iterator[KeptOutput]:
    """Keeps a job's output from its beginning; the oldest outputs beyond `JOBS` go."""
    path = file_of(cluster, job_id)
    stream: BinaryIO | None = None
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _prune(path.parent)
        # a file of its own, and then the name: another client may follow the same job
        stream = os.fdopen(os.open(_fresh(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
    try:
        yield KeptOutput(stream)
    finally:
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
                _fresh(path).replace(path)


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}")


def _prune(home: Path) -> None:
    found = sorted(home.glob("*.log*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[JOBS - 1 :]:
        old.unlink(missing_ok=True)
