"""What Ray itself prints when it fails: texts of Ray 2.60 (recorded from the real one), one cause each."""

from __future__ import annotations

import re

from msgspec import Struct

from raystead.base.groups import HEAD
from raystead.base.labels import OURS
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View, doubled, first_line
from raystead.live.pods import Container, Pod

__all__ = ["CAUSES", "Said", "from_log", "raylet_said", "said"]

TOKEN = Cause(
    "token-mismatch",
    "Head and worker have different tokens",
    "the head refuses this pod's token",
    "the pod started with another token than the head, or with none: the Secret was changed after one of "
    "them started, or RAY_AUTH_MODE differs between head and workers",
    "raystead restart      all pods read the same token again",
    "Ray's log: `InvalidAuthToken: Authentication token is missing or incorrect`.",
)
TOKEN_FILE = Cause(
    "token-file-missing",
    "The token's file is not there",
    "Ray finds no token at {detail}",
    "token authentication is on and the Secret with the token is not mounted, or empty",
    "{up}      mounts it again; a Secret of your own needs the key auth_token",
    "Ray's log: `RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty`.",
)
VERSION = Cause(
    "version-mismatch",
    "Head and worker run different versions",
    "head and this pod run different versions: {detail}",
    "Ray wants the same Ray, and the same Python to the last number, on all nodes of a cluster",
    "{up} --image IMAGE      one image for head and workers",
    "Ray's log: `Version mismatch: The cluster was started with`; an older Ray that cannot even ask says "
    "`Could not read 'temp_dir' from GCS`.",
)
REDIS_PASSWORD = Cause(
    "redis-wrong-password",
    "Redis does not take the head's password",
    "Redis refuses the head's password",
    "the head cannot start without its store; the password in the head's Secret is not the one Redis was "
    "started with",
    "{right_password}",
    "Ray's log: `WRONGPASS`, `NOAUTH`, or `Failed to get Redis cluster info` (what Ray says when it has "
    "no password and Redis wants one).",
)
REDIS_FULL = Cause(
    "redis-full",
    "Redis has no memory left",
    "Redis is full and takes no more writes",
    "working directories and packages of jobs are kept in the head's store; the head cannot live without "
    "writing to it",
    "raystead job list      and remove what is not needed, or give Redis more memory in the file, then "
    "{up} -f FILE",
    "Log: `OOM command not allowed when used memory`.",
)
SUPERSEDED = Cause(
    "head-superseded",
    "A newer head has taken over",
    "this head waits: another head came after it",
    "only one head may write to Redis; the one that came last does, so this one should have been deleted",
    "kubectl delete pod {pod}",
    "Our own words in the head's log: `another head came after this one`.",
)
REDIS_DOWN = Cause(
    "redis-unreachable",
    "The head does not reach Redis",
    "the head does not reach Redis at {detail}",
    "the head waits for its store and dies without it; running workers wait up to 10 min for it and keep "
    "their work",
    "{reach_redis}",
    "Ray's log: `Could not establish connection to Redis`, `Failed to run redis cmds`, or our own "
    "`waiting for Redis` for more than 120 s (20 s for a Redis of your own).",
    symptom=True,
)
STATE_LOST = Cause(
    "gcs-state-lost",
    "The head came back without its memory",
    "the head came back without knowing its nodes",
    "{lost}; every node restarts, detached actors and jobs are gone",
    "nothing, the nodes join again by themselves\n"
    "{up} --storage redis      keeps the state from now on, if it was kept nowhere",
    "A worker's last run ended with `GCS returned an authentication error … data loss in the DB`, and it "
    "is not back.",
)
ROCKS_LOCK = Cause(
    "rocksdb-locked",
    "Another head has the state open",
    "the head's state is locked by another process: {detail}",
    "two heads use one volume; the second cannot start until the first is gone",
    "kubectl get pods -l ray.io/node-type=head      and delete the one that should not be",
    "Ray's log: `Failed to open RocksDB … While lock file`.",
)
DNS = Cause(
    "dns-fails",
    "The head's name does not resolve",
    "the pod cannot resolve {detail}",
    "DNS does not answer, or does not know the name of the head's Service",
    "kubectl get service {service}      if it is missing: {up}\n"
    'or send to the administrator: "DNS does not resolve {detail} from namespace {namespace}"',
    "Ray's log: `Failed to resolve hostname` (said once, at its start), no other worker has found the "
    "head by the same name, and it is 60 s after the head was ready and the worker still is not.",
    confidence="likely",
)
HEAD_UNREACHABLE = Cause(
    "head-unreachable",
    "Workers do not reach the head",
    "the pod does not reach the head at {detail}",
    "the head is ready, but its GCS port does not answer from here: a policy that is not a NetworkPolicy "
    "object, a service mesh, or the node's network",
    "kubectl get networkpolicy,service      and compare the port\n"
    'or send to the administrator: "pods of namespace {namespace} cannot reach each other on TCP {port}"',
    "Ray's log: `Failed to connect to GCS at address`, 60 s after the head was ready (a name is asked "
    "again after 30 s at most, a start takes 15 s; and a third), and no NetworkPolicy explains it.",
    confidence="likely",
    symptom=True,
)
FOREIGN = Cause(
    "gcs-answered-by-proxy",
    "Something else answers in the head's place",
    "not the head's GCS but something else answers at the head's address (HTTP {detail})",
    "a proxy or service mesh stands between the pods and does not pass gRPC on",
    "exclude Ray's ports from the mesh, for example by the annotation `sidecar.istio.io/inject: "
    '"false"` in the templates, then {up} -f FILE',
    "Ray's log: `Received http2 header with status`.",
    confidence="likely",
)
MARKED_DEAD = Cause(
    "ray-marked-dead",
    "The head took a living node for dead",
    "the head had given the node up: {detail}",
    "the node did not answer the head's health checks (no CPU, or a cut network), so Ray moved its work "
    "and the node restarts",
    "{up} --worker-cpu MORE      if the node was busy beyond its CPUs",
    "Ray's log: `marked as dead by the GCS`, and the pod is not back.",
    confidence="likely",
)
START_TIMEOUT = Cause(
    "ray-start-timeout",
    "Ray gave up its own start",
    "Ray gave up its own start: its node was not there in time",
    "Ray gives a node 30 s to start and then ends; with too little CPU (a head starts twenty processes) "
    "that is not enough",
    "{up} {cpu}      more CPU\nraystead logs {pod} --previous",
    "The last run's log: `The current node timed out during startup`.",
    confidence="likely",
)
NO_DISK = Cause(
    "disk-full-in-pod",
    "The pod has no disk space left",
    "there is no disk space left in the pod",
    "Ray's logs, spilled objects and packages fill the volume under /tmp",
    "give the volume or `ephemeral-storage` more in the file, then {up} -f FILE",
    "Log: `No space left on device`.",
)
READ_ONLY = Cause(
    "tmp-not-writable",
    "Ray cannot write where it must",
    "Ray finds no directory it can write to",
    "with a read-only root file system, or another user id, /tmp must be a volume that the pod may write",
    "mount an emptyDir at /tmp in the file (raystead does so by itself), then {up} -f FILE",
    "Log: `No usable temporary directory`, or `Permission denied: '/tmp/ray`.",
)
USAGE = Cause(
    "ray-start-refused",
    "`ray start` does not know a parameter",
    "`ray start` refuses its parameters: {detail}",
    "a rayStartParams entry is misspelt, or this version of Ray does not have it",
    "change `rayStartParams` in the file, then {up} -f FILE",
    "Log: `Error: No such option`, `Invalid value for`, `no such command`.",
)
NO_RAY = Cause(
    "no-ray-in-image",
    "There is no Ray in the image",
    "the image {image} has no `{detail}`",
    "the container's command is not in its image",
    "{up} --image IMAGE      one that contains Ray, for example of rayproject/ray",
    "Log or container state: `ray: not found`, `command not found`, `exec: … no such file`.",
)
CGROUPS = Cause(
    "raylet-needs-cgroups",
    "Ray's resource isolation finds no cgroups that it may use",
    "Ray's raylet ends as it starts, for cgroups: {detail}",
    "`enable-resource-isolation` needs a writable cgroup v2 in the container, which a pod without special "
    "rights does not have; more CPU does not help",
    "take enable-resource-isolation and its cgroup options out of rayStartParams, then {up} -f FILE\n"
    "raystead logs {pod} --ray raylet.err",
    "The end of raylet.err of the pod's newest sessions, read with the image's `tail`, names cgroups as the "
    "raylet's reason to end, and Ray's own log says no more than that its node was not there in time.",
    confidence="likely",
)
RAYLET_DIED = Cause(
    "raylet-died",
    "Ray's raylet ends as it starts",
    "Ray's raylet ended by itself: {detail}",
    "`ray start` only says that its node was not there in time; the raylet's own last words say why",
    "raystead logs {pod} --ray raylet.err",
    "The end of raylet.err of the pod's newest sessions has a fatal line (`Check failed`, or level C), and "
    "Ray's own log says no more than that its node was not there in time.",
    confidence="likely",
)
SYNTAX = Cause(
    "command-syntax",
    "The container's command is not valid shell",
    "the shell cannot read the command: {detail}",
    "lines of a command in YAML are joined, or a quote or bracket has no partner; what stands before the "
    "error may have run",
    "write the command as a block (`|`) so that its lines stay lines, or fix the quoting, in the file; then "
    "{up} -f FILE\nraystead render -f FILE      shows the command as it is run",
    "The last run's log: the shell's own `syntax error` or `unexpected EOF`, which goes before whatever else "
    "was printed.",
)
CAUSES = (
    CGROUPS, RAYLET_DIED, SYNTAX, TOKEN, TOKEN_FILE, VERSION, REDIS_PASSWORD, REDIS_FULL, SUPERSEDED,
    REDIS_DOWN, STATE_LOST, ROCKS_LOCK, DNS, HEAD_UNREACHABLE, FOREIGN, MARKED_DEAD, START_TIMEOUT,
    NO_DISK, READ_ONLY, USAGE, NO_RAY,
)  # fmt: skip

