"""Opens the dashboard in a browser that is let in.

Ray's page takes its token from a cookie, which it sets itself when somebody types the token, and from nowhere
else: no address can carry it. So a page of ours on another port of this machine sets that cookie and sends
the browser on; cookies belong to a host, whatever the port. The address that the browser is started with
holds a random word that is good once, and no token.
"""

from __future__ import annotations

import secrets
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["opened"]

COOKIE = "ray-authentication-token"  # as Ray's /api/authenticate sets it
_LIFE = 30 * 24 * 3600  # seconds; Ray's own


@contextmanager
def opened(
    dashboard: str, token: str | None, open_page: Callable[[str], bool] = webbrowser.open
) -> Iterator[bool]:
    """Opens a browser at the dashboard, logged in; whether one was found. It is served while the block runs.

    Args:
        dashboard: "http://127.0.0.1:PORT".
        token: None where the cluster asks for none.
    """
    if token is None:
        yield open_page(dashboard)
        return
    server = _Page(dashboard, token)
    threading.Thread(target=server.serve_forever, daemon=True, name="browser").start()
    try:
        yield open_page(server.address)
    finally:
        server.shutdown()
        server.server_close()


class _Page(ThreadingHTTPServer):
    """Answers the one secret address once.

    A thread for each connection: browsers open one in advance and send nothing over it, which may keep
    neither the real request waiting nor the end.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, dashboard: str, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _LoginHandler)
        self.dashboard = dashboard
        self.cookie = _cookie(token)
        self.host = f"127.0.0.1:{self.server_port}"
        self._word: str | None = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self.address = f"http://{self.host}/{self._word}"

    def let_in(self, word: str) -> bool:
        """Whether this is the word and nobody has used it before."""
        with self._lock:
            known = self._word is not None and secrets.compare_digest(word.encode(), self._word.encode())
            if known:
                self._word = None
            return known


class _LoginHandler(BaseHTTPRequestHandler):
    server: _Page
    timeout = 30  # seconds of silence

    def do_GET(self) -> None:
        """Lets the browser in that knows the word, and nobody after it."""
        if self.headers.get("Host") != self.server.host or not self.server.let_in(
            self.path.removeprefix("/")
        ):
            self.send_error(404)
        else:
            self.send_response(303)
            self.send_header("Location", self.server.dashboard)
            self.send_header("Set-Cookie", self.server.cookie)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the word and the terminal are not for each other."""


def _cookie(token: str) -> str:
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = token
    facts: dict[str, Any] = {"path": "/", "httponly": True, "samesite": "Strict", "max-age": _LIFE}
    cookie[COOKIE].update(facts)
    return cookie[COOKIE].OutputString()
