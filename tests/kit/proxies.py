"""Proxies of every kind that kubectl speaks to, on loopback; whatever name is asked for, they lead to one server."""

import base64
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

LOGIN = ("me", "pass:word")


class Proxy:
    """Serves until closed; `asked` holds the hosts and ports that were asked for."""

    def __init__(
        self, kind: str, target: int, tls: ssl.SSLContext | None = None, login: bool = False
    ) -> None:
        self.asked: list[str] = []
        self._kind, self._target, self._tls, self._login = kind, target, tls, login
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.enter_context(one)
            if self._tls:
                one = stack.enter_context(self._tls.wrap_socket(one, server_side=True))
            one.settimeout(30)
            greet: Callable[[socket.socket], bool] = self._socks if self._kind == "socks5" else self._http
            if greet(one):
                with socket.create_connection(("127.0.0.1", self._target)) as server:
                    _carry(one, server)

    def _http(self, one: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            head += one.recv(1) or b"\r\n\r\n"
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0].split(" ")[1])
        wanted = f"Proxy-Authorization: Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}"
        if self._kind == "refusing":
            one.sendall(b"HTTP/1.1 403 Forbidden by the company\r\nContent-Length: 0\r\n\r\n")
        elif self._login and wanted not in lines:
            one.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        else:
            one.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return True
        return False

    def _socks(self, one: socket.socket) -> bool:
        one.recv(1)
        methods = one.recv(one.recv(1)[0])
        if self._login:
            if 2 not in methods:
                one.sendall(b"\x05\xff")
                return False
            one.sendall(b"\x05\x02")
            one.recv(1)
            user = one.recv(one.recv(1)[0]).decode()
            password = one.recv(one.recv(1)[0]).decode()
            one.sendall(b"\x01\x00" if (user, password) == LOGIN else b"\x01\x01")
            if (user, password) != LOGIN:
                return False
        else:
            one.sendall(b"\x05\x00")
        kind = one.recv(4)[3]
        if kind == 3:
            host = one.recv(one.recv(1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *((socket.AF_INET, one.recv(4)) if kind == 1 else (socket.AF_INET6, one.recv(16)))
            )
        self.asked.append(f"{host}:{struct.unpack('>H', one.recv(2))[0]}")
        one.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        return True


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Both directions until one ends. TLS sockets are read by one thread and written by the other."""
    back = threading.Thread(target=_one_way, args=(other, one), daemon=True)
    back.start()
    _one_way(one, other)
    back.join(30)


def _one_way(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sink, socket.SHUT_WR)  # an SSLSocket keeps its TLS for the other thread
