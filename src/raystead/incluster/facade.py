"""The few paths of the API server that Ray's KubeRay autoscaler asks for, answered over HTTPS on loopback.

RayCluster and pods come from a `ServedCluster`: the state that is acted on here, or a client's word of it
(`Relay`). Nothing else is answered: the autoscaler can patch replicas and workersToDelete of its own cluster,
and read its pods.
"""

from __future__ import annotations

import hmac
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from .relay import PATHS, Relay
from .scaling import Json, PatchRefused, Scaling, Suffix, adopt, patched, shown, with_defaults

_LARGEST = 32 << 20  # bytes of a request; a thousand pods are 2 MB
_WAIT = 30.0  # seconds that a question for a newer state is held open
_BUSY = 20.0  # seconds that a patch waits for its turn; the autoscaler gives up after 60
_STALE = 300.0  # seconds after which pods that nobody has reported again are not told any more


class ServedCluster(Protocol):
    """What the façade serves."""

    @property
    def name(self) -> str: ...

    @property
    def pods_version(self) -> str: ...

    def cluster(self) -> Json: ...

    def known_pods(self) -> list[Json] | None: ...

    def patch(self, operations: Any) -> Json: ...


@dataclass
class PodRefusal:
    """Why pods of a group cannot be made, and how many replicas it has meanwhile; `at` is monotonic."""

    text: str
    most: int
    at: float


@dataclass
class SeenPods:
    """The cluster's pods as they are, the version of that, and what was refused, by group."""

    pods: list[Json]
    version: str
    refusals: Mapping[str, PodRefusal]


@dataclass
class SharedState:
    """What the façade and the hands share; every change wakes whoever waits.

    `keep` stores a new state before anybody is told of it; what it raises is the autoscaler's answer.
    """

    document: Json
    suffix: Suffix
    scaling: Scaling = field(default_factory=Scaling)
    keep: Callable[[Scaling], None] = lambda scaling: None
    reports: int = 0
    told: float = 0.0
    look: Callable[[], SeenPods] | None = None
    given: Json = field(default_factory=dict)  # the document as it was given
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.given, self.document = self.document, with_defaults(self.document)
        self.scaling = adopt(self.scaling, self.document, self.suffix)

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    def set_document(self, document: Json) -> None:
        """Another spec."""
        with self.changed:
            self.document = with_defaults(document)
            self._move(adopt(self.scaling, self.document, self.suffix))
            self.given = document

    def begin(self, stored: Scaling) -> None:
        """With the state that somebody stored before us; it is stored anew, changed or not."""
        with self.changed:
            adopted = adopt(stored, self.document, self.suffix)
            self.keep(adopted)
            self.scaling = adopted

    def patch(self, operations: Any) -> Json:
        """Takes a patch of the autoscaler's; late is never, for it has asked for something else by then.

        Raises:
            PatchRefused, OSError: nothing has changed, as far as anybody knows.
        """
        if not self.changed.acquire(timeout=_BUSY):
            raise TimeoutError(f"another change has not been stored within {_BUSY:.0f} s")
        try:
            self._move(patched(self.scaling, self.document, operations, self.suffix))
            return self.cluster()
        finally:
            self.changed.release()

    def move(self, new: Scaling) -> None:
        """Stores and shows a state that the hands have derived from the present one."""
        with self.changed:
            if new.version > self.scaling.version:
                self._move(new)

    def _move(self, new: Scaling) -> None:
        if new.version != self.scaling.version or new.groups != self.scaling.groups:
            self.keep(new)
            self.scaling = new
            self.changed.notify_all()

    def cluster(self) -> Json:
        """The RayCluster as the autoscaler is to see it now."""
        with self.changed:
            refusals = self.look().refusals if self.look else {}
            capped = {group: one.most for group, one in refusals.items()}
            return shown(self.scaling, self.document, capped)

    def report(self, look: Callable[[], SeenPods]) -> None:
        """There is something new about the pods. Who asks looks: a thousand are not told one by one."""
        with self.changed:
            self.look, self.told = look, time.monotonic()
            self.reports += 1
            self.changed.notify_all()

    @property
    def pods_version(self) -> str:
        with self.changed:
            return self.look().version if self.look else "0"

    @property
    def pods(self) -> list[Json] | None:
        """None until somebody has looked."""
        with self.changed:
            return self.look().pods if self.look else None

    def known_pods(self) -> list[Json] | None:
        """None where nobody has looked lately: no pod is not the same as not knowing."""
        with self.changed:
            return self.pods if time.monotonic() - self.told < _STALE else None

    def newer(self, version: int, patience: float = _WAIT) -> Scaling:
        """The state as soon as it is not `version`, or after `patience` seconds."""
        with self.changed:
            self.changed.wait_for(lambda: self.scaling.version != version, patience)
            return self.scaling


