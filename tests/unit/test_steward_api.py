"""The steward's way to the API server: a connection that was kept for too long costs nothing."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bare import signed

from raystead.incluster.hands import AccountApi


class Closing(BaseHTTPRequestHandler):
    """Answers one request on each connection and closes it without saying so, as after 90 idle seconds."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(json.loads(body)["metadata"]["name"])
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    certificate, key = signed("localhost", host="localhost")
    (tmp_path / "ca.crt").write_bytes(certificate)
    (tmp_path / "token").write_text("of a test")
    (tmp_path / "both.pem").write_bytes(key + certificate)

    class Handler(Closing):
        asked: list[str] = []  # noqa: RUF012  # a class for each server

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    made.socket = context.wrap_socket(made.socket, server_side=True)
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_pod_is_made_at_once_although_the_server_has_closed_the_kept_connection(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    api = AccountApi("localhost", server.server_address[1], "ns", str(tmp_path))
    for name in ("one", "two", "three"):
        made = api.request("POST", "/api/v1/namespaces/ns/pods", {"metadata": {"name": name}})
        assert made["metadata"]["name"] == name
    assert server.RequestHandlerClass.asked == ["one", "two", "three"]  # type: ignore[attr-defined]
