"""What a namespace adds to our Jobs, by the server's answer to a dry-run, and what that means. Pure."""

from __future__ import annotations

from msgspec import Struct

from raystead.base import labels
from raystead.base.times import span
from raystead.live.pods import DEADLINE
from raystead.spec.model import Json

__all__ = ["Imposed", "imposed"]

_TTL = "ttlSecondsAfterFinished"


class Imposed(Struct, frozen=True):
    """One thing that is added: `ends` tells that a cluster would end because of it while it is used."""

    what: str
    evidence: str
    ends: bool = False


def imposed(job: Json, answer: Json) -> list[Imposed]:
    """What the answer has and the Job as rendered has not."""
    name = f"Job/{job['metadata']['name']}"
    role = (job["metadata"].get("labels") or {}).get(labels.ROLE)
    asked, given = job["spec"], answer.get("spec") or {}
    out = []
    seconds = given.get(DEADLINE)
    if seconds is not None and asked.get(DEADLINE) is None:
        evidence = f"the dry-run of {name} came back with {DEADLINE}: {seconds}"
        if role == "keeper":
            what = f"Jobs end after {span(seconds)} here, and with its keeper the cluster would"
            out.append(Imposed(what, evidence, ends=True))
        else:
            out.append(Imposed(f"{name} ends after {span(seconds)} here, whatever its job does", evidence))
    ttl = given.get(_TTL)
    if ttl is not None and ttl != asked.get(_TTL):
        evidence = f"the dry-run of {name} came back with {_TTL}: {ttl}"
        if role == "keeper":
            out.append(Imposed(f"what a keeper ends goes {span(ttl)} after its time here", evidence))
        else:
            what = f"the output and the outcome of {name} are deleted {span(ttl)} after its end"
            out.append(Imposed(what, evidence))
    return out
