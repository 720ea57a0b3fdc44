"""A collection kept up to date: list, watch, resume, list anew on 410, back off, end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from raystead.errors import ApiError, Forbidden, RaysteadError
from raystead.kube.answers import Gone, error_of
from raystead.kube.api import Api, Json

__all__ = ["Mirror"]

_WATCH_SECONDS = 300  # the server ends the watch then, and we resume it
_SILENCE = 330.0  # seconds without a byte after which the connection is taken for dead
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two attempts
_REFUSALS = 3  # of a watch after its list was allowed; then the right is missing
_LASTED = 10.0  # seconds: a watch that lasted was a good one, the next pause is the first again


class Mirror:
    """The objects of a collection as the server has them, kept by a thread of its own.

    Attributes:
        objects: by name, newest state; replaced, never changed, so it may be read at any time.
        error: why there is nothing yet, or why the newest state is old; None while all is well.

    Args:
        keep: makes each object smaller.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        *,
        labels: str = "",
        changed: Callable[[], None] = lambda: None,
        keep: Callable[[Json], Json] = lambda item: item,
    ):
        self.objects: dict[str, Json] = {}
        self.error: RaysteadError | None = None
        self.listed = threading.Event()
        self._api, self._path, self._labels, self._changed = api, path, labels, changed
        self._keep = keep
        self._ended = threading.Event()
        self._response: Any = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the watch; the objects stay readable."""
        self._ended.set()
        response = self._response
        if response is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # it ended by itself just now
                response.shutdown()
        if self._thread.ident:
            self._thread.join(2)

    @property
    def items(self) -> list[Json]:
        return list(self.objects.values())

    def _run(self) -> None:
        pause, version, refused = _FIRST_PAUSE, "", 0
        while not self._ended.is_set():
            begun, watching = time.monotonic(), False
            try:
                if not version:
                    version = self._list()
                watching = True
                version = self._watch(version)
                refused = 0
            except Gone:
                version = ""
            except RaysteadError as error:
                if watching and isinstance(error, Forbidden) and refused < _REFUSALS:
                    # A server that has just started knows no rights yet; a list waits until it does.
                    version, refused = "", refused + 1
                else:
                    self.error = error
                    self._changed()
                    if isinstance(error, ApiError) and error.status in (401, 403, 404):
                        return  # no repetition makes it right
            except Exception:  # noqa: BLE001  # a thread's end: what urllib3 raises when a stream breaks
                pass  # no trouble yet: networks cut idle streams; it is one when no new watch can be opened
            if time.monotonic() - begun > _LASTED:
                pause = _FIRST_PAUSE
            self._ended.wait(pause)  # also after a clean end: some proxies end every watch at once
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _list(self) -> str:
        listing = self._api.listing(self._path, labels=self._labels, keep=self._keep)
        self.objects = {item["metadata"]["name"]: item for item in listing["items"]}
        self.error = None
        self.listed.set()
        self._changed()
        return str(listing["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Reads one watch to its end; returns the version to go on from."""
        query: Json = {"watch": "1", "resourceVersion": version, "timeoutSeconds": _WATCH_SECONDS}
        query["allowWatchBookmarks"] = "true"
        if self._labels:
            query["labelSelector"] = self._labels
        with self._api.stream(self._path, timeout=_SILENCE, **query) as response:
            self._response = response
            self.error = None
            for line in _lines(response):
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "ERROR":
                    if item.get("code") == 410:
                        raise Gone(str(item.get("message")), status=410)
                    text = json.dumps(item)
                    raise error_of(int(item.get("code") or 500), text, what=f"watch {self._path}", context="")
                version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                name = item["metadata"]["name"]
                objects = dict(self.objects)
                if event["type"] == "DELETED":
                    objects.pop(name, None)
                else:
                    objects[name] = self._keep(item)
                self.objects = objects
                self._changed()
                if self._ended.is_set():
                    break
        return version


def _lines(response: Any) -> Any:
    """The lines of a stream as they come."""
    rest = b""
    while chunk := response.read1(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
