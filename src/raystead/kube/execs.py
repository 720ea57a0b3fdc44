"""Commands in a pod's container: their output, their exit code, and a terminal on them.

Spoken is v5.channel.k8s.io, which can say that stdin has ended; v4 where the server (before 1.30) has only
that one. Channels: 0 stdin, 1 stdout, 2 stderr, 3 the end as a Status in JSON, 4 the terminal's size.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raystead.errors import ApiError, CommandNotStarted, Forbidden, StreamLost
from raystead.kube.paths import path_of
from raystead.kube.streams import Background, Stream, open_stream, pod_lives

if TYPE_CHECKING:
    from raystead.kube.api import Api, Json

__all__ = ["Result", "Target", "interactive", "lines", "outcome", "run"]

_V5, _V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _END, _SIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 1 << 16  # bytes of stdin in one message
_NOT_STARTED = re.compile(
    r"failed to (?:start|create) exec|unable to start container process|no such file or dir"
)
_REPEATED = re.compile(r"(Internal error occurred: )+")  # each server on the way puts it in front
_REASON = re.compile(r'exec: (".*?": [^"]*|[^"]*)$')


@dataclass(frozen=True)
class Target:
    """Where a command runs; `container` None means the pod's default one."""

    namespace: str
    pod: str
    container: str | None = None


@dataclass(frozen=True)
class Result:
    """How a command ended, and all it wrote."""

    code: int
    out: bytes
    err: bytes


def run(api: Api, target: Target, command: Sequence[str], *, stdin: bytes | None = None) -> Result:
    """Runs a command to its end; `stdin` is given to it and then closed.

    A command that ends without reading more than 64 KiB of `stdin` may never be told to have ended:
    containerd waits for a reader of the rest. `kubectl exec -i` stays the same way (8 of 50 with 1 MiB).

    Raises:
        CommandNotStarted: there is no such program there, or it cannot run.
        StreamLost: the pod or the API server went before the command's end was told.
        ObjectNotFound, Forbidden, ApiError: the API server's answer.
    """
    out: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray()}
    with _Session(api, target, command, stdin=stdin is not None, tty=False) as session:
        if stdin is not None:
            session.feed(stdin)
        for channel, data in session:
            out[channel] += data
        return Result(session.code(), bytes(out[_STDOUT]), bytes(out[_STDERR]))


def lines(api: Api, target: Target, command: Sequence[str]) -> Iterator[bytes]:
    """What a command writes to stdout, line by line as it comes; what follows the last line feed at its end.

    Raises: as `run`, and CommandNotStarted with the command's own words when its exit code is not 0.
    """
    rest, words = b"", bytearray()
    with _Session(api, target, command, stdin=False, tty=False) as session:
        for channel, data in session:
            if channel == _STDERR:
                words += data[: _CHUNK - len(words)]
                continue
            *whole, rest = (rest + data).split(b"\n")
            yield from whole
        if rest:
            yield rest
        if code := session.code():
            text = words.decode("utf-8", "replace").strip()
            raise CommandNotStarted(
                f"{command[0]} in pod {target.pod} failed", evidence=text or f"exit code {code}"
            )


def interactive(api: Api, target: Target, command: Sequence[str], *, tty: bool) -> int:
    """Runs a command on our own stdin, stdout and stderr; returns its exit code.

    With `tty` our terminal is made raw, follows resizes, and is set back however this ends. Call it from the
    main thread: it listens to signals.

    Raises: as `run`.
    """
    fds = {_STDOUT: sys.stdout.fileno(), _STDERR: sys.stderr.fileno()}
    sys.stdout.flush()
    with _Session(api, target, command, stdin=True, tty=tty) as session, contextlib.ExitStack() as undo:
        if tty:
            undo.enter_context(_raw_terminal(sys.stdin.fileno()))
            undo.enter_context(_resizes(session))
        undo.enter_context(_stdin_pump(session, sys.stdin.fileno()))
        for channel, data in session:
            _write(fds[channel], data)
        return session.code()


def outcome(status: Json, target: Target, command: Sequence[str]) -> int:
    """The exit code in the Status that ends an exec.

    Raises:
        CommandNotStarted, StreamLost
    """
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
    message = _REPEATED.sub(r"\1", str(status.get("message") or status))
    if not _NOT_STARTED.search(message):
        raise StreamLost(
            f"the end of {command[0]} in pod {target.pod} is not known",
            evidence=message,
            remedy=f"kubectl describe pod {target.pod}",
        )
    reason = match[1] if (match := _REASON.search(message)) else message
    reason = reason.removeprefix(f"{json.dumps(command[0])}: ")
    raise CommandNotStarted(
        f"{command[0]} cannot be started in pod {target.pod}: {reason}",
        evidence=message,
        remedy="name a program that the container's image has; it may have no shell at all",
    )


