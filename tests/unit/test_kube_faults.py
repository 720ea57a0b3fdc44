"""Credentials that change or cannot be sent, keys on disk, outages: what a user meets in a long command."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import patience
from scriptedserver import ScriptedServer, answer, status, stream
from test_kube_access import ANSWER, config, pair, plugin, with_plugin

from raystead.errors import ApiError, KubeConfigError
from raystead.kube import watch as watching
from raystead.kube.access import Access, credentials, load
from raystead.kube.api import Api
from raystead.kube.clock import Clock
from raystead.kube.logs import Follow
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection, path_of
from raystead.kube.watch import Mirror

RAYSTEAD = [sys.executable, "-m", "raystead"]
POD = path_of("ns", "Pod", "x")
PODS = collection("ns", "Pod")
REFUSED = answer(401, status(401, "Unauthorized", "Unauthorized"))


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def at(server: ScriptedServer, folder: Path, user: dict[str, Any]) -> Path:
    """A kubeconfig of that user at that server."""
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
        "current-context": "dev",
    }
    path = folder / "config"
    path.write_text(json.dumps(document))
    return path


def reached(server: ScriptedServer, folder: Path, user: dict[str, Any]) -> Api:
    """The server as that user; it speaks plain HTTP, over which a kubeconfig's credentials are never sent."""
    path = at(server, folder, user)
    path.write_text(path.read_text().replace("http://", "https://"))
    access = load(kubeconfig=str(path))
    access.server = f"http://127.0.0.1:{server.port}"
    return Api(access)


def shown(server: ScriptedServer) -> list[str | None]:
    return [r["headers"].get("Authorization") for r in server.seen]


def until(what: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def test_in_the_clear_nobody_says_who_they_are(tmp_path: Path) -> None:
    """As in kubectl: what listens between us and a server that speaks plain HTTP would learn the token."""
    with ScriptedServer(answer(200)) as server:
        Api(load(kubeconfig=str(at(server, tmp_path, {"token": "t"})), as_user="ann")).get(POD)
        assert shown(server) == [None]
        assert server.seen[0]["headers"].get("Impersonate-User") is None


# -- credentials that change -------------------------------------------------------------------------------


def test_a_token_file_is_read_again_after_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    with ScriptedServer(answer(200)) as server:
        api = reached(server, tmp_path, {"tokenFile": "token"})
        api.get(POD)
        token.write_text("two\n")
        api.get(POD)
        now = time.monotonic()
        monkeypatch.setattr(credentials.time, "monotonic", lambda: now + 61)
        api.get(POD)
        assert shown(server) == ["Bearer one", "Bearer one", "Bearer two"]


def test_a_token_file_is_read_again_after_a_refusal(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    with ScriptedServer(REFUSED, answer(200, {"a": 1})) as server:
        api = reached(server, tmp_path, {"tokenFile": "token"})
        token.write_text("two")
        assert api.create(PODS, {}) == {"a": 1}
        assert shown(server) == ["Bearer one", "Bearer two"]


def test_a_token_that_was_refused_and_is_still_the_same_is_not_sent_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    with ScriptedServer(REFUSED) as server:
        api = reached(server, tmp_path, {"tokenFile": "token"})
        with pytest.raises(KubeConfigError, match="does not accept"):
            api.get(POD)
        assert len(server.seen) == 1


def test_a_token_file_that_is_gone_for_a_moment_does_not_end_a_long_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    with ScriptedServer(answer(200)) as server:
        api = reached(server, tmp_path, {"tokenFile": "token"})
        token.unlink()
        now = time.monotonic()
        monkeypatch.setattr(credentials.time, "monotonic", lambda: now + 61)
        api.get(POD)
        assert shown(server) == ["Bearer one"]


def counting(folder: Path, given: str) -> None:
    """A plugin that knows how often it ran: `n`."""
    path = folder / "count"
    body = f"path = {str(path)!r}\nn = int(open(path).read()) if os.path.exists(path) else 0\n"
    plugin(folder, body + "open(path, 'w').write(str(n + 1))\n" + ANSWER.format(given))


def test_the_login_plugin_runs_again_after_a_refusal(tmp_path: Path) -> None:
    counting(tmp_path, "{'token': f'token-{n}'}")
    said = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "./login"}
    with ScriptedServer(REFUSED, answer(200, {"a": 1})) as server:
        assert reached(server, tmp_path, {"exec": said}).get(POD) == {"a": 1}
        assert shown(server) == ["Bearer token-0", "Bearer token-1"]


def test_a_login_plugin_whose_login_is_refused_twice_is_not_run_for_ever(tmp_path: Path) -> None:
    counting(tmp_path, "{'token': f'token-{n}'}")
    said = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "./login"}
    with ScriptedServer(REFUSED) as server:
        with pytest.raises(KubeConfigError, match="does not accept"):
            reached(server, tmp_path, {"exec": said}).get(POD)
        assert len(server.seen) == 2


