"""The steward's own program as a process of this machine, on an API server whose pods never run."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from bare import free_ports
from kube import Kube, until

import raystead

STEWARD = "raystead-auto-steward"
# As in the pod, but for the account's folder and the port.
RUN = """
import sys
from incluster import hands, steward
steward.PORT, account = int(sys.argv[2]), sys.argv[3]
steward.AccountApi = lambda *words: hands.AccountApi(*words, account)
sys.exit(steward.main(sys.argv[1]))
"""


def container(**limits: str) -> dict[str, Any]:
    return {"name": "ray", "image": "rayproject/ray:2.60.0", "resources": {"limits": limits}}


def spec(most: int, *more: str) -> str:
    """A RayCluster `auto` with a group `small` of 0 to `most` workers; `more` are other groups."""
    template = {"spec": {"containers": [container(cpu="1", memory="1Gi")]}}
    bounds = {"minReplicas": 0, "maxReplicas": most, "replicas": 0, "template": template}
    groups = [{"groupName": name, **bounds} for name in ("small", *more)]
    body = {"rayVersion": "2.60.0", "enableInTreeAutoscaling": True, "headGroupSpec": {"template": template}}
    document = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "auto"}}
    return yaml.safe_dump({**document, "spec": {**body, "workerGroupSpecs": groups}})


class StewardProcess:
    """The steward of the cluster `auto` of `user`, who may do what its Role allows and more.

    Attributes:
        lines: what it has said.
    """

    def __init__(self, user: Kube) -> None:
        self.user, self.folder = user, tempfile.TemporaryDirectory()
        self.port, self.lines = free_ports(1)[0], list[str]()
        here = Path(self.folder.name)
        config = yaml.safe_load(user.kubeconfig.read_text())
        self.place = urlsplit(config["clusters"][0]["cluster"]["server"])
        authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        secret = {k: base64.b64decode(v).decode() for k, v in user.get("secret", STEWARD)["data"].items()}
        files = {
            "account/ca.crt": base64.b64decode(authority).decode(),
            "account/token": config["users"][0]["user"]["token"],
            "keys/tls.pem": secret["tls.pem"],
            "keys/token": secret["token"],
            **{f"config/{k}": v for k, v in user.get("configmap", STEWARD)["data"].items() if "." in k},
        }
        for name, text in files.items():
            (here / name).parent.mkdir(exist_ok=True)
            (here / name).write_text(text)
        self.secret, self.tls = secret["token"], ssl.create_default_context(cadata=secret["ca.crt"])
        self.start()

    def start(self) -> None:
        """It, or the next one after its end; the kubelet does that in a pod."""
        here = Path(self.folder.name)
        assert self.place.hostname is not None
        assert self.place.port is not None
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(here / "config"), str(self.port), str(here / "account")],
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PYTHONPATH": str(Path(raystead.__file__).parent),
                "KUBERNETES_SERVICE_HOST": self.place.hostname,
                "KUBERNETES_SERVICE_PORT": str(self.place.port),
            },
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        until(self.answers, 30, "it serves", every=0.05)

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.lines.append(line)

    def ask(self, method: str = "GET", body: Any = None) -> dict[str, Any]:
        """The RayCluster, as Ray's autoscaler asks for it or patches it."""
        path = f"/apis/ray.io/v1/namespaces/{self.user.namespace}/rayclusters/auto"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {self.secret}")
        with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
            return dict(json.load(answer))

    def answers(self) -> bool:
        try:
            return bool(self.ask())
        except OSError:
            return False

    def want(self, replicas: int, *gone: str, group: int = 0) -> None:
        """What Ray's autoscaler patches: so many, and who goes."""
        path = f"/spec/workerGroupSpecs/{group}"
        wish = [
            {"op": "replace", "path": f"{path}/replicas", "value": replicas},
            {"op": "replace", "path": f"{path}/scaleStrategy", "value": {"workersToDelete": gone}},
        ]
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("PATCH", wish)
                return
            except OSError:  # killed meanwhile: Ray's autoscaler asks again, too
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def memory(self) -> float:
        """Megabytes that it has now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.folder.cleanup()
