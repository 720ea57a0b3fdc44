"""The head's half where a client acts: it hands Ray's patches to `raystead autoscale`, and Ray its answers.

Nothing is decided or kept here: RayCluster, pods and state are the client's, so this half may die at any
moment. The client speaks to it over a port-forward, with the façade's token, under `/raystead/v1/`:

    PUT  hello        {"client": ID}                      begins; whoever was there before is forgotten
    PUT  view         {"client", "cluster", "pods", "version"}   what the autoscaler is to see
    GET  patches      ?client=ID   waits; {"patches": [{"id", "operations"}], "seen": a view of ours is there}
    PUT  answer       {"client", "id", "status", "body" or "message"}
    PUT  bye          {"client": ID}

A client that is not the last one to have said hello gets 409.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .scaling import Json, PatchRefused, with_defaults

PATHS = "/raystead/v1/"
PROTOCOL = 1
HOLD = 5.0  # seconds that a question for patches is held open
_PATIENCE = 20.0  # seconds that the autoscaler waits for a client; it gives up itself after 60
_SILENT = 3 * HOLD  # seconds without a word after which the client is taken for dead
_NOBODY = "nobody acts for the autoscaler: raystead autoscale"


class Relay:
    """What the façade serves, as the client last said it."""

    def __init__(self, document: Json, say: Callable[[str], None] = lambda text: None) -> None:
        self._document, self._say = with_defaults(document), say
        self._document.setdefault("metadata", {})["resourceVersion"] = "0"
        self._client, self._heard = "", 0.0
        self._view: Json | None = None
        self._number = 0
        self._patches: dict[int, Any] = {}
        self._answers: dict[int, Json] = {}
        self._changed = threading.Condition()

    # -- towards the autoscaler -----------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self._document["metadata"]["name"])

    @property
    def pods_version(self) -> str:
        return str((self._view or {}).get("version") or "0")

    def cluster(self) -> Json:
        """The RayCluster; without a client the spec as the head was given it, which decides nothing."""
        with self._changed:
            return self._document if self._view is None else dict(self._view["cluster"])

    def known_pods(self) -> list[Json] | None:
        """None where no client has told them within the autoscaler's patience."""
        with self._changed:
            self._changed.wait_for(self._attended, _PATIENCE)
            return list(self._view["pods"]) if self._attended() and self._view else None

    def patch(self, operations: Any) -> Json:
        """Hands the patch to the client and waits for what it says.

        Raises:
            PatchRefused: it refuses.
            OSError: nobody has answered; the autoscaler asks again.
        """
        with self._changed:
            self._number += 1
            number = self._number
            self._patches[number] = operations
            self._changed.notify_all()
            self._changed.wait_for(lambda: number in self._answers, _PATIENCE)
            self._patches.pop(number, None)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise OSError(_NOBODY)
        if int(answer["status"]) == 200:
            return dict(answer["body"])
        if int(answer["status"]) == 503:
            raise OSError(str(answer.get("message")))
        raise PatchRefused(int(answer["status"]), str(answer.get("message")))

    def _attended(self) -> bool:
        return self._view is not None and time.monotonic() - self._heard < _SILENT

    # -- towards the client ---------------------------------------------------------------------------

    def told(self, what: str, given: Json) -> tuple[int, Json]:
        """A request of the client: the status and body of its answer."""
        with self._changed:
            if what == "hello":
                self._client, self._view = str(given["client"]), None
                self._say(f"{self._client} acts")
            elif given.get("client") != self._client:
                return 409, {"message": "another client has come"}
            elif what == "view":
                self._view = {key: given[key] for key in ("cluster", "pods", "version")}
            elif what == "answer":
                if int(given["id"]) in self._patches:
                    self._answers[int(given["id"])] = given
                if given["status"] == 200 and self._view is not None:
                    self._view["cluster"] = given["body"]
            elif what == "bye":
                self._say(f"{self._client} has ended; nobody acts")
                self._client, self._view = "", None
            else:
                return 404, {"message": f"{what} is not served here"}
            self._heard = time.monotonic()
            self._changed.notify_all()
            return 200, {"protocol": PROTOCOL}

    def patches(self, client: str) -> tuple[int, Json]:
        """The patches that wait for an answer, as soon as there is one."""
        with self._changed:
            self._heard = time.monotonic() if client == self._client else self._heard
            self._changed.wait_for(lambda: bool(self._open()) or client != self._client, HOLD)
            if client != self._client:
                return 409, {"message": "another client has come"}
            self._heard = time.monotonic()
            found = [{"id": number, "operations": self._patches[number]} for number in self._open()]
            return 200, {"patches": found, "seen": self._view is not None}

    def _open(self) -> list[int]:
        return [number for number in self._patches if number not in self._answers]
