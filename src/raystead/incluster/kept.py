"""The steward's ConfigMap: what is to be done, and the state, stored before anybody is told of it.

Who acts on it, the steward in the head or `raystead autoscale`, is decided here too: each write names the
version that was read, so that two never act on different states.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from .facade import PodRefusal, SharedState
from .hands import ApiFailed, StewardApi
from .scaling import TEMPLATE, Json, Scaling, restored

STATE_KEY = "state"  # of the ConfigMap's data: what scaling.stored says
REFUSALS_KEY = "refusals"  # by group: text, most, at
CLIENT_KEY = "client"  # the `raystead autoscale` that acts: id, who, renewed
CLIENT_SECONDS = 15  # a client that has not renewed its claim for so long is taken for dead, as in client-go
_MANAGER = "raystead-steward"  # who wrote the state, for the client that looks for changes by hand
_AGAIN = 2.0  # seconds until the ConfigMap is asked for again
_WATCH = 290  # seconds of one watch
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own for generated names: no words


def suffix() -> str:
    return "".join(random.SystemRandom().choice(_ALPHABET) for _ in range(5))


def written(seconds: float) -> str:
    """Seconds since 1970 as Kubernetes writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Overtaken(Exception):
    """Somebody else has written the state, or acts now: ours is worth nothing."""


