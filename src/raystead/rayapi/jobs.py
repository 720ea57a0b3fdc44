"""Ray's job API over HTTP: jobs, packages, logs. The `ray` package is not needed."""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from raystead.base import logs
from raystead.errors import (
    ClusterNotFound,
    Forbidden,
    JobNotFound,
    KubeConfigError,
    NotReady,
    RayRefuses,
    RaysteadError,
    RayUnreachable,
    UploadTooLarge,
    WrongState,
)
from raystead.rayapi.faults import words_of

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_RETRIES = 3  # for GETs only, on a refused connection or a 5xx
_CHUNK = 1 << 20
_LATE = 4.5  # seconds without an answer after which whoever waits is told, and again
_QUIET = (0.2, 3.0)  # seconds without output after which a stream says so: at first, at most
_FIRST = 1.0  # at most, before the first output: whoever waits for that wants to know what it waits for
_MANY = 10_000  # the state API's own limit
# Ray reads a job's output as UTF-8 text, and fails as a whole at the first byte that is none.
_NO_TEXT = "UnicodeDecodeError"
_TAIL = 4000  # characters of an answer in which a traceback ends
T = TypeVar("T")
_LASTING = (ClusterNotFound, Forbidden, KubeConfigError, WrongState)  # another try would fail as well


@dataclass(frozen=True)
class Job:
    """A job as Ray tells it; times in seconds since the epoch."""

    id: str
    status: str
    entrypoint: str
    message: str
    error_type: str | None
    start_time: float | None
    end_time: float | None
    metadata: dict[str, str]
    driver_exit_code: int | None
    driver_node_id: str | None
    raw: dict[str, Any]

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


