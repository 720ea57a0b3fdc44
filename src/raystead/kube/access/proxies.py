"""The way to the server: directly, through an HTTP or HTTPS proxy, or through SOCKS5.

As in Go: a kubeconfig's proxy-url always counts; HTTPS_PROXY and HTTP_PROXY count neither for this machine
itself nor for what NO_PROXY names.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

__all__ = ["Proxy", "ProxyError", "dial", "from_environment", "parsed", "plain"]

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_REASONS = {  # RFC 1928, section 6
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
}


class ProxyError(OSError):
    """A proxy refuses to carry us, or speaks something else; the server was not asked."""


@dataclass(frozen=True)
class Proxy:
    """A proxy's address; its password stands in no message."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{_joined(self.host, self.port)}"

    @property
    def url(self) -> str:
        """The whole address, with user and password."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.authorization else ""
        return f"{self.scheme}://{login}{_joined(self.host, self.port)}"

    @property
    def authorization(self) -> str | None:
        """The header Proxy-Authorization."""
        if not (self.user or self.password):
            return None
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


def parsed(text: str) -> Proxy:
    """The proxy of a proxy-url.

    Raises:
        ValueError: it is none; says why, and no password.
    """
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not a URL") from None
    if scheme not in _PORTS:
        raise ValueError(f'"{scheme}" is not a supported kind of proxy: http, https and socks5 are')
    if not host:
        raise ValueError("it names no host")
    return Proxy(
        scheme, host, port or _PORTS[scheme], unquote(parts.username or ""), unquote(parts.password or "")
    )


def from_environment(server: str) -> Proxy | None:
    """The proxy that the environment's variables give for a server.

    Raises:
        ProxyError: the variable holds no proxy.
    """
    parts = urlsplit(server)
    name = f"{parts.scheme}_proxy"
    text = os.environ.get(name.upper()) or os.environ.get(name)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)
    if not text or _here(host) or _excluded(host, port):
        return None
    try:
        return parsed(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ProxyError(f"{name.upper()} cannot be used: {error}") from None


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    address = _ip(host)
    return address is not None and address.is_loopback


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _excluded(host: str, port: int) -> bool:
    """Whether NO_PROXY names the host: "*", an address, a network, a domain with or without a port."""
    host, address = host.lower().rstrip("."), _ip(host)
    for part in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(","):
        rule = part.strip().lower()
        if not rule:
            continue
        if rule == "*":
            return True
        if "/" in rule:
            try:
                if address is not None and address in ipaddress.ip_network(rule, strict=False):
                    return True
            except ValueError:
                pass
            continue
        named, given = _without_port(rule)
        if given and given != str(port):
            continue
        if (of_rule := _ip(named)) is not None:
            if of_rule == address:
                return True
            continue
        named = named.removeprefix("*")
        if host.endswith(named if named.startswith(".") else f".{named}") or host == named:
            return True
    return False


def _without_port(rule: str) -> tuple[str, str]:
    if rule.startswith("["):
        name, _, port = rule[1:].partition("]")
        return name, port.removeprefix(":")
    name, colon, port = rule.rpartition(":")
    return (name, port) if colon and ":" not in name else (rule, "")


# -- connections ------------------------------------------------------------------------------------


def dial(
    address: tuple[str, int],
    proxy: Proxy | None,
    *,
    tunnel: bool,
    timeout: float,
    tls: Callable[[], ssl.SSLContext],
) -> socket.socket:
    """A connection to `address`, by way of `proxy`; one through an HTTPS proxy is an SSLSocket.

    `tunnel` False: an HTTP proxy is not asked for a tunnel; requests name the whole address. `tls` gives the
    settings for an HTTPS proxy.

    Raises:
        ProxyError: the proxy refuses.
        OSError: no connection.
    """
    if proxy is None:
        return _connected(address, timeout)
    try:
        raw = _connected((proxy.host, proxy.port), timeout)
    except OSError as error:
        words = error.strerror or str(error) or type(error).__name__
        raise ConnectionError(f"the proxy {proxy} does not answer: {words}") from error
    try:
        if proxy.scheme.startswith("socks5"):
            _socks(raw, proxy, address)
            return raw
        if proxy.scheme == "https":
            raw = tls().wrap_socket(raw, server_hostname=proxy.host)
        if tunnel:
            _tunnel(raw, proxy, address)
        return raw
    except BaseException:
        raw.close()
        raise


def _connected(address: tuple[str, int], timeout: float) -> socket.socket:
    """A TCP connection; Ctrl-C ends it while the name is still being looked up."""
    host, port = address
    found: list[Any]
    if _ip(host) is None and threading.current_thread() is threading.main_thread():
        found = _aside(host, port)
    else:
        found = _looked_up(host, port)
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, where in found:
        one = socket.socket(family, kind, protocol)
        try:
            one.settimeout(timeout)
            one.connect(where)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return one
        except OSError as error:
            one.close()
            failure = error
    raise failure


def plain(host: str) -> str | bytes:
    """The name as bytes where it is ASCII: for text Python imports the tables of IDNA first."""
    return host.encode() if host.isascii() else host


def _looked_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(plain(host), port, type=socket.SOCK_STREAM)


def _aside(host: str, port: int) -> list[Any]:
    """The same, which nothing can interrupt, in another thread; waiting for that can be interrupted."""
    out: list[list[Any]] = []
    errors: list[OSError] = []

    def run() -> None:
        try:
            out.append(_looked_up(host, port))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="resolve", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return out[0]


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tunnel(connection: socket.socket, proxy: Proxy, address: tuple[str, int]) -> None:
    target = _joined(*address)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: raystead"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:  # byte by byte: what follows is the server's
        byte = connection.recv(1)
        if not byte or len(head) > 65536:
            raise ProxyError(f"the proxy {proxy} ended the connection instead of connecting to {target}")
        head += byte
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    version, _, status = line.partition(" ")
    if not version.startswith("HTTP/1") or not status.startswith("200"):
        raise ProxyError(f"the proxy {proxy} refuses to connect to {target}: {status or line}"[:300])


def _socks(connection: socket.socket, proxy: Proxy, address: tuple[str, int]) -> None:
    """RFC 1928 and 1929; names are looked up by the proxy, as Go does."""
    with_password = bool(proxy.user or proxy.password)
    connection.sendall(b"\x05\x02\x00\x02" if with_password else b"\x05\x01\x00")
    version, method = _exactly(connection, 2, proxy)
    if version != 5 or method == 0xFF:
        raise ProxyError(f"the proxy {proxy} refuses us" + ("" if with_password else ", it wants a password"))
    if method == 2:
        user, password = proxy.user.encode()[:255], proxy.password.encode()[:255]
        connection.sendall(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if _exactly(connection, 2, proxy)[1] != 0:
            raise ProxyError(f"the proxy {proxy} does not accept the user and password of its proxy-url")
    host, port = address
    ip = _ip(host)
    if ip is None:
        name = host.encode("idna")
        where = b"\x03" + bytes([len(name)]) + name
    else:
        where = (b"\x01" if ip.version == 4 else b"\x04") + ip.packed
    connection.sendall(b"\x05\x01\x00" + where + struct.pack(">H", port))
    _, code, _, kind = _exactly(connection, 4, proxy)
    if code:
        reason = _REASONS.get(code, f"code {code}")
        raise ProxyError(f"the proxy {proxy} does not connect to {_joined(host, port)}: {reason}")
    length = {1: 4, 4: 16}.get(kind) or _exactly(connection, 1, proxy)[0]
    _exactly(connection, length + 2, proxy)


def _exactly(connection: socket.socket, count: int, proxy: Proxy) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ProxyError(f"the proxy {proxy} ended the connection; does it speak {proxy.scheme}?")
        data += more
    return data