class Tls:
    """A TLS server that wants a client's certificate: 401 at first, then 200; it keeps whose it saw."""

    def __init__(self, folder: Path, trusted: bytes) -> None:
        certificate, key = pair("localhost")
        (folder / "server.pem").write_bytes(certificate + key)
        (folder / "trusted.pem").write_bytes(trusted)
        self.certificate, self.seen = certificate, []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem")
        self._context.load_verify_locations(folder / "trusted.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            raw, _ = self._listening.accept()
            with self._context.wrap_socket(raw, server_side=True) as one:
                while True:
                    data = b""
                    while b"\r\n\r\n" not in data and (more := one.recv(4096)):
                        data += more
                    if not data:
                        break
                    peer = one.getpeercert() or {}
                    self.seen.append(dict(item[0] for item in peer["subject"])["commonName"])
                    code = "401 Unauthorized" if len(self.seen) == 1 else "200 OK"
                    one.sendall(f"HTTP/1.1 {code}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def test_a_certificate_that_the_plugin_renewed_reaches_the_connections(tmp_path: Path) -> None:
    pairs = [tuple(part.decode() for part in pair(name)) for name in ("first", "second")]
    server = Tls(tmp_path, "".join(certificate for certificate, _ in pairs).encode())
    counting(tmp_path, f"dict(zip(('clientCertificateData', 'clientKeyData'), {pairs!r}[n]))")
    path = with_plugin(tmp_path, "./login")
    document = json.loads(json.dumps(__import__("yaml").safe_load(path.read_text())))
    document["clusters"][0]["cluster"] = {
        "server": f"https://127.0.0.1:{server.port}",
        "tls-server-name": "localhost",
        "insecure-skip-tls-verify": True,
    }
    path.write_text(json.dumps(document))
    Api(load(kubeconfig=str(path))).get(POD)
    assert server.seen == ["first", "second"]


# -- keys and tokens that must be seen nowhere -------------------------------------------------------------


def test_a_private_key_lies_on_no_disk_while_we_run_nor_after_a_termination(tmp_path: Path) -> None:
    certificate, key = pair("ann")
    user = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    path = config(tmp_path / "a", "dev", current="dev", user=user)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = "import sys, time; from raystead.kube.access import load; load(); print('loaded', flush=True); time.sleep(60)"
    env = {**os.environ, "KUBECONFIG": str(path), "TMPDIR": str(scratch)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"loaded\n"
        held = [str(one.readlink()) for one in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert not [name for name in held if name.startswith(str(tmp_path)) or "memfd" in name]
        assert not list(scratch.iterdir())
        process.terminate()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    "text", ["s3cret\nX-Evil: 1", "s3cr\0et", "s3cr\x1b[31met", "s3cret\r\nmore", "s3cr\x7fet"]
)
@pytest.mark.parametrize("way", ["token", "tokenFile", "plugin"])
def test_a_token_that_cannot_be_sent_is_a_sentence_without_it(tmp_path: Path, text: str, way: str) -> None:
    if way == "plugin":
        plugin(tmp_path, ANSWER.format(f"{{'token': {text!r}}}"))
        path = with_plugin(tmp_path, "./login")
    else:
        (tmp_path / "token").write_bytes(text.encode())
        user = {"token": text} if way == "token" else {"tokenFile": "token"}
        path = config(tmp_path / "a", "dev", current="dev", user=user)
    done = subprocess.run([*RAYSTEAD, "list", "--kubeconfig", str(path)], capture_output=True, text=True)
    assert done.returncode == 76, done.stderr
    assert "control character" in done.stderr
    assert "Traceback" not in done.stderr
    for part in ("s3cr", "Evil", "more"):
        assert part not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["/dev/zero", "a\0b", "/", "/no/such", "/dev/null"])
def test_a_token_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, name: str) -> None:
    path = config(tmp_path / "a", "dev", current="dev", user={"tokenFile": name})
    with pytest.raises(KubeConfigError):
        load(kubeconfig=str(path))


def test_a_kubeconfig_without_an_end_is_a_sentence() -> None:
    with pytest.raises(KubeConfigError):
        load(kubeconfig="/dev/zero")


@pytest.mark.parametrize("text", [b"", b" \n", b"\xff\xfe\x00bad", b"\x80abc"])
def test_a_token_file_without_a_token_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "token").write_bytes(text)
    path = config(tmp_path / "a", "dev", current="dev", user={"tokenFile": "token"})
    with pytest.raises(KubeConfigError) as caught:
        load(kubeconfig=str(path))
    assert "abc" not in caught.value.diagnostics()


