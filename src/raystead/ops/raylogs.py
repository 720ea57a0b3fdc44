"""Ray's own log files in the pods, read with the image's `tail`."""

from __future__ import annotations

import posixpath
import queue
import threading
from collections.abc import Callable, Iterator

from raystead.base import labels
from raystead.base.groups import named as word
from raystead.errors import CommandNotStarted, RaysteadError, UsageError
from raystead.kube.api import Api, Json
from raystead.kube.execs import Target, lines, run
from raystead.kube.logs import containers_of
from raystead.ops.anchor import Anchor
from raystead.ops.logs import LogSelection
from raystead.ops.pods import groups, named, pods_of, short_name, unknown

__all__ = ["follow_file", "read_file"]

_LOOK = 2.0  # seconds between two looks for pods that are not read yet, or not any more
_TEMP_DIR = "/tmp/ray"  # Ray's own default
_OF_WORKERS = ("worker-", "python-core-", "job-driver-", "runtime_env_setup-")
Skip = Callable[[str, str], None]
Named = tuple[str, str]  # a pod's short name, a line


def read_file(api: Api, anchor: Anchor, wanted: LogSelection, file: str, skipped: Skip) -> Iterator[Named]:
    """The file in each pod that has it, pod after pod; `skipped` is told a pod and why it is left out.

    Raises:
        UsageError: there is no such group or pod.
    """
    path = _path(anchor, file)
    for pod in _pods(api, anchor, wanted):
        target = _target(anchor, pod)
        try:
            for raw in lines(api, target, ["tail", *_start(wanted, None), path]):
                yield short_name(pod), raw.decode("utf-8", "replace")
        except CommandNotStarted as error:
            has = _listed(api, target, posixpath.dirname(path))
            skipped(short_name(pod), f"{error.evidence}; there are: {has}" if has else error.what)


def follow_file(api: Api, anchor: Anchor, wanted: LogSelection, file: str, skipped: Skip) -> Iterator[Named]:
    """The file as it grows, also in pods that come later; a stream that breaks goes on at its byte."""
    path = _path(anchor, file)
    out: queue.Queue[Named] = queue.Queue(1000)
    read: dict[str, int] = {}  # the run of a container -> bytes of its file
    readers: dict[str, threading.Thread] = {}

    def reader(pod: Json, life: str) -> None:
        words = ["tail", *_start(wanted, read.get(life)), "-F", path]
        read.setdefault(life, 0)
        try:
            for raw in lines(api, _target(anchor, pod), words):
                read[life] += len(raw) + 1
                out.put((short_name(pod), raw.decode("utf-8", "replace")))
        except RaysteadError as error:
            skipped(short_name(pod), error.what)

    while True:
        for pod in _pods(api, anchor, wanted):
            life = _life(pod)
            if life not in readers or not readers[life].is_alive():
                readers[life] = threading.Thread(target=reader, args=(pod, life), daemon=True)
                readers[life].start()
        try:
            yield out.get(timeout=_LOOK)
            for _ in range(out.qsize()):
                yield out.get()
        except queue.Empty:
            pass


def _start(wanted: LogSelection, read: int | None) -> list[str]:
    """Where `tail` begins; after a break at the next byte, or with --tail, whose bytes are not known, now."""
    if wanted.tail is None:
        return ["-c", f"+{(read or 0) + 1}"]
    return ["-n", str(wanted.tail if read is None else 0)]


def _pods(api: Api, anchor: Anchor, wanted: LogSelection) -> list[Json]:
    """Ray's running pods that are meant."""
    pods = pods_of(api, anchor)
    what = wanted.what
    if what is not None and word(what) not in groups(anchor) and not any(named(pod, what) for pod in pods):
        raise unknown(what, anchor, pods)
    return [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(labels.NODE_TYPE)
        and (pod.get("status") or {}).get("phase") == "Running"
        and (what is None or named(pod, what))
    ]


def _life(pod: Json) -> str:
    """One run of the pod's first container: a new run begins new files."""
    statuses = pod["status"].get("containerStatuses") or []
    first: Json = next((s for s in statuses if s["name"] == containers_of(pod)[0]), {})
    return f"{pod['metadata']['uid']} {first.get('restartCount', 0)}"


def _target(anchor: Anchor, pod: Json) -> Target:
    return Target(anchor.namespace, pod["metadata"]["name"], containers_of(pod)[0])


def _path(anchor: Anchor, file: str) -> str:
    """Where the file is in a pod; a path that leaves Ray's logs is refused, `exec` reads everything else."""
    if posixpath.isabs(file) or ".." in file.split("/"):
        raise UsageError(
            f"--ray takes the name of a file of Ray's logs, not {file}", remedy=f"raystead exec -- cat {file}"
        )
    root = anchor.cluster.spec.head.ray_start_params.get("temp-dir", _TEMP_DIR)
    return posixpath.join(root, "session_latest", "logs", file)


def _listed(api: Api, target: Target, folder: str) -> str:
    """The folder's files, those of single workers left out: there may be thousands."""
    names = run(api, target, ["ls", folder]).out.decode("utf-8", "replace").split()
    return ", ".join(name for name in names if not name.startswith(_OF_WORKERS))
