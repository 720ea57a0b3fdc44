"""A forward carries what a connection carries, and its user is told when the pod behind it goes."""

import contextlib
import hashlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from faults import Faults
from kube import Kube, pod, until
from patience import patience
from websockets.sync.client import connect

from raystead.errors import ObjectNotFound, PortInUse
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.forward import Forward

pytestmark = [pytest.mark.cluster, pytest.mark.long]
RAY = "rayproject/ray:2.60.0-py311"
SERVER = Path(__file__).with_name("streamserver.py").read_text()
HTTP, TALK = 8000, 9000


def api_of(kube: Kube) -> Api:
    return Api(load(kubeconfig=str(kube.kubeconfig), namespace=kube.namespace))


def serving_pod(name: str) -> dict:
    probe = {"tcpSocket": {"port": TALK}, "periodSeconds": 1}
    limits = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    return pod(
        name, RAY, ["python", "-u", "-c", SERVER], {"app": "serve"}, readinessProbe=probe, resources=limits
    )


@pytest.fixture(scope="module")
def served(space: Kube) -> Kube:
    """A namespace with one pod "serve"."""
    space.apply(serving_pod("serve"))
    space.run("wait", "--for=condition=Ready", "pod/serve", "--timeout=90s", timeout=100)
    return space


@pytest.fixture
def forward(served: Kube) -> Iterator[Callable[[int], Forward]]:
    made: list[Forward] = []

    def make(port: int) -> Forward:
        made.append(Forward(api_of(served), served.namespace, lambda: "serve", port))
        return made[-1].__enter__()

    yield make
    for one in made:
        one.close()


def dial(forward: Forward, first: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", forward.port), timeout=30)
    connection.sendall(first)
    return connection


def read_all(connection: socket.socket) -> bytes:
    out = bytearray()
    while data := connection.recv(1 << 16):
        out += data
    return bytes(out)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_of_95_mib_arrives_whole(forward, chunked: bool) -> None:
    data = os.urandom(95 << 20)
    blocks = (data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20))
    headers = {} if chunked else {"Content-Length": str(len(data))}
    begun = time.monotonic()
    answer = httpx.put(forward(HTTP).url, content=blocks, headers=headers, timeout=60, trust_env=False)
    print(f"95 MiB up in {time.monotonic() - begun:.2f} s")
    assert answer.text == hashlib.sha256(data).hexdigest()


def test_requests_share_a_connection_and_chunks_come_whole(forward) -> None:
    with httpx.Client(base_url=forward(HTTP).url, trust_env=False) as client:
        assert len({client.get("/peer").text for _ in range(20)}) == 1
        assert client.get("/chunks").text.split() == [str(n) for n in range(1000)]


def test_a_websocket_works_inside_a_forward(forward) -> None:
    with connect(f"ws{forward(HTTP).url.removeprefix('http')}/ws", proxy=None) as inner:
        for n in range(100):
            inner.send(f"message {n}")
            assert inner.recv(timeout=10) == f"message {n}"


def test_forty_connections_at_once(forward) -> None:
    to = forward(TALK)
    connections = [dial(to, b"echo\n") for _ in range(40)]
    for number, connection in enumerate(connections):
        connection.sendall(b"%02d" % number)
    for number, connection in enumerate(connections):
        assert connection.recv(2) == b"%02d" % number
        connection.close()


def test_both_directions_at_full_speed_do_not_block_each_other(forward) -> None:
    connection, size = dial(forward(TALK), b"echo\n"), 60 << 20
    block = os.urandom(1 << 20)
    writer = threading.Thread(
        target=lambda: [connection.sendall(block) for _ in range(size >> 20)], daemon=True
    )
    writer.start()
    got = hashlib.sha256()
    left = size
    while left:
        data = connection.recv(min(left, 1 << 18))
        assert data, f"ended {left} bytes early"
        got.update(data)
        left -= len(data)
    assert got.hexdigest() == hashlib.sha256(block * (size >> 20)).hexdigest()


def test_a_client_that_stops_writing_still_gets_its_answer(forward) -> None:
    connection = dial(forward(TALK), b"late\nquestion\n")
    connection.shutdown(socket.SHUT_WR)
    assert read_all(connection) == b"got question\n"


def test_the_end_of_an_answer_is_the_end_of_the_connection(forward) -> None:
    assert len(read_all(dial(forward(TALK), b"source 3000000\n"))) == 3_000_000


def test_a_pod_that_does_not_read_is_not_taken_for_dead(forward) -> None:
    to = forward(TALK)
    connection = dial(to, b"stall\n")
    connection.settimeout(1)
    with pytest.raises(TimeoutError):
        connection.sendall(bytes(100 << 20))
    connection.settimeout(6)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    assert to.last_error is None


def test_a_client_that_does_not_read_is_not_cut_off(forward) -> None:
    """Slower than the pod writes: the pod's side is long closed when the last byte is read."""
    connection = dial(forward(TALK), b"source 20000000\n")
    time.sleep(3)
    got = 0
    while data := connection.recv(1 << 17):
        got += len(data)
        time.sleep(0.03)
    assert got == 20_000_000


def test_nothing_listens_in_the_pod(forward) -> None:
    to = forward(7)
    with pytest.raises(ConnectionError):
        dial(to, b"hello\n").recv(1)
    assert to.last_error is not None
    assert "nothing in the pod listens on port 7" in to.last_error.what


