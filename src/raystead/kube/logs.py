"""Logs of containers: followed over broken streams, restarts and new pods, each line once.

The API server can begin a log at a whole second only, so a resumed stream repeats lines: `Seen` knows them.
What cannot be had: the log of a pod that is gone, of a container's last run but one, and lines that kubelet
itself passes over when it rotates a log file under heavy writing.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from raystead.errors import ApiError, KubeConfigError, ObjectNotFound, RaysteadError
from raystead.kube.api import Api
from raystead.kube.paths import collection, path_of
from raystead.kube.watch import Mirror, final

if TYPE_CHECKING:
    from raystead.kube.api import Json
    from raystead.kube.connections import Answer

__all__ = ["DeliveredLines", "Follow", "Line", "LogNote", "Source", "containers_of", "read", "split"]

_CHUNK = 1 << 16
_LONGEST = 1 << 20  # bytes of a line after which it is cut, lest one without end fills the memory
_SILENCE = 60.0  # seconds without a byte after which a stream is opened again: it may be dead
_KEPT_SECONDS = 3  # how many different seconds of lines `Seen` keeps; stdout and stderr may be out of order
_JOIN = 0.3  # seconds that an end waits for the threads
_BATCHES = 64  # batches that wait for the reader; more would only use memory
_PAUSES = (0.1, 0.3, 1.0, 2.0)  # seconds between attempts to resume


@dataclass(frozen=True)
class Source:
    """One container of one pod; `uid` tells a pod from the next one of its name."""

    pod: str
    container: str
    uid: str


class Line(NamedTuple):
    """One line; `time` is RFC 3339 as the node wrote it, `text` is not neutralised."""

    source: Source
    time: str
    text: str


class LogNote(NamedTuple):
    """Something that happened to a source, in words."""

    source: Source
    text: str


def containers_of(pod: Json) -> list[str]:
    """A pod's containers, init containers left out."""
    return [c["name"] for c in pod["spec"]["containers"]]


def split(source: Source, raw: bytes) -> Line:
    """A line as the server sends it: time, blank, text."""
    time, _, text = raw.partition(b" ")
    return Line(source, time.decode("ascii", "replace"), text.decode("utf-8", "replace"))


class DeliveredLines:
    """Lines that were delivered lately: as far back as a resumed stream may repeat them. Pure."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Counter[int]] = {}  # second -> hashes of its lines
        self._zone = b"Z"
        self._expected: Counter[int] = Counter()

    @property
    def since(self) -> str | None:
        """Where a stream has to begin so that nothing is missed; None: at the log's beginning."""
        return (min(self._kept) + self._zone).decode() if self._kept else None

    def resume(self) -> None:
        """A stream starts again at `since`: what it repeats is not new."""
        self._expected = Counter()
        for lines in self._kept.values():
            self._expected.update(lines)

    def is_new(self, raw: bytes) -> bool:
        """Whether the line was not delivered yet; from now on it counts as delivered."""
        identity = hash(raw)
        if self._expected and self._expected.get(identity, 0) > 0:
            self._expected[identity] -= 1
            return False
        time = raw[: raw.find(b" ")]
        second = time[:19]
        lines = self._kept.get(second)
        if lines is None:
            if len(second) < 19 or (len(self._kept) == _KEPT_SECONDS and second < min(self._kept)):
                return True
            lines = self._kept[second] = Counter()
            self._zone = time[19:].lstrip(b".0123456789") or b"Z"
            if len(self._kept) > _KEPT_SECONDS:
                del self._kept[min(self._kept)]
        lines[identity] += 1
        return True


