"""The API server's audit log as evidence: what a user asked since a mark, and what they were answered."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from patience import patience

_ASKING = ("selfsubjectrulesreviews", "selfsubjectaccessreviews", "pods/portforward", "pods/exec")


@dataclass(frozen=True)
class Request:
    """One answered request of one user."""

    user: str
    verb: str
    path: str
    resource: str
    namespace: str
    code: int
    agent: str
    dry_run: bool = False

    @property
    def mutates(self) -> bool:
        """It changed something, or was to: no dry-run, no review of rights, no stream."""
        changing = self.verb in ("create", "update", "patch", "delete", "deletecollection")
        return changing and not self.dry_run and self.resource not in _ASKING


def request(event: dict[str, Any]) -> Request:
    what = event.get("objectRef") or {}
    resource = "/".join(part for part in (what.get("resource"), what.get("subresource")) if part)
    return Request(
        user=event.get("impersonatedUser", event["user"])["username"],
        verb=event["verb"],
        path=urlsplit(event["requestURI"]).path,
        dry_run="dryRun=All" in event["requestURI"],
        resource=resource,
        namespace=what.get("namespace", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        agent=event.get("userAgent", ""),
    )


@dataclass
class Audit:
    """Reads the log from where it stood when this was made, or at the last `mark`."""

    log: Path
    offset: int = field(init=False)

    def __post_init__(self) -> None:
        self.mark()

    def mark(self) -> None:
        time.sleep(patience(0.2))  # the log is written after the answer is sent
        self.offset = self.log.stat().st_size

    def _lines(self, user: str) -> list[bytes]:
        """What stands there of the user, once nothing new of them has come for a moment: others write all the time."""
        lines: list[bytes] = []
        count, still, deadline = -1, 0, time.monotonic() + patience(5)
        while still < 3 and time.monotonic() < deadline:
            with self.log.open("rb") as stream:
                stream.seek(self.offset)
                written = stream.read()
            whole = written[: written.rfind(b"\n") + 1]
            lines = [line for line in whole.splitlines() if user.encode() in line]
            still = still + 1 if len(lines) == count else 0
            count = len(lines)
            time.sleep(patience(0.1))
        return lines

    def requests(self, user: str) -> list[Request]:
        """Each request of `user` once, in the order of the answers. A watch counts from its beginning."""
        events: dict[str, dict[str, Any]] = {}
        for line in self._lines(user):
            event = json.loads(line)
            events[event["auditID"]] = event  # the completion of a watch replaces its start
        found = [request(event) for event in events.values()]
        return [r for r in found if r.user == user]

    def of_pods(self, namespace: str) -> list[Request]:
        """What pods of the namespace asked with the ServiceAccounts of that namespace."""
        prefix = f"system:serviceaccount:{namespace}:"
        events = [json.loads(line) for line in self._lines(prefix)]
        return [r for r in map(request, events) if r.user.startswith(prefix)]

    def none_refused(self, user: str) -> list[Request]:
        """The requests of `user`; asserts that there are some and that none was refused (401, 403)."""
        seen = self.requests(user)
        assert seen, f"the audit log holds no request of {user}: nothing is proved"
        refused = [r for r in seen if r.code in (401, 403)]
        assert not refused, f"{user} was refused: {refused}"
        return seen
