"""A Ray that does not answer is one sentence, with what was seen and what to run next, whatever broke."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from scriptedserver import ScriptedServer, answer, cut

from raystead.errors import (
    ClusterNotFound,
    Forbidden,
    NotReady,
    RaysteadError,
    RayUnreachable,
    StreamLost,
    WrongState,
)
from raystead.local.place import LocalPlace
from raystead.ops import reaching
from raystead.ops.reaching import Reasons
from raystead.rayapi import faults
from raystead.rayapi import jobs as rayjobs
from raystead.rayapi.jobs import JobClient
from raystead.rayapi.nodes import NodesClient


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Reads the request and breaks the connection, without the end of file that a closed one begins with."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.rfile.close()
    handler.connection.close()


def close(handler: BaseHTTPRequestHandler) -> None:
    """Reads the request and closes the connection in good order, without a word."""
    handler.close_connection = True


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    handler.close_connection = True


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")
    handler.close_connection = True


def damaged(handler: BaseHTTPRequestHandler) -> None:
    answer(200, b"not gzip at all", Content_Encoding="gzip")(handler)


HTML = answer(200, b"<html>a portal</html>", Content_Type="text/html")
NOT_RAY = "is not Ray's job API"
AWAY = "does not answer"
BROKE = "the connection broke before the answer was whole"
CLOSED = "the connection was closed before the answer was whole, or it is not HTTP"


@pytest.mark.parametrize(
    ("fault", "what", "seen"),
    [
        (reset, AWAY, BROKE),
        (close, AWAY, CLOSED),
        (cut, AWAY, CLOSED),
        (garbage, AWAY, CLOSED),
        (silent, AWAY, "no answer in time"),
        (damaged, AWAY, "the answer is damaged"),
        (HTML, NOT_RAY, "HTTP 200, text/html, 21 bytes"),
        (answer(200, {"kind": "Status"}), NOT_RAY, "HTTP 200"),
        (answer(200, []), NOT_RAY, "HTTP 200"),
        (answer(503, b"upstream connect error"), "reports an error", "HTTP 503"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:20],
)
def test_each_way_to_fail_is_a_sentence(
    fault: Callable[[BaseHTTPRequestHandler], None], what: str, seen: str
) -> None:
    with (
        ScriptedServer(fault) as server,
        JobClient(server.access().server, timeout=0.3, tries=1) as client,
        pytest.raises(RayUnreachable) as caught,
    ):
        client.get("j")
    assert what in caught.value.what
    assert seen in caught.value.evidence
    assert caught.value.evidence.startswith("GET /api/jobs/j: ")
    assert "Error" not in caught.value.diagnostics(), "no name of a class of a library"


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RayUnreachable) as caught:
        JobClient(f"http://127.0.0.1:{port}", tries=1).version()
    assert caught.value.evidence == "GET /api/version: no connection"
    assert caught.value.remedy


def test_a_token_that_no_header_may_hold_is_told_without_the_token() -> None:
    with ScriptedServer(close) as server, pytest.raises(RayUnreachable) as caught:
        JobClient(server.access().server, "planted\nsecret", tries=1).version()
    assert "is the token one line of plain text?" in caught.value.evidence
    assert "planted" not in caught.value.diagnostics()


def test_every_error_of_the_transport_has_words() -> None:
    def below(cls: type[Exception]) -> set[type[Exception]]:
        return {cls} | {kind for sub in cls.__subclasses__() for kind in below(sub)}

    # of these our requests can make none: no proxy, no redirect, no other scheme
    none = {httpx.TooManyRedirects, httpx.ProxyError, httpx.UnsupportedProtocol}
    abstract = {
        httpx.RequestError,
        httpx.TransportError,
        httpx.TimeoutException,
        httpx.NetworkError,
        httpx.ProtocolError,
    }
    kinds = {kind for kind in below(httpx.RequestError) - none - abstract if kind.__module__ == "httpx"}
    assert len(kinds) == 11
    for kind in kinds:
        assert faults.words_of(kind("x")) != faults.words_of(ValueError("x")), kind


def test_the_list_of_nodes_says_it_too() -> None:
    for fault, seen in ((reset, BROKE), (answer(503, b""), "HTTP 503"), (HTML, "no answer that can be read")):
        with ScriptedServer(fault) as server, pytest.raises(RayUnreachable) as caught:
            NodesClient(server.access().server, None).nodes()
        assert caught.value.evidence == f"GET /nodes: {seen}"
        assert caught.value.remedy == "raystead explain"


class Cluster:
    """A cluster's head, what explain knows of it, and what the forward saw last."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, ready: bool, cause: NotReady | None = None
    ) -> None:
        from raystead.ops import clusters, explain, pods

        head = {
            "metadata": {"name": "h", "labels": {"ray.io/node-type": "head"}, "creationTimestamp": "1"},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            },
        }
        self.gone: RaysteadError | None = None
        self.last: RaysteadError | None = None
        self.looks = 0

        def look(api: Any, anchor: Any) -> Any:
            self.looks += 1
            return SimpleNamespace(findings=())

        monkeypatch.setattr(clusters, "deleted", lambda api, anchor: self.gone)
        monkeypatch.setattr(pods, "pods_of", lambda api, anchor: [head])
        monkeypatch.setattr(explain, "look", look)
        monkeypatch.setattr(reaching, "of_the_head", lambda findings: cause)
        self.reasons = Reasons(SimpleNamespace(), SimpleNamespace(name="mine"), lambda: self.last)  # type: ignore[arg-type]


