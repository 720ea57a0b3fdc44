"""Jobs that end a cluster or run a RayJob: what the namespace adds to them."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.times import span
from raystead.doctor.model import Check, Observations
from raystead.live.imposed import imposed
from raystead.live.pods import DEADLINE
from raystead.spec.idle import idle_end

__all__ = ["check"]


def check(seen: Observations) -> Iterator[Check]:
    for job in (item for item in seen.objects if item["kind"] == "Job"):
        answer = seen.jobs.get(str(job["metadata"]["name"]))
        if isinstance(answer, str):
            what = f"Job/{job['metadata']['name']} is refused"
            yield Check("jobs", "fail", what, answer, "send it to the administrator of the namespace")
        for found in imposed(job, answer) if isinstance(answer, dict) else ():
            ask = f'"may Jobs of namespace {seen.facts.namespace} be left as they are?"'
            send = f"send to the administrator: {ask}"
            yield Check("jobs", "fail" if found.ends else "warn", found.what, found.evidence, send)
    yield from _too_short(seen)


def _too_short(seen: Observations) -> Iterator[Check]:
    """A keeper that is ended with all pods of the namespace counts anew: a longer time never comes."""
    end = idle_end(seen.cluster)
    given = [a["spec"].get(DEADLINE) for a in seen.admission.values() if isinstance(a, dict)]
    limits = [int(seconds) for seconds in given if seconds is not None]
    if end is None or not limits or min(limits) > end.seconds:
        return
    after, idle = span(min(limits)), span(end.seconds)
    what = f"pods end after {after} here, the keeper's too: an idle time of {idle} never comes"
    remedy = f"--idle with less than {span(min(limits))}"
    yield Check("jobs", "warn", what, f"the dry-run of a pod came back with {DEADLINE}", remedy)
