"""JSON requests to one API server: retries of what is safe to retry, typed errors, lists by pages.

Objects stay the JSON they came as: building a model of each costs 20 times the parsing.
"""

from __future__ import annotations

import copy
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from raystead.base import logs
from raystead.errors import ApiError, ApiUnreachable, Forbidden
from raystead.kube.access import Access
from raystead.kube.access.credentials import Login
from raystead.kube.access.proxies import ProxyError
from raystead.kube.answers import STARTING, Gone, error_of, is_outage, message_of
from raystead.kube.clock import Clock
from raystead.kube.connections import Answer, Connections, NotConnected, words
from raystead.kube.notices import Notices
from raystead.kube.pages import words_of

__all__ = ["APPLY", "MANAGER", "MERGE_PATCH", "Api", "Json", "as_json"]

Json = dict[str, Any]
Headers = list[tuple[str, str]]
MANAGER = "raystead"  # our field manager in server-side apply
APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
_PAGE = 350  # not kubectl's 500: as many requests for 1,000 workers, and 15 MB less at a verb's peak
_MANY = ("/pods", "/events")  # who manages their fields is never asked, and a third of what they are
_TIMEOUT = 30.0  # seconds for one request; the server itself gives up after 60
_FIRST_PATIENCE = 2.0  # seconds while no request has ever succeeded: a wrong address is told at once
_PATIENCE = 60.0  # seconds of trying once the server has answered: a restart takes 5 to 30
_PATIENCE_500 = 10.0  # seconds: etcd's change of leader takes less, a broken webhook stays broken
_HURRY, _HURRY_TIMEOUT = 0.5, 5.0  # seconds of trying, and of waiting for one answer, after an interrupt
_IDEMPOTENT = {"GET", "PUT", "DELETE", "PATCH"}  # our patches are applies and merges: twice is as once


def as_json(body: Any) -> bytes:
    """JSON that is YAML too, which server-side apply reads it as.

    YAML knows no pairs of surrogates, as JSON escapes an emoji; and a control character or a line separator
    that is not escaped is none of a YAML text, or is folded away.
    """
    text = json.dumps(body, ensure_ascii=False)
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode()