class Kept:
    """The ConfigMap as we know it.

    Attributes:
        templates: by group, the pod to make but for its name.
        document: the RayCluster.
        client: the claim of the `raystead autoscale` that acts, {} where there is none.
    """

    def __init__(self, api: StewardApi, name: str, owner: str, claim: str = "") -> None:
        """`claim`: the id of the client that we are; "" for the steward in the head."""
        self._api, self._name, self._owner, self._claim = api, name, owner, claim
        self._path = f"/api/v1/namespaces/{api.namespace}/configmaps/{name}"
        self._lock = threading.Lock()
        self._version, self._uid, self._stored = "", "", ""
        self._tried: set[str] = set()  # states of ours that may be stored: nobody has answered
        self._claimed = False
        self.document: Json = {}
        self.client: Json = {}
        self.templates: Mapping[str, Json] = {}
        self._texts: tuple[str, str] = ("", "")
        self._board: SharedState | None = None

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
        self._write({STATE_KEY: _text(scaling)})

    def tell(self, refusals: Mapping[str, PodRefusal]) -> None:
        """Stores why pods are refused, for who looks at the cluster."""
        at = written(time.time())
        told = {group: {"text": one.text, "most": one.most, "at": at} for group, one in refusals.items()}
        self._write({REFUSALS_KEY: json.dumps(told)})

    def claim(self, who: str, now: float) -> None:
        """Says that this client acts, for CLIENT_SECONDS from `now` (seconds since 1970, the server's).

        Raises:
            ApiFailed: 409 where somebody has written meanwhile and this client has not acted yet.
            Overtaken: another one acts by now.
        """
        text = json.dumps({"id": self._claim, "who": who, "renewed": written(now)})
        self._write({CLIENT_KEY: text}, tries=3 if self._claimed else 1)
        self._claimed = True

    def release(self) -> None:
        """Nobody acts from now on."""
        self._write({CLIENT_KEY: None})

    def _write(self, data: dict[str, str | None], tries: int = 3) -> None:
        """The version that we have seen is the lock: what somebody else wrote is looked at first."""
        with self._lock:
            self._tried.add(data.get(STATE_KEY) or self._stored)
            for attempt in range(1, tries + 1):
                body = {"metadata": {"uid": self._uid, "resourceVersion": self._version}, "data": data}
                try:
                    path = f"{self._path}?fieldManager={_MANAGER}"
                    found = self._api.request("PATCH", path, body, kind="application/merge-patch+json")
                except ApiFailed as failed:
                    if failed.status != 409 or attempt == tries:
                        raise
                    self._look()
                    continue
                self._stored = data.get(STATE_KEY) or self._stored
                self._tried.clear()  # what is still under way names an older version, and is refused
                self._take(found)
                return

    def confirm(self) -> None:
        """Looks whether what we are about to do is still ours to do.

        A process that was paused knows of no other: pods that the other one made would be surplus to it. And
        who suspends a cluster deletes its pods: they are not to be replaced because the watch is slower.

        Raises:
            ApiFailed, Overtaken
        """
        with self._lock:
            self._look()
            if self._board is not None and self.document != self._board.given:
                raise ApiFailed(0, "a new spec has come, which is taken first")

    def _look(self) -> None:
        """A new spec, or a new ConfigMap, is no reason to give up; another state is."""
        found = self._api.request("GET", self._path)
        self._refuse_others(found)
        self._take(found)

    def _refuse_others(self, found: Json) -> None:
        data = found.get("data") or {}
        state = data.get(STATE_KEY) or ""
        if state not in ("", self._stored, *self._tried):
            raise Overtaken
        other = _json(data, CLIENT_KEY).get("id", self._claim) != self._claim
        if self._claimed and (other or _json(data, "steward.json").get("acts") != CLIENT_KEY):
            raise Overtaken  # by another client, or by a steward that has its own rights now
        self._stored = state or self._stored

    def _take(self, found: Json) -> None:
        metadata, data = found["metadata"], found.get("data") or {}
        self._version, self._uid = str(metadata["resourceVersion"]), str(metadata["uid"])
        self.client = _json(data, CLIENT_KEY)
        texts = (data.get("cluster.json") or "{}", data.get("pods.json") or "{}")
        if texts != self._texts:
            self.document, self.templates = json.loads(texts[0]), json.loads(texts[1])
            self._texts = texts

    def follow(self, board: SharedState, say: Callable[[str], None], stop: threading.Event) -> None:
        """Watches the ConfigMap: the board gets a new spec.

        Raises:
            Overtaken: somebody else acts.
        """
        fields = quote(f"metadata.name={self._name}")
        base = f"/api/v1/namespaces/{self._api.namespace}/configmaps?fieldSelector={fields}"
        more = f"&watch=1&allowWatchBookmarks=true&timeoutSeconds={_WATCH}"

        def take(kind: str, item: Json) -> None:
            if kind == "ERROR":
                raise ApiFailed(int(item.get("code") or 0), str(item.get("message") or "the watch ended"))
            if kind not in ("ADDED", "MODIFIED"):
                return
            with self._lock:
                if int(item["metadata"]["resourceVersion"]) < int(self._version):
                    return  # we have written since
                self._refuse_others(item)
                self._take(item)
                stored = (item.get("data") or {}).get(STATE_KEY) or ""
                anew = not stored and bool(self._stored)
            if self.document != board.given:  # also where a write of ours has met it before the watch did
                board.set_document(self.document)
                say("a new spec")
            with board.changed:
                # Somebody deleted the ConfigMap and it was made again, or it holds a state whose write nobody
                # answered, so that the autoscaler was told that it had failed.
                if anew or self._stored != _text(board.scaling):
                    self.keep(board.scaling)

        while not stop.is_set():
            try:
                # Without a version the watch begins with what is there: nothing is missed in between.
                self._api.watch(base + more, take, stop)
            except (ApiFailed, KeyError, ValueError) as error:
                say(f"the ConfigMap cannot be watched, still trying: {error}")
                stop.wait(_AGAIN)

    def begin(self, stored: Json | None) -> SharedState:
        """The board with the state of who acted before us; it is stored anew before anybody is told.

        Raises:
            OSError: it could not be stored.
        """
        board = self._board = SharedState(self.document, suffix)
        board.keep = self.keep
        board.begin(restored(stored))
        return board


def _text(scaling: Scaling) -> str:
    return json.dumps(scaling.stored(), separators=(",", ":"))


def _json(data: Mapping[str, Any], key: str) -> Json:
    try:
        found = json.loads(data.get(key) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
