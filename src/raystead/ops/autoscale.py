"""`raystead autoscale`: makes the workers of an autoscaled cluster with the rights of its user.

For a namespace where nobody may give the steward in the head any rights. That one relays what Ray's
autoscaler wants; here it is stored and done, by the same code that the steward runs where it has the rights.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets as randomness
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from raystead.base.times import when
from raystead.errors import ApiError, ClusterNotFound, RaysteadError, WrongState
from raystead.incluster.hands import ApiFailed, Hands
from raystead.incluster.kept import CLIENT_SECONDS, Kept, Overtaken
from raystead.incluster.scaling import Json
from raystead.kube.answers import error_of
from raystead.kube.api import Api
from raystead.manifests.autoscaling import autoscales, steward_name
from raystead.ops import keepers
from raystead.ops.anchor import Anchor
from raystead.ops.clusters import deleted
from raystead.ops.planning import existing
from raystead.ops.relaying import Link

__all__ = ["acts_here", "autoscale"]

Say = Callable[[str], None]
_RENEW = CLIENT_SECONDS / 3  # seconds: two renewals may fail
_SILENCE = 90.0  # seconds without a byte after which a watch is opened anew: bookmarks come each minute
_LOOK = 1.0  # seconds between two looks at who acts
_CALM = 60.0  # seconds in which the same trouble is told once
_CLOSING = 3.0  # seconds that the link has for its end
_NOTICE = 0.25  # seconds until an end is noticed


def acts_here(anchor: Anchor) -> None:
    """Refuses a cluster that needs no `raystead autoscale`.

    Raises:
        WrongState: it is not autoscaled, or the steward in its head acts itself.
    """
    if not autoscales(anchor.cluster):
        raise WrongState(
            f'"{anchor.name}" is not autoscaled',
            evidence="its spec has no enableInTreeAutoscaling",
            remedy=f"raystead up --name {anchor.name} --autoscale --min 0 --max 10",
        )
    if anchor.facts.steward != "client":
        raise WrongState(
            f'the steward in the head of "{anchor.name}" makes the workers: there is nothing to run here',
            evidence="it has a Role or a ServiceAccount of its own",
            remedy=f"raystead status --name {anchor.name}",
        )


def autoscale(api: Api, anchor: Anchor, say: Say, *, stop: threading.Event | None = None) -> None:
    """Acts until `stop` is set, or it is interrupted (KeyboardInterrupt).

    One that acts already is waited for. `say` takes a line for each thing that happens.

    Raises:
        WrongState: somebody has given the steward in the head its rights meanwhile.
        ClusterNotFound: the cluster was deleted.
    """
    acts_here(anchor)
    stop = stop or threading.Event()
    while not stop.is_set():
        with _Turn(api, anchor, say, stop) as turn:
            turn.run()
        if stop.is_set():
            return
        if (gone := deleted(api, anchor)) is not None:
            raise gone
        now = existing(api, anchor.name)
        if now is None or now.uid != anchor.uid:
            raise ClusterNotFound(f'the cluster "{anchor.name}" is gone', remedy="raystead up")
        acts_here(now)


class _Turn:
    """From the wait for the place of the one that acts to its loss."""

    def __init__(self, api: Api, anchor: Anchor, say: Say, stop: threading.Event) -> None:
        self._api, self._anchor, self._say, self._stop = api, anchor, _calm(say), stop
        host, name = socket.gethostname(), anchor.name
        self._who = f"{_user()}@{host}"
        claim = f"{host}:{os.getpid()}:{randomness.token_hex(4)}"
        self._rights = _UserRights(api)
        ends = keepers.there(api, name, anchor, keepers.wanted(anchor.document))
        self._owner = ends.get("cluster", anchor.uid)  # of the ConfigMap and the pods
        self._kept = Kept(self._rights, steward_name(name), self._owner, claim)
        self._ended, self._claimed_at = threading.Event(), 0.0
        self._error: Exception | None = None
        self._hands: Hands | None = None
        self._link: Link | None = None
        self._threads: list[threading.Thread] = []
        self._id = claim

    def __enter__(self) -> _Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends all that runs, and the claim with it, so that the next one need not wait."""
        if kind is KeyboardInterrupt:
            self._api.hurry()
        self._ended.set()
        mine = self._claimed_at > 0 and not isinstance(self._error, Overtaken)
        if self._hands is not None:
            self._hands.stop()
        if self._link is not None:
            self._link.close()
            self._threads[0].join(_CLOSING)  # it closes the forward, which complains otherwise
        if mine:
            with contextlib.suppress(ApiFailed, Overtaken):
                self._kept.release()

    def run(self) -> None:
        """Acts until another one does, or something is so that it cannot; it says which."""
        stored = self._claim()
        if stored is None:
            return
        try:
            board = self._kept.begin(stored)
        except OSError as error:
            self._say(f"the state cannot be stored: {error}")
            self._stop.wait(_LOOK)
            return
        except Overtaken:
            return
        kept = self._kept
        link = Link(self._api, self._anchor.name, self._id, board, self._say, lambda: hands.wake())
        hands = Hands(
            board,
            self._rights,
            self._owner,
            lambda: kept.templates,
            kept.hashes,
            self._say,
            kept.tell,
            lambda: link.up.is_set() and time.monotonic() - self._claimed_at < CLIENT_SECONDS - _RENEW,
            kept.confirm,
        )
        self._hands, self._link = hands, link
        self._say(f'acting for "{self._anchor.name}": workers are made and deleted from here, until Ctrl-C')
        for part in (link.run, hands.run, self._renewing, lambda: kept.follow(board, self._say, self._ended)):
            self._threads.append(threading.Thread(target=self._guarded, args=(part,), daemon=True))
            self._threads[-1].start()
        while not self._ended.wait(_NOTICE):
            if self._stop.is_set():
                return
        if isinstance(self._error, Overtaken):
            self._say("another client acts now, or the spec is being stored again: looking again")
        elif self._error is not None:
            raise self._error

    def _claim(self) -> Json | None:
        """The stored state, once nobody else acts; None: there is nothing to act for any more, or `stop`."""
        waiting = ""
        while True:
            try:
                stored = self._kept.read()
                other = self._other()
                if not other:
                    self._kept.claim(self._who, self._api.now().timestamp())
                    self._claimed_at = time.monotonic()
                    return stored or {}
                if other != waiting:
                    self._say(f'{other} acts for "{self._anchor.name}" already: this one waits until it ends')
                waiting = other
            except ApiFailed as failed:
                if failed.status == 404:
                    return None
                if failed.status in (401, 403):
                    raise error_of(
                        failed.status,
                        json.dumps({"kind": "Status", "message": str(failed)}),
                        what="read the steward's ConfigMap",
                        context=self._api.access.context,
                    ) from None
                if failed.status != 409:
                    self._say(f"the ConfigMap cannot be read, still trying: {failed}")
            if self._stop.wait(_LOOK):
                return None

    def _other(self) -> str:
        """Who else acts now; "" where nobody does."""
        claim = self._kept.client
        renewed = when(claim.get("renewed"))
        if renewed is None or _dead(str(claim.get("id"))):
            return ""
        age = (self._api.now() - renewed).total_seconds()
        return str(claim.get("who") or "somebody") if age < CLIENT_SECONDS else ""

    def _renewing(self) -> None:
        while not self._ended.wait(_RENEW):
            try:
                self._kept.claim(self._who, self._api.now().timestamp())
                self._claimed_at = time.monotonic()
            except ApiFailed as failed:  # without a claim we stop acting in time
                if failed.status == 404:
                    return  # the ConfigMap was deleted, and with it, most likely, the cluster

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - raised by `run`, in the thread that is waited for
            if not self._ended.is_set():
                self._error = error
        self._ended.set()


