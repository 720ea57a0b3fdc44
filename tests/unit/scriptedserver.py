"""A real HTTP server that answers by script: for the faults that a real API server will not make on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from raystead.kube.access import Access

Json = dict[str, Any]
Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(code: int, body: Any = None, **headers: str) -> Answer:
    """An answer as it should be; `Retry_After` becomes Retry-After."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def status(code: int, message: str, reason: str = "", **more: Any) -> Json:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        **more,
    }


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Promises 1,000 bytes, sends a few, goes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"kind": "Pod"')
    handler.close_connection = True


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Reads the request and breaks the connection: whether it was done, nobody knows."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def stream(*events: Any, hold: float = 0.0) -> Answer:
    """A watch: one line an event, then held open for `hold` seconds, then a clean end."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for event in events:
            handler.wfile.write(json.dumps(event).encode() + b"\n")
            handler.wfile.flush()
        server: Any = handler.server
        server.ending.wait(hold)
        handler.close_connection = True

    return send


class ScriptedServer:
    """Answers each request with the next of `script`; its last answer goes on for ever.

    Attributes:
        seen: method, path, query, headers and body of each request.
    """

    def __init__(self, *script: Answer, port: int = 0) -> None:
        self.script = list(script)
        self.seen: list[Json] = []
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self) -> None:
                outer._serve(self)

            def setup(self) -> None:
                super().setup()
                outer._open.append(self.connection)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = any

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            ending = threading.Event()

        self._server = Server(("127.0.0.1", port), Handler)
        self._server.ending = threading.Event()
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        data = handler.rfile.read(length)
        parts = urlsplit(handler.path)
        with self._lock:
            self.seen.append(
                {
                    "method": handler.command,
                    "path": parts.path,
                    "query": {k: v[0] for k, v in parse_qs(parts.query).items()},
                    "headers": handler.headers,
                    "body": json.loads(data) if data else None,
                }
            )
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        step(handler)

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.ending.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:  # as when a server dies: what was kept alive is cut
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def access(self, namespace: str = "ns") -> Access:
        return Access(f"http://127.0.0.1:{self.port}", namespace, "test")
