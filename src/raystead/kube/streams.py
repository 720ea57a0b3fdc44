"""WebSocket streams of the API server (exec, port-forward): the connection, its channels, how it ends.

Every message is one byte that names a channel, then data. A stream lives on an event loop of its own thread
(`Background`): one thread serves any number of connections, a full-duplex stream cannot deadlock on a lock,
and the caller may be a notebook whose thread has a loop already. docs/adr/0003-websockets.md has the numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from raystead.errors import ApiUnreachable, ObjectNotFound, RaysteadError
from raystead.kube.answers import error_of
from raystead.kube.api import Api
from raystead.kube.paths import path_of

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from raystead.kube.access import Access
    from raystead.kube.access.credentials import Login

__all__ = ["Background", "Stream", "in_thread", "open_stream", "pod_lives"]

T = TypeVar("T")
_OPEN_TIMEOUT = 10.0  # seconds for TCP, TLS and the handshake
_CLOSE_TIMEOUT = 1.0  # seconds for the closing handshake; the peer may be dead
_SILENCE = 0.75  # seconds without a message after which we ping
_PONG_WITHIN = 0.75  # seconds without a pong after which we ask whether the pod is still there
_GIVE_UP = 300.0  # seconds without a pong after which the stream is dead though its pod exists (a lost node)
_CHECK_PATIENCE = 2.0  # seconds that the question for the pod may be retried


class Background:
    """An event loop in a daemon thread, for streams that other threads use."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        pending = asyncio.all_tasks(self.loop)
        for task in pending:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` on the loop and waits; an interrupt of the waiting thread cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self, timeout: float = 5.0) -> None:
        """Cancels what runs and ends the thread; waits `timeout` seconds at most."""
        with contextlib.suppress(RuntimeError):  # closed already
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)


async def in_thread(work: Callable[[], T]) -> T:
    """Runs what blocks in a daemon thread: unlike an executor's it never holds up the program's end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except BaseException as caught:  # noqa: BLE001  # a thread's end: handed to who waits
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=run, daemon=True).start()
    return await answer


def pod_lives(api: Api, namespace: str, pod: str) -> bool:
    """Whether the pod can still serve a stream, as the API server knows it; True when it does not answer."""
    quick = Api(api.access, patience=_CHECK_PATIENCE)
    try:
        status = quick.get(path_of(namespace, "Pod", pod)).get("status") or {}
    except ObjectNotFound:
        return False
    except RaysteadError:
        return True
    return status.get("phase") not in ("Succeeded", "Failed")


async def open_stream(
    access: Access, path: str, query: Sequence[tuple[str, str]], subprotocols: Sequence[str]
) -> ClientConnection:
    """Opens a WebSocket at a path of the API server.

    Raises:
        ObjectNotFound, Forbidden, ApiError: the server's answer instead of a stream.
        ApiUnreachable: no answer.
    """
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    what = f"open {'/'.join(path.rsplit('/', 3)[1:])}"
    target = f"{path}?{urlencode(query, quote_via=quote)}"
    try:
        login = await in_thread(access.login)
        try:
            return await _handshake(access, login, target, subprotocols)
        except InvalidStatus as error:
            if error.response.status_code != 401:
                raise
            if not await in_thread(lambda: access.credentials.refused(login)):
                raise
            return await _handshake(access, await in_thread(access.login), target, subprotocols)
    except InvalidStatus as error:
        body = bytes(error.response.body or b"").decode("utf-8", "replace")
        raise error_of(error.response.status_code, body, what=what, context=access.context) from error
    except (OSError, InvalidHandshake, EOFError) as error:
        raise ApiUnreachable(
            f"the API server {access.server} does not open a stream",
            evidence=f"{what}: {str(error) or type(error).__name__}",
            remedy=f"check the network and the context {access.context}: kubectl version",
        ) from error


async def _handshake(
    access: Access, login: Login, target: str, subprotocols: Sequence[str]
) -> ClientConnection:
    from websockets.asyncio.client import connect

    more: dict[str, Any] = {}
    if (context := access.ssl_context(login)) is not None:
        more = {"ssl": context, "server_hostname": access.server_name or access.address[0]}
    way = access.way
    if way is not None and way.scheme == "https":  # TLS inside TLS: asyncio can, a socket of ours cannot
        more |= {"proxy": way.url, "proxy_ssl": access.proxy_context()}
    else:
        more |= {"proxy": None, "sock": await in_thread(lambda: access.connect(_OPEN_TIMEOUT, tunnel=True))}
    try:
        return await connect(
            f"ws{access.server.removeprefix('http')}{target}",
            additional_headers=access.headers(login),
            user_agent_header="raystead",
            subprotocols=list(subprotocols),  # type: ignore[arg-type]
            compression=None,  # the server has none, and it would cost more than the network
            max_size=None,
            open_timeout=_OPEN_TIMEOUT,
            close_timeout=_CLOSE_TIMEOUT,
            ping_interval=None,  # `Stream` pings: a pong may be late for good reasons
            **more,
        )
    except BaseException:
        if "sock" in more:
            more["sock"].close()
        raise


class Stream:
    """The channels of one open WebSocket, and the watch over its pod's life.

    No FIN comes when a node is lost, so a silent stream is pinged. A missing pong alone proves nothing: a
    program in the pod that does not read holds up the pong behind its data. So the API server is asked, and
    only a pod that is gone ends the stream at once. No ping while data comes or waits on our side: the far
    end may have closed already, would answer with RST, and what is still on its way would be lost.

    Attributes:
        gone: the stream was ended because its pod is.
        received: messages so far.
    """

    def __init__(self, socket: ClientConnection, lives: Callable[[], bool]) -> None:
        self.socket = socket
        self.gone = False
        self._lives = lives
        self._waiting = False  # we are ready to read: only then a pong can reach us
        self.received = 0

    @property
    def subprotocol(self) -> str | None:
        return self.socket.subprotocol

    async def send(self, channel: int, data: bytes) -> None:
        await self.socket.send(channel.to_bytes(1, "big") + data)

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """Channel and data of each message, to the clean end.

        Raises:
            websockets.ConnectionClosedError: the connection broke.
        """
        from websockets.exceptions import ConnectionClosedOK

        watch = asyncio.ensure_future(self._watch())
        try:
            while True:
                self._waiting = True
                message = await self.socket.recv(decode=False)
                self._waiting = False
                self.received += 1
                if message:
                    yield message[0], message[1:]
        except ConnectionClosedOK:
            return
        finally:
            watch.cancel()

    def abort(self) -> None:
        """Drops the connection; `messages` ends with an error."""
        self.socket.transport.abort()

    async def close(self) -> None:
        """Closes in good order where the peer lets us, else drops the connection."""
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.socket.close(), _CLOSE_TIMEOUT)
        finally:
            self.abort()

    async def _watch(self) -> None:
        from websockets.exceptions import ConnectionClosed

        loop = asyncio.get_running_loop()
        while True:
            received, begun = self.received, loop.time()
            await asyncio.sleep(_SILENCE)
            if not self._waiting or self.received != received:
                continue
            try:
                pong = await asyncio.wait_for(self.socket.ping(), _PONG_WITHIN)
            except TimeoutError:
                pong = loop.create_future()  # stuck behind our own data: no pong can come
            except ConnectionClosed:
                return
            while not await _done(pong, _PONG_WITHIN) and self._waiting and self.received == received:
                if not await in_thread(self._lives) or loop.time() - begun > _GIVE_UP:
                    self.gone = True
                    self.abort()
                    return


async def _done(answer: Any, seconds: float) -> bool:
    """Whether the pong came, or the connection closed, which `messages` tells, within so many seconds."""
    done, _ = await asyncio.wait([answer], timeout=seconds)
    for one in done:
        one.exception()  # looked at, lest asyncio complains that nobody did
    return bool(done)