_TABLE: tuple[tuple[Cause, str], ...] = (
    (SYNTAX, r"(?m)^(?:\S*/)?(?:ba|da|a|z|k)?sh: (?:-c: )?(?:line )?\d+: "
             r"((?:[Ss]yntax error|unexpected EOF)[^\n]*)"),
    (TOKEN, r"InvalidAuthToken"),
    (TOKEN_FILE, r"RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty: (\S+?)\.(?:\s|$)"),
    (VERSION, r"Version mismatch: The cluster was started with:\s+Ray: (\S+)\s+Python: (\S+)"
              r"\s+This process on.*?\s+Ray: (\S+)\s+Python: (\S+)"),
    (VERSION, r"Could not read 'temp_dir' from GCS"),
    (REDIS_PASSWORD, r"WRONGPASS|NOAUTH|Failed to get Redis cluster info"),
    (REDIS_FULL, r"OOM command not allowed"),
    (SUPERSEDED, r"raystead: another head came after this one"),
    (ROCKS_LOCK, r"While lock file: (\S+?):? "),
    (REDIS_DOWN, r"Could not establish connection to Redis (\S+)|raystead: waiting for Redis at (\S+)"
                 r"|Failed to run redis cmds"),
    (STATE_LOST, r"GCS returned an authentication error"),
    (FOREIGN, r"Received http2 header with status: (\d+)"),
    (NO_DISK, r"No space left on device|OSError: \[Errno 28\]"),
    (READ_ONLY, r"No usable temporary directory|Permission denied: '/tmp/ray"),
    (USAGE, r"Error: ((?:No such option|Invalid value for|No such command|Missing option)[^\n]*)"),
    (NO_RAY, r"(?:line \d+: |exec: )(?:exec: )?\"?([\w./-]+)\"?: (?:not found|command not found|stat )"),
    (START_TIMEOUT, r"current node timed out during startup"),
    (MARKED_DEAD, r"(marked as dead by the GCS[^\n]{0,160})"),
    (DNS, r"Failed to resolve hostname '([^']+)'"),
    (HEAD_UNREACHABLE, r"Failed to connect to GCS at address (\S+) within"),
)  # fmt: skip
_FATAL = re.compile(r"^\[[^\]]* C [^\]]*\]|Check failed|terminate called|what\(\):")
# Texts that a normal start may print for a while, and what Ray prints once the wait is over.
WAITS = {
    REDIS_DOWN: r"Usage stats collection|Local node IP",
    DNS: r"Ray runtime started",
    HEAD_UNREACHABLE: r"Ray runtime started",
    FOREIGN: r"Ray runtime started",
}


