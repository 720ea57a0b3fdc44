"""HTTP/1.1 connections to one API server, kept open between requests: http.client over the access' sockets.

http.client is the lightest client there is to import, and all that JSON requests and streams need of one is
here: docs/adr/0011-access-of-our-own.md has the numbers.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterable

from raystead.kube.access.access import Access
from raystead.kube.access.credentials import Login
from raystead.kube.access.proxies import ProxyError

__all__ = ["Answer", "Broken", "Connections", "NotConnected"]

_CONNECT = 10.0  # seconds for TCP, a proxy's tunnel and TLS
_KEPT = 8  # idle connections that are kept


class NotConnected(ConnectionError):
    """No connection came about, so nothing was sent: safe to repeat for every method."""


class Broken(ConnectionError):
    """A connection broke after something was sent: whether it was done is not known."""


class Answer:
    """An answer whose body has not been read yet.

    Attributes:
        status: the HTTP code.
        headers: as they came; names in any letter case.
    """

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: _Connection,
        sock: socket.socket,
        owner: Connections,
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response, self._connection, self._owner = response, connection, owner
        self._sock = sock  # the connection forgets it where this answer is its last

    def read(self) -> bytes:
        """The whole body; the connection is free for the next request then.

        Raises:
            Broken: it ended too early.
        """
        try:
            data = self._response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Broken(words(error)) from error
        reusable = not self._response.will_close
        self._response.close()
        if reusable:
            self._owner.give_back(self._connection)
        else:
            self._connection.close()
        return data

    def read1(self, count: int) -> bytes:
        """What there is of the body, `count` bytes at most; b"" at its end.

        Raises:
            TimeoutError: nothing came for as long as the request allows.
            Broken: it ended too early.
        """
        try:
            return self._response.read1(count)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError, AttributeError: closed by another thread meanwhile
            raise Broken(words(error)) from error

    def close(self) -> None:
        """Drops the connection, whatever is still to come."""
        self._response.close()
        self._connection.close()

    def shutdown(self) -> None:
        """Ends the body for a thread that waits for more of it."""
        with contextlib.suppress(OSError):
            if isinstance(self._sock, socket.socket):  # SSLSocket's own would drop its TLS under the reader
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            else:
                self._sock.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """A connection that the access makes."""

    def __init__(self, access: Access, login: Login) -> None:
        host, port = access.address
        super().__init__(host, port)
        self.default_port = 443 if access.server.startswith("https") else 80
        self._access, self.login = access, login

    def connect(self) -> None:
        raw = self._access.connect(_CONNECT)
        try:
            self.sock = self._access.secured(raw, self.login)
        except BaseException:
            raw.close()
            raise

    def stale(self) -> bool:
        """The server has closed it, or sends what nobody asked for."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class Connections:
    """The open connections to one API server. Threads may share them."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        way = access.way
        by_name = (
            way is not None and way.scheme in ("http", "https") and not access.server.startswith("https")
        )
        self._prefix = access.server if by_name else access.server.partition("://")[2].partition("/")[2]
        if not by_name and self._prefix:
            self._prefix = f"/{self._prefix}"
        self._extra = (
            [("Proxy-Authorization", way.authorization)] if by_name and way and way.authorization else []
        )

    def request(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        *,
        login: Login,
        timeout: float | None,
    ) -> Answer:
        """Sends a request and waits for the head of its answer; `target` is a path with its query.

        `timeout`: seconds without any byte after which reading fails; None waits for ever.

        Raises:
            NotConnected, Broken, ssl.SSLError, ProxyError
        """
        connection = self._take(login)
        try:
            connection.sock.settimeout(timeout)
            connection.putrequest(method, self._prefix + target)
            for name, value in (*headers, *self._extra):
                connection.putheader(name, value.encode())
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            sock = connection.sock
            return Answer(connection.getresponse(), connection, sock, self)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise
            raise Broken(words(error)) from error
        except BaseException:
            connection.close()
            raise

    def give_back(self, connection: _Connection) -> None:
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, login: Login) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                break
            if connection.login.certificate == login.certificate and not connection.stale():
                return connection
            connection.close()
        fresh = _Connection(self._access, login)
        try:
            fresh.connect()
        except OSError as error:
            final = isinstance(error, ssl.SSLError | ProxyError)
            if final and not isinstance(error, ssl.SSLEOFError | TimeoutError):
                raise
            raise NotConnected(words(error)) from error
        return fresh


def words(error: BaseException) -> str:
    """What an exception of a connection says, for people."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer ended too early"
    if isinstance(error, socket.gaierror):
        return f"the host's name has no address: {error.strerror}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