BROKEN = {
    "bad base64": b'users: [{name: u, user: {client-certificate-data: "s3cret!!", client-key-data: YQ==}}]',
    "no certificate": b'users: [{name: u, user: {client-certificate-data: "czNjcmV0", client-key-data: "czNjcmV0"}}]',
    "not UTF-8": b"users: [{name: u, user: {token: s3cret\xff\xfe}}]",
    "a number": b"users: [{name: u, user: {token: 1234567}}]",
    "a date": b"users: [{name: u, user: {token: [2020-01-01]}}]",
    "a strange number": b"users: [{name: u, user: {token: 0b_}}]",
    "syntax": b"users: [{name: u, user: {token: s3cret, ]}}]",
    "a tab": b"users:\n\t- name: u\n\t  user: {token: s3cret}\n",
    "deep": b"users: " + b"[" * 100_000,
    "deep maps": b"users: " + b"{a: " * 50_000,
    "two of a name": b"users: [{name: u, user: {token: s3cret}}, {name: u, user: {}}]",
    "a list of texts": b"users: [s3cret]",
    "another kind": b"apiVersion: v1\nkind: Secret\ndata: {token: s3cret}",
    "auth-provider": b"users: [{name: u, user: {auth-provider: {name: gcp, config: {access-token: s3cret}}}}]",
    "a file without an end": b"users: [{name: u, user: {client-certificate: /dev/zero, client-key: /dev/zero}}]",
    "a key file with a NUL in its name": b'users: [{name: u, user: {client-certificate: a, client-key: "a\\0"}}]',
    "exec is a text": b"users: [{name: u, user: {exec: s3cret}}]",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_kubeconfig_is_a_sentence_that_repeats_no_secret(tmp_path: Path, case: str) -> None:
    head = b"clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}]\ncurrent-context: x\n"
    head += b"contexts: [{name: x, context: {cluster: c, user: u}}]\n"
    path = tmp_path / "config"
    path.write_bytes(head + BROKEN[case] + b"\n")
    done = subprocess.run([*RAYSTEAD, "list", "--kubeconfig", str(path)], capture_output=True, text=True)
    assert done.returncode == 76, done.stderr[-800:]
    assert "Traceback" not in done.stderr
    assert str(path) in done.stderr or "certificates of the context" in done.stderr
    assert "s3cret" not in done.stderr
    assert "1234567" not in done.stderr


def test_without_a_home_there_is_no_kubeconfig_and_no_traceback() -> None:
    env = {k: v for k, v in os.environ.items() if k != "HOME"}
    code = "import os, pwd; pwd.getpwuid = lambda uid: {}[uid]; from raystead.kube.access import load; load()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert "KubeConfigError: there is no kubeconfig" in done.stderr


# -- somebody else answers ---------------------------------------------------------------------------------

HOTEL = b"<!DOCTYPE html><html><head><title>Hotel</title><style>p{color:red}</style></head><body><p>Log in</p></body></html>"


@pytest.mark.parametrize("code", [200, 302, 403, 407, 451])
def test_a_page_instead_of_json_is_told_as_what_it_is(code: int) -> None:
    with ScriptedServer(answer(code, HOTEL, Content_Type="text/html")) as server:
        with pytest.raises(ApiError, match="is not an API server") as caught:
            Api(server.access()).get(POD)
        assert "Hotel" in caught.value.evidence
        assert "<" not in caught.value.evidence


def test_a_page_of_a_proxy_whose_server_is_away_is_an_outage() -> None:
    with ScriptedServer(answer(503, HOTEL), answer(503, HOTEL), answer(200, {"a": 1})) as server:
        assert Api(server.access()).get(POD) == {"a": 1}


# -- watches and logs --------------------------------------------------------------------------------------


def item(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version), "uid": f"u-{name}"}}


