"""The keys of a cluster in a Redis that it does not own: removed once nothing uses them, or named."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from raystead.base import labels
from raystead.base.kinds import pod_template
from raystead.base.names import Names
from raystead.base.ownership import owners_of
from raystead.errors import ObjectNotFound, RaysteadError
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.manifests.cleanup import cleanup_pod
from raystead.manifests.render import manifests
from raystead.ops.anchor import Anchor
from raystead.ops.events import Event, Note

__all__ = ["Keys", "keys_in", "last_words", "remove"]

_PATIENCE = 90.0  # seconds for the pod that removes keys; its image is on a node already
_TICK = 0.25
_LOG_LINES = 200  # a native crash ends in a hundred lines of stack
# Lines of a native stack, of Python's fault handler and of the C++ logger's frame around a sentence.
_FRAME = re.compile(
    r"\*\*\*|@ |PC: |#\d+ |0x[0-9a-f]+|\S+\(.*\)\s*\[0x|\S*\.so\b|Fatal Python error|Extension modules"
    r"|File \"|(Current t|T)hread |Stack ?[Tt]race|Aborted|\[symbolize|ray::|~"
)
_LOGGED = re.compile(r"^\[[^\]]*\]\s*(\(\S+\)\s*)?(\S+\.(cc|h|py):\d+:?\s*)?")
# What Ray's C++ says before every failed check, a wrong password included.
_BUG = re.compile(r"^An unexpected system state has occurred\..*?work with you to fix it\.\s*")
_TELLING = re.compile(
    r"error|refused|denied|timed? ?out|timeout|wrongpass|noauth|invalid|failed|cannot|could not|unreachable"
    r"|not known|reset",
    re.I,
)


@dataclass(frozen=True)
class Keys:
    """Where keys are.

    Attributes:
        space: Ray's namespace of them: they begin with `RAY<space>@`.
        address: of Redis as the head has it, "" where it is not written out.
        claims: of the head's pod; they hold the data of a Redis that runs in it.
    """

    space: str
    address: str
    claims: tuple[str, ...] = ()

    @property
    def beside_the_head(self) -> bool:
        """Redis is a container of the head's pod, and ends with it."""
        host = self._host[0]
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return host == "localhost"

    def __str__(self) -> str:
        where = f" at {self.address.rpartition('@')[2]}" if self.address else ""
        return f"the keys RAY{self.space}@… in Redis{where}"

    @property
    def command(self) -> str:
        """What removes them, for whoever reaches that Redis."""
        host, port = self._host
        cli = f"redis-cli -h {host or 'HOST'} -p {port or '6379'}"
        return f"{cli} --scan --pattern 'RAY{self.space}@*' | xargs -r {cli} unlink"

    @property
    def _host(self) -> tuple[str, str]:
        plain = self.address.split(",")[0].split("://")[-1].rpartition("@")[2]
        host, colon, port = plain.rpartition(":")
        return (host if colon else plain).strip("[]"), port if colon else ""


def keys_in(objects: Iterable[Json], cluster: str) -> Keys | None:
    """The keys that the head in these objects has in a Redis which is not the cluster's own."""
    ours = {Names(cluster, guide).redis for guide in (True, False)}
    for item in objects:
        template = pod_template(item) or {}
        found = (template.get("metadata") or {}).get("labels") or {}
        if found.get(labels.NODE_TYPE) != "head":
            continue
        spec = template.get("spec") or {}
        ray: Json = next(iter(spec.get("containers") or ()), {})
        env = {str(one.get("name")): one for one in ray.get("env") or ()}
        space = str((env.get("RAY_external_storage_namespace") or {}).get("value") or "")
        if not space or "RAY_REDIS_ADDRESS" not in env:
            return None
        claims = [(v.get("persistentVolumeClaim") or {}).get("claimName") for v in spec.get("volumes") or ()]
        named = tuple(str(claim) for claim in claims if claim)
        keys = Keys(space, str(env["RAY_REDIS_ADDRESS"].get("value") or ""), named)
        return None if keys._host[0] in ours else keys
    return None


def remove(api: Api, anchor: Anchor, pods_ended: bool, emit: Callable[[Event], None]) -> tuple[str, str]:
    """Removes the keys of a cluster whose pods have ended.

    Returns:
        Why they are there still, so that `down` is not done; and where they stay for good.
    """
    pod = cleanup_pod(anchor.cluster, anchor.with_facts())
    keys = keys_in(manifests(anchor.cluster, anchor.with_facts()), anchor.name)
    if pod is None or keys is None:
        return "", ""
    if keys.beside_the_head:
        # That Redis ended with the head's pod, and its data too, unless it is on a claim of the user's.
        claims = " and ".join(f"PersistentVolumeClaim/{claim}" for claim in keys.claims)
        return "", f"{keys}: that Redis ran next to the head, and its data is on {claims}" if claims else ""
    if not pods_ended:
        return f"{keys}: pods still use them", ""
    path = path_of(api.namespace, "Pod", pod["metadata"]["name"])
    emit(Note("removing the cluster's keys from Redis"))
    try:
        _remove_old(api, path, anchor.uid)
        made = api.create(collection(api.namespace, "Pod"), pod)
        phase, why = _ended(api, path)
        with contextlib.suppress(RaysteadError):
            api.delete(path, grace=0, uid=made["metadata"]["uid"])
    except RaysteadError as error:
        phase, why = "", f"{error.what}: {error.evidence}"
    if phase == "Succeeded":
        return "", ""
    again = f"raystead down {anchor.name}"
    return f"{keys}: {why}; {again} tries again, {again} --keep-data leaves them", ""


def _remove_old(api: Api, path: str, anchor_uid: str) -> None:
    """The pod of an attempt that was killed; one that is not ours makes the next request fail."""
    with contextlib.suppress(ObjectNotFound):
        old = api.get(path)
        if anchor_uid in owners_of(old):
            api.delete(path, grace=0, uid=old["metadata"]["uid"])


def _ended(api: Api, path: str) -> tuple[str, str]:
    """The cleanup pod's last phase, and why when it did not succeed."""
    phase, deadline = "", time.monotonic() + _PATIENCE
    while phase not in ("Succeeded", "Failed") and time.monotonic() < deadline:
        time.sleep(_TICK)
        phase = (api.get(path).get("status") or {}).get("phase", "")
    if phase == "Succeeded":
        return phase, ""
    try:
        words = last_words(api.text(f"{path}/log", tailLines=_LOG_LINES))
    except RaysteadError:
        words = ""
    return phase, words or f"the pod for it is {phase or 'not started'} after {_PATIENCE:.0f} s"


def last_words(log: str) -> str:
    """The sentence of a log that says why a program failed: never a frame of a native stack."""
    lines = [_LOGGED.sub("", line.strip()).strip() for line in log.splitlines()]
    lines = [_BUG.sub("", line) for line in lines if line and not _FRAME.match(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines or [""])[-1][:300]
