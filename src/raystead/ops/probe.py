"""Runs doctor's one short Job, reads its answer, and removes it however it ends."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Iterator

from raystead.doctor import probe as probing
from raystead.doctor.model import Check, Observations
from raystead.errors import ApiError
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection, path_of
from raystead.ops.rights import Rights

__all__ = ["SECONDS", "probe"]

SECONDS = 180  # for all of it, pulling the image included
_TICK = 1.0
_PATIENCE = 10.0  # seconds that a fault has to stay: schedulers and registries are tried again
_NEEDED = (("create", "jobs", "batch"), ("delete", "jobs", "batch"), ("list", "pods", ""))
_PULLED = re.compile(r"Successfully pulled image .* in ([0-9hms.]+)(?:s| \()")
_SPAN = re.compile(r"([0-9.]+)(ms|h|m|s)")


def probe(api: Api, seen: Observations, have: Rights, *, seconds: int = SECONDS) -> tuple[Check, ...]:
    """What only a pod can know: image, Ray and Python in it, DNS, somebody else's Redis, the way out.

    Raises:
        ApiUnreachable
    """
    lacking = [
        f"{verb} {resource}" for verb, resource, group in _NEEDED if not have.allows(verb, resource, group)
    ]
    if lacking:
        what = f"a probe needs rights that you lack: {', '.join(lacking)}"
        return (Check("probe", "unknown", what, "SelfSubjectRulesReview", "raystead doctor --rbac"),)
    name = f"{probing.PREFIX}{uuid.uuid4().hex}"  # 122 random bits: nobody else's Job has this name
    out: list[Check] = []
    made: Json = {}
    refused = False
    try:
        made = api.create(collection(api.namespace, "Job"), probing.job(seen, name, seconds))
        for policy in probing.policies(seen, name, made["metadata"]["uid"]):
            api.create(collection(api.namespace, "NetworkPolicy"), policy)
        out += _watched(api, seen, name, seconds)
    except ApiError as error:
        if error.status == 0:
            raise
        refused = True
        out.append(Check("probe", "unknown", f"the probe could not be made: {error.what}", error.evidence))
    finally:
        # Its pod and policies go with it. Without a uid the answer to its creation was lost: it may be there.
        uid = made.get("metadata", {}).get("uid")
        if uid or not refused:
            with contextlib.suppress(ApiError):
                api.delete(path_of(api.namespace, "Job", name), grace=0, uid=uid)
    if why := probing.untellable(seen):
        out.append(Check("state", "unknown", f"whether Redis answers is not known: {why}"))
    return tuple(out)


def _watched(api: Api, seen: Observations, name: str, seconds: int) -> Iterator[Check]:
    """Waits for the pod's end; a fault that stays, or the end of our patience, ends the wait."""
    begun, faulty = time.monotonic(), 0.0
    while time.monotonic() - begun < seconds:
        pods = api.list(collection(api.namespace, "Pod"), labels=f"job-name={name}")
        message = _end(pods[0]) if pods else None
        if message is not None:
            yield from probing.answered(
                seen, message, _pull_seconds(_events(api, pods[0]["metadata"]["name"]))
            )
            return
        if fault := _fault(api, seen, name, pods):
            faulty = faulty or time.monotonic()
            if time.monotonic() - faulty >= _PATIENCE:
                yield fault
                return
        else:
            faulty = 0.0
        time.sleep(_TICK)
    what = f"the probe did not end within {seconds} s, and nothing says why"
    yield Check("probe", "unknown", what, f"job/{name}", "raystead doctor --probe again, or raystead up")


def _fault(api: Api, seen: Observations, name: str, pods: list[Json]) -> Check | None:
    if pods:
        events = _events(api, pods[0]["metadata"]["name"])
        return probing.stuck(seen, pods[0], events, api.now().isoformat())
    failed = [event for event in _events(api, name) if event.get("reason") == "FailedCreate"]
    if not failed:
        return None
    what = "the probe's pod is refused, so nothing more is known"
    return Check("probe", "unknown", what, str(failed[-1].get("message")), "fix the above first")


def _events(api: Api, name: str) -> tuple[Json, ...]:
    try:
        return tuple(api.list(collection(api.namespace, "Event"), fields=f"involvedObject.name={name}"))
    except ApiError:
        return ()


def _end(pod: Json) -> str | None:
    """The container's last words; None while it has not ended."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        ended = (status.get("state") or {}).get("terminated")
        if ended:
            return str(ended.get("message") or f"exit code {ended.get('exitCode')}, {ended.get('reason')}")
    return None


def _pull_seconds(events: tuple[Json, ...]) -> float | None:
    for event in events:
        if event.get("reason") == "Pulled" and (match := _PULLED.search(str(event.get("message")))):
            units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
            parts = _SPAN.findall(match.group(1) if match.group(1)[-1] in "smh" else match.group(1) + "s")
            return sum(float(number) * units[unit] for number, unit in parts)
    return None