def read(
    api: Api,
    namespace: str,
    source: Source,
    *,
    previous: bool = False,
    since_seconds: int | None = None,
    tail: int | None = None,
) -> Iterator[Line]:
    """What the log holds now.

    Raises:
        ObjectNotFound: no such pod, or with `previous` the container has not run before.
        ApiError: the container has not begun yet.
    """
    query = _query(
        source.container, previous="true" if previous else None, sinceSeconds=since_seconds, tailLines=tail
    )
    path = f"{path_of(namespace, 'Pod', source.pod)}/log"
    with api.stream(path, timeout=_SILENCE, **query) as response:
        rest = b""
        while chunk := response.read1(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for raw in whole:
                yield split(source, raw)
        if rest:
            yield split(source, rest)


def _query(container: str, **given: Any) -> dict[str, Any]:
    options = {key: value for key, value in given.items() if value is not None}
    return {"container": container, "timestamps": "true", **options}


class Follow:
    """The logs of all containers that are wanted, now and later, until closed. Iterate in one thread.

    Iterating gives lists of `Line` and `Note` as they come: in order within a source, by arrival between
    sources. A reader that is slow slows the streams down; nothing is dropped.

    Args:
        labels: which pods, as a label selector.
        wanted: which containers of a pod.
        since_seconds, tail: what to show of logs that are there at the start; all of them by default.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        labels: str,
        *,
        wanted: Callable[[Json], Iterable[str]] = containers_of,
        since_seconds: int | None = None,
        tail: int | None = None,
    ) -> None:
        self.api, self.namespace = api, namespace
        self.batches: queue.Queue[list[Line | LogNote]] = queue.Queue(_BATCHES)
        self.ended = threading.Event()
        self.changed = threading.Condition()
        self.first = {"sinceSeconds": since_seconds, "tailLines": tail}
        self.refusal: RaysteadError | None = None  # why no log can be read any more
        self._wanted = wanted
        self._readers: dict[Source, _Reader] = {}
        self._pods = Mirror(api, collection(namespace, "Pod"), labels=labels, changed=self._on_change)
        self._joiner = threading.Thread(target=self._join, name="logs", daemon=True)

    def __enter__(self) -> Follow:
        self._pods.__enter__()
        self._joiner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.ended.set()
        with self.changed:
            self.changed.notify_all()
        self._pods.close()
        deadline = time.monotonic() + _JOIN  # in an outage a thread may be at a request; it delivers nothing
        self._joiner.join(_JOIN)
        for reader in self._readers.values():
            reader.stop()
        for reader in self._readers.values():
            reader.join(max(0.0, deadline - time.monotonic()))

    @property
    def error(self) -> RaysteadError | None:
        """Why the list of pods is missing or old; None while all is well."""
        return self._pods.error

    def __iter__(self) -> Iterator[list[Line | LogNote]]:
        while not self.ended.is_set():
            if batch := self.next(0.5):
                yield batch

    def next(self, seconds: float) -> list[Line | LogNote]:
        """The next batch, or an empty one after `seconds` without any.

        Raises:
            Forbidden, ApiError: this user may not list pods, or the namespace is gone.
            KubeConfigError: the login is refused for good.
        """
        try:
            return self.batches.get(timeout=seconds)
        except queue.Empty:
            error = self.refusal or self.error
            if error is not None and final(error):
                raise error from None
            return []

    def pod_of(self, source: Source) -> Json | None:
        """The source's pod as the API server has it; None when it is gone or replaced."""
        pod = self._pods.objects.get(source.pod)
        return pod if pod is not None and pod["metadata"]["uid"] == source.uid else None

    def wait_for_change(self) -> None:
        """Until a pod changes, or a second has gone."""
        with self.changed:
            self.changed.wait(1.0)

    def _on_change(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _join(self) -> None:
        """Starts a reader for every container that appears."""
        first = True
        while not self.ended.is_set():
            listed = self._pods.listed.is_set()
            for pod in self._pods.items:
                for name in self._wanted(pod):
                    source = Source(pod["metadata"]["name"], name, pod["metadata"]["uid"])
                    if source not in self._readers:
                        self._readers[source] = _Reader(self, source, self.first if first else {})
                        self._readers[source].start()
            first = first and not listed
            self.wait_for_change()


class _Reader(threading.Thread):
    """Reads one source to its end."""

    def __init__(self, follow: Follow, source: Source, first: dict[str, Any]) -> None:
        super().__init__(name=f"log {source.pod}", daemon=True)
        self._follow, self._source, self._first = follow, source, first
        self._path = f"{path_of(follow.namespace, 'Pod', source.pod)}/log"
        self._seen = DeliveredLines()
        self._rest = b""  # the last line, not whole yet
        self._response: Answer | None = None
        self._run: int | None = None  # restarts before the run that was read last
        self._received = 0
        self._told = ""  # the newest trouble that a note was put for

    def stop(self) -> None:
        response = self._response
        if response is not None:
            response.shutdown()

    def run(self) -> None:
        attempts, read_whole, broken = 0, -1, False
        while not self._follow.ended.is_set():
            state = self._state(ask=broken)
            if state is None:
                self._finish_line()
                return
            if not state.begun or state.restarts == read_whole:
                if state.final:
                    return
                self._follow.wait_for_change()
                continue
            received = self._received
            try:
                broken = not self._read_run(state)
            except KubeConfigError as error:
                self._follow.refusal = error
                return
            except (OSError, RaysteadError):
                broken = True
            attempts = attempts + 1 if self._received == received else 0
            if not broken and not state.running:  # it had ended before we read it to its end
                read_whole = state.restarts
                self._finish_line()
            elif not self._follow.ended.is_set():
                self._follow.ended.wait(_PAUSES[min(attempts, len(_PAUSES) - 1)])

    def _read_run(self, state: _State) -> bool:
        """Reads the current run, and what was missed of the one before; False when it was not whole."""
        if self._run is not None and state.restarts > self._run:
            self._finish_line()
            self._put([LogNote(self._source, f"restarted{state.why}")])
            with contextlib.suppress(ApiError):  # the runtime may have removed it
                self._read(previous="true")
        self._run = state.restarts
        try:
            self._read(follow="true")
        except ApiError as error:
            # 404: gone, the state tells; 400: it has not begun, though it looks so
            if error.status not in (400, 404) and self._told != error.evidence:
                self._told = error.evidence
                self._put(
                    [LogNote(self._source, f"its log cannot be read now, still trying: {error.evidence}")]
                )
            return error.status == 404
        return True

    def _read(self, **query: Any) -> None:
        since = self._seen.since
        self._seen.resume()
        self._rest = b""
        given = {**query, "sinceTime": since} if since else {**query, **self._first}
        stream = self._follow.api.stream(
            self._path, timeout=_SILENCE, **_query(self._source.container, **given)
        )
        with stream as response:
            self._response = response
            while chunk := response.read1(_CHUNK):
                *whole, rest = (self._rest + chunk).split(b"\n")
                self._rest = rest
                if len(rest) > _LONGEST:
                    whole, self._rest = [*whole, rest], b""
                self._put([split(self._source, raw) for raw in whole if self._seen.is_new(raw)])
                if self._follow.ended.is_set():
                    return

    def _finish_line(self) -> None:
        """Delivers a last line that was never ended; only once its container has."""
        if self._rest and self._seen.is_new(self._rest):
            self._put([split(self._source, self._rest)])
        self._rest = b""

    def _put(self, batch: list[Line | LogNote]) -> None:
        if not batch:
            return
        self._received += len(batch)
        while not self._follow.ended.is_set():
            with contextlib.suppress(queue.Full):
                self._follow.batches.put(batch, timeout=0.5)
                return

    def _state(self, *, ask: bool) -> _State | None:
        """What the pod says of the container; `ask` the server, not the watch, which may be old now."""
        pod = self._follow.pod_of(self._source)
        if ask:
            try:
                pod = self._follow.api.get(path_of(self._follow.namespace, "Pod", self._source.pod))
            except ObjectNotFound:
                return None
            except RaysteadError:
                pass  # the watch's word, then
        if pod is None or pod["metadata"]["uid"] != self._source.uid:
            return None
        return _state_of(pod, self._source.container)


class _State(NamedTuple):
    restarts: int
    begun: bool
    running: bool
    final: bool  # it will not run again
    why: str  # how the run before ended, in brackets


def _state_of(pod: Json, container: str) -> _State:
    final = pod["status"].get("phase") in ("Succeeded", "Failed")
    for status in pod["status"].get("containerStatuses") or []:
        if status["name"] == container:
            now, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
            begun = "running" in now or "terminated" in now or last is not None
            return _State(status.get("restartCount", 0), begun, "running" in now, final, _why(last))
    return _State(0, False, False, final, "")


def _why(ended: Json | None) -> str:
    if ended is None:
        return ""
    reason = ended.get("reason") or ""
    return (
        f" ({reason}, exit code {ended.get('exitCode')})"
        if reason
        else f" (exit code {ended.get('exitCode')})"
    )
