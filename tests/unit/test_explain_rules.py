"""Each cause from objects as Kubernetes and Ray write them, and what must not be taken for one."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import explain_kit as kit
import pytest
from explain_kit import ago, claim, crashed, event, healthy, pending, pod, waiting, with_pods
from msgspec.structs import replace

from raystead.base.groups import HEAD
from raystead.explain import admission
from raystead.explain.engine import explain, kept, needed_accounts
from raystead.explain.model import Snapshot
from raystead.live.autoscaler import report_of
from raystead.live.notes import pod_note
from raystead.live.pods import Pod, slim
from raystead.manifests.autoscaling import steward_config
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.living import Living
from raystead.spec.model import RayCluster, read

LOGS = Path(__file__).parents[1] / "data" / "explain" / "logs"
SCHEDULER = "0/6 nodes are available: {}. preemption: 0/6 nodes are available: 6 Preemption is not helpful for scheduling."
PULL = 'failed to pull and unpack image "r.io/a:b": failed to resolve reference "r.io/a:b": {}'


def schedule(said: str, **more: Any) -> Snapshot:
    return with_pods("worker", pending("worker", SCHEDULER.format(said), **more))


def pull(said: str) -> Snapshot:
    return with_pods("worker", waiting("worker", "ErrImagePull", PULL.format(said)))


def refused(said: str) -> Snapshot:
    text = f'pods "demo-worker-abc-x" is forbidden: {said}'
    base = with_pods("worker", pod("worker", ready=True, age=900))
    failure = {"type": "ReplicaFailure", "status": "True", "message": text, "lastTransitionTime": ago(20)}
    short = kit.owner("worker", 2, replicas=1, conditions=[failure])
    return replace(base, deployments=(kit.owner("head", 1), short), replicasets=None)


def only_replicasets(said: str) -> Snapshot:
    """Deployments may not be read."""
    (_, short), base = refused(said).deployments or (), refused(said)
    return replace(base, deployments=None, replicasets=(short,))


def failed(reason: str, message: str, seconds: float = 30, **more: Any) -> Snapshot:
    status = {"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []}
    dead = pod("worker", "demo-worker-dead", age=600, ready_age=seconds, status=status, **more)
    return with_pods("worker", dead, pod("worker", "demo-worker-0", ready=True, age=900))


def preempted() -> Snapshot:
    snapshot = failed("", "Pod was preempted")
    target = {
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod", "lastTransitionTime": ago(30),
    }  # fmt: skip
    dead = next(p for p in snapshot.pods or () if p["metadata"]["name"] == "demo-worker-dead")
    dead["status"]["conditions"].append(target)
    return snapshot


def unbound(thing: kit.Json, *said: tuple[str, str]) -> Snapshot:
    volumes = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": thing["metadata"]["name"]}}]
    }
    message = SCHEDULER.format("pod has unbound immediate PersistentVolumeClaims")
    events = tuple(event("PersistentVolumeClaim", thing, reason, text) for reason, text in said)
    return with_pods("redis", pending("redis", message, spec=volumes), claims=(thing,), events=events)


def about(one: kit.Json, reason: str, message: str, **more: Any) -> Snapshot:
    group = "head" if one["metadata"]["labels"].get("ray.io/node-type") == "head" else "worker"
    return with_pods(group, one, events=(event("Pod", one, reason, message, **more),))


def log(name: str, group: str = "worker", code: int = 1, storage: str = "redis") -> Snapshot:
    """A pod that crashed with a log of the real Ray."""
    one = crashed(group, code)
    key = (one["metadata"]["name"], "ray", True)
    return with_pods(group, one, logs={key: (LOGS / f"{name}.log").read_text()}, storage=storage)


def late(name: str, seconds: float, group: str = "worker", text: str = "") -> Snapshot:
    """A pod that runs and is not ready, everything it needs being ready for an hour."""
    one = pod(group, age=seconds + 2)
    text = text or (LOGS / f"{name}.log").read_text()
    return with_pods(group, one, logs={(one["metadata"]["name"], "ray", False): text})


def sized(memory: str) -> kit.Json:
    resources = {"limits": {"cpu": "1", "memory": memory}}
    return {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0", "resources": resources}]}


def with_raylet(text: str) -> Snapshot:
    """A pod whose Ray gave up its start, with the end of its raylet.err."""
    one = crashed("worker", 1)
    name = one["metadata"]["name"]
    timeout = (LOGS / "start-timeout.log").read_text()
    return with_pods("worker", one, logs={(name, "ray", True): timeout, (name, "ray/raylet.err", True): text})


def late_crash(code: int, text: str, name: str = "ray") -> Snapshot:
    """A pod whose container ended with that code after that log."""
    one = crashed("worker", code)
    return with_pods("worker", one, logs={(one["metadata"]["name"], name, True): text})


def sidecar(text: str, code: int = 127, reason: str = "Error") -> Snapshot:
    """A pod whose second container ends with that code; Ray beside it runs."""
    one = pod("worker", container={"ready": True})
    last = {"exitCode": code, "reason": reason, "startedAt": ago(25), "finishedAt": ago(5)}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    one["spec"]["containers"].append({"name": "logs", "image": "fluent/fluentd:1"})
    one["status"]["containerStatuses"].append(
        {"name": "logs", "ready": False, "restartCount": 3, "state": state, "lastState": {"terminated": last}}
    )
    return with_pods("worker", one, logs={(one["metadata"]["name"], "logs", True): text})


def policy(name: str, select: kit.Json, **rules: Any) -> kit.Json:
    types = [k.capitalize() for k in rules]
    spec = {"podSelector": {"matchLabels": select}, "policyTypes": types, **rules}
    return {"metadata": {"name": name}, "spec": spec}


def autoscaled(demand: str = "(no resource demands)", most: int = 4, **kept: str) -> Snapshot:
    """An autoscaled cluster with two workers; `kept` goes into its steward's ConfigMap."""
    base, document = healthy(), kit.spec("redis").document()
    document["spec"] |= {"enableInTreeAutoscaling": True}
    group = document["spec"]["workerGroupSpecs"][0]
    group |= {"minReplicas": 0, "maxReplicas": most, "rayStartParams": {"num-cpus": "2"}}
    cluster = read(RayCluster, document)
    facts = Facts(namespace=base.namespace, anchor_uid="u", steward="client" if kept else "role")
    config = steward_config(Context(cluster, facts))
    config["data"] |= {key: text for key, text in kept.items() if text}
    stamp = json.loads(config["data"]["pods.json"])["worker"]["metadata"]["annotations"]
    for one in base.pods or ():
        one["metadata"]["annotations"] = stamp
    said = f"Active:\n 1 headgroup\nPending Demands:\n {demand}"
    deployments = (base.deployments or ())[:1]
    return replace(
        base, cluster=cluster, deployments=deployments, makers=(config,), autoscaler=report_of(said)
    )


