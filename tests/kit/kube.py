"""What the cluster tests say to Kubernetes: kubectl as one user, in one namespace. No product code:
tests judge it from outside.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from patience import crowding, patience

_LONGEST = 600.0  # seconds


@dataclass(frozen=True)
class Kube:
    """kubectl with one kubeconfig; `namespace` is where commands go that name none."""

    kubectl: Path
    kubeconfig: Path
    namespace: str = "default"
    user: str = "admin"

    def at(self, namespace: str) -> "Kube":
        return replace(self, namespace=namespace)

    def run(
        self, *words: str, stdin: str | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *words]
        done = subprocess.run(
            command, input=stdin, text=True, capture_output=True, timeout=patience(timeout), check=False
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)} as {self.user}: {done.stderr.strip()}")
        return done

    def out(self, *words: str, **more: Any) -> str:
        return self.run(*words, **more).stdout

    def get(self, *words: str) -> Any:
        return json.loads(self.out("get", *words, "-o", "json"))

    def items(self, *words: str) -> list[Any]:
        return list(self.get(*words)["items"])

    def apply(self, *documents: Any) -> None:
        """Applies dicts, or YAML text or files."""
        texts = [
            d.read_text() if isinstance(d, Path) else d if isinstance(d, str) else yaml.safe_dump(d)
            for d in documents
        ]
        self.out("apply", "--server-side", "-f", "-", stdin="\n---\n".join(texts))

    def can(self, verb: str, resource: str, subresource: str = "") -> bool:
        extra = [f"--subresource={subresource}"] if subresource else []
        return self.run("auth", "can-i", verb, resource, *extra, check=False).stdout.strip() == "yes"

    def exec(self, pod: str, *command: str, check: bool = True, timeout: float = 60) -> str:
        return self.out("exec", pod, "--", *command, check=check, timeout=timeout)


def until(what: Callable[[], Any], seconds: float, why: str, every: float = 0.25) -> Any:
    """Waits until `what()` is true and returns it; an AssertionError inside counts as not yet.

    `seconds` is what a quiet machine may take; the busier this one is meanwhile, the longer it waits, but not
    beyond ten minutes: what has not come by then holds up all other tests.
    """
    begun, last, busy = time.monotonic(), None, 1.0
    while (waited := time.monotonic() - begun) < min(seconds * busy, max(seconds, _LONGEST)):
        try:
            if last := what():
                return last
        except (AssertionError, subprocess.TimeoutExpired) as error:
            last = error
        busy = max(busy, crowding())
        time.sleep(every)
    raise AssertionError(f"not within {waited:.0f} s: {why} (last: {last})")


RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(
    name: str, image: str, command: Iterable[str], labels: dict[str, str] | None = None, **container: Any
) -> dict[str, Any]:
    """A pod of one small container that passes PodSecurity restricted."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": list(command),
                    "securityContext": RESTRICTED,
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"cpu": "500m", "memory": "256Mi"},
                    },
                    **container,
                }
            ],
        },
    }
