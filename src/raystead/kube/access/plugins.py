"""Login plugins (exec): run as client-go runs them, v1 and v1beta1 of client.authentication.k8s.io."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from raystead.errors import KubeConfigError
from raystead.kube.access.credentials import Login, checked
from raystead.kube.access.kubeconfig import blob

__all__ = ["Plugin", "problems"]

Json = dict[str, Any]
_GROUP = "client.authentication.k8s.io"
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
_EXTENSION = f"{_GROUP}/exec"  # the cluster's extension that a plugin gets as its config
_MODES = ("Never", "IfAvailable", "Always")
_WORDS = 2000  # characters of what a plugin said that an error repeats


def problems(name: str, entry: object) -> Iterator[str]:
    """What keeps the user `name`'s exec stanza from being run."""
    whose = f'the login plugin of its user "{name}"'
    if not isinstance(entry, dict):
        yield f"{whose} is not a mapping"
        return
    version, mode = entry.get("apiVersion"), entry.get("interactiveMode")
    if not isinstance(entry.get("command"), str) or not entry["command"]:
        yield f"{whose} has no command"
    if not version:
        yield f"{whose} has no apiVersion"
    elif version not in _VERSIONS:
        yield f"{whose} speaks {version}; {' and '.join(_VERSIONS)} are known"
    if mode is None and version == _VERSIONS[0]:
        yield f"{whose} has no interactiveMode, which v1 asks for"
    elif mode is not None and mode not in _MODES:
        yield f"{whose} has an interactiveMode that is none of {', '.join(_MODES)}"
    args, env = entry.get("args") or [], entry.get("env") or []
    if not (isinstance(args, list) and all(isinstance(arg, str) for arg in args)):
        yield f"{whose} has args that is not a list of strings"
    pairs = isinstance(env, list) and all(
        isinstance(e, dict)
        and isinstance(e.get("name"), str)
        and e["name"]
        and isinstance(e.get("value", ""), str)
        for e in env
    )
    if not pairs:
        yield f"{whose} has an env that is not a list of names with values"


class Plugin:
    """One user's plugin at one cluster; remembers what it gave until that expires."""

    def __init__(self, entry: Json, cluster: Json) -> None:
        self._entry, self._cluster = entry, cluster
        self._login: Login | None = None
        self._expiry: datetime | None = None

    def expired(self) -> bool:
        return self._expiry is not None and datetime.now(UTC) >= self._expiry

    def login(self, *, again: bool = False) -> Login:
        """What it gave, or gives now: at first, when that has expired, and `again`.

        Raises:
            KubeConfigError: it failed, with its own words.
        """
        if self._login is None or again or self.expired():
            self._login, self._expiry = self._read(self._run())
        return self._login

    @property
    def _name(self) -> str:
        return Path(self._entry["command"]).name

    def _run(self) -> str:
        """Runs it; what it says to stderr is passed on to a terminal and kept for the error."""
        entry = self._entry
        terminal = self._terminal()
        try:
            process = subprocess.Popen(
                [entry["command"], *(entry.get("args") or [])],
                stdin=None if terminal else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(terminal),
            )
        except (OSError, ValueError) as error:
            hint = str(entry.get("installHint") or "").strip()
            raise self._failed(getattr(error, "strerror", None) or str(error), hint) from error
        words: list[bytes] = []
        listener = threading.Thread(target=_pass_on, args=(process.stderr, words, terminal), daemon=True)
        listener.start()
        try:
            output = process.stdout.read() if process.stdout else b""
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
        listener.join(5)
        if code:
            text = b"".join(words).decode("utf-8", "replace").strip()
            raise self._failed(f"exit code {code}: {text[-_WORDS:]}")
        return output.decode("utf-8", "replace")

    def _terminal(self) -> bool:
        """Whether it may ask the user something.

        Raises:
            KubeConfigError: it must, and there is no terminal.
        """
        there = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
        mode = self._entry.get("interactiveMode")
        if mode == "Always" and not there:
            raise self._failed("it asks questions, and standard input is not a terminal")
        return there and mode != "Never"

    def _environment(self, terminal: bool) -> dict[str, str]:
        spec: Json = {"interactive": terminal}
        if self._entry.get("provideClusterInfo"):
            spec["cluster"] = self._cluster_info()
        info = {"kind": "ExecCredential", "apiVersion": self._entry["apiVersion"], "spec": spec}
        own = {e["name"]: e.get("value", "") for e in self._entry.get("env") or []}
        return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}

    def _cluster_info(self) -> Json:
        import base64

        out: Json = {"server": self._cluster["server"]}
        for key in ("tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression"):
            if self._cluster.get(key):
                out[key] = self._cluster[key]
        if authority := blob(self._cluster, "certificate-authority"):
            out["certificate-authority-data"] = base64.b64encode(authority).decode()
        config = None
        for extension in self._cluster.get("extensions") or []:
            if isinstance(extension, dict) and extension.get("name") == _EXTENSION:
                config = extension.get("extension")
        return {**out, "config": config}

    def _read(self, output: str) -> tuple[Login, datetime | None]:
        """The login in its output, which is never repeated: even a wrong one may hold the credential."""
        try:
            given = json.loads(output)
            version, kind, status = given.get("apiVersion"), given.get("kind"), given.get("status")
        except (ValueError, AttributeError):
            raise self._failed("its output is not the JSON of an ExecCredential") from None
        if (kind, version) != ("ExecCredential", self._entry["apiVersion"]):
            known = (
                f"{kind} of {version}" if isinstance(kind, str) and version in _VERSIONS else "something else"
            )
            raise self._failed(f"it gave {known}, not an ExecCredential of {self._entry['apiVersion']}")
        if not isinstance(status, dict):
            raise self._failed("its output has no status")
        token, certificate, key = (
            status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")
        )
        if not all(isinstance(value, str) for value in (token, certificate, key)):
            raise self._failed("its token or its certificate is not a string")
        if not token and not (certificate or key):
            raise self._failed("its output holds no token and no certificate")
        if bool(certificate) != bool(key):
            raise self._failed("it gave a certificate without its key, or a key alone")
        try:
            header = f"Bearer {checked(token)}" if token else None
        except ValueError as error:
            raise self._failed(f"its token {error}") from None
        pair = (certificate.encode(), key.encode()) if certificate else None
        return Login(header, pair), self._moment(status.get("expirationTimestamp"))

    def _moment(self, text: object) -> datetime | None:
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            raise self._failed("its expirationTimestamp is not a time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _failed(self, words: str, hint: str = "") -> KubeConfigError:
        return KubeConfigError(
            f"the kubeconfig's login plugin {self._name} failed",
            evidence=words,
            remedy=hint or "log in as you do for kubectl, then run the same command again",
        )


def _pass_on(stream: IO[bytes] | None, kept: list[bytes], terminal: bool) -> None:
    for line in stream or ():
        kept.append(line)
        if terminal:
            sys.stderr.write(line.decode("utf-8", "replace"))
            sys.stderr.flush()
