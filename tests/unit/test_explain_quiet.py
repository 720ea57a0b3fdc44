"""No false alarm: healthy, starting, recovered clusters yield nothing; symptoms are not shown beside their cause."""

from datetime import timedelta
from time import process_time
from typing import Any

import explain_kit as kit
import pytest
from explain_kit import (
    NOW,
    SPACE,
    ago,
    claim,
    crashed,
    event,
    healthy,
    pending,
    pod,
    waiting,
    with_pods,
)
from msgspec.structs import replace
from patience import patience
from test_explain_rules import SCHEDULER, TABLE, WORKERS, policy, unbound

from raystead.explain.engine import explain, needed_logs
from raystead.explain.model import Snapshot
from raystead.spec import edits

CONNECTING = "rpc_client.h:153: Failed to connect to GCS at address demo-head-svc:6379 within 5 seconds."
NO_REDIS = "raystead: waiting for Redis at demo-redis:6379 [Errno 111] Connection refused"
INSUFFICIENT = SCHEDULER.format("6 Insufficient cpu")


def starting(seconds: float) -> Snapshot:
    """A cluster `seconds` after its first `up`: Redis is up after 5 s, the head after 60, workers after 75."""

    def one(group: str, ready_at: float, name: str = "") -> kit.Json:
        ready = seconds > ready_at
        return pod(group, name, age=seconds, ready=ready, ready_age=seconds - ready_at if ready else seconds)

    names = ("demo-worker-1", "demo-worker-2")
    redis, head, workers = one("redis", 5), one("head", 60), [one("worker", 75, n) for n in names]
    head_says = NO_REDIS + "\nusage_lib.py:448 -- Usage stats collection is disabled." * (seconds > 6)
    logs = {("demo-head-1", "ray", False): head_says, **{(n, "ray", False): CONNECTING for n in names}}
    base = healthy()
    probes = [
        event("Pod", p, "Unhealthy", "Readiness probe failed: connection refused", seconds=1)
        for p in (head, *workers)
    ]
    return replace(base, pods=(redis, head, *workers), logs=logs, events=tuple(probes), ray_nodes=())


def created(*reasons: str) -> Snapshot:
    """Pods a few seconds old that the kubelet has just got."""
    pods = [
        waiting(g, r, age=3, status={"phase": "Pending"})
        for g, r in zip(("redis", "head", "worker"), reasons, strict=True)
    ]
    return replace(healthy(1), pods=tuple(pods), ray_nodes=None)


def rolling() -> Snapshot:
    """A pod that ends within its grace period, its successor without a place until then."""
    going = pod("worker", "demo-worker-old", age=900, metadata={"deletionTimestamp": ago(-40)})
    return with_pods(
        "worker", going, pending("worker", INSUFFICIENT), pod("worker", "w2", ready=True, age=900)
    )


def recovered(**container: Any) -> Snapshot:
    """A worker that crashed once and is ready again, with all the events of its bad time."""
    last = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(900), "finishedAt": ago(100)}
    own = {
        "state": {"running": {"startedAt": ago(98)}},
        "lastState": {"terminated": last},
        "restartCount": 1,
        **container,
    }
    one = pod("worker", ready=True, age=1000, ready_age=80, container=own)
    said = (
        ("FailedScheduling", INSUFFICIENT), ("Failed", 'Failed to pull image "rayproject/ray:2.60.0": not found'),
        ("BackOff", "Back-off restarting failed container ray"), ("Unhealthy", "Liveness probe failed: timeout"),
        ("Killing", "Container ray failed liveness probe, will be restarted"), ("FailedMount", 'secret "x" not found'),
        ("NodeNotReady", "Node is not ready"),
    )  # fmt: skip
    events = tuple(event("Pod", one, *words, seconds=90) for words in said)
    return with_pods("worker", one, pod("worker", "w2", ready=True, age=900), events=events)


def namesake() -> Snapshot:
    """Redis' pod of today has the name, but not the events, of yesterday's."""
    yesterday = {"metadata": {"name": "demo-redis-1", "uid": "yesterday"}}
    said = event("Pod", yesterday, "FailedMount", 'MountVolume.SetUp failed : secret "x" not found')
    return with_pods("redis", waiting("redis", "ContainerCreating", age=10), events=(said,))


def strangers() -> Snapshot:
    """Somebody else's broken pods in the same namespace, another cluster of ours among them."""
    other = crashed(
        "worker", 1, metadata={"labels": {**kit.labels("worker"), "raystead.io/cluster": "other"}}
    )
    bare = crashed("worker", 1, metadata={"labels": {"app": "shop"}})
    base = healthy()
    return replace(base, pods=(*(base.pods or ()), other, bare))


def evicted_but_replaced() -> Snapshot:
    dead = pod(
        "worker",
        "dead",
        age=300,
        status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
    )
    base = healthy()
    return replace(base, pods=(*(base.pods or ()), dead))


