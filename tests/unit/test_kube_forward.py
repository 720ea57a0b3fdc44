"""A port that leads to a pod: what a client sees of an answer is whole, or its connection is reset."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.server import serve

from raystead.kube import forward as module
from raystead.kube.access import Access
from raystead.kube.api import Api
from raystead.kube.forward import Forward
from raystead.kube.streams import Background


@contextlib.contextmanager
def pod(*answer: bytes, ends: bool) -> Iterator[Api]:
    """An API server whose pod sends these pieces for whatever it gets, and then ends the stream or is silent."""

    async def talk(stream: Any) -> None:
        for channel in (0, 1):
            await stream.send(bytes([channel]) + (8265).to_bytes(2, "little"))
        await stream.recv()
        for piece in answer:
            await stream.send(b"\0" + piece)
        if not ends:
            await asyncio.sleep(60)

    background = Background("pod")
    server = background.run(_started(talk))
    try:
        yield Api(Access(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "ns", "test"))
    finally:
        background.close()


async def _started(talk: Any) -> Any:
    return await serve(talk, "127.0.0.1", 0, subprotocols=["v4.channel.k8s.io"])  # type: ignore[list-item]


def asked(api: Api) -> bytes:
    """What a client gets that stops writing after its question; raises where it is reset."""
    with (
        Forward(api, "ns", lambda: "x", 8265) as forward,
        socket.create_connection(("127.0.0.1", forward.port)) as one,
    ):
        one.settimeout(20)
        one.sendall(b"question")
        one.shutdown(socket.SHUT_WR)
        out = b""
        while piece := one.recv(1000):
            out += piece
        return out


def test_a_client_that_has_stopped_writing_gets_the_whole_answer() -> None:
    with pod(b"one ", b"two", ends=True) as api:
        assert asked(api) == b"one two"


def test_an_answer_that_stops_midway_never_looks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINGER", 0.3)
    with pod(b"one ", ends=False) as api, pytest.raises(ConnectionResetError):
        asked(api)
