"""Faults on demand. What needs the machine itself (processes, packets) works on our own test cluster
alone.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kube import Kube, until


@dataclass(frozen=True)
class Faults:
    """Breaks things; what is broken for a while is a context manager and mends it at its end."""

    admin: Kube
    scripts: Path | None  # testcluster/, or None on somebody else's cluster

    def kill_container(self, kube: Kube, pod: str, container: str) -> None:
        """SIGKILL to the container's first process, as the kernel's OOM killer or a crash would."""
        statuses = kube.get("pod", pod)["status"]["containerStatuses"]
        identity = next(s["containerID"] for s in statuses if s["name"] == container).removeprefix(
            "containerd://"
        )
        tasks = self._shell(f"source {self.scripts}/env.sh; ctr tasks ls 2>/dev/null")
        pid = next(int(line.split()[1]) for line in tasks.splitlines() if line.startswith(identity))
        os.kill(pid, signal.SIGKILL)

    def delete_pod(self, kube: Kube, pod: str, *, force: bool) -> None:
        kube.run("delete", "pod", pod, "--wait=false", *(["--force", "--grace-period=0"] if force else []))

    @contextmanager
    def no_network(self, kube: Kube, pod: str) -> Iterator[None]:
        """Cuts every packet from and to a pod, established connections and kubelet's probes included."""
        ip = kube.get("pod", pod)["status"]["podIP"]
        rules = [["PREROUTING", "-s", ip], ["PREROUTING", "-d", ip], ["OUTPUT", "-d", ip]]
        for rule in rules:
            self._iptables("-I", *rule, "-j", "DROP")
        try:
            yield
        finally:
            for rule in rules:
                self._iptables("-D", *rule, "-j", "DROP")

    @contextmanager
    def full_quota(self, kube: Kube, *, pods: int | None = None) -> Iterator[None]:
        """A quota on pods that is used up: by what runs, or set to `pods`."""
        used = len(kube.items("pods")) if pods is None else pods
        admin = self.admin.at(kube.namespace)
        admin.run("create", "quota", "full", f"--hard=pods={used}")
        until(lambda: admin.get("quota", "full")["status"].get("used"), 20, "the quota is counted")
        try:
            yield
        finally:
            admin.run("delete", "quota", "full")

    @contextmanager
    def no_dns(self) -> Iterator[None]:
        system = self.admin.at("kube-system")
        system.run("scale", "deployment/coredns", "--replicas=0")
        until(lambda: not system.items("pods", "-l", "k8s-app=kube-dns"), 60, "CoreDNS is gone")
        try:
            yield
        finally:
            system.run("scale", "deployment/coredns", "--replicas=1")
            system.run("rollout", "status", "deployment/coredns", "--timeout=60s")

    @contextmanager
    def no_api_server(self) -> Iterator[None]:
        self._shell(f"{self.scripts}/component.sh stop apiserver")
        try:
            yield
        finally:
            self._shell(f"{self.scripts}/component.sh start apiserver")
            until(
                lambda: self.admin.run("get", "--raw", "/readyz").stdout == "ok",
                60,
                "the API server is ready",
            )
            # kube-scheduler may exit afterwards ("Scheduler cache is corrupted"); a real cluster's kubelet starts it
            # again, here nobody would.
            for verb in ("stop", "start"):
                self._shell(f"{self.scripts}/component.sh {verb} scheduler")

    def _iptables(self, *words: str) -> None:
        subprocess.run(["iptables", "--wait", "-t", "raw", *words], check=True)

    def _shell(self, text: str) -> str:
        done = subprocess.run(["bash", "-c", text], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
        return done.stdout