class _Session:
    """One running command; iterating gives channel and data of its output, in order."""

    def __init__(self, api: Api, target: Target, command: Sequence[str], *, stdin: bool, tty: bool) -> None:
        self._api, self._target, self._command = api, target, command
        self._stdin, self._tty = stdin, tty
        self._end = b""

    def __enter__(self) -> _Session:
        self._background = Background(f"exec {self._target.pod}")
        try:
            self._stream = self._background.run(self._open())
        except BaseException:
            self._background.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # it is over either way
            self._background.run(self._stream.close())
        self._background.close()

    async def _open(self) -> Stream:
        target = self._target
        query = [("command", word) for word in self._command] + [("stdout", "true")]
        query.append(("tty", "true") if self._tty else ("stderr", "true"))
        if self._stdin:
            query.append(("stdin", "true"))
        if target.container:
            query.append(("container", target.container))
        path = f"{path_of(target.namespace, 'Pod', target.pod)}/exec"
        must_end = self._stdin and not self._tty
        try:
            socket = await open_stream(self._api.access, path, query, (_V5,) if must_end else (_V5, _V4))
        except ApiError as error:
            if must_end and error.status == 403 and not isinstance(error, Forbidden) and not error.reason:
                raise CommandNotStarted(
                    "this API server cannot tell a command that its input has ended (it is older than 1.30)",
                    evidence=error.evidence,
                    remedy=f"kubectl exec -i {target.pod} -- {self._command[0]} …",
                ) from error
            raise
        return Stream(socket, functools.partial(pod_lives, self._api, target.namespace, target.pod))

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        from websockets.exceptions import ConnectionClosed

        messages = self._stream.messages()

        async def step() -> tuple[int, bytes] | None:
            return await anext(messages, None)

        try:
            while (message := self._background.run(step())) is not None:
                channel, data = message
                if channel == _END:
                    self._end += data
                elif data and channel in (_STDOUT, _STDERR):  # others are of a later protocol
                    yield channel, data
        except ConnectionClosed as error:
            if not self._end:
                raise self._lost(str(error)) from error

    def code(self) -> int:
        """The exit code, once the output has ended."""
        if not self._end:
            raise self._lost("the stream ended without an exit code")
        try:
            status = json.loads(self._end)
        except ValueError:
            raise self._lost("the Status at the end of the stream is incomplete") from None
        return outcome(status, self._target, self._command)

    def _lost(self, evidence: str) -> StreamLost:
        gone = self._stream.gone or not pod_lives(self._api, self._target.namespace, self._target.pod)
        what = f"pod {self._target.pod} is gone" if gone else "the API server dropped the stream"
        return StreamLost(
            f"{what}; how {self._command[0]} ended is not known", evidence=evidence, remedy="raystead status"
        )

    def send(self, channel: int, data: bytes) -> None:
        """Sends and waits until it is under way."""
        self._background.run(self._stream.send(channel, data))

    def feed(self, data: bytes) -> None:
        """Sends all of stdin, and its end, while the output is read."""

        async def go() -> None:
            for at in range(0, len(data), _CHUNK):
                await self._stream.send(_STDIN, data[at : at + _CHUNK])
            await self._stream.send(_CLOSE, bytes([_STDIN]))

        self._later(go())

    def resize(self) -> None:
        """Tells the size of our terminal; safe in a signal handler."""
        columns, rows = os.get_terminal_size(sys.stdin.fileno())
        self._later(self._stream.send(_SIZE, json.dumps({"Width": columns, "Height": rows}).encode()))

    def end_of_input(self) -> None:
        if self._stream.subprotocol == _V5:
            self.send(_CLOSE, bytes([_STDIN]))

    def _later(self, work: Any) -> None:
        async def quietly() -> None:
            from websockets.exceptions import ConnectionClosed

            with contextlib.suppress(ConnectionClosed):  # who reads is told
                await work

        loop = self._background.loop
        loop.call_soon_threadsafe(lambda: self._tasks.add(loop.create_task(quietly())))

    @functools.cached_property
    def _tasks(self) -> set[Any]:
        """A loop holds its tasks weakly."""
        return set()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def _stdin_pump(session: _Session, fd: int) -> Iterator[None]:
    """Carries our stdin to the command in a thread, until either ends; no byte is read after that."""
    awake, wake = os.pipe()

    def pump() -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed, RuntimeError):  # the command has ended
            while True:
                ready, _, _ = select.select([fd, awake], [], [])
                if awake in ready:
                    return
                data = os.read(fd, _CHUNK)
                if not data:
                    session.end_of_input()
                    return
                session.send(_STDIN, data)

    thread = threading.Thread(target=pump, name="exec stdin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(wake, b"x")
        thread.join(1)
        os.close(wake)
        os.close(awake)


@contextlib.contextmanager
def _raw_terminal(fd: int) -> Iterator[None]:
    """Our terminal passes every byte on; set back at the end, also of a termination by signal."""
    import termios
    import tty

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = termios.tcgetattr(fd)
    handlers = {s: signal.signal(s, leave) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(fd, termios.TCSADRAIN)  # what was typed ahead is kept
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _resizes(session: _Session) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: session.resize())
    session.resize()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
