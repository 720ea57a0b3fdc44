"""Where a client acts: what it and the head's half say to each other, and that two clients never act at once."""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from raystead.incluster import facade
from raystead.incluster import relay as module
from raystead.incluster.facade import SharedState
from raystead.incluster.hands import ApiFailed
from raystead.incluster.kept import Kept, Overtaken
from raystead.incluster.relay import Relay
from raystead.incluster.scaling import PatchRefused

Json = dict[str, Any]
GROUP = {"groupName": "small", "maxReplicas": 3, "template": {}}
DOCUMENT = {"metadata": {"name": "demo", "namespace": "ns"}, "spec": {"workerGroupSpecs": [GROUP]}}
WISH = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2}]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    monkeypatch.setattr(module, "HOLD", 0.3)


def view(version: str = "5") -> Json:
    return {"client": "one", "cluster": {"spec": version}, "pods": [{"metadata": {}}], "version": version}


def test_without_a_client_the_spec_is_served_pods_are_unknown_and_wishes_are_for_later() -> None:
    relay = Relay(DOCUMENT)
    assert relay.cluster()["spec"]["workerGroupSpecs"][0]["minReplicas"] == 0
    assert relay.known_pods() is None
    with pytest.raises(OSError, match="raystead autoscale"):
        relay.patch(WISH)


def test_what_a_client_says_is_what_ray_sees_until_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay(DOCUMENT)
    relay.told("hello", {"client": "one"})
    assert relay.told("view", view())[0] == 200
    assert (relay.cluster(), relay.pods_version) == ({"spec": "5"}, "5")
    assert relay.known_pods() == [{"metadata": {}}]
    monkeypatch.setattr(module, "_SILENT", 0.0)
    assert relay.known_pods() is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 200, "body": {"spec": "new"}}, None),
        ({"status": 409, "message": "has changed"}, PatchRefused),
        ({"status": 503, "message": "could not be stored"}, OSError),
    ],
)
def test_a_wish_waits_for_the_clients_answer(
    answer: Json, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 30.0)
    monkeypatch.setattr(module, "HOLD", 30.0)
    relay = Relay(DOCUMENT)
    relay.told("hello", {"client": "one"})
    relay.told("view", view())

    def client() -> None:
        _, found = relay.patches("one")
        (patch,) = found["patches"]
        assert patch["operations"] == WISH
        relay.told("answer", {"client": "one", "id": patch["id"], **answer})

    thread = threading.Thread(target=client)
    thread.start()
    if error:
        with pytest.raises(error, match=answer["message"]):
            relay.patch(WISH)
    else:
        assert relay.patch(WISH) == {"spec": "new"}
        assert relay.cluster() == {"spec": "new"}  # also before the client's next view
    thread.join()
    monkeypatch.setattr(module, "HOLD", 0.0)
    assert relay.patches("one")[1]["patches"] == []


def test_only_the_last_client_is_heard() -> None:
    relay = Relay(DOCUMENT)
    relay.told("hello", {"client": "one"})
    relay.told("view", view())
    relay.told("hello", {"client": "two"})
    assert relay.known_pods() is None
    assert relay.told("view", view())[0] == 409
    assert relay.patches("one")[0] == 409
    assert relay.patches("two") == (200, {"patches": [], "seen": False})
    relay.told("bye", {"client": "two"})
    assert relay.patches("two")[0] == 409


class Server:
    """One ConfigMap, with the API server's rule for resourceVersions."""

    namespace = "ns"

    def __init__(self) -> None:
        data = {"cluster.json": json.dumps(DOCUMENT), "pods.json": "{}", "steward.json": '{"acts": "client"}'}
        self.numbers = itertools.count(2)
        metadata = {"resourceVersion": "1", "uid": "u", "ownerReferences": [{"uid": "anchor"}]}
        self.found: Json = {"metadata": metadata, "data": data}

    def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Json:
        if method == "PATCH":
            if body["metadata"]["resourceVersion"] != self.found["metadata"]["resourceVersion"]:
                raise ApiFailed(409, "the object has been modified")
            data = {**self.found["data"], **body["data"]}
            self.found["data"] = {key: value for key, value in data.items() if value is not None}
            self.found["metadata"]["resourceVersion"] = str(next(self.numbers))
        return copy.deepcopy(self.found)

    def watch(self, path: str, take: Callable[[str, Json], None], stop: threading.Event) -> None:
        take("MODIFIED", self.request("GET", path))
        stop.set()

    def by_hand(self, key: str, value: str) -> None:
        self.found["data"][key] = value
        self.found["metadata"]["resourceVersion"] = str(next(self.numbers))


