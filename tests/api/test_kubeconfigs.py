"""kubectl is the judge: of each kubeconfig in the table both make the same user at the same server, or neither."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bare import Server, free_ports, signed
from kubeconfigs import ANN, CASES, Case, config
from proxies import LOGIN, Proxy

Json = dict[str, Any]
pytestmark = pytest.mark.api
OURS = """
import json, os, sys
from raystead.errors import RaysteadError
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.paths import collection
sys.stdout.write("ready\\n"); sys.stdout.flush()
for line in sys.stdin:
    asked = json.loads(line)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.environ.clear(); os.environ.update(asked["env"]); os.chdir(asked["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        try:
            api = Api(load(**asked["given"]), patience=1)
            api.list(collection(api.namespace, "ConfigMap"))
            said = ""
        except RaysteadError as error:
            said = error.diagnostics()
        except BaseException as error:
            said = f"TRACEBACK {type(error).__name__}: {error}"
        os.write(writing, json.dumps(said).encode() + b"\\n"); os._exit(0)
    os.close(writing); os.wait()
    with os.fdopen(reading) as answer:
        sys.stdout.write(answer.read() or '"NO ANSWER"\\n'); sys.stdout.flush()
"""


class Ours:
    """Our own access, imported once, forked for each case."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OURS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def __call__(self, folder: Path, env: dict[str, str], given: Json) -> str:
        """Our error, "" where it went well."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "env": env, "given": given}) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def ours() -> Iterator[Ours]:
    one = Ours()
    yield one
    one.close()


@pytest.fixture(scope="module")
def values(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the table's texts name in braces."""
    folder = tmp_path_factory.mktemp("proxies")
    authority = (server.folder / "apiserver.crt").read_bytes()
    other, _ = signed("another CA")
    certificate, key = server.client_certificate("carol")
    expired, expired_key = server.client_certificate("carol", days=-1)
    root = signed("proxy CA")
    (folder / "proxy.pem").write_bytes(b"".join(signed("proxy", root, host="localhost")))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "proxy.pem")
    made = {
        "http": Proxy("http", server.port),
        "httplogin": Proxy("http", server.port, login=True),
        "refusing": Proxy("refusing", server.port),
        "https": Proxy("http", server.port, tls),
        "socks": Proxy("socks5", server.port),
        "sockslogin": Proxy("socks5", server.port, login=True),
    }
    user, password = LOGIN[0], LOGIN[1].replace(":", "%3A")
    (closed,) = free_ports(1)

    def text(data: bytes) -> str:
        return data.decode()

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    def line(data: bytes) -> str:
        return json.dumps(data.decode())[1:-1]

    yield {
        "server": server.address,
        "port": str(server.port),
        "closed": str(closed),
        "ann": f"{server.token}-ann",
        "bob": f"{server.token}-bob",
        "admin": f"{server.token}-admin",
        "authority": encoded(authority),
        "ca": text(authority),
        "otherca": text(other),
        "otherca64": encoded(other),
        "proxyca": text(root[0]),
        "certificate": text(certificate),
        "key": text(key),
        "certificate64": encoded(certificate),
        "key64": encoded(key),
        "expired64": encoded(expired),
        "expiredkey64": encoded(expired_key),
        "certificateline": line(certificate),
        "keyline": line(key),
        "path": os.environ["PATH"],
        "http": f"http://127.0.0.1:{made['http'].port}",
        "httpbare": f"127.0.0.1:{made['http'].port}",
        "httplogin": f"http://{user}:{password}@127.0.0.1:{made['httplogin'].port}",
        "httpwrong": f"http://{user}:no@127.0.0.1:{made['httplogin'].port}",
        "refusing": f"http://127.0.0.1:{made['refusing'].port}",
        "https": f"https://localhost:{made['https'].port}",
        "socks": f"socks5://127.0.0.1:{made['socks'].port}",
        "sockslogin": f"socks5://{user}:{password}@127.0.0.1:{made['sockslogin'].port}",
        "sockswrong": f"socks5://{user}:no@127.0.0.1:{made['sockslogin'].port}",
    }
    for proxy in made.values():
        proxy.close()


def filled(text: str, values: dict[str, str]) -> str:
    """The text with what stands in braces put in, as often as it takes: a whole file may stand there."""
    for _ in range(3):
        text = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)
    return text


