"""The command line as a user of the tests types it: a process of its own, with his kubeconfig."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kube import Kube
from patience import patience

LAST_WORDS = (  # the idle dashboard's lines say nothing
    "cd /tmp/ray/session_latest/logs; for f in $(ls -t *.err *.out dashboard_agent.log *JobHead.log | head -6); "
    "do echo == $f; grep -v 'kube-probe\\|state-dump' $f | tail -n 12 | cut -c1-300; done; grep -h oom /sys/fs/cgroup/memory/memory.oom_control"
)
RAYSTEAD = str(Path(sys.executable).parent / "raystead")


@dataclass(frozen=True)
class Cli:
    """`raystead` as one user in his namespace."""

    user: Kube

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "KUBE"))}
        return {**kept, "KUBECONFIG": str(self.user.kubeconfig)}

    def __call__(
        self, *words: str, code: int | None = 0, timeout: float = 900, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Runs it and expects that exit code; None expects nothing."""
        timeout = patience(timeout)
        try:
            done = subprocess.run(
                [RAYSTEAD, *words], capture_output=True, text=True, env=self.env, timeout=timeout, input=stdin
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode("utf-8", "replace")
            raise AssertionError(
                f"raystead {' '.join(words)} goes on after {timeout:.0f} s:\n{said}"
            ) from None
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"raystead {' '.join(words)} ended with {done.returncode}, not {code}:\n"
                f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{self.evidence()}"
            )
        return done

    def evidence(self) -> str:
        """The pods, and the last lines of what Ray's processes wrote last: a fault may not come twice."""
        said = ""
        with contextlib.suppress(subprocess.TimeoutExpired):  # what went wrong is told in any case
            said += self.user.run("get", "pods", "-o", "wide", check=False, timeout=20).stdout
            pods = [line.split()[0] for line in said.splitlines() if "-head-" in line or "-worker-" in line]
            for pod in pods:
                last = self.user.run("exec", pod, "--", "sh", "-c", LAST_WORDS, check=False, timeout=20)
                said += f"--- {pod}\n{last.stdout[-6000:]}{last.stderr[-500:]}"
        return said

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Starts it, for what happens meanwhile."""
        return subprocess.Popen(
            [RAYSTEAD, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
            stdin=subprocess.DEVNULL,
        )
