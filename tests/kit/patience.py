"""How long a test waits: longer on a machine that is busy with something else, so that only what never comes fails.

What is to be fast is asserted where nothing else runs, in tests marked `alone` and in bench/.
"""

import os
from pathlib import Path

_MOST = 6.0  # beyond it a wait is no wait any more; pytest's own time limit ends it


def crowding() -> float:
    """How many processes want each core, at least 1: the last minute's mean, or right now if that is more."""
    cores = os.cpu_count() or 1
    want = os.getloadavg()[0]
    now = Path("/proc/loadavg")
    if now.exists():  # "0.9 0.8 0.7 running/all last-pid"
        want = max(want, float(now.read_text().split()[3].split("/")[0]))
    return min(max(want / cores, 1.0), _MOST)


def patience(seconds: float) -> float:
    """The seconds that something may take now which takes at most so many on a quiet machine."""
    return seconds * crowding()