class Said(Struct, frozen=True):
    """A text that was found in a log: its cause, the whole line, what the pattern caught."""

    cause: Cause
    line: str
    caught: tuple[str, ...]


def said(log: str, *, but: Cause | None = None) -> Said | None:
    """The first entry of the table that the log has, one cause left out; a wait that ended does not count."""
    for cause, form in _TABLE:
        found = list(re.finditer(form, log, re.DOTALL if cause is VERSION else 0))
        if not found or cause is but:
            continue
        match = found[-1]
        if cause in WAITS and re.search(WAITS[cause], log[match.end() :]):
            continue
        begin = log.rfind("\n", 0, match.start()) + 1
        end = log.find("\n", match.end())
        line = log[begin : end if end >= 0 else None]
        return Said(cause, _plain(line), tuple(g for g in match.groups() if g))
    return None


def raylet_said(text: str) -> Said | None:
    """Why a raylet ended, in raylet.err."""
    lines = [_plain(line) for line in text.splitlines()]
    fatal = [line for line in lines if _FATAL.search(line)]
    if not fatal:
        return None
    about = [line for line in fatal if "cgroup" in line.lower()]
    line = (about or fatal)[-1]
    short = first_line(re.sub(r"^\[[^\]]*\]\s*(?:\([^)]*\)\s*)?(?:\S+:\d+:\s*)?", "", line), 200)
    return Said(CGROUPS if about else RAYLET_DIED, line, (short,))


