"""A proxy of the shell gets nothing that is meant for a cluster on this machine, least of all its token."""

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

from raystead.local.shrinking import asker


class Cluster(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'["from the cluster"]')

    def log_message(self, *_: Any) -> None:
        pass


def test_the_dashboard_is_asked_directly_though_the_shell_has_a_proxy(monkeypatch: Any) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)
    with HTTPServer(("127.0.0.1", 0), Cluster) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        plan: Any = SimpleNamespace(dashboard_port=server.server_address[1])
        assert asker(plan, "of a test")("/nodes") == ["from the cluster"]
