"""Port-forward: a port of this machine that leads to a port of a pod, whichever pod that is now.

Spoken is the API server's plain WebSocket port-forward (every supported version has it): channel 0 is data,
channel 1 an error's text, and the first message of each is the port, 2 bytes little-endian. It has no
half-close: see `_LINGER`.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from raystead.errors import PortInUse, RaysteadError, StreamLost
from raystead.kube.paths import path_of
from raystead.kube.streams import Background, Stream, in_thread, open_stream, pod_lives

if TYPE_CHECKING:
    from raystead.kube.api import Api

__all__ = ["Forward"]

HOST = "127.0.0.1"
_SUBPROTOCOLS = ("v4.channel.k8s.io",)
_DATA, _ERROR = 0, 1
_CHUNK = 1 << 17  # bytes of one message; larger ones gain nothing
_LINGER = 5.0  # seconds without an answer after which a connection that our side half-closed is reset
_BACKLOG = 128


class _Silent(Exception):
    """Our side has stopped writing, and the pod's has neither answered for a while nor ended."""


class Forward:
    """Listens on 127.0.0.1; each connection is a WebSocket to the pod of that moment.

    A connection whose pod dies, or that cannot be made, is reset, as a server that dies would do; the next
    one asks `pick` again.

    Args:
        api: the API server.
        namespace: the pods' namespace.
        pick: names the pod to use now; may block and may raise. Called for every connection, in a thread.
        remote_port: port of the pod.
        local_port: port to listen on; 0 takes a free one.

    Attributes:
        last_error: why the newest connection that failed did; None once data has come through again.
    """

    def __init__(
        self, api: Api, namespace: str, pick: Callable[[], str], remote_port: int, local_port: int = 0
    ) -> None:
        self.last_error: RaysteadError | None = None
        self._api, self._namespace, self._pick = api, namespace, pick
        self._remote_port = remote_port
        self._socket = _listen(local_port)
        self.port: int = self._socket.getsockname()[1]
        self._background: Background | None = None

    def __enter__(self) -> Forward:
        self._background = Background(f"forward {self.port}")
        self._background.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """ "127.0.0.1:PORT" """
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def close(self) -> None:
        """Closes the port and every connection."""
        if self._background is not None:
            self._background.close()
            self._background = None
        self._socket.close()

    async def _start(self) -> None:
        await asyncio.start_server(self._serve, sock=self._socket, limit=_CHUNK, backlog=_BACKLOG)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await self._open()
            try:
                await self._carry(stream, reader, writer)
            finally:
                await stream.close()
            writer.close()
        except RaysteadError as error:
            self.last_error = error
            _reset(writer)
        except (ConnectionError, _Silent):  # our own side went; nobody is left to tell, or it may still wait
            _reset(writer)
        except asyncio.CancelledError:  # by `close`: this task is the loop's own, nobody waits for it
            _reset(writer)

    async def _open(self) -> Stream:
        pod = await in_thread(self._pick)
        path = f"{path_of(self._namespace, 'Pod', pod)}/portforward"
        query = [("ports", str(self._remote_port))]
        opened = await open_stream(self._api.access, path, query, _SUBPROTOCOLS)
        return Stream(opened, functools.partial(pod_lives, self._api, self._namespace, pod))

    async def _carry(
        self, stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carries both directions until one side ends.

        Raises:
            StreamLost: the pod's side did not end by itself.
        """
        downward = asyncio.ensure_future(self._down(stream, writer))
        upward = asyncio.ensure_future(_up(stream, reader))
        try:
            done, _ = await asyncio.wait((downward, upward), return_when=asyncio.FIRST_COMPLETED)
            if downward not in done:
                upward.result()
                raise _Silent  # whether the answer was whole is not known: never a clean end of file
            downward.result()
        finally:
            for task in (downward, upward):
                task.cancel()
            await asyncio.gather(downward, upward, return_exceptions=True)

    async def _down(self, stream: Stream, writer: asyncio.StreamWriter) -> None:
        from websockets.exceptions import ConnectionClosed

        begun = [False, False]
        try:
            async for channel, data in stream.messages():
                if channel > _ERROR:
                    continue
                if not begun[channel]:
                    begun[channel] = True
                elif channel == _ERROR:
                    raise self._refused(data.decode("utf-8", "replace"))
                else:
                    self.last_error = None
                    writer.write(data)
                    await writer.drain()
        except ConnectionClosed as error:
            raise StreamLost(
                "the pod of a forward is gone" if stream.gone else "the API server dropped a forward",
                evidence=str(error),
                remedy="the next connection goes to the pod that is there then",
            ) from error

    def _refused(self, text: str) -> StreamLost:
        if "connection refused" in text or "failed to connect to localhost" in text:
            return StreamLost(f"nothing in the pod listens on port {self._remote_port}", evidence=text)
        return StreamLost(f"a forward to port {self._remote_port} ended with an error", evidence=text)


async def _up(stream: Stream, reader: asyncio.StreamReader) -> None:
    """Sends what our side writes; returns when it has written all and no answer comes any more.

    An end of writing (half-close) cannot be passed on, and may be the end of all or not: we cannot know.
    """
    from websockets.exceptions import ConnectionClosed

    try:
        while data := await reader.read(_CHUNK):
            await stream.send(_DATA, data)
    except ConnectionClosed:
        await asyncio.Event().wait()  # `_down` says why
    received = -1
    while stream.received != received:
        received = stream.received
        await asyncio.sleep(_LINGER)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST, so that a reader does not take a broken answer for a whole one."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just closed is free
    try:
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        raise PortInUse(
            f"port {port} of {HOST} is taken" if taken else f"port {port} of {HOST} cannot be used",
            evidence=str(error.strerror),
            remedy="--port 0 takes a free one"
            if not taken
            else "end what listens there, or --port 0 for a free one",
        ) from error
    return listener