def acting(seconds: float) -> str:
    return json.dumps({"id": "here:1:ab", "who": "ann@here", "renewed": ago(seconds)})


DNS_ONLY = {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}
WORKERS = {"ray.io/group": "worker"}
STUCK = pod("worker", age=600, metadata={"deletionTimestamp": ago(90), "finalizers": ["x.io/y"]})
SLOW_PULL = waiting("worker", "ContainerCreating", age=400)
LIVENESS = crashed("worker", 137, "Error")
OLD_HEAD = kit.owner("head", 1, metadata={"generation": 3, "creationTimestamp": ago(90)})
LOST = pod("worker", age=3600, ready_age=40)

TABLE: list[tuple[str, str, str | None, Snapshot]] = [
    # (what is told, the cause, its group, the snapshot)
    ("cpu", "insufficient-resources", "worker", schedule("6 Insufficient cpu")),
    ("memory beside a control plane", "insufficient-resources", "worker",
     schedule("1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 5 Insufficient memory")),
    ("GPU nodes are tainted", "untolerated-taint", "worker",
     schedule("2 node(s) had untolerated taint {nvidia.com/gpu: present}, 4 Insufficient nvidia.com/gpu")),
    ("taints without names, Kubernetes 1.34", "untolerated-taint", "worker", schedule("6 node(s) had untolerated taint(s)")),
    ("own taint and a selector", "untolerated-taint", "worker",
     schedule("2 node(s) had untolerated taint {team: vision}, 4 node(s) didn't match Pod's node affinity/selector")),
    ("selector beside a control plane", "no-matching-node", "worker",
     schedule("1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
              "5 node(s) didn't match Pod's node affinity/selector")),
    ("spread", "pod-affinity", "worker", schedule("6 node(s) didn't match pod topology spread constraints")),
    ("full nodes", "too-many-pods", "worker", schedule("6 Too many pods")),
    ("cordoned", "nodes-unavailable", "worker", schedule("6 node(s) were unschedulable")),
    ("not ready", "nodes-unavailable", "worker",
     schedule("6 node(s) had untolerated taint {node.kubernetes.io/not-ready: }")),
    ("no nodes", "nodes-unavailable", "worker",
     with_pods("worker", pending("worker", "no nodes available to schedule pods"))),
    ("zone", "volume-elsewhere", "worker", schedule("6 node(s) didn't match PersistentVolume's node affinity")),
    ("zone before 1.33", "volume-elsewhere", "worker", schedule("6 node(s) had volume node affinity conflict")),
    ("gate", "scheduling-gated", "worker",
     with_pods("worker", pending("worker", "Scheduling is blocked due to non-empty scheduling gates",
                                 reason="SchedulingGated", spec={"schedulingGates": [{"name": "q.io/wait"}]}))),
    ("something new", "unschedulable", "worker", schedule("6 node(s) were painted green")),
    ("new node that never came", "insufficient-resources", "worker",
     about(pending("worker", SCHEDULER.format("6 Insufficient cpu"), age=1200), "TriggeredScaleUp", "pod triggered scale-up",
           seconds=1100)),
    ("not found", "image-not-found", "worker", pull("r.io/a:b: not found")),
    ("CRI-O", "image-not-found", "worker", with_pods("worker", waiting(
        "worker", "ErrImagePull", "reading manifest 2.60 in docker.io/rayproject/ray: manifest unknown"))),
    ("Docker Hub", "image-denied", "worker", pull(
        "pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed")),
    ("403", "image-denied", "worker", pull("unexpected status from HEAD request to https://r.io/v2/a: 403 Forbidden")),
    ("429", "image-rate-limit", "worker",
     pull("unexpected status code https://registry-1.docker.io/v2/x: 429 Too Many Requests - Server message: toomanyrequests")),
    ("timeout", "registry-unreachable", "worker",
     pull('failed to do request: Head "https://r.io/v2/a": dial tcp 1.2.3.4:443: i/o timeout')),
    ("certificate", "registry-unreachable", "worker",
     pull('failed to do request: Head "https://r.io/v2/a": x509: certificate signed by unknown authority')),
    ("arm", "image-platform", "worker", pull("no match for platform in manifest: not found")),
    ("disk", "node-disk-full", "worker", pull("write /var/lib/x: no space left on device")),
    ("never", "image-never-pulled", "worker", with_pods("worker", waiting("worker", "ErrImageNeverPull"))),
    ("odd", "image-pull-failed", "worker", with_pods("worker", waiting("worker", "ErrImagePull", "the moon is full"))),
    ("back-off before 1.32: the answer is in an event", "image-not-found", "worker", about(
        waiting("worker", "ImagePullBackOff", 'Back-off pulling image "rayproject/ray:2.60.0"'), "Failed",
        'Failed to pull image "rayproject/ray:2.60.0": ' + PULL.format("not found"))),
    ("slow pull", "image-slow", "worker",
     about(SLOW_PULL, "Pulling", 'Pulling image "rayproject/ray:2.60.0"', seconds=190)),
    ("quota", "quota-exceeded", "worker", refused(
        "exceeded quota: compute, requested: requests.cpu=2,requests.memory=4Gi, used: requests.cpu=3,requests.memory=6Gi, "
        "limited: requests.cpu=4,requests.memory=8Gi")),
    ("quota, by the ReplicaSet", "quota-exceeded", "worker", only_replicasets(
        "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3")),
    ("quota wants requests", "quota-needs-requests", "worker", refused("failed quota: q: must specify limits.cpu for: ray")),
    ("PodSecurity", "pod-security", "worker",
     refused('violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)')),
    ("LimitRange", "limit-range", "worker",
     refused("[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Pod is 2Gi, but limit is 4Gi]")),
    ("webhook", "webhook-denied", "worker", refused('admission webhook "v.kyverno.svc" denied the request: no latest tag')),
    ("webhook down", "webhook-down", "worker", refused(
        'Internal error occurred: failed calling webhook "v.kyverno.svc": Post "https://k": context deadline exceeded')),
    ("account", "service-account-missing", "worker",
     refused('error looking up service account team/x: serviceaccount "x" not found')),
    ("priority class", "priority-class-missing", "worker", refused("no PriorityClass with name rush was found")),
    ("runtime class", "runtime-class-missing", "worker",
     refused('pods "x" is forbidden: pod rejected: RuntimeClass "nvidia" not found')),
    ("other refusal", "pods-refused", "worker", refused("the server is in a bad mood")),
    ("Redis' quota", "quota-exceeded", "redis", with_pods("redis", events=(event(
        "StatefulSet", kit.owner("redis", 1), "FailedCreate",
        'create Pod demo-redis-0 in StatefulSet demo-redis failed error: pods "demo-redis-0" is forbidden: exceeded quota: '
        'compute, requested: pods=1, used: pods=3, limited: pods=3'),))),
    ("Redis' claim's quota", "quota-exceeded", "redis", with_pods("redis", events=(event(
        "StatefulSet", kit.owner("redis", 1), "FailedCreate",
        'create Claim data-demo-redis-0 for Pod demo-redis-0 in StatefulSet demo-redis failed error: persistentvolumeclaims '
        '"data-demo-redis-0" is forbidden: exceeded quota: disk, requested: requests.storage=1Gi, used: requests.storage=5Gi, '
        'limited: requests.storage=5Gi'),))),
    ("namespace ends", "namespace-terminating", None,
     refused("unable to create new content in namespace team because it is being terminated")),
    ("no class", "claim-no-class", "redis", unbound(claim("Pending", None), (
        "FailedBinding", "no persistent volumes available for this claim and no storage class is set"))),
    ("class missing", "claim-class-missing", "redis", unbound(claim("Pending"), (
        "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'))),
    ("provisioner fails", "claim-not-provisioned", "redis", unbound(claim("Pending"), (
        "ProvisioningFailed", "rpc error: code = ResourceExhausted desc = quota of disks is used up"))),
    ("provisioner sleeps", "claim-pending", "redis", unbound(claim("Pending"), (
        "ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner 'x'"))),
    ("lost", "claim-lost", "redis", unbound(claim("Lost"))),
    ("multi-attach", "volume-attached-elsewhere", "head", about(
        waiting("head", "ContainerCreating"), "FailedAttachVolume",
        'Multi-Attach error for volume "pv-1" Volume is already used by pod(s) demo-head-0')),
    ("mount", "volume-not-mounted", "worker", about(
        waiting("worker", "ContainerCreating"), "FailedMount", 'MountVolume.SetUp failed for volume "nfs" : mount failed: exit status 32')),
    ("our token's Secret", "secret-missing", "worker", about(
        waiting("worker", "ContainerCreating"), "FailedMount", 'MountVolume.SetUp failed for volume "ray-token" : secret "demo" not found')),
    ("key of env", "secret-key-missing", "worker", with_pods("worker", waiting(
        "worker", "CreateContainerConfigError", "couldn't find key password in Secret team/redis"))),
    ("memory", "out-of-memory", "worker", with_pods("worker", crashed("worker", 137, "OOMKilled"))),
    ("memory, ready again for less long than before", "out-of-memory", "worker", with_pods(
        "worker", pod("worker", ready=True, age=600, ready_age=3, container={
            "state": {"running": {"startedAt": ago(5)}}, "restartCount": 4,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(40), "finishedAt": ago(7)}}}))),
    ("one process of Ray", "ray-process-killed", "worker", log("killed-raylet")),
    ("killed", "killed", "worker", with_pods("worker", crashed("worker", 137, "Error"))),
    ("liveness", "liveness-failed", "worker", about(
        LIVENESS, "Killing", "Container ray failed liveness probe, will be restarted")),
    ("command missing", "container-cannot-start", "worker", with_pods("worker", waiting(
        "worker", "RunContainerError", 'failed to create containerd task: exec: "/x": stat /x: no such file or directory'))),
    ("no ray", "no-ray-in-image", "worker", with_pods("worker", crashed("worker", 127))),
    ("root", "image-runs-as-root", "worker", with_pods("worker", waiting(
        "worker", "CreateContainerConfigError", "container has runAsNonRoot and image will run as root (pod: x, container: ray)"))),
    ("ended", "exited-by-itself", "worker", with_pods("worker", crashed("worker", 0, "Completed"))),
    ("fails", "crash-loop", "worker", with_pods("worker", crashed("worker", 1))),
    ("evicted", "evicted", "worker", failed(
        "Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. Container ray was using "
        "5Gi, request is 4Gi, has larger consumption of memory. ")),
    ("disk of its own", "evicted-over-limit", "worker", failed(
        "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ")),
    ("rejected", "node-rejected-pod", "worker", failed(
        "OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3900, capacity: 4000")),
    ("preempted", "preempted", "worker", preempted()),
    ("node lost", "node-lost", "worker", about(
        pod("worker", age=3600, ready_age=30), "NodeNotReady", "Node is not ready", seconds=29)),
    ("stuck", "pod-stuck-terminating", "worker", with_pods("worker", STUCK, pod("worker", "w0", ready=True))),
    ("token", "token-mismatch", "worker", log("token-worker")),
    ("token, while it still tries", "token-mismatch", "worker", late("token-worker", 15)),
    ("no token", "token-file-missing", "head", log("token-missing", "head")),
    ("versions", "version-mismatch", "worker", log("version-worker")),
    ("versions too far apart to ask", "version-mismatch", "worker", log("version-old")),
    ("password", "redis-wrong-password", "head", log("redis-wrongpass", "head")),
    ("no password", "redis-wrong-password", "head", log("redis-noauth", "head")),
    ("Redis refuses", "redis-unreachable", "head", log("redis-refused", "head")),
    ("Redis died", "redis-unreachable", "head", log("redis-dies", "head")),
    ("Redis came back empty", "gcs-state-lost", "worker", log("lost-worker")),
    ("two heads", "rocksdb-locked", "head", log("rocks2", "head", storage="rocksdb")),
    ("DNS", "dns-fails", "worker", late("dns", 65)),
    ("unreachable", "head-unreachable", "worker", late("refused", 65)),
    ("proxy", "gcs-answered-by-proxy", "worker", log("timeout")),
    ("marked dead", "ray-marked-dead", "worker", late("", 15, text=(
        "(raylet) node_manager.cc:1: [Timeout] Exiting because this node manager has mistakenly been marked as dead by the GCS: "
        "GCS failed to check the health of this node for 5 times."))),
    ("Redis full", "redis-full", "head", late("", 15, "head", text=(
        "raystead: waiting for Redis at redis:6379 OOM command not allowed when used memory > 'maxmemory'."))),
    ("two heads, one Redis", "head-superseded", "head", late("", 15, "head", text=(
        "raystead: another head came after this one, which waits for its end"))),
    ("our own wait", "redis-unreachable", "head", late("", 125, "head", text=(
        "raystead: waiting for Redis at redis:6379 [Errno 111] Connection refused"))),
    ("our own wait, refused", "redis-wrong-password", "head", late("", 15, "head", text=(
        "raystead: waiting for Redis at redis:6379 WRONGPASS invalid username-password pair or user is disabled."))),
    ("start too slow", "ray-start-timeout", "head", log("start-timeout", "head")),
    ("disk in the pod", "disk-full-in-pod", "worker", late("", 15, text="OSError: [Errno 28] No space left on device: '/tmp/ray'")),
    ("read-only", "tmp-not-writable", "worker", late("", 15, text="FileNotFoundError: [Errno 2] No usable temporary directory found")),
    ("option", "ray-start-refused", "worker", late("", 15, text="Usage: ray start\nError: No such option: --num-cpu Did you mean --num-cpus?")),
    ("policy", "policy-blocks", "worker", replace(
        with_pods("worker", pod("worker", age=30)), policies=(policy("deny", WORKERS, egress=[DNS_ONLY]),))),
    ("policy without DNS", "policy-blocks-dns", "worker", replace(
        with_pods("worker", pod("worker", age=30)), policies=(policy("deny", WORKERS, egress=[]),))),
    ("policy before Redis", "policy-blocks", "head", replace(
        with_pods("head", pod("head", age=30)), policies=(policy("deny", {"app": "redis"}, ingress=[]),))),
    ("no Service", "service-missing", "worker", replace(
        with_pods("worker", pod("worker", age=5)), services=kit.services("demo-redis"))),
    ("hung", "not-ready-any-more", "worker", replace(with_pods("worker", LOST), ray_nodes=())),
    ("slow", "slow-start", "worker", with_pods("worker", pod("worker", age=190))),
    ("agent hung", "in-ray-but-not-ready", "worker", with_pods("worker", LOST, ray_nodes=(kit.ray_node(LOST),))),
    ("not in Ray", "ready-but-not-in-ray", "worker", replace(healthy(1), ray_nodes=(kit.ray_node(healthy(1).pods[1]),))),
    ("no token checked", "token-not-as-expected", "head", replace(healthy(), living=Living("disabled", "2.60.0"))),
    ("older Ray", "ray-version-not-as-expected", "head", replace(healthy(), living=Living("token", "2.53.0"))),
    ("API slow", "api-server-slow", None, replace(healthy(), api_slow=6.5)),
    ("controllers", "controllers-behind", "head", replace(
        healthy(), deployments=(OLD_HEAD, kit.owner("worker", 2)))),
    ("deleted", "objects-missing", "worker", replace(healthy(), deployments=(kit.owner("head", 1),))),
    ("a raylet that finds no cgroups", "raylet-needs-cgroups", "worker", with_raylet(
        "[2026-11-24 11:59:50,1 C 90 90] (raylet) main.cc:500: Check failed: cgroup_manager is OK : Invalid: "
        "/sys/fs/cgroup is not writable")),
    ("a raylet that died", "raylet-died", "worker", with_raylet(
        "[2026-11-24 11:59:50,1 C 90 90] (raylet) store.cc:12: Check failed: fd > 0 bad file")),
    ("a raylet that says nothing", "ray-start-timeout", "worker", with_raylet("[2026 I 9 9] (raylet) started, cgroup none")),
    ("the account was made since", "refusal-over", "worker", replace(refused(
        'error looking up service account team/ray: serviceaccount "ray" not found'), accounts=("ray",))),
    ("deleted while young", "objects-missing", "worker", replace(
        healthy(), applied=kit.NOW - timedelta(seconds=15), deployments=(
            kit.owner("head", 1, metadata={"creationTimestamp": ago(15)}),))),
    ("a deadline that the spec does not have", "deadline-exceeded", "worker", failed(
        "DeadlineExceeded", "Pod was active on the node longer than the specified deadline",
        spec={"activeDeadlineSeconds": 21600})),
    ("memory in thousandths", "memory-in-thousandths", "worker", with_pods("worker", waiting(
        "worker", "ContainerCreating", age=400, spec=sized("500m")))),
    ("memory in thousandths, as the node tells it", "memory-in-thousandths", "worker", with_pods("worker", waiting(
        "worker", "RunContainerError", "write memory.max: no space left on device", spec=sized("500m")))),
    ("a sidecar's command", "container-cannot-start", "worker", sidecar("sh: 1: fluentd: not found")),
    ("a program that the file's command calls", "container-cannot-start", "worker", late_crash(
        127, "bash: line 1: wget: command not found")),
    ("a joined command", "command-syntax", "worker", late_crash(
        2, "installing\nbash: -c: line 3: syntax error near unexpected token `fi'\nbash: -c: line 3: `echo x fi'\nlast words")),
    ("a quote without its partner", "command-syntax", "worker", late_crash(
        2, "bash: -c: line 1: unexpected EOF while looking for matching `\"'\ndone")),
    ("a head on its node's network", "policy-blocks-host-network", "worker", replace(
        with_pods("worker", pod("worker", age=30, spec={"hostNetwork": True})),
        policies=(policy("own", {"ray.io/node-type": "head"}, ingress=[{"from": [{"podSelector": {}}]}]),))),
    ("nobody has acted yet", "autoscaler-unattended", None, autoscaled(client="")),
    ("who acted was killed", "autoscaler-unattended", None, autoscaled(client=acting(90))),
    ("all workers are there", "autoscaler-at-maximum", None, autoscaled("{'CPU': 1.0}: 3+ pending tasks/actors", 2)),
    ("more CPUs than a worker has", "autoscaler-infeasible", None, autoscaled(
        "{'CPU': 8.0}: 1+ pending tasks/actors")),
    ("not allowed", "pods-not-readable", None, replace(healthy(), pods=None)),
    ("nobody knows", "unexplained", "worker", replace(
        with_pods("worker", waiting("worker", "ContainerCreating", age=400)), policies=None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "group", "snapshot"), [row[1:] for row in TABLE], ids=[f"{r[1]}: {r[0]}" for r in TABLE]
)
def test_a_cause_is_found_first_and_alone(cause: str, group: str | None, snapshot: Snapshot) -> None:
    assert kit.causes(explain(snapshot)) == [(cause, group)]


@pytest.mark.parametrize(
    "snapshot",
    [
        autoscaled(),
        autoscaled("{'CPU': 1.0}: 3+ pending tasks/actors"),  # its workers are on their way
        autoscaled(client=acting(5)),
        replace(autoscaled("{'CPU': 1.0}: 1+ pending tasks/actors"), autoscaler=None),
    ],
)
def test_an_autoscaler_that_has_what_it_needs_is_no_finding(snapshot: Snapshot) -> None:
    assert explain(snapshot) == ()


def test_demand_without_a_place_is_told_with_what_would_do() -> None:
    (full,) = explain(autoscaled("{'CPU': 1.0}: 3+ pending tasks/actors", 2))
    assert full.why == "3 x 1 CPU (tasks or actors) waits: group worker is at its maximum, 2"
    assert "raystead scale worker=0..5" in full.remedy
    (wide,) = explain(autoscaled("{'CPU': 8.0}: 1+ pending tasks/actors"))
    assert wide.why == "1 x 8 CPU (tasks or actors) waits, and no group's worker has 8 CPU"


AS_ROOT = with_pods("worker", waiting(
    "worker", "CreateContainerConfigError", "container has runAsNonRoot and image will run as root"))  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "restricted", "in_file", "who", "undone"),
    [
        (None, False, False, "it is Ray's own image", True),
        ("always", True, False, "the annotation raystead.io/hardening: always asks for it", True),
        (None, True, False, "the namespace enforces PodSecurity `restricted`", False),
        (None, True, True, "the file's template says runAsNonRoot", False),
    ],
)
def test_a_root_image_is_told_who_forbids_it_and_how_that_is_undone(
    annotation: str | None, restricted: bool, in_file: bool, who: str, undone: bool
) -> None:
    document = AS_ROOT.cluster.document() if AS_ROOT.cluster else {}
    if annotation:
        document["metadata"]["annotations"]["raystead.io/hardening"] = annotation
    if in_file:
        worker = document["spec"]["workerGroupSpecs"][0]["template"]["spec"]
        worker["securityContext"] = {"runAsNonRoot": True}
    cluster = read(RayCluster, document)
    (found,) = explain(replace(AS_ROOT, cluster=cluster, facts=Facts(restricted=restricted)))
    assert who in found.means
    assert ("raystead.io/hardening: never" in found.remedy) == undone


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [(0, "Completed", "exited-by-itself"), (137, "OOMKilled", "out-of-memory"), (3, "Error", "crash-loop")],
)
def test_of_a_sidecar_that_ends_nothing_is_advised_for_ray(code: int, reason: str, cause: str) -> None:
    (found,) = explain(sidecar("gone", code, reason))
    assert (found.cause, "container logs" in found.why) == (cause, True)
    assert "--container logs --previous" in found.remedy
    assert not [word for word in ("--block", "--worker-memory", "`ray start`") if word in str(found)]


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 "
         "from the given PriorityClass name", "remove priority in the file"),
        ("the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller "
         "computed PreemptLowerPriority from the given PriorityClass name", "remove preemptionPolicy in the file"),
        ('Pod "x" is invalid: spec.containers[0].envFrom[0].secretRef.name: Invalid value: "A_B": x',
         "correct spec.containers[0].envFrom[0].secretRef.name in"),
        ('Pod "x" is invalid: [spec.hostname: Invalid value: "A_B": x, spec.x: y]', "correct spec.hostname in"),
        ("pods are not allowed on Fridays", 'send to the administrator: "pods of namespace'),
    ],
)  # fmt: skip
def test_a_refusal_for_a_mistake_in_the_file_is_not_sent_to_the_administrator(
    message: str, remedy: str
) -> None:
    (one,) = [f for f in explain(refused(message)) if f.cause == "pods-refused"]
    assert remedy in one.remedy
    assert ("administrator" in one.remedy) == ("administrator" in remedy)