class _UserRights:
    """The API server with a user's rights, as `Hands` and `Kept` speak to it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.namespace = api.namespace

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Json:
        path, _, words = path.partition("?")
        query = dict(parse_qsl(words))
        with _translated():
            if method == "GET":
                return self._api.get(path, **query)
            if method == "POST":
                return self._api.create(path, body, again=True)
            if method == "PATCH":
                uid = body["metadata"]["uid"]
                return self._api.patch(path, body, uid=uid, manager=query["fieldManager"])
            return self._api.delete(path, uid=body["preconditions"]["uid"])

    def watch(self, path: str, take: Callable[[str, Json], None], stop: threading.Event) -> None:
        with _translated(), self._api.stream(path, timeout=_SILENCE) as answer:
            rest = b""
            while not stop.is_set() and (chunk := answer.read1(1 << 16)):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    if line:
                        event = json.loads(line)
                        take(str(event["type"]), event["object"])


def _calm(say: Say) -> Say:
    """The same trouble is told once a minute at most."""
    told: dict[str, float] = {}

    def calm(text: str) -> None:
        now = time.monotonic()
        if "still trying" in text:
            if now - told.get(text, -_CALM) < _CALM:
                return
            told[text] = now
        say(text)

    return calm


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Our errors as those that `Hands` and `Kept` know."""
    try:
        yield
    except ApiFailed:
        raise
    except ApiError as error:
        raise ApiFailed(error.status, error.evidence or error.what) from error
    except RaysteadError as error:
        raise ApiFailed(401, error.what) from error
    except OSError as error:
        raise ApiFailed(0, str(error)) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


def _dead(claim: str) -> bool:
    """The client was a process of this machine, and is no more. Wrong only where machines share a name."""
    host, _, rest = claim.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