def server(
    source: ServedCluster,
    namespace: str,
    secret: str,
    cert: str,
    port: int = 8443,
    relay: Relay | None = None,
) -> ThreadingHTTPServer:
    """The façade, not yet serving; `cert` is a PEM file with key and certificate, `secret` the token.

    `relay`: where a client acts, its side of the same server.
    """

    class Handler(_FacadeHandler):
        pass

    Handler.source, Handler.relay = source, relay
    Handler.namespace, Handler.secret = namespace, secret
    out = _QuietServer(("127.0.0.1", port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    out.socket = context.wrap_socket(out.socket, server_side=True, do_handshake_on_connect=False)
    return out


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone before the answer: a client was killed. All else is told with its traceback."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _FacadeHandler(BaseHTTPRequestHandler):
    """One request. Answers are Kubernetes' own: objects, lists, Status."""

    source: ServedCluster
    relay: Relay | None
    namespace: str
    secret: str
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for a silent connection

    def log_message(self, format: str, *words: Any) -> None:
        """Nothing: the autoscaler asks several times a second."""

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_PATCH(self) -> None:
        self._guarded(self._patch)

    def do_PUT(self) -> None:
        self._guarded(self._put)

    def do_DELETE(self) -> None:
        self._refuse(403, "Forbidden", "nothing can be deleted here")

    def do_POST(self) -> None:
        self._refuse(403, "Forbidden", "nothing can be created here")

    def _guarded(self, answer: Callable[[str, dict[str, list[str]]], None]) -> None:
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.secret}".encode()):
            self.close_connection = True  # what follows in the body is not read
            self._refuse(401, "Unauthorized", "Unauthorized")
            return
        parts = urlsplit(self.path)
        answer(parts.path.rstrip("/"), parse_qs(parts.query))

    def _get(self, path: str, query: dict[str, list[str]]) -> None:
        if path == self._cluster_path():
            self._answer(200, self.source.cluster())
        elif self.relay is not None and path == PATHS + "patches":
            self._answer(*self.relay.patches((query.get("client") or [""])[0]))
        elif path == self._pods_path() or path.startswith(self._pods_path() + "/"):
            self._pods(path[len(self._pods_path()) + 1 :], query)
        else:
            self._refuse(404, "NotFound", f"{path} is not served here")

    def _pods(self, name: str, query: dict[str, list[str]]) -> None:
        pods = self.source.known_pods()
        if pods is None:
            # Better no answer than a wrong one: with "no pods" the autoscaler would start all anew.
            self._refuse(503, "ServiceUnavailable", "nobody has reported the pods yet")
            return
        if name:
            found = next((pod for pod in pods if pod["metadata"]["name"] == name), None)
            if found is None:
                self._refuse(404, "NotFound", f'pods "{name}" not found')
            else:
                self._answer(200, {"apiVersion": "v1", "kind": "Pod", **found})
            return
        selector = (query.get("labelSelector") or [f"ray.io/cluster={self.source.name}"])[0]
        key, _, value = selector.partition("=")
        items = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(key) == value]
        metadata = {"resourceVersion": self.source.pods_version}
        self._answer(200, {"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items})

    def _patch(self, path: str, query: dict[str, list[str]]) -> None:
        body = self._body()
        if body is None:
            return
        if path.startswith(self._pods_path() + "/"):
            self._refuse(403, "Forbidden", "a pod cannot be changed with rights in one namespace")
        elif path != self._cluster_path():
            self._refuse(404, "NotFound", f"{path} is not served here")
        else:
            try:
                self._answer(200, self.source.patch(json.loads(body)))
            except PatchRefused as refused:
                self._refuse(refused.status, "Invalid", str(refused))
            except ValueError:
                self._refuse(400, "BadRequest", "the body is not JSON")
            except OSError as error:  # it could not be stored: nothing has changed, the autoscaler asks again
                self._refuse(503, "ServiceUnavailable", f"the wish could not be stored: {error}")

    def _put(self, path: str, query: dict[str, list[str]]) -> None:
        """A client that acts says something."""
        body = self._body()
        if body is None:
            return
        if self.relay is None or not path.startswith(PATHS):
            self._refuse(404, "NotFound", f"{path} is not served here")
            return
        try:
            self._answer(*self.relay.told(path[len(PATHS) :], json.loads(body)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._refuse(400, "BadRequest", f"{type(error).__name__}: {error}")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _LARGEST:
            self.close_connection = True
            self._refuse(413, "RequestEntityTooLarge", "a length is needed, 32 MiB at most")
            return None
        return self.rfile.read(int(length))

    def _cluster_path(self) -> str:
        version = "v1alpha1" if "/ray.io/v1alpha1/" in self.path else "v1"
        return f"/apis/ray.io/{version}/namespaces/{self.namespace}/rayclusters/{self.source.name}"

    def _pods_path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def _refuse(self, code: int, reason: str, message: str) -> None:
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code}
        self._answer(code, {**status, "reason": reason, "message": message})

    def _answer(self, code: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