def test_a_missing_priority_class_is_the_files_to_mend_and_the_administrators_to_name() -> None:
    (found,) = explain(refused("no PriorityClass with name rush was found"))
    assert found.why == "PriorityClass rush does not exist in this cluster"
    assert found.remedy.startswith("correct or remove priorityClassName rush in the file, then raystead up")
    assert "pods of namespace team name PriorityClass rush" in found.remedy


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ("every pod needs the label example.edu/queue", " --label example.edu/queue=VALUE"),
        ('[owner] you must provide labels: {"team", "cost"}', " --label team=VALUE --label cost=VALUE"),
        (
            "validation error: The label `app.kubernetes.io/name` is required. rule check failed at path "
            "/metadata/labels/app.kubernetes.io/name/",
            " --label app.kubernetes.io/name=VALUE",
        ),
        ("label 'team' is missing", " --label team=VALUE"),
        ("the label team is required", " --label team=VALUE"),
        ("object.metadata.labels.team must be set", " --label team=VALUE"),
        ("a label is required", ""),
        ("no latest tag", ""),
    ],
)
def test_a_policy_that_demands_a_label_gets_it_by_a_flag(said: str, flags: str) -> None:
    (found,) = explain(refused(f'admission webhook "v.kyverno.svc" denied the request: {said}'))
    first, *_ = found.remedy.splitlines()
    assert first == (f"raystead up --name demo{flags}" if flags else first)
    assert ("--label" in found.remedy) == bool(flags)


