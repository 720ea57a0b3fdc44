"""What this machine has for a local cluster: cores, free memory, GPUs; a cgroup's limits count.

In a container or a batch job /proc tells of the whole machine, and the kernel kills what believes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "cgroup_cores", "cgroup_memory", "here"]

_V1_UNLIMITED = 2**60  # v1 writes "no limit" as the largest number of pages


@dataclass(frozen=True)
class Machine:
    """`cores` may be a fraction; `free_memory` in bytes; `gpus` as CUDA_VISIBLE_DEVICES names them."""

    cores: float
    free_memory: int
    gpus: tuple[str, ...]


def here() -> Machine:
    """This machine, as this process may use it now."""
    cores: float = len(os.sched_getaffinity(0)) or 1
    free = _available()
    groups = _cgroups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return Machine(
        cores=min([cores, *cgroup_cores(groups)]),
        free_memory=min([free, *cgroup_memory(groups)]),
        gpus=gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), Path("/dev")),
    )


def gpus(visible: str | None, devices: Path) -> tuple[str, ...]:
    """The GPUs that we may use: those that the caller was given, else all of NVIDIA's."""
    if visible is not None:
        ids = [word.strip() for word in visible.split(",")]
        return tuple(word for word in ids if word and word not in ("-1", "NoDevFiles"))
    found = [m[1] for entry in devices.glob("nvidia*") if (m := re.fullmatch(r"nvidia(\d+)", entry.name))]
    return tuple(sorted(found, key=int))


def cgroup_cores(groups: list[Path]) -> Iterator[float]:
    """Cores of each limit, of cgroup v2 and v1."""
    for group in groups:
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def cgroup_memory(groups: list[Path]) -> Iterator[int]:
    """Bytes that each limit leaves: what the page cache holds can be taken back, and is not in use."""
    for group in groups:
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most = _text(group / limit)
            if not most.isdigit() or int(most) >= _V1_UNLIMITED:
                continue
            stat = dict(re.findall(r"^(\w+) (\d+)$", _text(group / "memory.stat"), re.M))
            in_use = int(_text(group / used) or 0) - int(stat.get(cache, 0))
            yield max(0, int(most) - max(0, in_use))


def _cgroups(own: Path, root: Path) -> list[Path]:
    """The directories whose limits hold for us: our groups and all above them, of v2 and v1.

    In a container the path in `own` may be the host's, which is not mounted: then the mount's root counts.
    """
    found: dict[Path, None] = {}
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mounts = [root, root / "unified"]
        elif {"memory", "cpu"} & set(controllers.split(",")):
            mounts = [root / controllers, *(root / one for one in controllers.split(","))]
        else:
            continue
        for mount in mounts:
            place = mount / path.lstrip("/")
            while place != mount and mount in place.parents:
                found[place] = None
                place = place.parent
            found[mount] = None
    return [place for place in found if place.is_dir()]


def _available() -> int:
    """MemAvailable in bytes."""
    found = re.search(r"^MemAvailable:\s+(\d+)", _text(Path("/proc/meminfo")), re.M)
    return int(found[1]) * 1024 if found else 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