LISTING = answer(200, {"items": [item("a", 5)], "metadata": {"resourceVersion": "5"}})
CHANGED = {"type": "MODIFIED", "object": item("a", 9)}


def test_a_silent_watch_is_renewed_from_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_SILENCE", 0.3)
    script = [LISTING, stream(CHANGED, hold=30), stream(hold=30)]
    with ScriptedServer(*script) as server, Mirror(Api(server.access()), PODS):
        until(lambda: len(server.seen) >= 3)
        assert server.seen[2]["query"]["resourceVersion"] == "9"
        assert server.seen[2]["query"]["allowWatchBookmarks"] == "true"


def test_a_watch_is_waited_for_longer_than_bookmarks_take() -> None:
    assert watching._SILENCE == 90


def test_a_watch_that_breaks_goes_on_from_its_last_event() -> None:
    def broken(handler: Any) -> None:
        stream(CHANGED)(handler)
        handler.wfile.write(b'{"type": "MODI')

    with (
        ScriptedServer(LISTING, broken, stream(hold=30)) as server,
        Mirror(Api(server.access()), PODS) as mirror,
    ):
        until(lambda: len(server.seen) >= 3)
        assert server.seen[2]["query"]["resourceVersion"] == "9"
        assert mirror.error is None


def test_a_login_that_is_refused_for_good_ends_a_watch() -> None:
    with ScriptedServer(LISTING, REFUSED) as server, Mirror(Api(server.access()), PODS) as mirror:
        until(lambda: mirror.error is not None)
        assert isinstance(mirror.error, KubeConfigError)
        time.sleep(0.7)
        assert len(server.seen) == 2


RUNNING = {
    "metadata": {"name": "x", "uid": "u", "resourceVersion": "5"},
    "spec": {"containers": [{"name": "c"}]},
    "status": {"phase": "Running", "containerStatuses": [{"name": "c", "state": {"running": {}}}]},
}


@pytest.mark.parametrize("refused", ["log", "watch", "list"])
def test_a_login_that_is_refused_for_good_ends_followed_logs(refused: str) -> None:
    def serve(handler: Any) -> None:
        kind = "log" if "/log" in handler.path else "watch" if "watch=1" in handler.path else "list"
        if kind == refused:
            REFUSED(handler)
        elif kind == "list":
            answer(200, {"items": [RUNNING], "metadata": {"resourceVersion": "5"}})(handler)
        else:
            stream(hold=30)(handler)

    with ScriptedServer(serve) as server, Follow(Api(server.access()), "ns", "a=b") as follow:
        until(lambda: follow.refusal is not None or follow.error is not None)
        with pytest.raises(KubeConfigError, match="does not accept"):
            follow.next(0.1)
        assert len(server.seen) < 10