def test_advice_of_a_wait_names_the_file_and_never_a_name_beside_it() -> None:
    for snapshot in (
        sidecar("sh: 1: fluentd: not found"),
        with_pods("worker", crashed("worker", 137, "OOMKilled")),
    ):
        (found,) = explain(replace(snapshot, up="raystead up -f 'my ray.yaml'"))
        assert "raystead up -f 'my ray.yaml'" in found.remedy
        assert "FILE" not in found.remedy
        assert "--name" not in found.remedy


def test_a_policy_of_ours_is_called_ours_and_how_it_goes_is_said() -> None:
    ours = policy("demo-closed", {"ray.io/node-type": "head"}, ingress=[])
    ours["metadata"]["labels"] = {"raystead.io/cluster": kit.NAME}
    (found,) = explain(replace(with_pods("worker", pod("worker", age=30)), policies=(ours,)))
    assert "of raystead's own" in found.why
    assert "raystead up --name demo --policies never" in found.remedy
    assert "ask who owns" not in found.remedy


def test_an_object_that_an_up_at_work_makes_next_is_not_missing() -> None:
    young = replace(healthy(), applied=kit.NOW - timedelta(seconds=3), deployments=(kit.owner("head", 1),))
    assert "objects-missing" not in [f.cause for f in explain(young)]


