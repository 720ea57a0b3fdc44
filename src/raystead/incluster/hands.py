"""Makes the pods what the board says: creates, deletes, watches.

The steward does it with the rights of its ServiceAccount, `raystead autoscale` with those of its user.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from urllib.parse import quote

from .facade import PodRefusal, SeenPods, SharedState
from .scaling import (
    CLUSTER,
    GROUP,
    NODE_TYPE,
    Json,
    Scaling,
    deleted,
    has_ended,
    name_of,
    replace_lost,
    roll,
    slim,
    work,
)

_ACCOUNT = "/var/run/secrets/raystead/serviceaccount"
_PAGE = 250  # pods per answer: a thousand whole pods at once would be 10 MB
_AT_ONCE = 16  # requests; a thousand pods in 8 s are 125 a second
_WATCH = 290  # seconds of one watch; a silent one costs one request in that time
_TICK = 1.0
_AGAIN = 15.0  # seconds after a refusal until it is tried again
_TIMEOUT = 20.0


class ApiFailed(OSError):
    """The API server did not answer, or refused; `status` is the HTTP code, 0 without an answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class StewardApi(Protocol):
    """The API server, with the rights of the steward's ServiceAccount or of a user; raises ApiFailed."""

    namespace: str

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Json: ...

    def watch(self, path: str, take: Callable[[str, Json], None], stop: threading.Event) -> None: ...


