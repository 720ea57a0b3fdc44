"""A collection kept up to date: list, watch, resume, list again on 410, back off, end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

from raystead.errors import ApiError, Forbidden, KubeConfigError, RaysteadError
from raystead.kube.answers import Gone, error_of
from raystead.kube.api import Api, Json
from raystead.kube.connections import Answer

__all__ = ["Mirror", "final"]

_WATCH_SECONDS = 300  # the server ends the watch then, and we resume it
_SILENCE = 90.0  # seconds without a byte after which a watch is renewed: bookmarks come each minute
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two attempts
_REFUSALS = 3  # of a watch after its list was allowed; then the right is missing
_JOIN = 0.2  # seconds that an end waits for the thread
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
        self._response: Answer | None = None
        self._version = ""  # of the newest event: a broken watch goes on from there
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
            response.shutdown()
        if self._thread.ident:
            self._thread.join(_JOIN)  # in an outage it may be at a request; it tells nobody anything then

    @property
    def items(self) -> list[Json]:
        return list(self.objects.values())

    def _run(self) -> None:
        pause, refused = _FIRST_PAUSE, 0
        while not self._ended.is_set():
            begun, watching = time.monotonic(), False
            try:
                if not self._version:
                    self._version = self._list()
                watching = True
                self._watch()
                refused = 0
            except Gone:
                self._version = ""
            except RaysteadError as error:
                if watching and isinstance(error, Forbidden) and refused < _REFUSALS:
                    # A server that has just started knows no rights yet; a list waits until it does.
                    self._version, refused = "", refused + 1
                else:
                    self.error = error
                    self._tell()
                    if final(error):
                        return
            except OSError:
                pass  # no trouble yet: networks cut idle streams; it is one when no new watch can be opened
            except (ValueError, KeyError, TypeError):
                pass  # a line that was cut, or what somebody between us and the server put there
            if time.monotonic() - begun > _LASTED:
                pause = _FIRST_PAUSE
            self._ended.wait(pause)  # also after a clean end: some proxies end every watch at once
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _tell(self) -> None:
        if not self._ended.is_set():
            self._changed()

    def _list(self) -> str:
        listing = self._api.listing(self._path, labels=self._labels, keep=self._keep)
        self.objects = {item["metadata"]["name"]: item for item in listing["items"]}
        self.error = None
        self.listed.set()
        self._tell()
        return str(listing["metadata"]["resourceVersion"])

    def _watch(self) -> None:
        """Reads one watch to its end."""
        query: Json = {"watch": "1", "resourceVersion": self._version, "timeoutSeconds": _WATCH_SECONDS}
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
                self._version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                name = item["metadata"]["name"]
                objects = dict(self.objects)
                if event["type"] == "DELETED":
                    objects.pop(name, None)
                else:
                    objects[name] = self._keep(item)
                self.objects = objects
                self._tell()
                if self._ended.is_set():
                    break


def final(error: RaysteadError | None) -> bool:
    """No repetition makes it right: the login is refused, a right is missing, the namespace is gone."""
    refused = isinstance(error, ApiError) and error.status in (401, 403, 404)
    return refused or isinstance(error, KubeConfigError)


def _lines(response: Answer) -> Iterator[bytes]:
    """The lines of a stream as they come."""
    rest = b""
    while chunk := response.read1(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
