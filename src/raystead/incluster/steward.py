"""The steward: a sidecar of the head that stands in for KubeRay's operator towards Ray's autoscaler.

Usage: `python -m incluster.steward FOLDER`. FOLDER is its ConfigMap: `cluster.json` (the RayCluster),
`pods.json` (by group, the pod to make), `steward.json` (namespace, the ConfigMap's name, the owner's uid, and
who acts). Beside FOLDER, in `keys`: `tls.pem` and `token`.

It acts with the ServiceAccount whose token is mounted, and keeps its state in the same ConfigMap, which it
watches: a new spec is taken at once, and another steward that has written there is noticed. Where nobody in
the namespace could give it the rights, it only relays: `raystead autoscale` acts, on somebody's machine.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from .facade import ServedCluster, SharedState, server
from .hands import AccountApi, ApiFailed, Hands
from .kept import Kept, Overtaken, written
from .relay import Relay
from .scaling import Json

PORT = 8443
CLIENT = "client"  # who acts, where it is not the steward itself
_AGAIN = 2.0  # seconds until the ConfigMap is asked for again


def say(text: str) -> None:
    print(f"{written(time.time())} {text}", flush=True)  # noqa: T201


def _begin(kept: Kept) -> SharedState:
    while True:
        try:
            return kept.begin(kept.read())
        except ApiFailed as failed:
            say(f"the ConfigMap cannot be read or written, still trying: {failed}")
            time.sleep(_AGAIN)


def _guarded(what: Any, *arguments: Any) -> None:
    """Runs a thread of ours; when one ends, for whatever reason, the container does, and is restarted."""
    try:
        what(*arguments)
    except Overtaken:
        say("another steward has written the state: starting again with it")
    except Exception as error:  # noqa: BLE001 - a container of which half is dead helps nobody
        say(f"{type(error).__name__}: {error}")
    os._exit(3)


def _serving(source: ServedCluster, relay: Relay | None, given: Json, keys: str) -> None:
    with open(os.path.join(keys, "token"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        secret = stream.read().strip()
    pem = os.path.join(keys, "tls.pem")  # noqa: PTH118
    server(source, given["namespace"], secret, pem, PORT, relay).serve_forever()


def _relaying(folder: str, given: Json, keys: str) -> None:
    with open(os.path.join(folder, "cluster.json"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        relay = Relay(json.load(stream), say)
    say("relaying: raystead autoscale acts")
    _guarded(_serving, relay, relay, given, keys)


def _acting(given: Json, keys: str) -> None:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    api = AccountApi(host, port, given["namespace"])
    kept = Kept(api, given["name"], given["owner"])
    board = _begin(kept)
    hands = Hands(
        board, api, given["owner"], lambda: kept.templates, kept.hashes, say, kept.tell, confirm=kept.confirm
    )
    for name, what, words in (("hands", hands.run, ()), ("facade", _serving, (board, None, given, keys))):
        threading.Thread(target=_guarded, args=(what, *words), name=name, daemon=True).start()
    say("acting")
    _guarded(kept.follow, board, say, threading.Event())


def main(folder: str) -> int:
    with open(os.path.join(folder, "steward.json"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        given = json.load(stream)
    keys = os.path.join(os.path.dirname(folder.rstrip("/")), "keys")  # noqa: PTH118, PTH120
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))  # all that counts is stored already
    if given.get("acts") == CLIENT:
        _relaying(folder, given, keys)
    else:
        _acting(given, keys)
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