class AccountApi:
    """The API server with the ServiceAccount's token, one connection per thread."""

    def __init__(self, host: str, port: int, namespace: str, account: str = _ACCOUNT) -> None:
        self.namespace = namespace
        self._host, self._port, self._account = host, port, account
        self._local = threading.local()
        self._tls = ssl.create_default_context(cafile=os.path.join(account, "ca.crt"))  # noqa: PTH118

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Json:
        """One request, tried twice: the server closes a kept connection that was idle for 90 s.

        A creation too: pods have names, so the second of two is answered 409.

        Raises:
            ApiFailed
        """
        data = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            connection, fresh = self._connection()
            try:
                connection.request(method, path, data, self._headers(kind))
                answer = connection.getresponse()
                found = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if fresh or attempt == 2:
                    raise ApiFailed(0, f"{method} {path}: {error}") from None
                continue
            if answer.status >= 400:
                raise ApiFailed(answer.status, _message(found))
            return json.loads(found or b"{}")  # type: ignore[no-any-return]
        raise AssertionError("unreachable")

    def watch(self, path: str, take: Callable[[str, Json], None], stop: threading.Event) -> None:
        """Gives each event to `take` until the server ends the watch.

        Raises:
            ApiFailed
        """
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=_WATCH + 15, context=self._tls
        )
        try:
            connection.request("GET", path, headers=self._headers("application/json"))
            answer = connection.getresponse()
            if answer.status >= 400:
                raise ApiFailed(answer.status, _message(answer.read()))
            while not stop.is_set() and (line := answer.readline()):
                event = json.loads(line)
                take(str(event["type"]), event["object"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, ApiFailed):
                raise
            raise ApiFailed(0, f"watch: {error}") from None
        finally:
            connection.close()

    def _connection(self) -> tuple[http.client.HTTPSConnection, bool]:
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            return kept, False
        made = http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT, context=self._tls)
        self._local.connection = made
        return made, True

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            self._local.connection.close()
        self._local.connection = None

    def _headers(self, kind: str) -> dict[str, str]:
        # Read each time: the kubelet renews the token within its hour.
        with open(os.path.join(self._account, "token"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
            secret = stream.read().strip()
        return {"Authorization": f"Bearer {secret}", "Content-Type": kind, "Accept": "application/json"}


def _owners(item: Json) -> list[str]:
    return [str(owner.get("uid")) for owner in item["metadata"].get("ownerReferences") or []]


class Hands:
    """Watches the cluster's pods and makes them what the board says.

    Args:
        templates: by group, the whole pod but for its name; `hashes` are those of the templates.
        say: takes a line for each thing that happens.
        may: whether it may act now; asked in each round.
        confirm: called before pods are made or deleted; raises where another one acts by now.
    """

    def __init__(
        self,
        board: SharedState,
        api: StewardApi,
        owner: str,
        templates: Callable[[], Mapping[str, Json]],
        hashes: Callable[[], Mapping[str, str]],
        say: Callable[[str], None],
        tell: Callable[[Mapping[str, PodRefusal]], None] = lambda refusals: None,
        may: Callable[[], bool] = lambda: True,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        self._board, self._api, self._owner, self._say = board, api, owner, say
        self._templates, self._hashes = templates, hashes
        self._pods: dict[str, Json] = {}
        self._asked: dict[str, Json] = {}  # pods that may be there by now, though the watch has not told so
        self._version, self._listed = "0", threading.Event()
        self._changed, self._stop = threading.Event(), threading.Event()
        self._refusals: dict[str, PodRefusal] = {}
        self._tell, self._told, self._may, self._confirm = tell, dict[str, str](), may, confirm
        self._made: set[str] | None = None  # names of pods that have been there; None: no round yet
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pods")

    def run(self) -> None:
        """Until `stop`."""
        threading.Thread(target=self._watching, name="watch", daemon=True).start()
        threading.Thread(target=self._waking, name="board", daemon=True).start()
        while not self._stop.is_set():
            self._changed.wait(_AGAIN if not self._refusals else _TICK)
            self._changed.clear()
            if self._listed.is_set() and self._may():
                try:
                    self._act()
                except OSError as error:
                    self._say(f"still trying: {error}")
                    self._stop.wait(_TICK)
                    self._changed.set()

    def stop(self) -> None:
        self._stop.set()
        self._changed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Begins a round: what `may` says has changed."""
        self._changed.set()

    def _act(self) -> None:
        """One round: forget what ended, replace what is outdated, make what is missing, delete surplus."""
        board = self._board
        self._report()
        mine = self._look()
        before = board.scaling
        gone = self._gone(before, mine)
        kept = replace_lost(before, board.document, mine, board.suffix, gone)
        after = roll(kept, board.document, mine, self._hashes(), board.suffix)
        if after.version > before.version:
            after.version = before.version + 1
            board.move(after)
            ended = gone | {name_of(pod) for pod in mine if has_ended(pod) or deleted(pod)}
            for name in sorted((_names(before) - _names(kept)) & ended):
                self._say(f"worker {name} is gone")
            for name in _names(kept) - _names(after):
                self._say(f"worker {name} was made from an older template: another takes its place")
        now = time.monotonic()
        self._refusals = {k: r for k, r in self._refusals.items() if now - r.at < _AGAIN}
        todo = work(board.scaling, mine)
        make = [(name, group) for name, group in todo.make if group not in self._refusals]
        if make or todo.delete:
            self._confirm()
        self._expect(make)
        jobs = [self._pool.submit(self._delete, pod) for pod in todo.delete]
        jobs += [self._pool.submit(self._make, name, group) for name, group in make]
        for job in jobs:
            job.result()
        texts = {group: refusal.text for group, refusal in self._refusals.items()}
        if texts != self._told:
            self._tell(self._capped(mine))
            self._told = texts

    def _gone(self, scaling: Scaling, mine: list[Json]) -> set[str]:
        """Names whose pods were there and are no more.

        In the first round all that are missing: nobody knows whether the steward before us made them.
        """
        there, named = {name_of(pod) for pod in mine}, _names(scaling)
        with self._lock:
            known = named if self._made is None else self._made & named
            self._made = there | known
        return known - there

    def _look(self) -> list[Json]:
        """Our own workers."""
        with self._lock:
            everyone = list(self._pods.values())
        # another owner, where the cluster's end was agreed otherwise since: the pods get it too
        templates = self._templates().values()
        known = {self._owner, *(uid for template in templates for uid in _owners(template))}
        return [pod for pod in everyone if self._ours(pod, known)]

    def _expect(self, make: list[tuple[str, str]]) -> None:
        """The pods that are about to be made, and those that were and have not been seen yet."""
        templates, wanted = self._templates(), _names(self._board.scaling)
        with self._lock:
            self._asked = {name: pod for name, pod in self._asked.items() if name in wanted}
            for name, group in make:
                if group in templates:
                    pod = {"metadata": {**templates[group]["metadata"], "name": name}}
                    self._asked[name] = slim({**pod, "status": {"phase": "Pending"}})
        self._report()

    def _report(self) -> None:
        """Tells the board of every pod of the cluster, at once, and of none too late.

        Ray's autoscaler v2 takes a node whose pod it has not been told of twice in a row for terminated, for
        good: the pod, seen later, counts as one on which Ray has not started, and is left alone for an hour.
        """
        self._board.report(self._seen)

    def _seen(self) -> SeenPods:
        with self._lock:
            unseen = [pod for name, pod in self._asked.items() if name not in self._pods]
            everyone, version = [*self._pods.values(), *unseen], self._version
        return SeenPods(everyone, version, self._capped(everyone))

    def _capped(self, pods: list[Json]) -> dict[str, PodRefusal]:
        """The refusals, with the replicas that each group has now: with fewer Ray would end a worker."""
        if not self._refusals:
            return {}
        hosts = {g["groupName"]: g["numOfHosts"] for g in self._board.document["spec"]["workerGroupSpecs"]}
        groups = [pod["metadata"]["labels"].get(GROUP) for pod in pods if not deleted(pod)]
        return {
            group: PodRefusal(one.text, groups.count(group) // hosts.get(group, 1), one.at)
            for group, one in list(self._refusals.items())
        }

    def _ours(self, pod: Json, known: set[str]) -> bool:
        owners = _owners(pod)
        return (
            len(owners) == 1
            and owners[0] in known
            and (pod["metadata"]["labels"] or {}).get(NODE_TYPE) == "worker"
        )

    def _make(self, name: str, group: str) -> None:
        template = self._templates().get(group)
        if template is None or group in self._refusals:
            with self._lock:
                self._asked.pop(name, None)
            return
        body = {**template, "metadata": {**template["metadata"], "name": name}}
        try:
            made = self._api.request("POST", f"/api/v1/namespaces/{self._api.namespace}/pods", body)
        except ApiFailed as failed:
            if failed.status == 409:
                return  # it is there: our own try whose answer was lost, or the watch has not told it yet
            if failed.status in (400, 403, 422):
                with self._lock:
                    self._asked.pop(name, None)
                self._refused(group, str(failed).rpartition(" is forbidden: ")[2])
                return
            raise
        self._learn(made)
        self._say(f"worker {name} made, group {group}")

    def _refused(self, group: str, text: str) -> None:
        if group not in self._refusals:
            self._say(f"group {group}: the API server refuses a pod: {text}")
        self._refusals[group] = PodRefusal(text, 0, time.monotonic())
        self._report()

    def _delete(self, pod: Json) -> None:
        body = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        path = f"/api/v1/namespaces/{self._api.namespace}/pods/{quote(name_of(pod))}"
        try:
            gone = self._api.request("DELETE", path, body)
        except ApiFailed as failed:
            if failed.status == 404:
                self._forget(pod)
            elif failed.status != 409:  # another one has its name: the watch will tell
                raise
            return
        self._say(f"worker {name_of(pod)} deleted: it is no longer wanted")
        if gone.get("kind") == "Pod":
            self._learn(gone)

    def _watching(self) -> None:
        """List, watch, list again; an outage is waited for."""
        selector = quote(f"{CLUSTER}={self._board.name}")
        base = f"/api/v1/namespaces/{self._api.namespace}/pods?labelSelector={selector}"
        while not self._stop.is_set():
            try:
                version = self._list(base)
                more = f"&watch=1&allowWatchBookmarks=true&timeoutSeconds={_WATCH}"
                while not self._stop.is_set():
                    with self._lock:
                        version = self._version if self._version != "0" else version
                    self._api.watch(f"{base}{more}&resourceVersion={version}", self._take, self._stop)
            except (ApiFailed, KeyError) as error:
                self._say(f"the pods cannot be watched, still trying: {error}")
                self._stop.wait(_TICK * 2)

    def _list(self, base: str) -> str:
        found: dict[str, Json] = {}
        rest, version = "", "0"
        while True:
            page = self._api.request("GET", f"{base}&limit={_PAGE}{rest}")
            found.update({name_of(pod): slim(pod) for pod in page.get("items") or []})
            version = str(page["metadata"]["resourceVersion"])
            if not page["metadata"].get("continue"):
                break
            rest = f"&continue={quote(page['metadata']['continue'])}"
        with self._lock:
            for name, known in self._pods.items():  # made since: the list does not have them yet
                if name not in found and _newer(_version(known), version):
                    found[name] = known
            self._pods, self._version = found, version
        self._report()
        self._listed.set()
        self._changed.set()
        return version

    def _take(self, kind: str, item: Json) -> None:
        """An event of the watch."""
        if kind == "ERROR":  # 410: what we know is too old to go on from
            raise ApiFailed(int(item.get("code") or 0), str(item.get("message") or "the watch ended"))
        with self._lock:
            if kind == "DELETED":
                self._pods.pop(name_of(item), None)
            elif kind in ("ADDED", "MODIFIED"):
                self._put(item)
            # Only the watch moves it: an answer to a request may be newer than events that are still to come.
            if _newer(_version(item), self._version):
                self._version = _version(item)
        if kind != "BOOKMARK":
            self._report()
            self._changed.set()

    def _learn(self, item: Json) -> None:
        """A pod as a request's answer has it, which may come before the watch's events or after them."""
        with self._lock:
            self._note(item)
            if name_of(item) in self._pods or _newer(_version(item), self._version):
                self._put(item)  # else the watch has been there: the pod is gone by now
        self._report()
        self._changed.set()

    def _note(self, item: Json) -> None:
        """Its name is used up, however soon it goes."""
        if self._made is not None:
            self._made.add(name_of(item))

    def _put(self, item: Json) -> None:
        self._note(item)
        known = self._pods.get(name_of(item))
        if known is None or _newer(_version(item), _version(known)):
            self._pods[name_of(item)] = slim(item)

    def _forget(self, pod: Json) -> None:
        """The API server does not have it."""
        with self._lock:
            known = self._pods.get(name_of(pod))
            if known is not None and known["metadata"].get("uid") == pod["metadata"].get("uid"):
                del self._pods[name_of(pod)]
        self._report()
        self._changed.set()

    def _waking(self) -> None:
        """The board's changes wake the rounds."""
        version = self._board.scaling.version
        while not self._stop.is_set():
            scaling: Scaling = self._board.newer(version)
            if scaling.version != version:
                version = scaling.version
                self._changed.set()


def _names(scaling: Scaling) -> set[str]:
    return {name for group in scaling.groups.values() for name in group.names}


def _version(item: Json) -> str:
    return str(item["metadata"].get("resourceVersion") or "")


def _newer(one: str, other: Any) -> bool:
    """Whether a resourceVersion is the later one; they are numbers since Kubernetes 1.35, and were before."""
    other = str(other or "0")
    return not (one.isdigit() and other.isdigit()) or int(one) > int(other)


def _message(found: bytes) -> str:
    try:
        return str(json.loads(found).get("message") or "")[:1000]
    except ValueError:
        return found[:300].decode("utf-8", "replace")
