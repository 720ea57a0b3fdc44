"""What one command costs: seconds, CPU seconds, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A process begins with the peak memory of whoever forks it, and that would be the bench, with all it imports:
# so a bare Python of 9 MB starts the command, waits for it and writes down what it used.
_STARTER = """
import json, os, sys
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
found = [status, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]
os.write(int(sys.argv[1]), json.dumps(found).encode())
"""


@dataclass(frozen=True)
class Cost:
    """Wall seconds, CPU seconds (user and system), peak memory in MB; the exit code and stderr."""

    seconds: float
    cpu: float
    memory: float
    code: int
    stderr: str


def cost_of(command: Sequence[str], env: Mapping[str, str]) -> Cost:
    """Runs a command to its end, its output unseen."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as report:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STARTER, str(writing), *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[writing],
        )
        seconds = time.monotonic() - begun
        os.close(writing)
        status, cpu, memory = json.loads(report.read())
    return Cost(seconds, cpu, memory, os.waitstatus_to_exitcode(status), done.stderr)
