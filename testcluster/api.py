"""The few words the test cluster's own helpers speak to the API server: list, watch, create, delete,
with the standard library.
"""

import http.client
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable

Object = dict


class Api:
    """One administrator's view of one API server; `pki` holds ca.crt, admin.crt and admin.key."""

    def __init__(self, pki: str, server: str) -> None:
        self.address = urllib.parse.urlsplit(server)
        self.tls = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        self.tls.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")

    def connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self.address.hostname, self.address.port, context=self.tls, timeout=timeout
        )

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        connection = self.connect(10)
        try:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            connection.request(
                method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind}
            )
            answer = connection.getresponse()
            data = json.loads(answer.read())
            if answer.status >= 300 and answer.status not in (404, 409):
                raise OSError(f"{method} {path}: {answer.status} {data.get('message')}")
            return data
        finally:
            connection.close()


class Mirror(threading.Thread):
    """Keeps `objects` (by namespace and name) as the server has them; calls `changed` after each change."""

    def __init__(self, api: Api, path: str, changed: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.api, self.path, self.changed = api, path, changed
        self.objects: dict[tuple[str, str], Object] = {}
        self.listed = threading.Event()
        self.start()

    def run(self) -> None:
        while True:
            try:
                listing = self.api.call("GET", self.path)
                self.objects = {key(item): item for item in listing["items"]}
                self.listed.set()
                self.changed()
                self.watch(listing["metadata"]["resourceVersion"])
            except (TimeoutError, OSError, ValueError, KeyError, http.client.HTTPException) as error:
                print(f"{self.path}: {error}", flush=True)
                time.sleep(0.5)

    def watch(self, version: str) -> None:
        connection = self.api.connect(330)
        try:
            connection.request("GET", f"{self.path}?watch=1&resourceVersion={version}&timeoutSeconds=300")
            stream = connection.getresponse()
            while line := stream.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                # A new dict each time: the reader may be walking the old one.
                objects = dict(self.objects)
                if event["type"] == "DELETED":
                    objects.pop(key(event["object"]), None)
                else:
                    objects[key(event["object"])] = event["object"]
                self.objects = objects
                self.changed()
        finally:
            connection.close()


def key(item: Object) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