def kept(server: Server, claim: str) -> Kept:
    out = Kept(server, "raystead-demo-steward", "anchor", claim)
    out.read()
    return out


def test_of_two_clients_that_see_nobody_one_gets_the_place() -> None:
    server = Server()
    one, two = kept(server, "one"), kept(server, "two")
    one.claim("ann@here", 0)
    with pytest.raises(ApiFailed):
        two.claim("bob@there", 0)
    two.read()
    assert two.client == {"id": "one", "who": "ann@here", "renewed": "1970-01-01T00:00:00Z"}


def test_a_client_that_was_overtaken_stores_nothing_any_more() -> None:
    server = Server()
    one = kept(server, "one")
    one.claim("ann@here", 0)
    board = one.begin(None)
    two = kept(server, "two")
    two.claim("bob@there", time.time())
    for write in (lambda: board.patch(WISH), lambda: one.claim("ann@here", 0), lambda: one.tell({})):
        with pytest.raises(Overtaken):
            write()
    with pytest.raises(Overtaken):
        one.follow(board, lambda text: None, threading.Event())
    assert '"replicas":0' in server.found["data"]["state"]


def test_a_steward_that_got_rights_of_its_own_ends_the_client() -> None:
    server = Server()
    one = kept(server, "one")
    one.claim("ann@here", 0)
    board = one.begin(None)
    server.by_hand("steward.json", "{}")
    with pytest.raises(Overtaken):
        one.follow(board, lambda text: None, threading.Event())


def test_a_new_spec_and_an_end_in_order_overtake_nobody() -> None:
    server = Server()
    one = kept(server, "one")
    one.claim("ann@here", 0)
    board = one.begin(None)
    changed = {**DOCUMENT, "spec": {"workerGroupSpecs": [{**GROUP, "minReplicas": 1}]}}
    server.by_hand("cluster.json", json.dumps(changed))
    one.follow(board, lambda text: None, threading.Event())
    assert len(board.scaling.groups["small"].names) == 1
    one.claim("ann@here", 5)
    one.release()
    two = kept(server, "two")
    assert two.client == {}
    two.claim("bob@there", 6)
    assert two.begin(two.read()).scaling.groups["small"].names == board.scaling.groups["small"].names


class Mute(Server):
    """Answers no write any more, though it does what it is told: an API server under load."""

    mute = False

    def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Json:
        answer = super().request(method, path, body, kind)
        if self.mute and method == "PATCH":
            raise ApiFailed(0, "timed out")
        return answer


@pytest.mark.parametrize("noticed", ["by the next write", "by the watch"])
def test_a_state_of_its_own_that_was_stored_without_an_answer_overtakes_nobody(noticed: str) -> None:
    """Else the steward would end and be restarted, and at its third time so wait for minutes."""
    server = Mute()
    steward = kept(server, "")
    board = steward.begin(steward.read())
    for wish in (2, 3):
        server.mute = True
        with pytest.raises(OSError, match="timed out"):
            board.patch([{**WISH[0], "value": wish}])
        server.mute = False
        assert json.loads(server.found["data"]["state"])["groups"]["small"]["replicas"] == wish
        if noticed == "by the watch":
            steward.follow(board, lambda text: None, threading.Event())
            state = json.loads(server.found["data"]["state"])
            assert state == board.scaling.stored(), "what the autoscaler was told is what is stored"
    board.patch([{**WISH[0], "value": 1}])
    assert json.loads(server.found["data"]["state"]) == board.scaling.stored()
    assert board.scaling.groups["small"].replicas == 1


def test_a_late_wish_is_no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    """The autoscaler has given it up: done later, it would undo what was asked for since."""
    monkeypatch.setattr(facade, "_BUSY", 0.05)
    board = SharedState(DOCUMENT, lambda: "abcde")
    held, free = threading.Event(), threading.Event()

    def storing() -> None:
        with board.changed:
            held.set()
            free.wait(10)

    thread = threading.Thread(target=storing)
    thread.start()
    held.wait(10)
    with pytest.raises(OSError, match="not been stored within"):
        board.patch(WISH)
    free.set()
    thread.join()
    assert board.scaling.groups["small"].replicas == 0