def test_there_is_no_such_pod(served: Kube) -> None:
    with Forward(api_of(served), served.namespace, lambda: "nobody", TALK) as to:
        with pytest.raises(ConnectionError):
            dial(to, b"hello\n").recv(1)
        assert isinstance(to.last_error, ObjectNotFound)


def test_a_taken_local_port_is_named(served: Kube) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} of 127.0.0.1 is taken"):
            Forward(api_of(served), served.namespace, lambda: "serve", TALK, port)


def test_closing_ends_connections_and_threads(served: Kube) -> None:
    before = set(threading.enumerate())
    to = Forward(api_of(served), served.namespace, lambda: "serve", TALK)
    with to:
        connection = dial(to, b"echo\nx")
        assert connection.recv(1) == b"x"
    with pytest.raises(ConnectionError):
        connection.recv(1)
    until(lambda: set(threading.enumerate()) <= before, 5, "the threads have ended")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", to.port))


class Replaced:
    """A Deployment of one serving pod; `pick` names the ready one that is not being deleted."""

    def __init__(self, kube: Kube) -> None:
        self.kube, self.api = kube, api_of(kube)
        template = serving_pod("serve")
        template["spec"]["terminationGracePeriodSeconds"] = 2
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": "serve"}}}
        spec["template"] = {"metadata": template["metadata"] | {"name": None}, "spec": template["spec"]}
        del spec["template"]["metadata"]["name"]
        kube.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serve"}, "spec": spec}
        )
        kube.run("rollout", "status", "deployment/serve", "--timeout=90s", timeout=100)

    def pick(self) -> str:
        for item in self.api.list(f"/api/v1/namespaces/{self.kube.namespace}/pods", labels="app=serve"):
            conditions = item["status"].get("conditions") or []
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            if ready and not item["metadata"].get("deletionTimestamp"):
                return item["metadata"]["name"]
        raise ObjectNotFound("no pod is ready")

    def served_by(self, other_than: str) -> str | None:
        try:
            name = self.pick()
        except ObjectNotFound:
            return None
        return name if name != other_than else None


def answers(to: Forward) -> bool:
    try:
        with dial(to, b"echo\nx") as connection:
            return connection.recv(1) == b"x"
    except OSError:
        return False


def ends_within(connection: socket.socket, seconds: float) -> float:
    """How long until the connection ends, reset or closed."""
    begun = time.monotonic()
    connection.settimeout(patience(seconds))
    with contextlib.suppress(ConnectionError):
        assert connection.recv(1) == b""
    return time.monotonic() - begun


@pytest.mark.parametrize("how", ["force", "grace", "kill"])
def test_a_forward_goes_on_with_the_next_pod(
    namespace, as_user, faults: Faults, how: str, ours: bool
) -> None:
    if how == "kill" and not ours:
        pytest.skip("kills a process of the node")
    kube = namespace()
    user = as_user(kube, "edit")
    Replaced(kube)
    place = Replaced.__new__(Replaced)
    place.kube, place.api = kube, api_of(user)
    with Forward(place.api, kube.namespace, place.pick, TALK) as to:
        old = place.pick()
        connection = dial(to, b"echo\nx")
        assert connection.recv(1) == b"x"
        if how == "kill":
            faults.kill_container(kube, old, "main")
        else:
            faults.delete_pod(kube, old, force=how == "force")
        took = ends_within(connection, 8)
        if how == "kill":
            until(lambda: answers(to), 60, "the forward serves again", every=0.1)
            return
        until(lambda: place.served_by(old), 60, "another pod serves", every=0.05)
        begun = time.monotonic()
        until(lambda: answers(to), 3, "the forward serves again", every=0.05)
        print(
            f"{how}: ended after {took:.1f} s, back {time.monotonic() - begun:.2f} s after the new pod serves"
        )


@pytest.mark.alone
def test_a_lost_node_ends_the_connection(own_cluster: Path, namespace, faults: Faults) -> None:
    """No FIN comes from a node that is gone: its packets are dropped, and the pod's object is deleted."""
    kube = namespace()
    place = Replaced(kube)
    with Forward(place.api, kube.namespace, place.pick, TALK) as to:
        old = place.pick()
        connection = dial(to, b"echo\nx")
        assert connection.recv(1) == b"x"
        drop = [["-p", "tcp", way, "10250", "-j", "DROP"] for way in ("--dport", "--sport")]
        for rule in drop:
            subprocess.run(["iptables", "--wait", "-t", "raw", "-I", "OUTPUT", *rule], check=True)
        try:
            faults.delete_pod(kube, old, force=True)
            print(f"ended after {ends_within(connection, 3.5):.1f} s")
        finally:
            for rule in drop:
                subprocess.run(["iptables", "--wait", "-t", "raw", "-D", "OUTPUT", *rule], check=True)
        assert "the pod of a forward is gone" in to.last_error.what


@pytest.mark.alone
def test_a_forward_outlives_the_api_server(own_cluster: Path, namespace, machine_faults: Faults) -> None:
    kube = namespace()
    place = Replaced(kube)
    with Forward(place.api, kube.namespace, place.pick, TALK) as to:
        connection = dial(to, b"echo\nx")
        assert connection.recv(1) == b"x"
        with machine_faults.no_api_server():
            ends_within(connection, 5)
            assert not answers(to)
        until(lambda: answers(to), 10, "the forward serves again")
