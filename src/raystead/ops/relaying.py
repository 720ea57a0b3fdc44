"""The client's side of the relay in the head: Ray's patches come from there, what Ray is to see goes there.

The protocol is `raystead.incluster.relay`'s.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from raystead.errors import RaysteadError, Unsupported
from raystead.incluster.facade import SharedState
from raystead.incluster.relay import HOLD, PATHS, PROTOCOL
from raystead.incluster.scaling import Json, PatchRefused
from raystead.kube.api import Api
from raystead.kube.forward import Forward
from raystead.kube.paths import path_of
from raystead.manifests.autoscaling import STEWARD_PORT, steward_name
from raystead.ops.ray import head_picker
from raystead.rayapi.faults import words_of

if TYPE_CHECKING:
    import ssl

__all__ = ["Link"]

_PAUSE = 2.0  # seconds until the head is tried again
_TIMEOUT = HOLD + 15.0
_REFRESH = 5.0  # seconds after which the view is looked at again, changed or not


class Link:
    """Keeps the relay told and its patches answered, over a port-forward to whichever head pod there is.

    Attributes:
        up: the head's half answers.

    Args:
        client: our id towards the relay.
        say: takes a line when the head comes or goes.
        woken: called when the link has come up.
    """

    def __init__(
        self,
        api: Api,
        cluster: str,
        client: str,
        board: SharedState,
        say: Callable[[str], None],
        woken: Callable[[], None],
    ) -> None:
        self.up = threading.Event()
        self._api, self._cluster, self._client = api, cluster, client
        self._board, self._say, self._woken = board, say, woken
        self._stop, self._lacking = threading.Event(), threading.Event()
        self._http: httpx.Client | None = None
        self._told, self._told_away = "", False
        self._kept_keys: tuple[str, ssl.SSLContext] | None = None

    def run(self) -> None:
        """Until `close`.

        Raises:
            Unsupported: the head's half is of another raystead.
        """
        threading.Thread(target=self._pushing, name="view", daemon=True).start()
        pick = head_picker(self._api, self._cluster)
        while not self._stop.is_set():
            with Forward(self._api, self._api.namespace, pick, STEWARD_PORT) as forward:
                try:
                    with self._opened(forward) as http:
                        self._serve(http)
                except (httpx.HTTPError, ValueError, KeyError, OSError) as error:
                    self._away(forward.last_error or error)
                    if isinstance(error, httpx.HTTPStatusError):  # perhaps the Secret was made anew
                        self._kept_keys = None
                except RaysteadError as error:
                    if isinstance(error, Unsupported):
                        raise
                    self._away(error)
                finally:
                    self.up.clear()
            self._stop.wait(_PAUSE)

    def close(self) -> None:
        """Tells the head's half that nobody acts from now on."""
        self._stop.set()
        if self._http is not None and self.up.is_set():
            with contextlib.suppress(httpx.HTTPError, RuntimeError):  # it finds out by our silence
                self._http.put(f"{PATHS}bye", json={"client": self._client}, timeout=2.0)

    def _opened(self, forward: Forward) -> httpx.Client:
        token, tls = self._kept_keys = self._kept_keys or self._keys()
        return httpx.Client(
            base_url=f"https://{forward.address}",
            headers={"Authorization": f"Bearer {token}"},
            verify=tls,
            timeout=_TIMEOUT,
            trust_env=False,  # a proxy of the shell must not get requests for this machine
        )

    def _keys(self) -> tuple[str, ssl.SSLContext]:
        import ssl

        secret = self._api.get(path_of(self._api.namespace, "Secret", steward_name(self._cluster)))
        values = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        return values["token"].strip(), ssl.create_default_context(cadata=values["ca.crt"])

    def _serve(self, http: httpx.Client) -> None:
        """Says hello, then answers patches until the connection breaks."""
        found = self._put(http, "hello", {})
        if found.get("protocol") != PROTOCOL:
            raise Unsupported(
                "the head runs the steward of another raystead",
                evidence=f"it speaks version {found.get('protocol')} of their protocol, not {PROTOCOL}",
                remedy="raystead restart head",
            )
        self._http, self._told = http, ""
        self._told_away = False
        self.up.set()
        self._say("connected to the head")
        self._woken()
        while not self._stop.is_set():
            answer = http.get(f"{PATHS}patches", params={"client": self._client})
            answer.raise_for_status()
            found = answer.json()
            for patch in found["patches"]:
                self._put(http, "answer", {"id": patch["id"], **self._answer(patch["operations"])})
            if not found["seen"]:
                self._lacking.set()

    def _answer(self, operations: Any) -> Json:
        try:
            return {"status": 200, "body": self._board.patch(operations)}
        except PatchRefused as refused:
            return {"status": refused.status, "message": str(refused)}
        except OSError as error:
            return {"status": 503, "message": f"the wish could not be stored: {error}"}

    def _pushing(self) -> None:
        """Tells the relay the view whenever it has changed."""
        board, seen = self._board, (0, 0)
        while not self._stop.is_set():
            with board.changed:
                seen = self._changed_since(seen)
                view = {"cluster": board.cluster(), "pods": board.pods, "version": board.pods_version}
            http = self._http
            if view["pods"] is None or http is None or not self.up.is_set():
                continue
            text = repr(view)
            if text == self._told and not self._lacking.is_set():
                continue
            self._lacking.clear()
            try:
                self._put(http, "view", view)
                self._told = text
            except (httpx.HTTPError, RuntimeError, ValueError):
                self._stop.wait(_PAUSE)  # the other thread sees it too, and begins anew

    def _changed_since(self, seen: tuple[int, int]) -> tuple[int, int]:
        """Waits for a change of the board, whose lock is held."""
        board = self._board
        board.changed.wait_for(lambda: (board.reports, board.scaling.version) != seen, _REFRESH)
        return board.reports, board.scaling.version

    def _put(self, http: httpx.Client, what: str, body: Json) -> Json:
        answer = http.put(PATHS + what, json={"client": self._client, **body})
        answer.raise_for_status()
        return dict(answer.json())

    def _away(self, error: Exception) -> None:
        if self._stop.is_set():
            return
        why = error.what if isinstance(error, RaysteadError) else words_of(error)
        if not self._told_away:
            self._say(f"the head is away ({why}): workers stay as they are; still trying")
        self._told_away = True
