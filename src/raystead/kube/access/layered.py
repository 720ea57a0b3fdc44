"""TLS inside TLS, which the ssl module has no socket for: an API server behind an HTTPS proxy."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
from typing import Any

__all__ = ["Layered"]

_CHUNK = 1 << 14  # bytes of the largest TLS record


class Layered(io.RawIOBase):
    """What http.client needs of a socket, over an SSLSocket that is connected already."""

    def __init__(self, outer: ssl.SSLSocket, settings: ssl.SSLContext, name: str) -> None:
        self._outer = outer
        self._readers = 0
        self._shut = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = settings.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._do(self._inner.do_handshake)

    def _do(self, step: Any, *arguments: Any) -> Any:
        """Runs a step of the inner TLS, moving records to and fro until it is done."""
        while True:
            try:
                result = step(*arguments)
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                data = self._outer.recv(_CHUNK)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._outer.sendall(data)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._do(self._inner.write, view) :]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            return int(self._do(self._inner.read, len(view), view))
        except ssl.SSLEOFError:
            return 0
        except ssl.SSLZeroReturnError:
            return 0

    def makefile(self, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Reading(self))

    def reader_closed(self) -> None:
        self._readers -= 1
        if self._shut and not self._readers:
            self._outer.close()

    def settimeout(self, seconds: float | None) -> None:
        self._outer.settimeout(seconds)

    def fileno(self) -> int:
        return self._outer.fileno()

    def pending(self) -> int:
        return self._inner.pending() + self._incoming.pending + self._outer.pending()

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        with contextlib.suppress(OSError):
            self._outer.shutdown(how)

    def close(self) -> None:
        """Closes it once its readers are closed too, as a socket does."""
        self._shut = True
        if not self._readers:
            self._outer.close()


class _Reading(io.RawIOBase):
    """A reader that leaves the connection open when it is closed, as a socket's file does."""

    def __init__(self, connection: Layered) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._connection.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._connection.reader_closed()
        super().close()