def suspended() -> Snapshot:
    spec = edits.suspended(kit.spec(), True)
    return replace(
        healthy(), cluster=spec, pods=(), deployments=(kit.owner("head", 0), kit.owner("worker", 0))
    )


def head_back(seconds: float) -> Snapshot:
    """The head was lost and is ready again; Ray does not list the workers yet."""
    return with_pods(
        "head",
        pod("head", ready=True, age=seconds + 15, ready_age=seconds),
        ray_nodes=(kit.ray_node(pod("head")),),
    )


def late_head() -> Snapshot:
    """A head that took 5 min on a busy node is ready for 19 s; its workers have waited all the time."""
    head = pod("head", ready=True, age=341, ready_age=19)
    workers = [pod("worker", f"w{i}", age=341) for i in range(2)]
    redis = pod("redis", ready=True, age=341, ready_age=320)
    return replace(healthy(), pods=(redis, head, *workers), ray_nodes=(kit.ray_node(head),))


def coming() -> Snapshot:
    one = pending("worker", INSUFFICIENT, age=200)
    said = (
        event("Pod", one, "TriggeredScaleUp", "pod triggered scale-up: [{pool 1->2 (max: 9)}]", seconds=190),
    )
    return with_pods("worker", one, events=said)


def unknown(snapshot: Snapshot) -> Snapshot:
    """Only pods can be listed."""
    return Snapshot(cluster=None, namespace=SPACE, name=kit.NAME, now=NOW, pods=snapshot.pods)


OPEN = policy("open", WORKERS, egress=[{"to": [{"podSelector": {"matchLabels": {"ray.io/cluster": "demo"}}}]},
    {"ports": [{"protocol": "UDP", "port": 53}]}], ingress=[{}])  # fmt: skip
QUIET: list[tuple[str, Snapshot]] = [
    ("healthy", healthy()),
    ("healthy without Redis", healthy(storage="none")),
    ("healthy, little can be read", unknown(healthy())),
    *((f"starting, {s} s", starting(s)) for s in (0, 1, 4, 8, 15, 30, 59, 61, 70, 90)),
    *((f"starting, {s} s, little can be read", unknown(starting(s))) for s in (1, 30, 61, 90)),
    ("nothing created yet", replace(healthy(), pods=(), replicasets=(), ray_nodes=None)),
    ("applied half", replace(healthy(), pods=(), deployments=(kit.owner("head", 1, metadata={"creationTimestamp": ago(2)}),), statefulsets=(), replicasets=(), applied=kit.NOW - timedelta(seconds=2))),
    ("controllers have not looked yet", replace(healthy(), deployments=(kit.owner("head", 1, metadata={"generation": 2, "creationTimestamp": ago(3)}), kit.owner("worker", 2)))),
    ("containers being created", created("ContainerCreating", "ContainerCreating", "ContainerCreating")),
    ("init containers", created("PodInitializing", "PodInitializing", "PodInitializing")),
    ("rolling", rolling()),
    ("recovered", recovered()),
    ("recovered, killed once", recovered(restartCount=2)),
    ("namesake", namesake()),
    ("strangers", strangers()),
    ("evicted, but replaced", evicted_but_replaced()),
    ("suspended", suspended()),
    ("head back for 5 s", head_back(5)),
    ("head back for 50 s", head_back(50)),
    ("a node is coming", coming()),
    ("workers of a head that was slow", late_head()),
    ("pulling for a minute", with_pods("worker", waiting("worker", "ContainerCreating", age=70), events=(
        event("Pod", waiting("worker", "ContainerCreating"), "Pulling", 'Pulling image "rayproject/ray:2.60.0"', seconds=60),))),
    ("claim just made", unbound(claim("Pending", age=20), ("ExternalProvisioning", "Waiting for a volume to be created"))),
    ("claim waits for its pod", unbound(claim("Pending", age=900), ("WaitForFirstConsumer", "waiting for first consumer"))),
    ("a policy that lets through", replace(with_pods("worker", pod("worker", age=40)), policies=(OPEN,))),
    ("secret a second late", with_pods("worker", waiting("worker", "CreateContainerConfigError", 'secret "demo" not found', age=2))),
    ("fast API", replace(healthy(), api_slow=0.9)),
    ("worker lost its probe for a moment", with_pods("worker", pod("worker", age=900, ready_age=8))),
]  # fmt: skip


@pytest.mark.parametrize("snapshot", [s for _, s in QUIET], ids=[n for n, _ in QUIET])
def test_nothing_is_said_of(snapshot: Snapshot) -> None:
    assert explain(snapshot) == ()