# -- Ctrl-C in an outage -----------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterator[ScriptedServer]:
    """Takes requests and never answers: an API server that is stopped."""

    def serve(handler: Any) -> None:
        handler.server.ending.wait(60)
        handler.close_connection = True

    with ScriptedServer(serve) as server:
        yield server


@pytest.mark.parametrize(
    "verb",
    [
        ["list"],
        ["status", "--name", "x"],
        ["plan"],
        ["up"],
        ["down", "x", "--yes"],
        ["doctor"],
        ["explain", "x"],
        ["logs", "--name", "x", "-f"],
        ["token", "x"],
        ["exec", "x", "--", "true"],
        ["scale", "2", "--name", "x"],
        ["submit", "--name", "x", "--", "true"],
        ["run", "--", "true"],
    ],
    ids=lambda verb: verb[0],
)
def test_an_interrupt_during_an_outage_ends_every_verb_within_a_second(
    hanging: ScriptedServer, tmp_path: Path, verb: list[str]
) -> None:
    path = at(hanging, tmp_path, {"token": "t"})
    command = [*RAYSTEAD, *verb, "--kubeconfig", str(path)]
    if "--" in verb:
        here = verb.index("--")
        command = [*RAYSTEAD, *verb[:here], "--kubeconfig", str(path), *verb[here:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len(hanging.seen) >= 1 or process.poll() is not None, 30)
        time.sleep(1)
        assert process.poll() is None, process.communicate()
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        finally:
            process.kill()
        took = time.monotonic() - begun
    assert took < patience(1), f"{took:.1f} s"
    assert process.returncode == 130


def test_requests_at_once_hold_up_no_interrupt() -> None:
    begun = time.monotonic()

    def interrupt() -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        parallel(lambda seconds: time.sleep(seconds), [20, 20, 20])
    assert time.monotonic() - begun < patience(2)


# -- clocks ------------------------------------------------------------------------------------------------


def test_a_server_that_is_five_minutes_ahead_is_believed() -> None:
    import email.utils

    def serve(handler: Any) -> None:
        handler.date_time_string = lambda *_: email.utils.formatdate(time.time() + 300, usegmt=True)
        answer(200)(handler)

    with ScriptedServer(serve) as server:
        api = Api(server.access())
        assert abs(api.now().timestamp() - time.time()) < 1
        api.get(POD)
        assert abs(api.now().timestamp() - time.time() - 300) < 2


@pytest.mark.parametrize(
    ("answers", "ahead"),
    [
        ([], 0),
        ([("Thu, 01 Jan 1970 00:16:40 GMT", 1000.2, 1000.3)], 0),
        ([("Thu, 01 Jan 1970 00:16:40 GMT", 1000.9, 1001.5)], 0),  # a rounded second is no difference
        ([("Thu, 01 Jan 1970 00:16:40 GMT", 1100.0, 1100.1)], -99),
        ([("Thu, 01 Jan 1970 00:16:40 GMT", 900.0, 900.5)], 99.5),
        ([("no date", 1, 2), (None, 1, 2)], 0),
        (
            [
                ("Thu, 01 Jan 1970 00:16:40 GMT", 900.0, 900.5),
                ("Thu, 01 Jan 1970 00:16:40 GMT", 1000.0, 1000.5),
            ],
            0,
        ),
    ],
)
def test_the_servers_clock_is_as_far_ahead_as_all_its_answers_say(answers: list[Any], ahead: float) -> None:
    clock = Clock()
    for one in answers:
        clock.seen(*one)
    assert clock.ahead == pytest.approx(ahead)


def test_an_access_in_a_traceback_shows_nothing(tmp_path: Path) -> None:
    path = config(tmp_path / "a", "dev", current="dev", user={"token": "s3cret"})
    found = load(kubeconfig=str(path))
    assert isinstance(found, Access)
    assert "s3cret" not in f"{found!r}{found.login()!r}{found.credentials!r}"
    assert stat.S_ISREG(path.stat().st_mode)
