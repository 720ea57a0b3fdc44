"""Ray's dashboard over plain HTTP: jobs, their output, and small marks that outlive whoever leaves them."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

TERMINAL = ("SUCCEEDED", "FAILED", "STOPPED")
_TIMEOUT = 15.0  # seconds for one answer; a head that has just started needs up to 5
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA  # opcodes of RFC 6455


class Unreachable(Exception):
    """No answer, or none that Ray's dashboard would give."""


class Refused(Exception):
    """The dashboard answered and refused; `status` is the HTTP code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status, self.text = status, text


def token() -> str | None:
    """The cluster's token as Ray finds it: RAY_AUTH_TOKEN, else the file at RAY_AUTH_TOKEN_PATH."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return None
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"].strip()
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123 (Python 3.9 has no reason to import pathlib)
            return stream.read().strip()
    except OSError as error:
        raise Unreachable(f"the token file {path} cannot be read: {error.strerror}") from None


class Dashboard:
    """One cluster's dashboard at `address`, "http://HOST:PORT"."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        # A proxy of the pod's environment is for the outside world, not for the head.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def healthy(self) -> bool:
        """Whether the GCS serves. Needs no token.

        Raises:
            Unreachable
        """
        return b"success" in self._send("GET", "/api/gcs_healthz")

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, drivers that connected by themselves included (their `submission_id` is None)."""
        found = self._json("GET", "/api/jobs/")
        return [job for job in found if isinstance(job, dict)] if isinstance(found, list) else []

    def job(self, job_id: str) -> dict[str, Any] | None:
        """One job, or None where Ray knows none of that id."""
        try:
            found = self._json("GET", f"/api/jobs/{quote(job_id, safe='')}")
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return found if isinstance(found, dict) else None

    def submit(self, body: dict[str, Any]) -> None:
        """Starts a job; one of that id that is there already counts as started.

        Raises:
            Refused: Ray does not take it.
            Unreachable
        """
        try:
            self._json("POST", "/api/jobs/", body)
        except Refused as refused:
            if "already exists" in refused.text or "use a different submission_id" in refused.text:
                return
            raise

    def stop(self, job_id: str) -> None:
        self._json("POST", f"/api/jobs/{quote(job_id, safe='')}/stop", {})

    def mark(self, name: str) -> None:
        """Leaves a mark in the GCS' store: an empty package of that name, which any pod can ask for."""
        self._send("PUT", f"/api/packages/gcs/{quote(name, safe='')}.zip", b"raystead")

    def marked(self, name: str) -> bool:
        try:
            self._send("GET", f"/api/packages/gcs/{quote(name, safe='')}.zip")
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def state(self, kind: str) -> list[dict[str, Any]]:
        """Rows of Ray's state API that are alive: `kind` is actors, placement_groups, tasks or nodes."""
        query = "limit=1000&detail=false"
        if kind == "actors":
            query += "&filter_keys=state&filter_predicates=%21%3D&filter_values=DEAD"
        found = self._json("GET", f"/api/v0/{kind}?{query}")
        rows = found["data"]["result"]["result"] if isinstance(found, dict) else []
        return [row for row in rows if isinstance(row, dict)]

    def output(self, job_id: str) -> str:
        """The driver's whole output so far."""
        found = self._json("GET", f"/api/jobs/{quote(job_id, safe='')}/logs")
        return str(found.get("logs") or "") if isinstance(found, dict) else ""

    def follow(self, job_id: str) -> Iterator[bytes]:
        """The driver's output from its beginning, as it comes, until Ray or the network ends the stream.

        b"" says that nothing came for a second.

        Raises:
            Unreachable: the stream could not be opened or broke.
        """
        parts = urlsplit(self.address)
        host, port = parts.hostname or "", parts.port or 80
        try:
            with socket.create_connection((host, port), timeout=_TIMEOUT) as connection:
                rest = _upgrade(connection, f"{host}:{port}", f"/api/jobs/{quote(job_id, safe='')}/logs/tail")
                yield from _messages(connection, rest)
        except OSError as error:
            raise Unreachable(f"the job's output broke off: {error}") from None

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        answer = self._send(method, path, data)
        try:
            return json.loads(answer or b"null")
        except ValueError:
            raise Unreachable(f"{method} {path}: the answer is not JSON") from None

    def _send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.address + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if secret := token():
            request.add_header("Authorization", f"Bearer {secret}")
        try:
            with self._open(request, timeout=_TIMEOUT) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read(4000).decode("utf-8", "replace").strip()
            raise Refused(error.code, text) from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # an answer may break off
            reason = getattr(error, "reason", error) or type(error).__name__
            raise Unreachable(f"{method} {path}: {reason}") from None


def _upgrade(connection: socket.socket, host: str, path: str) -> bytes:
    """Asks for a websocket; what came behind the answer's head."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
    ]
    if secret := token():
        lines.append(f"Authorization: Bearer {secret}")
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    got = b""
    while b"\r\n\r\n" not in got:
        block = connection.recv(4096)
        if not block or len(got) > 65536:
            raise OSError("no answer to the upgrade")
        got += block
    head, _, rest = got.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise OSError(head.split(b"\r\n")[0].decode("latin-1"))
    return rest


def _messages(connection: socket.socket, rest: bytes) -> Iterator[bytes]:
    """The payloads of text and binary frames; ends at a close frame or at the end of the stream."""
    connection.settimeout(1.0)
    got = bytearray(rest)
    while True:
        while (frame := _frame(got)) is not None:
            opcode, payload, size = frame
            del got[:size]
            if opcode == _CLOSE:
                return
            if opcode == _PING:
                connection.sendall(_masked(_PONG, payload))
            elif opcode != _PONG:  # a continuation (0) belongs to the same text
                yield payload
        try:
            block = connection.recv(65536)
        except socket.timeout:  # noqa: UP041 (an alias of TimeoutError only since Python 3.10)
            yield b""
            continue
        if not block:
            return
        got += block


def _frame(got: bytearray) -> tuple[int, bytes, int] | None:
    """The first whole frame: opcode, payload, bytes it takes; a server's frames are not masked."""
    if len(got) < 2:
        return None
    length, begin = got[1] & 0x7F, 2
    if length == 126:
        if len(got) < 4:
            return None
        length, begin = struct.unpack(">H", bytes(got[2:4]))[0], 4
    elif length == 127:
        if len(got) < 10:
            return None
        length, begin = struct.unpack(">Q", bytes(got[2:10]))[0], 10
    if len(got) < begin + length:
        return None
    return got[0] & 0x0F, bytes(got[begin : begin + length]), begin + length


def _masked(opcode: int, payload: bytes) -> bytes:
    key = os.urandom(4)
    body = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + key + body
