"""The steward: a sidecar of the head that stands in for KubeRay's operator towards Ray's autoscaler.

Usage: `python -m incluster.steward FOLDER`. FOLDER is its ConfigMap: `cluster.json` (the RayCluster),
`pods.json` (by group, the pod to make), `steward.json` (namespace, the ConfigMap's name, the owner's uid).
Beside FOLDER, in `keys`: `tls.pem` and `token`.

It acts with the ServiceAccount whose token is mounted, and keeps its state in the same ConfigMap, which it
watches: a new spec is taken at once, and another steward that has written there is noticed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .facade import PodRefusal, SharedState, server
from .hands import AccountApi, ApiFailed, Hands
from .scaling import TEMPLATE, Json, Scaling, restored

STATE_KEY = "state"  # of the ConfigMap's data: what scaling.stored says
REFUSALS_KEY = "refusals"  # by group: text, most, at
PORT = 8443
_MANAGER = "raystead-steward"  # who wrote the state, for the client that looks for changes by hand
_AGAIN = 2.0  # seconds until the ConfigMap is asked for again
_WATCH = 290  # seconds of one watch
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own for generated names: no words


def suffix() -> str:
    return "".join(random.SystemRandom().choice(_ALPHABET) for _ in range(5))


def say(text: str) -> None:
    print(f"{_now()} {text}", flush=True)  # noqa: T201


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Overtaken(Exception):
    """Another steward has written the state: ours is worth nothing."""


class Kept:
    """The steward's ConfigMap: what it is to do, and the state, which is stored before anybody is told of it.

    Attributes:
        templates: by group, the pod to make but for its name.
        document: the RayCluster.
    """

    def __init__(self, api: AccountApi, name: str, owner: str) -> None:
        self._api, self._name, self._owner = api, name, owner
        self._path = f"/api/v1/namespaces/{api.namespace}/configmaps/{name}"
        self._lock = threading.Lock()
        self._version, self._uid, self._stored = "", "", ""
        self.document: Json = {}
        self.templates: Mapping[str, Json] = {}
        self._texts: tuple[str, str] = ("", "")

    def read(self) -> Json | None:
        """The state that is stored there.

        Raises:
            ApiFailed: it cannot be read, or is another cluster's.
        """
        found = self._api.request("GET", self._path)
        owners = [one.get("uid") for one in found["metadata"].get("ownerReferences") or []]
        if self._owner not in owners:
            raise ApiFailed(409, f"the ConfigMap {self._name} belongs to another cluster")
        with self._lock:
            self._take(found)
            self._stored = (found.get("data") or {}).get(STATE_KEY) or ""
            return json.loads(self._stored) if self._stored else None

    def hashes(self) -> dict[str, str]:
        return {
            group: str((pod["metadata"].get("annotations") or {}).get(TEMPLATE) or "")
            for group, pod in self.templates.items()
        }

    def keep(self, scaling: Scaling) -> None:
        """Raises ApiFailed (an OSError): the state is then as before."""
        self._write({STATE_KEY: json.dumps(scaling.stored(), separators=(",", ":"))})

    def tell(self, refusals: Mapping[str, PodRefusal]) -> None:
        """Stores why pods are refused, for who looks at the cluster."""
        told = {group: {"text": one.text, "most": one.most, "at": _now()} for group, one in refusals.items()}
        self._write({REFUSALS_KEY: json.dumps(told)})

    def _write(self, data: dict[str, str]) -> None:
        """The version that we have seen is the lock: what somebody else wrote is looked at first."""
        with self._lock:
            for attempt in (1, 2, 3):
                body = {"metadata": {"uid": self._uid, "resourceVersion": self._version}, "data": data}
                try:
                    path = f"{self._path}?fieldManager={_MANAGER}"
                    found = self._api.request("PATCH", path, body, kind="application/merge-patch+json")
                except ApiFailed as failed:
                    if failed.status != 409 or attempt == 3:
                        raise
                    self._look()
                    continue
                self._stored = data.get(STATE_KEY, self._stored)
                self._take(found)
                return

    def _look(self) -> None:
        """After a conflict: a new spec, or a new ConfigMap, is no reason to give up; another state is."""
        found = self._api.request("GET", self._path)
        stored = (found.get("data") or {}).get(STATE_KEY) or ""
        if stored not in ("", self._stored):
            raise Overtaken
        self._take(found)

    def _take(self, found: Json) -> None:
        metadata, data = found["metadata"], found.get("data") or {}
        self._version, self._uid = str(metadata["resourceVersion"]), str(metadata["uid"])
        texts = (data.get("cluster.json") or "{}", data.get("pods.json") or "{}")
        if texts != self._texts:
            self.document, self.templates = json.loads(texts[0]), json.loads(texts[1])
            self._texts = texts

    def follow(self, board: SharedState) -> None:
        """Watches the ConfigMap for good: the board gets a new spec, and we end when we are overtaken."""
        fields = quote(f"metadata.name={self._name}")
        base = f"/api/v1/namespaces/{self._api.namespace}/configmaps?fieldSelector={fields}"
        more = f"&watch=1&allowWatchBookmarks=true&timeoutSeconds={_WATCH}"
        taken, never = self.document, threading.Event()

        def take(kind: str, item: Json) -> None:
            nonlocal taken
            if kind == "ERROR":
                raise ApiFailed(int(item.get("code") or 0), str(item.get("message") or "the watch ended"))
            if kind not in ("ADDED", "MODIFIED"):
                return
            with self._lock:
                if int(item["metadata"]["resourceVersion"]) < int(self._version):
                    return  # we have written since
                stored = (item.get("data") or {}).get(STATE_KEY) or ""
                if stored not in ("", self._stored):
                    raise Overtaken
                self._take(item)
                anew = not stored and bool(self._stored)
            if self.document != taken:
                board.set_document(self.document)
                taken = self.document
                say("a new spec")
            if anew:  # somebody deleted the ConfigMap and it was made again
                self.keep(board.scaling)

        while True:
            try:
                # Without a version the watch begins with what is there: nothing is missed in between.
                self._api.watch(base + more, take, never)
            except (ApiFailed, KeyError, ValueError) as error:
                say(f"the ConfigMap cannot be watched, still trying: {error}")
                time.sleep(_AGAIN)


def _read(kept: Kept) -> Json | None:
    while True:
        try:
            return kept.read()
        except ApiFailed as failed:
            say(f"the ConfigMap cannot be read, still trying: {failed}")
            time.sleep(_AGAIN)


def _begin(kept: Kept) -> SharedState:
    """The board with the state of the steward before us; it is stored anew before anybody is told."""
    while True:
        stored = _read(kept)
        board = SharedState(kept.document, suffix)
        board.keep = kept.keep
        try:
            board.begin(restored(stored))
        except OSError as error:
            say(f"the state cannot be stored, still trying: {error}")
            time.sleep(_AGAIN)
            continue
        return board


def _guarded(what: Any, *arguments: Any) -> None:
    """Runs a thread of ours; when one ends, for whatever reason, the container does, and is restarted."""
    try:
        what(*arguments)
    except Overtaken:
        say("another steward has written the state: starting again with it")
    except Exception as error:  # noqa: BLE001 - a container of which half is dead helps nobody
        say(f"{type(error).__name__}: {error}")
    os._exit(3)


def main(folder: str) -> int:
    with open(os.path.join(folder, "steward.json"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        given = json.load(stream)
    keys = os.path.join(os.path.dirname(folder.rstrip("/")), "keys")  # noqa: PTH118, PTH120
    with open(os.path.join(keys, "token"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        secret = stream.read().strip()
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))  # all that counts is stored already
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    api = AccountApi(host, port, given["namespace"])
    kept = Kept(api, given["name"], given["owner"])
    board = _begin(kept)
    hands = Hands(board, api, given["owner"], lambda: kept.templates, kept.hashes, say, kept.tell)
    facade = server(board, given["namespace"], secret, os.path.join(keys, "tls.pem"), PORT)  # noqa: PTH118
    for name, what in (("hands", hands.run), ("facade", facade.serve_forever)):
        threading.Thread(target=_guarded, args=(what,), name=name, daemon=True).start()
    say("acting")
    _guarded(kept.follow, board)
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
