"""Containers that end: out of memory, killed, failing by themselves; Ray's own words go first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS, GroupId, worker
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import RAYLET, Evidence, Finding, LogKey
from raystead.explain.raylogs import NO_RAY, START_TIMEOUT, from_log, raylet_said, said
from raystead.explain.view import View, doubled, event_evidence, first_line
from raystead.live.pods import Container, Pod, Terminated
from raystead.live.reading import dig
from raystead.manifests.security import HARDENING_ANNOTATION
from raystead.spec.model import GroupSpec

__all__ = ["CAUSES", "down", "find", "needed"]

RECENT_SECONDS = (
    600  # after 10 min without a crash the kubelet forgets its back-off (MaxContainerBackOff x 2)
)
LOOP_SECONDS = 300  # the kubelet's longest back-off: who runs longer between two crashes is not in a loop
_RAY_PROGRAMS = {"ray", "python", "python3"}
SAMPLE = 2  # pods of a group whose logs are read: the others end alike

OOM = Cause(
    "out-of-memory",
    "A container used more memory than its limit",
    "container {container} was killed: out of memory (limit {limit}{use})",
    "the kernel ends whatever goes over the limit, in the middle of its work{store}",
    "{up} {flag}      more memory\n{less}",
    "The container's last run ended with reason OOMKilled (exit code 137), in the last 10 minutes, and "
    "the pod is not ready, or runs no longer than it did before it was last killed.",
)
PROCESS_KILLED = Cause(
    "ray-process-killed",
    "One of Ray's processes was killed",
    "Ray's {process} was killed (signal 9) in container {container}",
    "most likely the kernel took it for memory (limit {limit}): on older nodes it ends one process, not "
    "the container",
    "{up} {flag}      more memory\nraystead logs {log} --previous",
    "The last run's log: `Some Ray subprocesses exited unexpectedly` with exit code -9.",
    confidence="likely",
)
KILLED = Cause(
    "killed",
    "A container was killed from outside",
    "container {container} was killed (exit code 137), not for its memory",
    "something sent it signal 9: the node under pressure or restarting, a person, or the end of its "
    "grace period; Kubernetes would say OOMKilled had it been the limit",
    "raystead logs {log} --previous\n"
    'or send to the administrator: "what killed {pod} on node {node} at {when}?"',
    "Exit code 137 without the reason OOMKilled, in the last 10 minutes, and the pod is not ready again.",
    confidence="likely",
)
UNHEALTHY = Cause(
    "liveness-failed",
    "A container did not answer its liveness probe and was restarted",
    "container {container} hung: its liveness probe failed and it was restarted",
    "{probe}; it had no CPU left, or was truly stuck",
    "{up} {flag}      more CPU\nraystead logs {log} --previous",
    "Event Killing with `failed liveness probe`, in the last 10 minutes, and the pod is not ready again.",
    confidence="likely",
)
CANNOT_START = Cause(
    "container-cannot-start",
    "The container's command cannot be run",
    "container {container} cannot be started: {said}",
    "the node could not even begin to run its command",
    "change the command, or the image, in the file, then {up} -f FILE",
    "Container state CreateContainerError or RunContainerError, or exit code 126, 127 or 128 (StartError).",
)
NOT_ROOT = Cause(
    "image-runs-as-root",
    "The image runs as root, which is forbidden here",
    "the image {image} runs as root (or as a user without a number), which the pod forbids",
    "{who}, and the image names no user id that proves it",
    "set securityContext.runAsUser to a number in the file, then {up} -f FILE{undo}",
    "Container state CreateContainerConfigError with `runAsNonRoot`. Whether the file said it or raystead "
    "filled it in is known from the spec: raystead does so for the Ray container of `rayproject/` images, "
    "and for every container where the namespace enforces PodSecurity `restricted` or the annotation "
    "`raystead.io/hardening: always` asks for it.",
)
ENDED = Cause(
    "exited-by-itself",
    "A container ended without an error",
    "container {container} ended by itself (exit code {code})",
    "{returns}; Kubernetes then starts it again",
    "{stays}, then {up} -f FILE\nraystead logs {log} --previous",
    "Exit code 0 or 143, restarted more than once in the last 10 minutes, and the pod is not ready.",
    confidence="likely",
)
CRASHED = Cause(
    "crash-loop",
    "A container fails again and again",
    "container {container} fails (exit code {code}{times}): {last}",
    "the last lines of its log say why; Kubernetes starts it again, at most 5 min apart",
    "raystead logs {log} --previous",
    "The container waits with CrashLoopBackOff, or failed in the last 10 minutes and the pod is not ready.",
    confidence="likely",
)
CAUSES = (OOM, PROCESS_KILLED, KILLED, UNHEALTHY, CANNOT_START, NOT_ROOT, ENDED, CRASHED)


def find(view: View) -> Iterator[Finding]:
    for group in view.groups:
        for pod in group.live:
            for container in pod.containers:
                if found := _not_created(view, pod, container) or _ended(view, pod, container):
                    yield found
                    break


def needed(view: View) -> Iterator[LogKey]:
    """Logs of the runs that ended, of a few pods a group."""
    for group in view.groups:
        named = 0
        for pod in group.live:
            for container in pod.containers:
                ended = down(view, pod, container)
                if ended and named < SAMPLE:
                    named += 1
                    yield (pod.name, container.name, _previous(container))
                    if container.name == pod.ray.name and container.running_since and pod.group != REDIS:
                        yield (pod.name, container.name + RAYLET, True)


def down(view: View, pod: Pod, container: Container) -> Terminated | None:
    """The end of a run that still matters: not ready since, or still in the time in which it died last."""
    ended = container.ended
    if ended is None or (container in _finished_inits(pod)):
        return None
    if container.waiting == "CrashLoopBackOff":
        return ended
    if view.age(ended.finished) > RECENT_SECONDS:
        return None
    if not container.ready:
        return ended
    ran, before = view.age(container.running_since), ended.seconds
    again = container.restarts >= 2 and before is not None and ran < before < LOOP_SECONDS
    return ended if again else None


def _finished_inits(pod: Pod) -> tuple[Container, ...]:
    names = {c.get("name") for c in pod.spec.get("initContainers") or []}
    return tuple(c for c in pod.containers if c.name in names and c.ready)


def _previous(container: Container) -> bool:
    """The ended run is the one before the present; not so in the moment before it is started again."""
    return dig(container.status, "state", "terminated") is None


def _not_created(view: View, pod: Pod, container: Container) -> Finding | None:
    evidence = [Evidence(container.message, pod.subject, pod.since("Ready"))]
    if container.waiting == "CreateContainerConfigError" and "runAsNonRoot" in container.message:
        who, undo = _who_forbids(view, pod, container)
        words = {"image": container.image, "up": view.up, "who": who, "undo": undo}
        return NOT_ROOT.found(Sighting(pod.group, pod.subject, evidence, pod.since("Ready")), **words)
    if container.waiting in ("CreateContainerError", "RunContainerError"):
        words = {"container": container.name, "said": _tail(container.message), "up": view.up}
        return CANNOT_START.found(Sighting(pod.group, pod.subject, evidence, pod.since("Ready")), **words)
    return None


def _who_forbids(view: View, pod: Pod, container: Container) -> tuple[str, str]:
    """Whether the file says runAsNonRoot or we filled it in, and how that is undone."""
    cluster = view.snapshot.cluster
    groups: dict[GroupId, GroupSpec] = {HEAD: cluster.spec.head} if cluster else {}
    groups |= {worker(g.name): g for g in (cluster.spec.workers if cluster else ())}
    group = groups.get(pod.group) if pod.group else None
    if cluster is None or group is None:
        return "the pod wants runAsNonRoot", ""
    pod_spec = group.template.spec
    own = [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]
    contexts = [pod_spec, *(c for c in own if c.get("name") == container.name)]
    if any((c.get("securityContext") or {}).get("runAsNonRoot") for c in contexts):
        return "the file's template says runAsNonRoot", ""
    annotated = cluster.annotations.get(HARDENING_ANNOTATION) == "always"
    facts = view.snapshot.facts
    if facts is not None and facts.restricted and not annotated:
        return (
            "raystead filled in runAsNonRoot because the namespace enforces PodSecurity `restricted`, which "
            "refuses the pod without it",
            "",
        )
    why = (
        f"the annotation {HARDENING_ANNOTATION}: always asks for it" if annotated else "it is Ray's own image"
    )
    undo = f"\nor set the annotation {HARDENING_ANNOTATION}: never in the file, then {view.up} -f FILE"
    return f"raystead filled in runAsNonRoot because {why}", undo


def _ended(view: View, pod: Pod, container: Container) -> Finding | None:
    ended = down(view, pod, container)
    if ended is None:
        return None
    values = _words(view, pod, container, ended)
    text = f"exit code {ended.code}" + (f", {ended.reason}" if ended.reason else "")
    evidence = [Evidence(text, pod.subject, ended.finished, max(1, container.restarts))]
    log, source = _log(view, pod, container)
    if ended.reason == "OOMKilled":
        return OOM.found(Sighting(pod.group, pod.subject, evidence, ended.finished), **values)
    if kill := _killed_by_probe(view, pod, container):
        return UNHEALTHY.found(Sighting(pod.group, pod.subject, [*kill, *evidence], ended.finished), **values)
    told = said(log)
    if (told is None or told.cause is START_TIMEOUT) and container.name == pod.ray.name:
        told = raylet_said(view.raylet_log(pod)) or told
    if told and not (told.cause is NO_RAY and not _is_ray(pod, container, told.caught)):
        return from_log(view, pod, container, told, source)
    if ended.reason in ("StartError", "ContainerCannotRun") or ended.code in (126, 127):
        ray = _is_ray(pod, container, ("ray",)) and not told
        cause = NO_RAY if ray and ended.code == 127 and not ended.message else CANNOT_START
        line = told.line if told else _last_line(log)
        words = {"said": _tail(ended.message) or line or text, "detail": "command that it should run"}
        return cause.found(Sighting(pod.group, pod.subject, evidence, ended.finished), **values, **words)
    if process := _killed_process(log):
        return PROCESS_KILLED.found(
            Sighting(pod.group, pod.subject, evidence, ended.finished), **values, process=process
        )
    if ended.code == 137:
        return KILLED.found(Sighting(pod.group, pod.subject, evidence, ended.finished), **values)
    if ended.code in (0, 143):
        return (
            ENDED.found(Sighting(pod.group, pod.subject, evidence, ended.finished), **values)
            if container.restarts > 1
            else None
        )
    last = _last_line(log)
    lines = [Evidence(last, source)] if last else []
    last = last or f"its log was not read: raystead logs {values['log']} --previous"
    return CRASHED.found(
        Sighting(pod.group, pod.subject, [*evidence, *lines], ended.finished), **values, last=last
    )


def _is_ray(pod: Pod, container: Container, missing: Sequence[str]) -> bool:
    """The Ray container lacks Ray itself, not a program that the file's command calls, or a sidecar's."""
    names = {name.rpartition("/")[2] for name in missing}
    return (
        pod.group != REDIS and container.name == pod.ray.name and (not names or bool(names & _RAY_PROGRAMS))
    )


def _words(view: View, pod: Pod, container: Container, ended: Terminated) -> dict[str, object]:
    limit = container.limit("memory")
    side = "head" if pod.group == HEAD else "worker"
    probe = [e for e in view.pod_events(pod, "Unhealthy") if e.message.startswith("Liveness")]
    resource = "cpu" if probe and ended.reason != "OOMKilled" else "memory"
    ray = _is_ray(pod, container, ())
    flag = f"--{side}-{resource} {doubled(container.limit(resource))}" if ray else "-f FILE"
    store = "; /dev/shm, Ray's object store, counts too" if ray else ""
    less = "or give each task less to do at once (`memory=` in its options)"
    log = pod.name if ray else f"{pod.name} --container {container.name}"
    returns = "`ray start` without --block, or a command of your own, returns at once"
    stays = "add --block to the command in the file"
    if not ray:
        returns = "its command came to an end, and a container beside Ray is to run as long as Ray does"
        stays = f"give {container.name} a command in the file that goes on running"
    return {
        "up": view.up,
        "container": container.name,
        "limit": limit or "none",
        "use": _use(view, pod),
        "flag": flag,
        "code": ended.code,
        "times": f", {container.restarts} restarts" if container.restarts > 1 else "",
        "store": store,
        "less": less if ray else f"raystead logs {log} --previous",
        "log": log,
        "returns": returns,
        "stays": stays,
        "pod": pod.name,
        "node": pod.node,
        "when": ended.finished.strftime("%H:%M:%S UTC") if ended.finished else "that time",
        "probe": first_line(probe[-1].message, 120) if probe else "it did not answer",
        "image": container.image,
    }


def _use(view: View, pod: Pod) -> str:
    """What Ray last said the node used, where it is known."""
    memory = dig(view.ray_node(pod), "mem") if view.ray_node(pod) else None
    if not isinstance(memory, list) or len(memory) < 4 or not memory[3]:
        return ""
    return f", Ray last saw {quantities.human_bytes(float(memory[3]))} in use"


def _log(view: View, pod: Pod, container: Container) -> tuple[str, str]:
    """The log of the run that ended; where it was not read, of a pod beside it that ended the same way."""
    mine = view.log(pod, container, previous=_previous(container))
    if mine:
        return mine, f"log {pod.name}"
    code = container.ended.code if container.ended else None
    for other in view.with_logs(pod.group):
        for twin in other.containers:
            alike = twin.name == container.name and twin.ended and twin.ended.code == code
            if alike and (text := view.log(other, twin, previous=_previous(twin))):
                return text, f"log {other.name}"
    return "", ""


def _killed_by_probe(view: View, pod: Pod, container: Container) -> list[Evidence]:
    event = view.last_event(pod, "Killing")
    if event is None or view.age(event.last) > RECENT_SECONDS:
        return []
    return [event_evidence(event)] if f"{container.name} failed liveness probe" in event.message else []


def _killed_process(log: str) -> str:
    """`raylet` in a log that tells of subprocesses that ended, with signal 9."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    match = re.search(
        r"Some Ray subprocesses exited unexpectedly:.*?(\w+) \[exit code=(-9|137)\]", log, re.DOTALL
    )
    return match.group(1) if match else ""


_SHELL = re.compile(r"(?:\S*/)?(?:ba|da|a|z|k)?sh: (?:-c: )?(?:line )?\d+: ")


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    shell = [line for line in lines if _SHELL.match(line)]
    errors = [line for line in lines if "Error" in line and not line.startswith("File ")]
    return first_line((shell or errors or lines)[-1], 240) if lines else ""


def _tail(message: str) -> str:
    """The end of the runtime's chain of errors."""
    parts = message.strip().split(": ")
    return ": ".join(parts[-3:])[:240]