class Seen:
    """Who asked for ConfigMaps since this was made, by the audit log."""

    def __init__(self, log: Path) -> None:
        self._log, self._offset = log, log.stat().st_size

    def by(self, agent: str, *, wait: bool) -> Json | None:
        """The user, as the server saw it; None where nothing came."""
        deadline = time.monotonic() + (10 if wait else 0.2)
        while True:
            with self._log.open("rb") as stream:
                stream.seek(self._offset)
                lines = stream.read().split(b"\n")[:-1]
            for event in map(json.loads, lines):
                right = event["userAgent"].startswith(agent) and "/configmaps" in event["requestURI"]
                if right and event["responseStatus"]["code"] != 401 and event["stage"] == "ResponseComplete":
                    who = event.get("impersonatedUser") or event["user"]
                    who.get("extra", {}).pop("authentication.kubernetes.io/credential-id", None)
                    return {
                        **who,
                        "namespace": event["objectRef"]["namespace"],
                        "really": event["user"]["username"],
                    }
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)


def laid_out(case: Case, folder: Path, values: dict[str, str]) -> dict[str, str]:
    """Writes the case's files; the environment of both."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(content if isinstance(content, str) else json.dumps(content), values))
        if path.read_text().startswith("#!"):
            path.chmod(0o755)
    (folder / "home").mkdir(exist_ok=True)
    env = {"PATH": values["path"], "HOME": str(folder / "home"), "KUBECONFIG": "config"}
    env |= {name: filled(value, values) for name, value in case.env.items()}
    parts = env["KUBECONFIG"].split(":") if env["KUBECONFIG"] else []
    env["KUBECONFIG"] = ":".join(str(folder / part) if part else "" for part in parts)
    return env


def given(flags: list[str]) -> Json:
    """kubectl's flags as our arguments."""
    names = {"--context": "context", "--kubeconfig": "kubeconfig", "-n": "namespace", "--as": "as_user"}
    names |= {"--as-uid": "as_uid"}
    out: Json = {"as_groups": []}
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        if flag == "--as-group":
            out["as_groups"].append(value)
        else:
            out[names[flag]] = value
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kubeconfig_means_what_kubectl_takes_it_for(
    case: Case, server: Server, ours: Ours, values: dict[str, str], tmp_path: Path
) -> None:
    values = {**values, "folder": str(tmp_path), "json": json.dumps(config(ANN))}
    document = config({})
    values["head"] = "\n".join(f"{k}: {json.dumps(v)}" for k, v in document.items() if k != "users")
    env = laid_out(case, tmp_path, values)
    flags = [filled(flag, values) for flag in case.flags]
    seen = Seen(server.log)
    said: list[str] = []
    worker = threading.Thread(target=lambda: said.append(ours(tmp_path, env, given(flags))))
    worker.start()
    # Without kubectl's discovery where the namespace is not the question: somebody without rights gets no further.
    what = (
        ["--raw", "/api/v1/namespaces/default/configmaps"] if case.namespace == "default" else ["configmaps"]
    )
    kubectl = subprocess.run(
        [server.admin.kubectl, "get", *what, "--request-timeout=8s", *flags],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    worker.join()
    theirs = seen.by("kubectl", wait=bool(case.user))
    mine = seen.by("raystead", wait=bool(case.user if case.ours is None else case.ours))
    evidence = f"kubectl: {theirs} {kubectl.stderr}\nours: {mine} {said[0]}"
    wanted = case.user if case.ours is None else case.ours
    assert "TRACEBACK" not in said[0], evidence
    assert ((theirs or {}).get("username", ""), (mine or {}).get("username", "")) == (case.user, wanted), (
        evidence
    )
    if case.user:
        assert theirs is not None
        assert theirs["namespace"] == case.namespace, evidence
        if case.ours is None:
            assert mine == theirs, evidence
    else:
        assert re.search(case.says[0], kubectl.stderr), evidence
    if not wanted:
        assert re.search(case.says[1], said[0]), evidence
    for secret in (values["ann"], values["bob"], values["admin"], LOGIN[1]):
        assert secret not in said[0], evidence
