"""What the author of a RayJob or RayCronJob file meant, asked of the run that came of it.

The job comes to its end, in Ray's and KubeRay's words; its driver's output is what the program in the file
prints; what the file says of the end holds: a cluster that stays is looked at like any other, one that goes
is gone in time, the submitter's Job stays for its output. No product code but the command line: the file, the
API server and the driver are the witnesses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from cli import Cli
from kube import until
from sample_checks import Finding, Subject, containers, head_service, judged, mounts, queues, variables

__all__ = ["KINDS", "job_findings"]

Json = dict[str, Any]
KINDS = ("RayJob", "RayCronJob")
_END = 300.0  # seconds for a job to end
_GRACE = 15.0  # seconds after a TTL
# what the programs of the samples print at their end, by the file's name; every one of them ends with 0
_PRINTS = {
    "ray-job.deletion-rules.yaml": "ray.cluster_resources(): {",
    "ray-job.platform-events.yaml": "Done!",
    "ray-job.resources.yaml": "",
    "ray-job.use-existing-raycluster.yaml": "'node:__internal_head__'",
    "ray-job.interactive-mode.yaml": "sent by a person",
}
_COUNTER = "test_counter got 5"


def job_findings(file: str, subject: Subject, document: Json, cli: Cli) -> Iterator[Finding]:
    """Everything that was looked at, in the order of time."""
    if document["kind"] == "RayCronJob":
        yield from _ticks(cli)
        return
    spec = document["spec"]
    name = document["metadata"]["name"]
    interactive = spec.get("submissionMode") == "InteractiveMode"
    text = _sent(cli, name) if interactive else _ended(subject, cli, name)
    yield Finding("a job that a person sends" if interactive else "SUCCEEDED, Complete")
    printed = _PRINTS.get(file, _COUNTER)
    yield judged("the driver's output", printed in text, f"the driver prints {text[-200:]!r}")
    if "clusterSelector" in spec:
        yield judged("the other cluster is untouched", bool(subject.pods("headgroup")), "its head is gone")
        return
    rules = (spec.get("deletionStrategy") or {}).get("deletionRules") or []
    after = {rule["policy"]: rule["condition"].get("ttlSeconds", 0) for rule in rules}
    if spec.get("shutdownAfterJobFinishes"):
        after["DeleteCluster"] = spec.get("ttlSecondsAfterFinished", 0)
    if not after:
        for check in (containers, mounts, variables, queues, head_service):
            yield from check(subject)
    yield from _stages(subject, name, after)


def _ended(subject: Subject, cli: Cli, name: str) -> str:
    """The output of a job that has succeeded."""

    def over() -> Json | None:
        seen: Json = json.loads(cli("status", name, "-o", "json", code=None).stdout or "{}")
        job = seen.get("raystead", {}).get("rayJob") or {}
        return job if job.get("jobDeploymentStatus") in ("Complete", "Failed") else None

    job = until(over, _END, "the job ends", every=1)
    text = subject.kube.out("logs", f"job/{name}")
    wanted = ("SUCCEEDED", "Complete")
    assert (job["jobStatus"], job["jobDeploymentStatus"]) == wanted, f"{job}\n{text[-500:]}"
    return text


def _sent(cli: Cli, name: str) -> str:
    return cli(
        "submit", "--name", name, "--", "python", "-c", "print('sent by a person')", timeout=_END
    ).stdout


def _stages(subject: Subject, name: str, after: dict[str, float]) -> Iterator[Finding]:
    """What goes after the job's end goes in its order and in its time."""
    begun = time.monotonic()

    def gone(policy: str) -> bool:
        if policy == "DeleteWorkers":
            return not any(subject.pods(group) for group, _ in subject.groups[1:])
        if policy == "DeleteCluster":
            return not any(subject.pods(group) for group, _ in subject.groups)
        return not subject.kube.run("get", "job", name, check=False).stdout

    for policy, ttl in sorted(after.items(), key=lambda item: item[1]):
        left = begun + ttl + _GRACE - time.monotonic()
        try:
            until(lambda policy=policy: gone(policy), max(1, left), policy, every=0.5)  # type: ignore[misc]
            yield Finding(f"{policy} {ttl} s after the end")
        except AssertionError:
            yield Finding(policy, f"{policy} has not happened {ttl + _GRACE:.0f} s after the end")
        if policy == "DeleteCluster" and "DeleteSelf" not in after:
            log = subject.kube.run("logs", f"job/{name}", check=False).stdout
            yield judged("the output stays", bool(log), "the submitter's output is gone")


def _ticks(cli: Cli) -> Iterator[Finding]:
    """A tick comes, succeeds and says what its program prints."""

    def ended() -> Json | None:
        ticks: list[Json] = json.loads(cli("job", "list", "-o", "json", code=None).stdout or "[]")
        return next((t for t in ticks if t["jobDeploymentStatus"] in ("Complete", "Failed")), None)

    tick = until(ended, 120 + _END, "a tick ends", every=2)
    cli("suspend", "--yes")
    text = cli("job", "logs", tick["jobId"]).stdout
    yield judged("a tick: SUCCEEDED", tick["jobStatus"] == "SUCCEEDED", f"{tick}")
    yield judged("the driver's output", _COUNTER in text, f"the driver prints {text[-200:]!r}")