def room(hard: str, used: str) -> kit.Json:
    return {
        "metadata": {"name": "team"},
        "spec": {},
        "status": {"hard": {"requests.cpu": hard}, "used": {"requests.cpu": used}},
    }


FULL = "exceeded quota: team, requested: requests.cpu=500m, used: requests.cpu=1100m, limited: requests.cpu=1300m"


def test_a_quotas_use_is_what_it_is_now_not_what_an_old_event_says() -> None:
    (found,) = explain(replace(refused(FULL), quotas=(room("1300m", "900m"),)))
    assert found.cause == "quota-exceeded"
    assert "900m of 1300m are used" in found.why


@pytest.mark.parametrize(
    ("asks", "left", "flags"),
    [
        ({"requests.cpu": "1"}, {"requests.cpu": "750m"}, "--head-cpu 700m"),
        ({"requests.cpu": "1", "limits.cpu": "1"}, {"requests.cpu": "900m", "limits.cpu": "800m"}, "--head-cpu 800m"),
        ({"requests.cpu": "1", "requests.memory": "2Gi"}, {"requests.cpu": "3", "requests.memory": "1600Mi"}, "--head-memory 1600Mi"),
        ({"requests.cpu": "1"}, {"requests.cpu": "50m"}, ""),
        ({"requests.memory": "2Gi"}, {"requests.memory": "300Mi"}, ""),
        ({"requests.cpu": "1", "pods": "1"}, {"requests.cpu": "500m"}, ""),
    ],
)  # fmt: skip
def test_a_size_that_the_quota_has_room_for_is_a_number(
    asks: dict[str, str], left: dict[str, str], flags: str
) -> None:
    assert admission._fitting(HEAD, 1, asks, {}, left) == flags