def from_log(view: View, pod: Pod, container: Container, found: Said, source: str) -> Finding:
    context = view.context
    caught = found.caught
    detail = caught[0].rstrip(".,") if caught else "its address"
    if found.cause is VERSION and len(caught) == 4:
        detail = f"Ray {caught[0]} and Python {caught[1]} there, Ray {caught[2]} and Python {caught[3]} here"
    elif found.cause is VERSION:
        detail = "this pod's Ray cannot read what the head's Ray wrote"
    values = {
        **_storage_words(view),
        "up": view.up,
        "detail": detail,
        "namespace": view.snapshot.namespace,
        "image": container.image,
        "pod": pod.name,
        "cpu": f"--{'head' if pod.group == HEAD else 'worker'}-cpu {doubled(container.limit('cpu'))}",
        "service": context.head_service if context else "SERVICE",
        "port": detail.rpartition(":")[2],
    }
    evidence = Evidence(first_line(found.line, 300), source, None)
    since = (
        container.ended.finished
        if container.ended and not container.running_since
        else container.running_since
    )
    return found.cause.found(Sighting(pod.group, pod.subject, [evidence], since), **values)


def _storage_words(view: View) -> dict[str, str]:
    """What depends on where the head keeps its state."""
    redis = view.context.names.redis if view.context else "redis"
    lost = "its store is empty: Redis lost its data, or the volume is new"
    if view.storage == "none":
        lost = "this cluster keeps the head's state nowhere, so a restarted head starts empty"
    if view.storage == "external":
        return {
            "lost": lost,
            "right_password": f"{view.up} --redis-password-secret SECRET:KEY      with the right password",
            "reach_redis": f"{view.up} --redis-address HOST:PORT      if Redis is elsewhere\n"
            "or let the Redis at this address be reached from the pods of this namespace",
        }
    return {
        "lost": lost,
        "right_password": f"kubectl delete pod {redis}-0      Redis then starts with the Secret's password",
        "reach_redis": f"raystead logs redis\nkubectl get service,pods -l {OURS}={view.name}",
    }


def _plain(line: str) -> str:
    """Without colours, which Ray writes even into pipes."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
