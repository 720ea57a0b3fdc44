"""What a pod template asks for that no node can give: told before what the nodes then say of it."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View
from raystead.live.pods import Pod
from raystead.live.reading import dig

__all__ = ["CAUSES", "find"]

_LEAST = 2**20  # bytes; no container starts with less

TINY = Cause(
    "memory-in-thousandths",
    "The memory is so small that nothing can run",
    "container {container} has {side} memory: {said}, which is {bytes}",
    "{means}",
    "{up} {flag}",
    "A container of a pod that is not ready asks for, or is limited to, less than 1 MiB of memory. The "
    "suffix `m` means thousandths: right for CPU, a slip for memory.",
)
CAUSES = (TINY,)


def find(view: View) -> Iterator[Finding]:
    for group in view.groups:
        for pod in group.live:
            if not pod.ready and (found := _tiny(view, pod)):
                yield found


def _tiny(view: View, pod: Pod) -> Finding | None:
    for container in pod.containers:
        for side in ("limits", "requests"):
            memory = dig(container.spec, "resources", side, "memory")
            if memory is None or not 0 < (size := quantities.parse(memory)) < _LEAST:
                continue
            meant = f"{str(memory)[:-1]}Mi" if str(memory).endswith("m") else "1Gi"
            if str(memory).endswith("m"):
                means = f"in a quantity of memory `m` means thousandths of a byte; {meant} was meant"
            else:
                means = "no container starts with so little: the node reports whatever fails first"
            flag = f"--{'head' if pod.group == HEAD else 'worker'}-memory {meant}"
            main = container.name == pod.ray.name and pod.group != REDIS
            words = {
                "container": container.name,
                "side": side,
                "said": memory,
                "bytes": f"{size.normalize():f} bytes",
                "means": means,
                "up": view.up,
                "flag": flag if main else f"-f FILE      with {meant} in place of {memory}",
            }
            evidence = [Evidence(f"resources.{side}.memory: {memory}", pod.subject, pod.created)]
            return TINY.found(Sighting(pod.group, pod.subject, evidence, pod.created), **words)
    return None
