"""One user of one API server: its address, what proves who the user is, how connections are made."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from raystead.errors import KubeConfigError
from raystead.kube.access.credentials import Credentials, Login
from raystead.kube.access.proxies import Proxy, dial, from_environment, plain

__all__ = ["Access", "Impersonation"]


class Impersonation(NamedTuple):
    """Whom we act as: `--as` and its like."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def headers(self) -> list[tuple[str, str]]:
        out = [("Impersonate-User", self.user)]
        out += [("Impersonate-Group", group) for group in self.groups]
        out += [("Impersonate-Uid", self.uid)] if self.uid else []
        for name, values in self.extra:
            out += [(f"Impersonate-Extra-{quote(name.lower(), safe='')}", value) for value in values]
        return out


@dataclass
class Access:
    """One user at one API server in one namespace. Threads may share it.

    Attributes:
        server: address of the API server, "https://host:port[/prefix]".
        namespace: chosen by flag, else the context's, else the pod's, else "default".
        context: name of the kubeconfig's context; "in-cluster" in a pod.
        proxy: the way to the server; None goes there directly.
        server_name: the name the server's certificate is checked against, where it is not the address's.
        authority: certificates that may sign the server's, PEM; None: those of this machine.
    """

    server: str
    namespace: str
    context: str
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    impersonate: Impersonation | None = None
    proxy: Proxy | None = None
    server_name: str | None = None
    authority: bytes | None = field(default=None, repr=False)
    insecure: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _tls: dict[tuple[bytes, bytes] | None, ssl.SSLContext] = field(default_factory=dict, repr=False)

    def login(self) -> Login:
        """What proves who we are now; renews what is about to expire.

        Raises:
            KubeConfigError: there is nothing that can be used.
        """
        return self.credentials.login()

    def headers(self, login: Login | None = None) -> list[tuple[str, str]]:
        """Authorization and impersonation; a name may stand there more than once."""
        authorization = (login or self.login()).authorization
        out = [("Authorization", authorization)] if authorization else []
        return out + (self.impersonate.headers() if self.impersonate else [])

    def ssl_context(self, login: Login | None) -> ssl.SSLContext | None:
        """TLS settings with the client certificate of `login`; None for plain HTTP.

        Raises:
            KubeConfigError: the certificates cannot be used.
        """
        if not self.server.startswith("https"):
            return None
        from raystead.kube.access import tls

        certificate = (login or self.login()).certificate
        with self._lock:
            if certificate not in self._tls:
                self._tls.clear()  # of a certificate that was renewed nothing stays
                try:
                    self._tls[certificate] = tls.context(
                        authority=self.authority, insecure=self.insecure, certificate=certificate
                    )
                except ValueError as error:
                    raise KubeConfigError(
                        f"the certificates of the context {self.context} cannot be used",
                        evidence=str(error),
                        remedy="log in again, as you do for kubectl",
                    ) from None
            return self._tls[certificate]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        parts = urlsplit(self.server)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def way(self) -> Proxy | None:
        """The proxy between us and the server: the kubeconfig's, else the environment's."""
        return self.proxy or from_environment(self.server)

    def connect(self, timeout: float, *, tunnel: bool = False) -> socket.socket:
        """A connection to the server, before its own TLS; through an HTTPS proxy it is an SSLSocket.

        `tunnel`: an HTTP proxy is asked for one to a server that speaks plain HTTP too.

        Raises:
            OSError: there is none; ProxyError where a proxy says so.
        """
        tunnel = tunnel or self.server.startswith("https")
        return dial(self.address, self.way, tunnel=tunnel, timeout=timeout, tls=self.proxy_context)

    def proxy_context(self) -> ssl.SSLContext:
        """TLS settings for an HTTPS proxy: what the cluster and this machine trust."""
        from raystead.kube.access import tls

        return tls.context(authority=self.authority, insecure=self.insecure, also_this_machine=True)

    def secured(self, connection: socket.socket, login: Login) -> socket.socket:
        """The connection with TLS on it, where the server speaks it.

        Raises:
            ssl.SSLError: its certificate is not trusted, or it speaks something else.
            KubeConfigError: our certificates cannot be used.
        """
        settings = self.ssl_context(login)
        if settings is None:
            return connection
        name = self.server_name or self.address[0]
        if isinstance(connection, ssl.SSLSocket):
            from raystead.kube.access.layered import Layered

            layered: socket.socket = Layered(connection, settings, name)  # type: ignore[assignment]
            return layered
        return settings.wrap_socket(connection, server_hostname=plain(name))