class Api:
    """The API server as one user sees it. Threads may share it.

    Args:
        access: who and where.
        trace: called after each request with a line for people (`-v`); never with a body.
        notice: called when requests have to be repeated, with the reason, and when an answer does not come;
            every few seconds as long as that lasts.
    """

    def __init__(
        self,
        access: Access,
        *,
        trace: Callable[[str], None] | None = None,
        notice: Callable[[str], None] | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self.access = access
        self.namespace = access.namespace
        self.patience = patience
        self.slowest = 0.0  # seconds of the slowest answer so far, for explain
        self.requests = 0
        self._notices = Notices(notice)
        self._trace = trace
        self._longest: float | None = None  # seconds that any one answer may take
        self._clock = Clock()
        self._pool: Connections | None = None
        self._lock = threading.Lock()
        self._answered = False

    def inside(self, namespace: str | None) -> Api:
        """The same server, user and connections for objects of another namespace; None: the same."""
        if namespace is None or namespace == self.namespace:
            return self
        with self._lock:
            if self._pool is None:
                self._pool = Connections(self.access)
            other = copy.copy(self)
        other.namespace = namespace
        return other

    @property
    def notice(self) -> Callable[[str], None] | None:
        """Who is told what is late; whoever shows a wait puts its own in for as long."""
        return self._notices.take

    @notice.setter
    def notice(self, take: Callable[[str], None] | None) -> None:
        self._notices.take = take

    def now(self) -> datetime:
        """The time by the server's clock: what it and its nodes wrote is compared with that."""
        return self._clock.now()

    def hurry(self) -> None:
        """Somebody waits for our end: from now on requests are given up soon when the server is away."""
        self.patience = min(self.patience, _HURRY)
        self._longest = _HURRY_TIMEOUT

    # -- single objects -------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Json:
        """One object (or any JSON document of the server).

        Raises:
            ObjectNotFound, Forbidden, ApiUnreachable, ApiError
        """
        return self._json("GET", path, query=query)

    def create(self, path: str, body: Json, *, dry_run: bool = False, again: bool = False) -> Json:
        """POST to a collection; repeated only where the server has not begun with it.

        `again`: repeated after a lost answer too, for who takes a Conflict for what it then may be: our own
        object.
        """
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self._json("POST", path, query=query, body=body, again=again)

    def apply(self, path: str, body: Json, *, dry_run: bool = False, force: bool = False) -> Json:
        """Server-side apply of one object; `path` is the object's own."""
        query: Json = {"fieldManager": MANAGER, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        return self._json("PATCH", path, query=query, body=body, content=APPLY)

    def replace(self, path: str, body: Json) -> Json:
        """PUT; with metadata.resourceVersion it fails with Conflict when somebody was faster."""
        return self._json("PUT", path, query={"fieldManager": MANAGER}, body=body)

    def patch(self, path: str, body: Json, *, uid: str, manager: str = MANAGER) -> Json:
        """Merges into the one object of this name that has this very `uid`; another one is a Conflict."""
        body = {**body, "metadata": {**(body.get("metadata") or {}), "uid": uid}}
        return self._json("PATCH", path, query={"fieldManager": manager}, body=body, content=MERGE_PATCH)

    def delete(
        self, path: str, *, uid: str, grace: int | None = None, propagation: str = "Background"
    ) -> Json:
        """Deletes the one object of this name that has this very `uid`."""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        return self._json("DELETE", path, body=options)

    # -- lists ----------------------------------------------------------------------------------------

    def list(
        self, path: str, *, labels: str = "", fields: str = "", keep: Callable[[Json], Json] | None = None
    ) -> list[Json]:
        """All items of a collection, by pages of 350; `keep` makes each item smaller before the next page."""
        return list(self.listing(path, labels=labels, fields=fields, keep=keep)["items"])

    def listing(
        self, path: str, *, labels: str = "", fields: str = "", keep: Callable[[Json], Json] | None = None
    ) -> Json:
        """The whole list with its resourceVersion; starts over when the server forgot the pages' version."""
        query: Json = {"limit": _PAGE}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        items: list[Json] = []
        while True:
            try:
                page = self._json("GET", path, query=query)
            except Gone:
                if "continue" not in query:
                    raise
                items, query = [], {k: v for k, v in query.items() if k not in ("limit", "continue")}
                continue
            found = page.pop("items", None) or []
            if path.endswith(_MANY):
                for item in found:
                    item["metadata"].pop("managedFields", None)
            items += found if keep is None else map(keep, found)
            token = page.get("metadata", {}).get("continue")
            if not token:
                return {**page, "items": items}
            query = {**query, "continue": token}

    # -- raw ------------------------------------------------------------------------------------------

    def text(self, path: str, *, timeout: float = _TIMEOUT, **query: Any) -> str:
        """An answer as text (logs)."""
        return self._request("GET", path, query=query, timeout=timeout).decode("utf-8", "replace")

    @contextmanager
    def stream(self, path: str, *, timeout: float | None = None, **query: Any) -> Iterator[Answer]:
        """An open answer to read from (watches, followed logs).

        `timeout`: seconds without any byte after which reading fails; None waits for ever. Not repeated.
        """
        try:
            response = self._open("GET", path, query=query, timeout=timeout)
        except OSError as error:
            raise self._unreachable(f"GET {path}: {words(error)}") from error
        try:
            if response.status >= 300:
                text = response.read().decode("utf-8", "replace")
                raise self._error(response.status, text, "GET", path)
            yield response
        finally:
            response.close()

    def _json(self, method: str, path: str, **more: Any) -> Json:
        data = self._request(method, path, **more)
        try:
            value = json.loads(data) if data else {}
        except ValueError:
            value = None
        if not isinstance(value, dict):
            text = data[:20_000].decode("utf-8", "replace")
            raise self._somebody_else(f"{method} {path}: {words_of(text) or text[:200].strip()}")
        return value

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: str = "application/json",
        timeout: float = _TIMEOUT,
        again: bool = False,
    ) -> bytes:
        begun, again = time.monotonic(), again or _repeatable(method, path, query or {})
        for attempt in range(10_000):
            wait, limit = min(0.1 * 2**attempt, 3.0), self.patience
            refusal: Exception | None = None
            try:
                response = self._open(method, path, query=query, body=body, content=content, timeout=timeout)
                data = response.read()
            except NotConnected as error:
                why = words(error)  # nothing was sent: safe for every method
            except OSError as error:
                why = words(error)
                if isinstance(error, ssl.SSLError | ProxyError):  # what does not fit will not fit later
                    raise self._unreachable(why) from error
                if not again:
                    raise self._unreachable(f"{method} {path}: {why}; it may have been done") from error
            else:
                if response.status < 300:
                    self._notices.over()
                    return data
                text = data.decode("utf-8", "replace")
                refusal = self._error(response.status, text, method, path)
                early = isinstance(refusal, ApiError) and refusal.reason == STARTING
                early = early or (isinstance(refusal, Forbidden) and not self._ready())
                if not (early or response.status == 429 or (is_outage(response.status, text) and again)):
                    raise refusal
                why = f"HTTP {response.status}: {words_of(text) or message_of(response.status, text)}"
                after = response.headers.get("Retry-After", "")
                wait = float(after) if after.isdigit() else wait
                limit = min(limit, _PATIENCE_500) if response.status == 500 else limit
            tried = time.monotonic() - begun
            if tried + wait > (limit if self._answered else min(_FIRST_PATIENCE, limit)):
                raise refusal or self._unreachable(f"{method} {path}: {why}, tried for {tried:.0f} s")
            self._notices.trouble(why)
            time.sleep(wait)
        raise AssertionError("unreachable")

    def _ready(self) -> bool:
        """A server that has just started refuses what it will allow once it has read its roles (403)."""
        try:
            response = self._open("GET", "/readyz")
            response.read()
        except OSError:
            return False
        return response.status < 500

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: str = "application/json",
        timeout: float | None = _TIMEOUT,
    ) -> Answer:
        """The answer; a login that was refused and can be renewed is, once.

        Raises:
            OSError: NotConnected, Broken, ssl.SSLError, ProxyError.
        """
        target = path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        headers = [("Accept", "application/json"), ("User-Agent", "raystead")]
        data = None
        if body is not None:
            headers.append(("Content-Type", content))
            data = as_json(body)
        with self._notices.late("the login has not finished", again=False):
            login = self.access.login()
        answer = self._send(method, target, headers, data, login, timeout)
        if answer.status == 401 and self.access.credentials.refused(login):
            answer.read()
            with self._notices.late("the login has not finished", again=False):
                login = self.access.login()
            answer = self._send(method, target, headers, data, login, timeout)
        return answer

    def _send(
        self,
        method: str,
        target: str,
        headers: Headers,
        data: bytes | None,
        login: Login,
        timeout: float | None,
    ) -> Answer:
        if self._longest is not None:
            timeout = min(timeout or self._longest, self._longest)
        begun = time.time()
        self._notices.begin()
        with self._notices.late("the API server has not answered"):
            answer = self._connections().request(
                method, target, [*headers, *self.access.headers(login)], data, login=login, timeout=timeout
            )
        took = time.time() - begun
        with self._lock:
            self._answered = True
            self.requests += 1
            self.slowest = max(self.slowest, took)
            self._clock.seen(answer.headers.get("Date"), begun, begun + took)
        logs.request(method, target, answer.status, took)
        self._notices.slow(took)
        if self._trace:
            self._trace(f"{method} {target} {answer.status} {took * 1000:.0f} ms")
        return answer

    def _connections(self) -> Connections:
        with self._lock:
            if self._pool is None:
                self._pool = Connections(self.access)
            return self._pool

    def _error(self, code: int, text: str, method: str, path: str) -> Exception:
        if code == 410:
            return Gone(message_of(code, text), status=code)
        if code < 500 and (page := words_of(text)) is not None:
            return self._somebody_else(f"{method} {path}: HTTP {code}, a web page: {page}")
        verb = {"POST": "create", "PUT": "replace", "PATCH": "apply"}.get(method, method.lower())
        return error_of(code, text, what=f"{verb} {_short(path)}", context=self.access.context)

    def _somebody_else(self, evidence: str) -> ApiError:
        return ApiError(
            f"what answers at {self.access.server} is not an API server",
            evidence=evidence,
            remedy=f"check the server and proxy of the context {self.access.context}",
        )

    def _unreachable(self, evidence: str) -> ApiUnreachable:
        what, check = "does not answer", "the network and the context"
        if "CERTIFICATE_VERIFY_FAILED" in evidence:
            what = "has a certificate that this kubeconfig does not trust"
            check = "the server's address and its certificate-authority in the context"
        return ApiUnreachable(
            f"the API server {self.access.server} {what}",
            evidence=evidence,
            remedy=f"check {check} {self.access.context}: kubectl version",
        )


def _repeatable(method: str, path: str, query: Mapping[str, Any]) -> bool:
    """Sending it twice is as sending it once; a dry-run or a review of rights makes nothing."""
    return method in _IDEMPOTENT or "dryRun" in query or path.startswith("/apis/authorization.k8s.io/")


def _short(path: str) -> str:
    """/api/v1/namespaces/x/pods/y -> pods/y"""
    parts = path.strip("/").split("/")
    if "namespaces" in parts[:-2]:
        parts = parts[parts.index("namespaces") + 2 :]
    else:
        parts = parts[2 if parts[0] == "api" else 3 :] if parts[0] in ("api", "apis") else parts
    return "/".join(parts) or path
