"""A collection kept up to date through cut, expired and refused watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from patience import patience
from scriptedserver import Answer, ScriptedServer, answer, cut, reset, status, stream

from raystead.errors import Forbidden
from raystead.kube.api import Api
from raystead.kube.paths import collection
from raystead.kube.watch import Mirror

PODS = collection("ns", "Pod")
FORBIDDEN = 'pods is forbidden: User "u" cannot watch resource "pods" in API group "" in the namespace "team"'


def pod(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": pod(name, version)}


def listing(version: int, *names: str) -> Answer:
    body = {"items": [pod(n, version) for n in names], "metadata": {"resourceVersion": str(version)}}
    return answer(200, body)


def until(what: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


OPEN = stream(hold=30)


def versions(server: ScriptedServer) -> list[str | None]:
    """From which version each watch went on; None stands for a list."""
    return [r["query"].get("resourceVersion") for r in server.seen]


def test_what_is_there_and_what_happens_then() -> None:
    script = [
        listing(5, "a", "b"),
        stream(event("ADDED", "c", 6), event("DELETED", "a", 7), event("MODIFIED", "b", 8), hold=30),
    ]
    with ScriptedServer(*script) as server, Mirror(Api(server.access()), PODS, labels="x=y") as mirror:
        until(lambda: set(mirror.objects) == {"b", "c"} and mirror.objects["b"] == pod("b", 8))
        assert mirror.error is None
        assert server.seen[1]["query"]["labelSelector"] == "x=y"


@pytest.mark.parametrize("end", [stream(event("ADDED", "b", 6)), cut, reset])
def test_a_watch_that_ends_goes_on_where_it_was(end: Answer) -> None:
    with ScriptedServer(listing(5, "a"), end, OPEN) as server, Mirror(Api(server.access()), PODS):
        until(lambda: len(server.seen) == 3)
        assert versions(server)[2] in ("5", "6")  # and never a second list


def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    mark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
    with ScriptedServer(listing(5, "a"), stream(mark), OPEN) as server:
        with Mirror(Api(server.access()), PODS) as mirror:
            until(lambda: len(server.seen) == 3)
            assert set(mirror.objects) == {"a"}
        assert versions(server)[2] == "99"


@pytest.mark.parametrize(
    "expired",
    [
        stream({"type": "ERROR", "object": status(410, "too old resource version: 5 (90)", "Expired")}),
        answer(410, status(410, "too old resource version: 5 (90)", "Expired")),
    ],
)
def test_an_expired_watch_lists_anew(expired: Answer) -> None:
    """What was deleted meanwhile is gone, though no event said so."""
    script = [listing(5, "a"), expired, listing(90, "b"), OPEN]
    with ScriptedServer(*script) as server, Mirror(Api(server.access()), PODS) as mirror:
        until(lambda: set(mirror.objects) == {"b"})
        until(lambda: len(server.seen) == 4)
        assert versions(server) == [None, "5", None, "90"]
        assert mirror.error is None


def test_a_server_that_ends_every_watch_at_once_is_not_stormed() -> None:
    with ScriptedServer(listing(5, "a"), stream()) as server, Mirror(Api(server.access()), PODS):
        time.sleep(1.5)
        assert 3 <= len(server.seen) <= 7


def test_a_missing_right_ends_it_and_is_told() -> None:
    changed = threading.Event()
    with ScriptedServer(answer(403, status(403, FORBIDDEN, "Forbidden"))) as server:
        with Mirror(Api(server.access()), PODS, changed=changed.set) as mirror:
            assert changed.wait(5)
            assert isinstance(mirror.error, Forbidden)
            assert not mirror.listed.is_set()
            time.sleep(0.5)
        # one question whether the server has only just started, none for the pods again
        assert [seen["path"] for seen in server.seen] == [PODS, "/readyz"]


def test_a_watch_that_a_starting_server_refuses_is_begun_anew() -> None:
    """It was listed a moment ago: the right is there, the server has not read it yet."""
    refused = answer(403, status(403, FORBIDDEN, "Forbidden"))
    answers = (listing(5, "a"), refused, listing(6, "a"), stream(event("ADDED", "b", 7)))
    with ScriptedServer(*answers) as server, Mirror(Api(server.access()), PODS) as mirror:
        until = time.monotonic() + 5
        while "b" not in mirror.objects and time.monotonic() < until:
            time.sleep(0.02)
        assert set(mirror.objects) == {"a", "b"}
        assert mirror.error is None


def test_a_server_error_in_the_stream_is_told_and_then_forgotten() -> None:
    bad = stream({"type": "ERROR", "object": status(500, "etcd: leader changed", "InternalError")})
    errors: list[str] = []
    mirror: Mirror

    def changed() -> None:
        if mirror.error:
            errors.append(mirror.error.diagnostics())

    with ScriptedServer(listing(5, "a"), bad, stream(event("ADDED", "b", 6), hold=30)) as server:
        mirror = Mirror(Api(server.access()), PODS, changed=changed)
        with mirror:
            until(lambda: set(mirror.objects) == {"a", "b"})
            assert mirror.error is None
    assert "leader changed" in errors[0]


def test_a_server_that_goes_and_comes_back_is_followed_again() -> None:
    first = ScriptedServer(listing(5, "a"), OPEN)
    with Mirror(Api(first.access()), PODS) as mirror:
        until(lambda: len(first.seen) == 2)
        first.__exit__()
        until(lambda: mirror.error is not None)
        assert set(mirror.objects) == {"a"}  # what was known stays readable
        with ScriptedServer(stream(event("ADDED", "b", 6), hold=30), port=first.port):
            until(lambda: set(mirror.objects) == {"a", "b"}, 10)
            assert mirror.error is None


def test_closing_ends_the_thread_at_once() -> None:
    with ScriptedServer(listing(5, "a"), OPEN) as server:
        before = threading.active_count()
        mirror = Mirror(Api(server.access()), PODS)
        with mirror:
            until(lambda: len(server.seen) == 2)
        begun = time.monotonic()
        mirror.close()
        assert time.monotonic() - begun < patience(1)
        names = [t.name for t in threading.enumerate()]
        assert f"watch {PODS}" not in names, (before, names)


def test_a_mirror_that_never_began_can_be_closed() -> None:
    with ScriptedServer(listing(5)) as server:
        Mirror(Api(server.access()), PODS).close()
        assert server.seen == []