@pytest.mark.parametrize("quotas", [(room("4", "600m"),), (room("1300m", "600m"),)])
def test_a_quota_that_has_room_now_is_told_in_the_past_with_the_next_try(
    quotas: tuple[kit.Json, ...],
) -> None:
    base = refused(FULL)
    (found,) = explain(replace(base, quotas=quotas))
    assert found.cause == "refusal-over"
    assert "1 pod refused" in found.why
    events = (event("ReplicaSet", kit.replicaset("worker", 2, 1), "FailedCreate", FULL, seconds=4, count=9),)
    (found,) = explain(replace(base, quotas=quotas, events=events))
    assert "tries again by itself, ever more slowly after each refusal: in about 12 s" in found.means


def test_a_service_account_that_was_made_since_is_not_missing() -> None:
    missing = refused('error looking up service account team/ray: serviceaccount "ray" not found')
    assert kit.causes(explain(missing)) == [("service-account-missing", "worker")]
    assert needed_accounts(missing) == ("ray",)
    assert kit.causes(explain(replace(missing, accounts=("ray",)))) == [("refusal-over", "worker")]


def test_a_cause_that_was_known_a_moment_ago_is_kept_until_the_pod_is_ready() -> None:
    known = explain(late_crash(1, "ValueError: no such thing"))
    again = with_pods("worker", pod("worker", age=190))
    assert kit.causes(explain(again)) == [("slow-start", "worker")]
    assert kit.causes(kept(known, explain(again), again)) == [("crash-loop", "worker")]
    well = with_pods("worker", pod("worker", age=190, ready=True), pod("worker", "w2", age=190, ready=True))
    assert kept(known, explain(well), well) == ()
    other = with_pods("worker", pod("worker", "demo-worker-new", age=190))
    assert kit.causes(kept(known, explain(other), other)) == [("slow-start", "worker")]


def test_status_says_when_a_pod_will_be_ended() -> None:
    one = Pod.of(pod("worker", ready=True, age=3600, spec={"activeDeadlineSeconds": 6120}))
    one.json["status"]["startTime"] = ago(3600)
    note = pod_note(Pod.of(slim(one.json)), kit.NOW)
    assert note is not None
    assert note.text == "ends in 42 min (activeDeadlineSeconds: 6120)"
