"""The steward: a sidecar of the head that stands in for KubeRay's operator towards Ray's autoscaler.

Usage: `python -m incluster.steward FOLDER`. In FOLDER: `cluster.json` (the RayCluster), `pods.json` (by
group, the pod to make), `steward.json` (namespace, anchor, its uid). Beside FOLDER, in `keys`: `tls.pem` and
`token`.
Where a ServiceAccount's token is mounted, the steward acts by itself and keeps its state in the anchor; where
none is, it waits for the hands of `raystead autoscale`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .facade import Board, server
from .hands import _ACCOUNT as ACCOUNT
from .hands import Api, ApiFailed, Hands
from .scaling import TEMPLATE, Json, Scaling, restored

STATE_KEY = "autoscaler"  # of the anchor's data
PORT = 8443
_LOOK = 5.0  # seconds between two looks at the mounted files; the kubelet renews them within about a minute
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own for generated names: no words


def suffix() -> str:
    return "".join(random.SystemRandom().choice(_ALPHABET) for _ in range(5))


def say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)  # noqa: T201


class Files:
    """The mounted files, read again when the kubelet renews them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._read: dict[str, tuple[float, Any]] = {}

    def get(self, name: str) -> Any:
        path = os.path.join(self._folder, name)  # noqa: PTH118
        changed = os.stat(path).st_mtime  # noqa: PTH116
        before = self._read.get(name)
        if before is None or before[0] != changed:
            with open(path, encoding="utf-8") as stream:  # noqa: PTH123
                before = self._read[name] = (changed, json.load(stream))
        return before[1]

    def templates(self) -> Mapping[str, Json]:
        found: dict[str, Json] = self.get("pods.json")
        return found

    def hashes(self) -> dict[str, str]:
        return {
            group: str((pod["metadata"].get("annotations") or {}).get(TEMPLATE) or "")
            for group, pod in self.templates().items()
        }


class Anchor:
    """Keeps the state in the anchor's data before anybody is told of it."""

    def __init__(self, api: Api, name: str, uid: str) -> None:
        self._api, self._uid = api, uid
        self._path = f"/api/v1/namespaces/{api.namespace}/configmaps/{name}"

    def read(self) -> Json | None:
        found = self._api.request("GET", self._path)
        text = (found.get("data") or {}).get(STATE_KEY)
        state: Json | None = json.loads(text) if text else None
        return state

    def keep(self, scaling: Scaling) -> None:
        """Raises ApiFailed (an OSError): the state is then as before."""
        body = {
            "metadata": {"uid": self._uid},  # another cluster's anchor of that name is not ours
            "data": {STATE_KEY: json.dumps(scaling.stored(), separators=(",", ":"))},
        }
        self._api.request("PATCH", self._path, body, kind="application/merge-patch+json")


def _until(ask: Callable[[], Any], what: str) -> Any:
    while True:
        try:
            return ask()
        except ApiFailed as failed:
            say(f"{what}, still trying: {failed}")
            time.sleep(2.0)


def main(folder: str) -> int:
    files = Files(folder)
    given = files.get("steward.json")
    keys = os.path.join(os.path.dirname(folder.rstrip("/")), "keys")  # noqa: PTH118, PTH120
    with open(os.path.join(keys, "token"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        secret = stream.read().strip()
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))  # all that counts is stored already
    board = Board(files.get("cluster.json"), suffix)
    if os.path.exists(os.path.join(ACCOUNT, "token")):  # noqa: PTH110, PTH118
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        api = Api(host, port, given["namespace"])
        anchor = Anchor(api, given["anchor"], given["uid"])
        stored = _until(anchor.read, "the state in the anchor cannot be read")
        board.scaling = restored(stored)
        board.keep = anchor.keep
        _until(lambda: board.set_document(files.get("cluster.json"), stored), "the state cannot be stored")
        hands = Hands(board, api, given["uid"], files.templates, files.hashes, say)
        threading.Thread(target=hands.run, name="hands", daemon=True).start()
        say("acting with the ServiceAccount's rights")
    else:
        say("no ServiceAccount here: waiting for `raystead autoscale`")
    facade = server(board, given["namespace"], secret, os.path.join(keys, "tls.pem"), PORT)  # noqa: PTH118
    threading.Thread(target=facade.serve_forever, name="facade", daemon=True).start()
    document = files.get("cluster.json")
    while True:
        time.sleep(_LOOK)
        try:
            if (new := files.get("cluster.json")) != document:
                board.set_document(new)
                document = new
                say("a new spec")
        except (OSError, ValueError) as error:
            say(f"the new spec cannot be taken, still trying: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