class JobClient:
    """A client of one cluster's job API; close it or use it as a context manager.

    Args:
        tries: of a GET, on a refused connection or a 5xx.
        why: says why the newest connection failed, where whoever carries connections knows it.

    Attributes:
        late: told every few seconds, with the seconds so far, that a question has no answer yet.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30,
        tries: int = _RETRIES,
        transport: httpx.BaseTransport | None = None,
        why: Callable[[], RaysteadError | None] = lambda: None,
    ) -> None:
        self._why = why
        self.late: Callable[[float], None] | None = None
        self._tries = tries
        self.base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # trust_env: a proxy of the shell must not get requests for this machine.
        self._http = httpx.Client(
            base_url=self.base_url,
            headers=self._headers,
            timeout=timeout,
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> JobClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def version(self) -> dict[str, Any]:
        """Ray's and the API's version."""
        return self._ask(dict, "GET", "/api/version")

    def submit(
        self,
        entrypoint: str,
        *,
        submission_id: str,
        runtime_env: dict[str, Any] | None = None,
        metadata: dict[str, str] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        memory: int | None = None,
        resources: dict[str, float] | None = None,
        label_selector: dict[str, str] | None = None,
    ) -> str:
        """Starts a job; `memory` in bytes. Returns its id.

        Args:
            label_selector: of the driver's node; Ray before 2.54 does not know it and refuses it.
        """
        body: dict[str, Any] = {
            "entrypoint": entrypoint,
            "submission_id": submission_id,
            "runtime_env": runtime_env or {},
            "metadata": metadata or {},
        }
        for key, value in (("num_cpus", num_cpus), ("num_gpus", num_gpus), ("memory", memory)):
            if value is not None:
                body[f"entrypoint_{key}"] = value
        if resources:
            body["entrypoint_resources"] = resources
        if label_selector:
            body["entrypoint_label_selector"] = label_selector
        return self._ask(lambda told: str(told["submission_id"]), "POST", "/api/jobs/", json=body)

    def get(self, job_id: str) -> Job:
        return self._ask(_job, "GET", f"/api/jobs/{job_id}", job_id=job_id)

    def list(self) -> list[Job]:
        """Submitted jobs; drivers that connected by themselves have no id and are left out."""
        return self._ask(
            lambda told: [_job(raw) for raw in told if raw.get("submission_id")], "GET", "/api/jobs/"
        )

    def stop(self, job_id: str) -> bool:
        """Asks Ray to stop the job; False when it had ended."""
        path = f"/api/jobs/{job_id}/stop"
        return self._ask(lambda told: bool(told["stopped"]), "POST", path, job_id=job_id)

    def delete(self, job_id: str) -> None:
        self._call("DELETE", f"/api/jobs/{job_id}", job_id=job_id)

    def logs(self, job_id: str) -> str:
        """The driver's whole output so far; bytes that are not UTF-8 are replaced.

        Raises:
            RayUnreachable: nobody has it, or nobody who has it answers.
        """
        path = f"/api/jobs/{job_id}/logs"
        answer = self._send("GET", path)
        if _no_text(answer):
            return self._raw_logs(self.get(job_id))
        self._checked(answer, "GET", path, job_id)
        return self._read(answer, lambda told: str(told.get("logs") or ""), f"GET {path}")

    def _raw_logs(self, job: Job) -> str:
        """The same file as bytes, from Ray's state API."""
        asked = {"node_id": job.driver_node_id or "", "filename": f"job-driver-{job.id}.log", "lines": "-1"}
        text = self._call("GET", "/api/v0/logs/file", params=asked).content.decode("utf-8", "replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")  # as Ray's own reading does

    def stream(self, job_id: str) -> Iterator[str]:
        """The driver's output from its beginning, as it comes, until Ray or the network ends the stream.

        "" says that nothing came for a while: the time to ask whether the job goes on, for a stream whose
        other side has died silently never ends.
        """
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        url = f"ws{self.base_url.removeprefix('http')}/api/jobs/{job_id}/logs/tail"
        # Ray's dashboard hands our offer of compression on to its job agent and then sends nothing at all.
        # It answers neither pings nor a close: who waits for those loses a job that is silent for 40 s.
        settings: dict[str, Any] = {"compression": None, "max_size": None, "proxy": None}
        settings |= {"open_timeout": 10, "close_timeout": 0.01, "ping_interval": None}
        quiet, most = _QUIET[0], _FIRST
        try:
            with connect(url, additional_headers=self._headers, **settings) as socket:
                while True:
                    try:
                        message = socket.recv(timeout=quiet)
                    except TimeoutError:
                        quiet = min(quiet * 1.2, most)
                        yield ""
                        continue
                    quiet, most = _QUIET
                    yield message if isinstance(message, str) else message.decode("utf-8", "replace")
        except (OSError, WebSocketException):
            return  # best effort: the job API is the truth, the caller asks it

    def workers(self, limit: int = _MANY) -> builtins.list[dict[str, Any]]:
        """Nodes alive that are not the head, as the state API tells them: `node_ip`, `resources_total` …"""
        keys = (("state", "ALIVE"), ("is_head_node", "false"))
        query: builtins.list[tuple[str, str | int]] = [("limit", limit)]
        for key, value in keys:
            query += [("filter_keys", key), ("filter_predicates", "="), ("filter_values", value)]
        return self._nodes(query)

    def node(self, node_id: str) -> dict[str, Any] | None:
        """A node, dead or alive, as the state API tells it: `state`, `node_ip` …; None if it knows none."""
        query = {
            "limit": 1,
            "detail": 1,
            "filter_keys": "node_id",
            "filter_predicates": "=",
            "filter_values": node_id,
        }
        found = self._nodes(query)
        return found[0] if found else None

    def _nodes(self, query: Any) -> builtins.list[dict[str, Any]]:
        def read(told: Any) -> builtins.list[dict[str, Any]]:
            return [dict(node) for node in told["data"]["result"]["result"]]

        return self._ask(read, "GET", "/api/v0/nodes", params=query)

    def package_exists(self, name: str) -> bool:
        """Whether the cluster has the package `_ray_pkg_….zip` already."""
        return self._send("GET", f"/api/packages/gcs/{name}").status_code == 200

    def upload(self, name: str, path: Path, on_progress: Callable[[int, int], None]) -> None:
        """Sends a package; `on_progress` gets bytes sent and bytes in all."""
        total = path.stat().st_size

        def chunks() -> Iterator[bytes]:
            sent = 0
            with path.open("rb") as stream:
                while block := stream.read(_CHUNK):
                    yield block
                    sent += len(block)
                    on_progress(sent, total)

        headers = {"Content-Length": str(total)}
        self._call("PUT", f"/api/packages/gcs/{name}", content=chunks(), headers=headers)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """An answer of whatever status; all tries, and the search for why there is none, are one wait."""
        with self._watched(upload="content" in more):
            return self._tried(method, path, **more)

    def _tried(self, method: str, path: str, **more: Any) -> httpx.Response:
        tries = self._tries if method == "GET" else 1
        for attempt in range(1, tries + 1):
            try:
                begun = time.monotonic()
                answer = self._http.request(method, path, **more)
                logs.request(method, path, answer.status_code, time.monotonic() - begun)
                if answer.status_code < 500 or attempt == tries or _no_text(answer):
                    return answer
            except httpx.HTTPError as error:
                if attempt == tries:
                    raise self._unreachable(f"{method} {path}: {words_of(error)}") from error
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")

    @contextmanager
    def _watched(self, *, upload: bool) -> Iterator[None]:
        """Nobody waits for an answer in silence; an upload shows its progress itself."""
        late, answered, begun = self.late, threading.Event(), time.monotonic()
        if late is None or upload:
            yield
            return

        def tell() -> None:
            while not answered.wait(_LATE):
                late(time.monotonic() - begun)

        threading.Thread(target=tell, name="late", daemon=True).start()
        try:
            yield
        finally:
            answered.set()

    def _unreachable(self, seen: str) -> RaysteadError:
        """What the carrier of our connections says, if it is a reason that stays; else no answer of Ray's."""
        reason = self._why()
        if isinstance(reason, _LASTING):
            return reason
        if isinstance(reason, NotReady):
            return RayUnreachable(reason.what, evidence=reason.evidence, remedy=reason.remedy, stuck=True)
        if isinstance(reason, RayUnreachable):
            seen += f": {reason.evidence}" if reason.evidence else ""
            return RayUnreachable(reason.what, evidence=seen, remedy=reason.remedy)
        if reason is None:
            what = f"Ray's job API at {self.base_url} does not answer"
            return RayUnreachable(what, evidence=seen, remedy="raystead status")
        return RayUnreachable(
            "Ray's job API does not answer",
            evidence=f"{seen}: {reason.what}",
            remedy=reason.remedy or "raystead explain",
        )

    def _ask(
        self, read: Callable[[Any], T], method: str, path: str, *, job_id: str | None = None, **more: Any
    ) -> T:
        """What `read` finds in the JSON of the answer.

        Raises:
            RayUnreachable: it is not an answer of Ray's job API.
        """
        return self._read(self._call(method, path, job_id=job_id, **more), read, f"{method} {path}")

    def _read(self, answer: httpx.Response, read: Callable[[Any], T], asked: str) -> T:
        try:
            return read(answer.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            kind = answer.headers.get("content-type", "no content type")
            seen = f"{asked}: HTTP {answer.status_code}, {kind}, {len(answer.content)} bytes"
            what = f"what answers at {self.base_url} is not Ray's job API"
            raise RayUnreachable(what, evidence=seen, remedy="raystead explain") from error

    def _call(self, method: str, path: str, *, job_id: str | None = None, **more: Any) -> httpx.Response:
        return self._checked(self._send(method, path, **more), method, path, job_id)

    def _checked(
        self, answer: httpx.Response, method: str, path: str, job_id: str | None = None
    ) -> httpx.Response:
        """The answer if it is a good one."""
        if answer.is_success:
            return answer
        what = f"{method} {path}: HTTP {answer.status_code}"
        if answer.status_code in (401, 403):
            missing = (
                "no token was sent"
                if "Authorization" not in self._headers
                else "the token is not this cluster's"
            )
            raise RayRefuses(f"Ray refused: {missing}", evidence=what, remedy="raystead restart head")
        if answer.status_code == 404 and job_id:
            there = ", ".join(job.id for job in self.list()[:10]) or "none"
            raise JobNotFound(
                f'there is no job "{job_id}"', evidence=f"jobs: {there}", remedy="raystead job list"
            )
        if answer.status_code == 413:
            raise UploadTooLarge("Ray refused the upload as too large", evidence=what)
        detail = answer.text.strip().splitlines()
        evidence = f"{what}: {detail[-1][:500] if detail else ''}"
        if taken := next((line for line in detail if "already exists" in line), ""):
            # an answer, though the dashboard tells its agent's 400 as a 500
            evidence = f"{what}: {taken.strip()[:500]}"
            remedy = "give another --submission-id, or look at that one: raystead job list"
            raise RayRefuses("Ray has a job of that id already", evidence=evidence, remedy=remedy)
        kind = RayUnreachable if answer.status_code >= 500 else RayRefuses
        raise kind("Ray's job API reports an error", evidence=evidence)


def _no_text(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 and _NO_TEXT in answer.text[-_TAIL:]


def _job(raw: dict[str, Any]) -> Job:
    def seconds(key: str) -> float | None:
        return raw[key] / 1000 if raw.get(key) else None

    return Job(
        id=raw["submission_id"],
        status=raw["status"],
        entrypoint=raw.get("entrypoint") or "",
        message=raw.get("message") or "",
        error_type=raw.get("error_type"),
        start_time=seconds("start_time"),
        end_time=seconds("end_time"),
        metadata=raw.get("metadata") or {},
        driver_exit_code=raw.get("driver_exit_code"),
        driver_node_id=raw.get("driver_node_id"),
        raw=raw,
    )
