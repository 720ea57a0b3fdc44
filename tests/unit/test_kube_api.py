"""Requests and their faults: what is repeated, what never is, and what each answer is called."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from patience import patience
from scriptedserver import Answer, ScriptedServer, answer, cut, reset, status

from raystead.errors import (
    ApiError,
    ApiUnreachable,
    Conflict,
    Forbidden,
    KubeConfigError,
    ObjectNotFound,
    RaysteadError,
)
from raystead.kube import api as module
from raystead.kube import notices
from raystead.kube.access import Access
from raystead.kube.access.access import Impersonation
from raystead.kube.answers import error_of
from raystead.kube.api import Api, as_json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection, path_of

POD = path_of("ns", "Pod", "x")
PODS = collection("ns", "Pod")
FORBIDDEN = (
    'pods is forbidden: User "u" cannot {verb} resource "pods" in API group "" in the namespace "team"'
)


# -- what an answer means: bodies of a real Kubernetes 1.36 -----------------------------------------------


def meaning(code: int, message: str, reason: str, **details: Any) -> RaysteadError:
    text = json.dumps(status(code, message, reason, **details))
    return error_of(code, text, what="create pods/x", context="prod")


def test_a_missing_right_is_named() -> None:
    error = meaning(403, FORBIDDEN.format(verb="list"), "Forbidden")
    assert isinstance(error, Forbidden)
    assert error.what == "you may not list pods in namespace team"
    assert '"list" on "pods"' in error.remedy


def test_a_missing_right_on_a_group_and_at_the_clusters_scope_is_named() -> None:
    message = 'deployments.apps is forbidden: User "u" cannot list resource "deployments" in API group "apps" at the cluster scope'
    error = meaning(403, message, "Forbidden")
    assert error.what == "you may not list deployments.apps"


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (
            'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0',
            "exceeded quota: q",
        ),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
            "PodSecurity",
        ),
    ],
)
def test_what_admission_refuses_is_no_missing_right(message: str, word: str) -> None:
    error = meaning(403, message, "Forbidden")
    assert isinstance(error, ApiError)
    assert not isinstance(error, Forbidden)
    assert word in error.evidence
    assert error.exit_code == 80


def test_a_namespace_that_goes_is_told_as_such() -> None:
    message = 'configmaps "x" is forbidden: unable to create new content in namespace team because it is being terminated'
    causes = [{"reason": "NamespaceTerminating", "message": "namespace team is being terminated"}]
    error = meaning(403, message, "Forbidden", details={"causes": causes})
    assert isinstance(error, ApiError)
    assert (error.what, error.reason) == ("the namespace is being deleted", "NamespaceTerminating")


def test_a_field_of_another_manager_is_named_with_its_owner() -> None:
    message = 'Apply failed with 2 conflicts: conflicts with "kubectl":\n- .data.b\nconflicts with "kubectl-patch" using v1:\n- .data.a'
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl"', "field": ".data.b"},
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-patch" using v1',
            "field": ".data.a",
        },
    ]
    error = meaning(409, message, "Conflict", details={"causes": causes})
    assert isinstance(error, Conflict)
    assert ".data.b, .data.a belong to kubectl and kubectl-patch" in error.what
    assert "--force-conflicts" in error.remedy


def test_an_older_version_and_a_taken_name_are_conflicts() -> None:
    message = 'Operation cannot be fulfilled on configmaps "cf": the object has been modified'
    assert isinstance(meaning(409, message, "Conflict"), Conflict)
    assert isinstance(meaning(409, 'configmaps "cf" already exists', "AlreadyExists"), Conflict)


def test_not_found_and_not_known() -> None:
    assert isinstance(meaning(404, 'pods "nope" not found', "NotFound"), ObjectNotFound)
    error = meaning(401, "Unauthorized", "Unauthorized")
    assert isinstance(error, KubeConfigError)
    assert "prod" in error.remedy


def test_a_proxys_page_is_shown_as_far_as_it_helps() -> None:
    error = error_of(502, "<html>Bad Gateway</html>" * 100, what="get pods/x", context="prod")
    assert "Bad Gateway" in error.evidence
    assert len(error.evidence) <= 500


# -- what is repeated -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PATIENCE", 0.5)


def test_429_waits_as_long_as_the_server_says() -> None:
    with ScriptedServer(
        answer(429, status(429, "slow down"), Retry_After="1"), answer(201, {"a": 1})
    ) as server:
        begun = time.monotonic()
        assert Api(server.access(), patience=5).create(PODS, {}) == {"a": 1}
        assert 1 <= time.monotonic() - begun < patience(3)
        assert [r["method"] for r in server.seen] == ["POST", "POST"]


def test_429_for_longer_than_our_patience_is_the_servers_word() -> None:
    with ScriptedServer(answer(429, status(429, "slow down"), Retry_After="60")) as server:
        with pytest.raises(ApiError, match="refuses") as caught:
            Api(server.access(), patience=1).get(POD)
        assert caught.value.status == 429
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    "message",
    [
        "failed to create typed patch object (team/x; apps/v1, Kind=Deployment): .spec.limit: field not declared in schema",
        'failed to create typed patch object: .spec.env: duplicate entries for key [name="HF_HOME"]',
        "failed to create typed patch object: .spec.value: expected string, got &value.valueUnstructured{Value:true}",
    ],
)
def test_a_500_that_means_the_request_is_a_refusal_and_not_repeated(message: str) -> None:
    with ScriptedServer(answer(500, status(500, message))) as server:
        with pytest.raises(ApiError) as caught:
            Api(server.access()).apply(POD, {})
        assert len(server.seen) == 1
    assert (caught.value.status, caught.value.evidence) == (422, message)
    assert caught.value.remedy


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_failing_server_is_asked_again(code: int) -> None:
    said: list[str] = []
    with ScriptedServer(answer(code, b"boom"), answer(code, b"boom"), answer(200, {"a": 1})) as server:
        assert Api(server.access(), notice=said.append).apply(POD, {}) == {"a": 1}
        assert len(server.seen) == 3
    assert len(said) == 1  # once, not at every attempt
    assert f"HTTP {code}: boom" in said[0]


def test_a_server_that_has_not_read_its_roles_yet_refuses_nothing() -> None:
    """As 1.36 says it after a restart, to who has the right; nothing was done, so a POST is repeated too."""
    missing = 'clusterrole.rbac.authorization.k8s.io "system:basic-user" not found'
    words = 'cannot create resource "pods" in API group "" in the namespace "team"'
    early = status(403, f'pods is forbidden: User "u" {words}: RBAC: [{missing}]', "Forbidden")
    with ScriptedServer(answer(403, early), answer(201, {"a": 1})) as server:
        assert Api(server.access()).create(PODS, {}) == {"a": 1}
        assert [r["method"] for r in server.seen] == ["POST", "POST"]


def test_a_failing_server_is_not_asked_twice_to_create() -> None:
    with ScriptedServer(answer(500, status(500, "etcdserver: leader changed"))) as server:
        with pytest.raises(ApiError) as caught:
            Api(server.access()).create(PODS, {})
        assert "leader changed" in caught.value.evidence
        assert len(server.seen) == 1


def test_what_changes_nothing_may_be_posted_again() -> None:
    with ScriptedServer(answer(500, b"boom"), reset, answer(200, {"a": 1})) as server:
        assert Api(server.access()).create(PODS, {}, dry_run=True) == {"a": 1}
        assert len(server.seen) == 3


def test_a_cut_answer_is_read_again() -> None:
    with ScriptedServer(cut, answer(200, {"a": 1})) as server:
        assert Api(server.access()).get(POD) == {"a": 1}


def test_a_broken_connection_never_creates_twice() -> None:
    for fault in (cut, reset):
        with ScriptedServer(answer(200), fault) as server:
            api = Api(server.access())
            api.get(POD)
            with pytest.raises(ApiUnreachable) as caught:
                api.create(PODS, {})
            assert "it may have been done" in caught.value.evidence
            assert len(server.seen) == 2


def test_who_knows_his_own_object_may_create_it_again() -> None:
    """The answer was lost, the object is there: the second attempt says so."""
    with ScriptedServer(reset, answer(409, status(409, "already exists", "AlreadyExists"))) as server:
        with pytest.raises(Conflict):
            Api(server.access()).create(PODS, {}, again=True)
        assert len(server.seen) == 2


@pytest.mark.parametrize("method", ["apply", "replace", "patch", "delete"])
def test_what_is_the_same_twice_is_sent_again(method: str) -> None:
    with ScriptedServer(reset, answer(200, {"a": 1})) as server:
        api = Api(server.access())
        arguments: Any = {} if method == "delete" else {"body": {}}
        arguments |= {"uid": "u-1"} if method in ("patch", "delete") else {}
        assert getattr(api, method)(POD, **arguments) == {"a": 1}
        assert len(server.seen) == 2


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 422])
def test_a_refusal_is_never_asked_again(code: int) -> None:
    with ScriptedServer(answer(code, status(code, "no"))) as server:
        with pytest.raises(RaysteadError):
            Api(server.access()).get(POD)
        assert len(server.seen) == 1


READY, UNREADY = answer(200, b"ok"), answer(500, b"[-]informer-sync failed: reason withheld")
NO_RIGHT = answer(403, status(403, FORBIDDEN.format(verb="get"), "Forbidden"))


@pytest.mark.parametrize("ready", [READY, answer(403, status(403, "no")), answer(404, b"")])
def test_a_missing_right_is_never_asked_for_again(ready: Answer) -> None:
    with ScriptedServer(NO_RIGHT, ready) as server:
        with pytest.raises(Forbidden):
            Api(server.access()).get(POD)
        assert [r["path"] for r in server.seen] == [POD, "/readyz"]


def test_a_server_that_has_just_started_does_not_know_our_rights_yet() -> None:
    """Seen on a real one: after a restart it refuses everybody until it has read its roles."""
    with ScriptedServer(NO_RIGHT, UNREADY, NO_RIGHT, UNREADY, answer(201, {"a": 1})) as server:
        assert Api(server.access()).create(PODS, {}) == {"a": 1}
        assert [r["path"] for r in server.seen] == [PODS, "/readyz", PODS, "/readyz", PODS]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def nobody(port: int) -> Access:
    with ScriptedServer(answer(200)) as server:
        access = server.access()
    access.server = f"http://127.0.0.1:{port}"
    return access


def test_a_wrong_address_is_told_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(ApiUnreachable, match="does not answer") as caught:
        Api(nobody(free_port())).get(POD)
    assert time.monotonic() - begun < patience(2)
    assert "refused" in caught.value.evidence
    assert "0x" not in caught.value.evidence  # urllib3 shows its objects


def test_a_host_that_has_no_address_is_told_in_words() -> None:
    access = nobody(1)
    access.server = "http://no-such-host.invalid:6443"
    with pytest.raises(ApiUnreachable) as caught:
        Api(access).get(POD)
    assert "0x" not in caught.value.evidence


def test_a_server_that_was_there_is_waited_for() -> None:
    """For every method: nothing was sent, so nothing can have been done."""
    said: list[str] = []
    with ScriptedServer(answer(200)) as server:
        port = server.port
        api = Api(server.access(), notice=said.append, patience=20)
        api.get(POD)
    back: list[ScriptedServer] = []
    timer = threading.Timer(1, lambda: back.append(ScriptedServer(answer(201, {"a": 1}), port=port)))
    timer.start()
    try:
        assert api.create(PODS, {}) == {"a": 1}
    finally:
        timer.join()
        for one in back:
            one.__exit__()
    assert len(back[0].seen) == 1
    assert said


def test_an_answer_that_does_not_come_is_said_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_LATE", 0.6)
    said: list[str] = []

    def late(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(2)
        answer(200, {"a": 1})(handler)

    with ScriptedServer(answer(200), late) as server:
        api = Api(server.access(), notice=said.append)
        api.get(POD)
        assert said == []
        assert parallel(api.get, [POD, POD, POD]) == [{"a": 1}] * 3
    assert 2 <= len(said) <= 3, "once for all three"
    assert all(text.startswith("the API server has not answered for ") for text in said)


def test_many_slow_answers_are_said_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_LATE", 1.0)
    monkeypatch.setattr(notices, "_SLOW", 0.2)
    said: list[str] = []

    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.4)
        answer(200, {"a": 1})(handler)

    with ScriptedServer(slow) as server:
        api = Api(server.access(), notice=said.append)
        for _ in range(8):
            api.get(POD)
    assert 2 <= len(said) <= 4
    assert all(text.startswith("the API server is slow (0.") for text in said)


def test_an_outage_is_said_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_LATE", 0.6)
    said: list[str] = []
    with ScriptedServer(answer(200)) as server:
        api = Api(server.access(), notice=said.append, patience=3)
        api.get(POD)
    with pytest.raises(ApiUnreachable):
        api.get(POD)
    assert said[0].endswith("trying again")
    assert len(said) >= 2
    assert all(text.endswith("still trying") for text in said[1:])


def test_patience_ends() -> None:
    with ScriptedServer(answer(200)) as server:
        api = Api(server.access(), patience=1)
        api.get(POD)
    begun = time.monotonic()
    with pytest.raises(ApiUnreachable) as caught:
        api.get(POD)
    assert 0.5 < time.monotonic() - begun < patience(4)
    assert "tried for" in caught.value.evidence


def test_an_answer_that_is_no_json_is_a_sentence() -> None:
    with ScriptedServer(answer(200, b"<html>Log in to the hotel's network</html>")) as server:
        with pytest.raises(ApiError, match="is not an API server") as caught:
            Api(server.access()).get(POD)
        assert "hotel" in caught.value.evidence


def test_a_certificate_of_somebody_else_is_no_silence(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody else")])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "both.pem").write_bytes(pem + secret)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "both.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_one_handshake, args=(listening, tls), daemon=True).start()
        server = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ApiUnreachable, match="certificate that this kubeconfig does not trust") as caught:
            Api(Access(server, "ns", "prod")).get(POD)
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.evidence
    assert "certificate-authority" in caught.value.remedy


def _one_handshake(listening: socket.socket, tls: ssl.SSLContext) -> None:
    connection, _ = listening.accept()
    with contextlib.suppress(OSError), tls.wrap_socket(connection, server_side=True):
        pass


# -- what is sent -----------------------------------------------------------------------------------------


def test_an_apply_names_us_and_says_whether_it_takes_over() -> None:
    with ScriptedServer(answer(200)) as server:
        api = Api(server.access())
        api.apply(POD, {"kind": "Pod"}, dry_run=True)
        api.apply(POD, {"kind": "Pod"}, force=True)
        first, second = server.seen
    assert first["headers"]["Content-Type"] == "application/apply-patch+yaml"
    assert first["query"] == {"fieldManager": "raystead", "force": "false", "dryRun": "All"}
    assert second["query"] == {"fieldManager": "raystead", "force": "true"}


def test_a_deletion_means_one_very_object() -> None:
    with ScriptedServer(answer(200)) as server:
        Api(server.access()).delete(POD, grace=3, uid="u-1")
        (request,) = server.seen
    assert request["body"]["preconditions"] == {"uid": "u-1"}
    assert request["body"]["gracePeriodSeconds"] == 3


def test_groups_to_impersonate_are_headers_of_their_own() -> None:
    with ScriptedServer(answer(200)) as server:
        access = server.access()
        access.impersonate = Impersonation("ann", ("a", "b"))
        Api(access).get(POD)
        (request,) = server.seen
    assert request["headers"].get_all("Impersonate-Group") == ["a", "b"]


def page(names: str, token: str = "") -> Any:
    items = [{"metadata": {"name": n}} for n in names]
    return answer(200, {"items": items, "metadata": {"continue": token, "resourceVersion": "7"}})


def test_long_lists_come_in_pages() -> None:
    with ScriptedServer(page("ab", "next"), page("c")) as server:
        assert [i["metadata"]["name"] for i in Api(server.access()).list(PODS, labels="a=b")] == [*"abc"]
        first, second = server.seen
    assert first["query"] == {"limit": "350", "labelSelector": "a=b"}
    assert second["query"] == {"limit": "350", "labelSelector": "a=b", "continue": "next"}


@pytest.mark.parametrize(("kind", "kept"), [("Pod", False), ("Event", False), ("Deployment", True)])
def test_of_a_list_of_pods_the_managers_of_their_fields_are_not_kept(kind: str, kept: bool) -> None:
    items = [{"metadata": {"name": "a", "managedFields": [{"manager": "kubelet"}]}}]
    with ScriptedServer(answer(200, {"items": items, "metadata": {}})) as server:
        (item,) = Api(server.access()).list(collection("ns", kind))
    assert ("managedFields" in item["metadata"]) == kept


def test_a_page_whose_version_is_forgotten_begins_the_list_anew() -> None:
    expired = answer(410, status(410, "The provided continue parameter is too old", "Expired"))
    with ScriptedServer(page("ab", "next"), expired, page("abc")) as server:
        assert len(Api(server.access()).list(PODS)) == 3
        assert "continue" not in server.seen[2]["query"]


def test_the_trace_shows_requests_and_no_bodies() -> None:
    said: list[str] = []
    with ScriptedServer(answer(200)) as server:
        Api(server.access(), trace=said.append).create(collection("ns", "Secret"), {"data": {"p": "s3cret"}})
    assert said[0].startswith("POST /api/v1/namespaces/ns/secrets?")
    assert "s3cret" not in said[0]


@pytest.mark.parametrize("text", ["🚀 ä", "\x7f\x85\u2028\ufeff", "\\ud83d\\ude80", "\ud83d", '\0\n\t"\\'])
def test_what_is_applied_is_the_same_as_json_and_as_yaml(text: str) -> None:
    sent = as_json({"data": {text: text}})
    assert json.loads(sent) == {"data": {text: text}}
    if text != "\ud83d":  # half a pair is no text to YAML
        assert yaml.load(sent, Loader=yaml.CSafeLoader) == {"data": {text: text}}