def told(cluster: Cluster) -> RaysteadError:
    with ScriptedServer(reset) as server:
        client = JobClient(server.access().server, tries=1, why=cluster.reasons)
        with pytest.raises(RaysteadError) as caught:
            client.list()
    return caught.value


CAUSE = NotReady("the head does not run: quota `team` refuses 1 pod", remedy="raystead up --workers 1")


def test_a_broken_connection_to_a_head_that_cannot_start_is_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the forward itself saw nothing wrong: the connection was taken, and then broke."""
    cluster = Cluster(monkeypatch, ready=False, cause=CAUSE)
    for last in (None, StreamLost("the pod of a forward is gone")):
        cluster.last = last
        error = told(cluster)
        assert (error.what, error.remedy) == (CAUSE.what, CAUSE.remedy)
    assert cluster.looks == 1, "looked up every few seconds, not at each request"


def test_a_head_that_starts_and_one_that_is_deaf_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    error = told(Cluster(monkeypatch, ready=False))
    assert error.what == 'the head of "mine" is not ready'
    assert error.remedy == "raystead explain"
    deaf = Cluster(monkeypatch, ready=True, cause=CAUSE)
    deaf.last = StreamLost("nothing in the pod listens on port 8265")
    error = told(deaf)
    assert error.what == 'the head of "mine" runs, and Ray in it does not answer'
    assert error.evidence.endswith("nothing in the pod listens on port 8265")
    assert error.remedy == "raystead logs head"


def test_what_will_not_pass_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, ready=False, cause=CAUSE)
    cluster.gone = ClusterNotFound('the cluster "mine" is gone')
    assert isinstance(told(cluster), ClusterNotFound)
    cluster.last = Forbidden("you may not create pods/portforward")
    assert isinstance(told(cluster), Forbidden)


def test_nobody_waits_for_an_answer_in_silence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rayjobs, "_LATE", 0.05)
    told: list[float] = []
    with ScriptedServer(silent) as server, JobClient(server.access().server, timeout=0.3, tries=1) as client:
        client.late = told.append
        for ask in (client.list, lambda: client.stop("j")):
            told.clear()
            with pytest.raises(RayUnreachable):
                ask()
            assert len(told) >= 2
            assert told == sorted(told)
        told.clear()
        (tmp_path / "p.zip").write_bytes(b"x")
        with pytest.raises(RayUnreachable):
            client.upload("p.zip", tmp_path / "p.zip", lambda sent, total: None)
        assert told == [], "an upload shows its progress itself"


def test_several_tries_and_the_search_for_the_reason_are_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is quicker than what is told, all together are not: 11 s of silence on a busy machine."""
    monkeypatch.setattr(rayjobs, "_LATE", 0.45)
    told: list[float] = []

    def why() -> RaysteadError | None:
        time.sleep(0.3)
        return None

    with (
        ScriptedServer(silent) as server,
        JobClient(server.access().server, timeout=0.2, tries=2, why=why) as client,
    ):
        client.late = told.append
        with pytest.raises(RayUnreachable):
            client.list()
    assert told


def test_a_local_cluster_that_does_not_run_says_how_to_start_it(tmp_path: Any) -> None:
    place = LocalPlace("mine", state_dir=tmp_path)
    assert isinstance(place.unreachable(), ClusterNotFound)
    place.directory.mkdir()
    (place.directory / "plan.json").write_text("{}")
    gone = place.unreachable()
    assert isinstance(gone, WrongState)
    assert gone.remedy == "raystead up --local --name mine"