def test_a_starting_cluster_asks_for_no_log_of_what_rightly_waits() -> None:
    assert needed_logs(starting(30)) == (("demo-head-1", "ray", False),)
    assert needed_logs(starting(4)) == ()
    assert needed_logs(healthy()) == ()


def broken_redis() -> Snapshot:
    """Redis' image is missing; the head waits for Redis, the workers crash for want of a head."""
    redis = waiting("redis", "ErrImagePull", "manifest unknown", age=300)
    head = crashed("head", 1, age=300)
    workers = [crashed("worker", 1, name=f"w{i}", age=300) for i in range(2)]
    logs = {
        (
            "demo-head-1",
            "ray",
            True,
        ): "Could not establish connection to Redis demo-redis:6379 (context.err = 1)",
        ("w0", "ray", True): CONNECTING,
    }
    return replace(healthy(), pods=(redis, head, *workers), logs=logs, ray_nodes=())


def test_symptoms_are_not_shown_beside_their_cause() -> None:
    assert kit.causes(explain(broken_redis())) == [("image-not-found", "redis")]


def test_without_the_cause_the_symptom_is_all_we_know() -> None:
    alone = replace(
        broken_redis(), cluster=kit.spec("external"), pods=(broken_redis().pods or ())[1:], statefulsets=()
    )
    assert kit.causes(explain(alone)) == [("redis-unreachable", "head")]


def test_two_troubles_are_both_told_what_is_needed_first_comes_first() -> None:
    both = with_pods("worker", waiting("worker", "ErrImagePull", "manifest unknown"))
    head = pending("head", INSUFFICIENT)
    rest = tuple(p for p in both.pods or () if p["metadata"]["labels"] != kit.labels("head"))
    found = explain(replace(both, pods=(*rest, head)))
    assert kit.causes(found) == [("insufficient-resources", "head"), ("image-not-found", "worker")]


def test_pods_that_share_a_cause_are_counted_in_one_finding() -> None:
    pods = [waiting("worker", "ErrImagePull", "manifest unknown", name=f"w{i}") for i in range(7)]
    (found,) = explain(with_pods("worker", *pods))
    assert (found.pods, found.subject) == (7, "pod/w0")


def test_of_many_crashed_pods_two_logs_are_read_and_speak_for_the_others() -> None:
    pods = [crashed("worker", 1, name=f"w{i}") for i in range(9)]
    snapshot = with_pods("worker", *pods)
    keys = needed_logs(snapshot)
    assert keys == (("w0", "ray", True), ("w1", "ray", True))
    (found,) = explain(replace(snapshot, logs=dict.fromkeys(keys, "InvalidAuthToken: x")))
    assert (found.cause, found.pods) == ("token-mismatch", 9)


def test_the_log_of_a_container_that_just_ended_is_not_the_one_before() -> None:
    ended = {"state": {"terminated": {"exitCode": 1, "finishedAt": ago(1)}}}
    assert needed_logs(with_pods("worker", pod("worker", container=ended))) == (
        ("demo-worker-1", "ray", False),
    )


@pytest.mark.parametrize(
    "part", [name for name in Snapshot.__struct_fields__ if name not in ("namespace", "name", "now", "logs")]
)
def test_a_part_that_cannot_be_read_never_breaks_it(part: str) -> None:
    for *_, snapshot in TABLE:
        explain(replace(snapshot, **{part: None}))
        needed_logs(replace(snapshot, **{part: None}))


@pytest.mark.parametrize("key", ["status", "spec"])
def test_half_written_objects_never_break_it(key: str) -> None:
    for *_, snapshot in TABLE:
        pods = tuple({k: v for k, v in p.items() if k != key} for p in snapshot.pods or ())
        explain(replace(snapshot, pods=pods))


def test_a_clock_that_runs_behind_the_servers_cries_no_wolf() -> None:
    for seconds in (0, 30, 70):
        early = replace(starting(seconds), now=kit.NOW.replace(hour=10))
        assert explain(early) == ()


def test_the_kubelets_excuse_for_a_log_is_no_log() -> None:
    one = crashed("worker", 1)
    key = ("demo-worker-1", "ray", True)
    (found,) = explain(
        with_pods("worker", one, logs={key: "failed to try resolving symlinks in path: no such file"})
    )
    assert "its log was not read" in found.why


def test_a_thousand_pods_are_looked_at_within_a_second() -> None:
    """`up` looks every second while it waits; on a quiet machine this takes 0.2 s."""
    pods = [crashed("worker", 1, name=f"w{i}") for i in range(1000)]
    events = tuple(event("Pod", p, reason, "x") for p in pods for reason in ("Pulled", "Started", "BackOff"))
    snapshot = with_pods("worker", *pods, events=events, logs={("w0", "ray", True): "InvalidAuthToken"})
    began = process_time()
    assert [f.pods for f in explain(snapshot)] == [1000]
    assert process_time() - began < patience(1)
