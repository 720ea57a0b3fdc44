"""A cluster in which each step of everybody can be made, and made to fail, by itself.

Ray's own autoscaler v2 (provider, reconciler, scheduler) against our steward over an API server, a kubelet, a
GCS and a clock that are played here, so that each may fail at any step and ten minutes take a moment.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Queue
from types import SimpleNamespace
from typing import Any

from raystead.incluster.hands import ApiFailed, Hands
from raystead.incluster.kept import Kept, Overtaken
from raystead.incluster.scaling import PatchRefused, name_of

Json = dict[str, Any]
PODS, CONFIG = "/api/v1/namespaces/ns/pods", "/api/v1/namespaces/ns/configmaps/state"
CONTAINER = {"name": "ray", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
TEMPLATE = {"spec": {"containers": [CONTAINER]}}
GROUP = {"groupName": "small", "minReplicas": 0, "maxReplicas": 4, "replicas": 0, "template": TEMPLATE}
DOCUMENT = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "demo", "namespace": "ns"},
    "spec": {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 8},
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": TEMPLATE},
        "workerGroupSpecs": [GROUP],
    },
}
ROUND = 5  # seconds between two rounds of the autoscaler
ENOUGH = 260  # rounds: Ray itself waits up to 600 s for an instance that it has asked for


def labels(kind: str, group: str) -> Json:
    return {"ray.io/cluster": "demo", "ray.io/node-type": kind, "ray.io/group": group}


def worker(group: str) -> Json:
    metadata = {"labels": labels("worker", group), "ownerReferences": [{"uid": "anchor"}]}
    return {"metadata": metadata, "spec": {}}


class Killed(BaseException):
    """The steward's process is."""


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)


class Now:
    """A pool that does at once what it is given."""

    def submit(self, what: Callable[..., Any], *words: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(what(*words))
        except Exception as error:  # noqa: BLE001 - as a pool does
            done.set_exception(error)
        return done


class Server:
    """Pods and one ConfigMap. `failing`: what the next requests meet, "refused" or "mute" (done, no answer)."""

    namespace = "ns"

    def __init__(self) -> None:
        self.version = 10
        self.pods: dict[str, Json] = {}
        self.events: list[tuple[str, Json]] = []
        self.failing: dict[str, list[str]] = {"pods": [], "state": []}
        self.quota, self.deleted, self.used = 99, list[str](), list[str]()
        self.refusing = ""  # what an admission says of every pod
        self.asked, self.killed_at = 0, 0  # requests, and the one in which the steward is killed
        data = {
            "cluster.json": json.dumps(DOCUMENT),
            "pods.json": json.dumps({name: worker(name) for name in ("small", "other")}),
        }
        metadata = {"uid": "config", "ownerReferences": [{"uid": "anchor"}], "resourceVersion": "5"}
        self.config: Json = {"metadata": metadata, "data": data}
        self.put({"metadata": {"name": "head", "labels": labels("head", "headgroup")}, "status": RUNNING})

    def number(self) -> str:
        self.version += 1
        return str(self.version)

    def put(self, pod: Json, kind: str = "ADDED") -> Json:
        pod["metadata"]["resourceVersion"] = self.number()
        self.pods[name_of(pod)] = pod
        self.events.append((kind, copy.deepcopy(pod)))
        return copy.deepcopy(pod)

    def remove(self, name: str) -> None:
        pod = self.pods.pop(name)
        pod["metadata"]["resourceVersion"] = self.number()
        self.events.append(("DELETED", pod))

    def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Json:
        what = "state" if path.startswith(CONFIG) else "pods"
        self.asked += 1
        fault = self.failing[what].pop(0) if self.failing[what] and method != "GET" else ""
        if fault == "refused":
            raise ApiFailed(0, "connection refused")
        try:
            answer = self._config(method, body) if what == "state" else self._pods(method, path, body)
        finally:  # a refusal is an answer too
            if self.killed_at == self.asked:
                raise Killed
        if fault == "mute":
            raise ApiFailed(0, "timed out")
        return answer

    def _config(self, method: str, body: Any) -> Json:
        if method == "PATCH":
            if body["metadata"]["resourceVersion"] != self.config["metadata"]["resourceVersion"]:
                raise ApiFailed(409, "the object has been modified")
            self.config["data"].update(body["data"])
            self.config["metadata"]["resourceVersion"] = self.number()
        return copy.deepcopy(self.config)

    def _pods(self, method: str, path: str, body: Any) -> Json:
        name = path.partition("?")[0].rpartition("/")[2]
        if method == "GET":
            items = copy.deepcopy(list(self.pods.values()))
            return {"items": items, "metadata": {"resourceVersion": str(self.version)}}
        if method == "POST":
            if body["metadata"]["name"] in self.pods:
                raise ApiFailed(409, "already exists")
            if len(self.pods) > self.quota:
                raise ApiFailed(403, "pods is forbidden: exceeded quota")
            if self.refusing:
                raise ApiFailed(403, f"pods is forbidden: {self.refusing}")
            self.used.append(body["metadata"]["name"])
            pod = copy.deepcopy({**body, "status": {"phase": "Pending"}})
            pod["metadata"]["uid"] = self.number()
            return self.put(pod)
        if name not in self.pods:
            raise ApiFailed(404, "not found")
        if body["preconditions"]["uid"] != self.pods[name]["metadata"]["uid"]:
            raise ApiFailed(409, "another uid")
        pod = self.pods[name]
        self.deleted.append(name)
        return {"kind": "Pod", **self.end(name)}

    def end(self, name: str) -> Json:
        """It is on its way out."""
        pod = self.pods[name]
        pod["metadata"].setdefault("deletionTimestamp", "now")
        return self.put(pod, "MODIFIED")

    def watch(self, path: str, take: Callable[[str, Json], None], stop: threading.Event) -> None:
        """Of the ConfigMap; those of the pods the test gives."""
        assert "/configmaps?" in path
        take("ADDED", copy.deepcopy(self.config))
        stop.set()

    def change(self, *groups: Json, **spec: Any) -> None:
        """`up` stores another spec."""
        document = json.loads(self.config["data"]["cluster.json"])
        document["spec"] |= spec
        if groups:
            document["spec"]["workerGroupSpecs"] = list(groups)
        self.config["data"]["cluster.json"] = json.dumps(document)
        self.config["metadata"]["resourceVersion"] = self.number()


RUNNING = {"phase": "Running", "containerStatuses": [{"name": "ray", "state": {"running": {}}}]}
ENDED = {"phase": "Failed", "containerStatuses": [{"name": "ray", "state": {"terminated": {}}}]}


class World:
    """The whole cluster; every method is one step of somebody."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.server, self.restarts = clock, Server(), 0
        self.wanted, self.nodes = 0, dict[str, SimpleNamespace]()
        self.numbers = itertools.count(1)
        self.facade_failing: list[str] = []
        self.refused = ""
        self.drains_failing: list[str] = []
        self.stuck: set[str] = set()  # pods that nobody removes: of a dead node, or with a finalizer
        self.images = True  # a pod that is made can start
        self.killed: list[str] = []  # workers that had work
        self.lowered = False
        self.before: Hands | None = None
        self.least, self.most = 0, GROUP["maxReplicas"]
        self.nodes["head"] = self.node()
        self.start_steward()
        self.start_autoscaler()

    def node(self, group: str = "") -> SimpleNamespace:
        identity = next(self.numbers).to_bytes(28, "big")
        return SimpleNamespace(id=identity, group=group, dead=False, busy=False, since=self.clock.now)

    # -- the steward ----------------------------------------------------------------------------------

    def start_steward(self) -> None:
        while True:
            try:
                self.kept = Kept(self.server, "state", "anchor")
                self.board = self.kept.begin(self.kept.read())
                break
            except (ApiFailed, Overtaken, Killed):
                continue
        self.hands = Hands(
            self.board,
            self.server,
            "anchor",
            lambda: self.kept.templates,
            self.kept.hashes,
            lambda text: None,
            self.kept.tell,
            confirm=self.kept.confirm,
        )
        self.hands._pool = Now()  # type: ignore[assignment]
        self.relist()

    def restart_steward(self) -> None:
        """The one before may act once more, with what it knew: it was paused, or its node is cut off."""
        self.restarts += 1
        self.before = self.hands
        self.start_steward()

    def wake_the_one_before(self) -> None:
        """It has slept; a pod's event comes before the ConfigMap's."""
        if self.before is not None:
            self.before._list(PODS + "?labelSelector=ray.io/cluster=demo")
            with contextlib.suppress(Overtaken):
                self.round_of(self.before)

    def follow(self) -> None:
        """The ConfigMap's watch gives what stands there."""
        try:
            self.kept.follow(self.board, lambda text: None, threading.Event())
        except (Overtaken, Killed):
            self.restart_steward()
        except OSError:
            pass  # the container ends

    def bounds(self, least: int, most: int) -> None:
        self.lowered |= most < self.most
        self.least, self.most = least, most
        self.server.change({**GROUP, "minReplicas": least, "maxReplicas": most})

    def relist(self) -> None:
        """The watch broke: what it had still to say is in the list."""
        self.hands._list(PODS + "?labelSelector=ray.io/cluster=demo")
        self.server.events.clear()

    def rewatch(self) -> None:
        """The watch ended in order, as every five minutes, before it had said all; another goes on."""
        since = int(self.hands._version)
        self.server.events = [
            one for one in self.server.events if int(one[1]["metadata"]["resourceVersion"]) > since
        ]

    def deliver(self) -> None:
        while self.server.events:
            self.hands._take(*self.server.events.pop(0))

    def act(self) -> None:
        try:
            self.round_of(self.hands)
        except (Overtaken, Killed):
            self.restart_steward()

    def round_of(self, hands: Hands) -> None:
        busy = {name for name, node in self.nodes.items() if node.busy}
        there = len(self.server.deleted)
        with contextlib.suppress(OSError):
            hands._act()
        self.killed += sorted(busy & set(self.server.deleted[there:]))

    # -- the autoscaler -------------------------------------------------------------------------------

    def start_autoscaler(self) -> None:
        from ray.autoscaler.v2.instance_manager.cloud_providers.kuberay.cloud_provider import KubeRayProvider
        from ray.autoscaler.v2.instance_manager.instance_manager import InstanceManager
        from ray.autoscaler.v2.instance_manager.instance_storage import InstanceStorage
        from ray.autoscaler.v2.instance_manager.storage import InMemoryStorage
        from ray.autoscaler.v2.instance_manager.subscribers.cloud_instance_updater import CloudInstanceUpdater
        from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
        from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

        api: Any = self
        stopper: Any = SimpleNamespace(notify=self.drain)
        storage: Any = InMemoryStorage  # untyped
        self.provider = KubeRayProvider("demo", {"namespace": "ns"}, gcs_client=None, k8s_api_client=api)
        self.scheduler, self.monitor = ResourceDemandScheduler(), CloudResourceMonitor()
        self.stop_errors: Queue[Any] = Queue()
        self.instances = InstanceManager(
            InstanceStorage("demo", storage()), [CloudInstanceUpdater(self.provider), stopper, self.monitor]
        )

    def get(self, path: str) -> Json:
        self._fault("refused")
        if path.startswith("rayclusters"):
            return copy.deepcopy(self.board.cluster())
        found = self.board.known_pods()
        if found is None:
            raise OSError("503")
        return {"metadata": {"resourceVersion": "1"}, "items": copy.deepcopy(found)}

    def patch(self, path: str, payload: Any, content_type: str = "") -> Json:
        fault = self._fault("refused", "mute")
        try:
            answer = self.board.patch(payload)
        except PatchRefused as refused:
            self.refused = f"{payload}: {refused}"
            raise
        except (Overtaken, Killed):
            self.restart_steward()
            raise OSError("the connection was closed") from None
        if fault == "mute":
            raise OSError("timed out")
        return copy.deepcopy(answer)

    def _fault(self, *kinds: str) -> str:
        if self.facade_failing and self.facade_failing[0] in kinds:
            fault = self.facade_failing.pop(0)
            if fault == "refused":
                raise OSError("timed out")
            return fault
        return ""

    def drain(self, events: list[Any]) -> None:
        """What Ray's RayStopper asks of the GCS, and a raylet does."""
        from ray.autoscaler.v2.instance_manager.subscribers.ray_stopper import RayStopError
        from ray.core.generated import instance_manager_pb2

        pb: Any = instance_manager_pb2
        for event in events:
            if event.new_instance_status != pb.Instance.RAY_STOP_REQUESTED:
                continue
            fault = self.drains_failing.pop(0) if self.drains_failing else ""
            wanted = bytes.fromhex(event.termination_request.ray_node_id)
            name, node = next((n, one) for n, one in self.nodes.items() if one.id == wanted)
            idle = event.termination_request.cause == pb.TerminationRequest.Cause.IDLE
            if node.busy and not idle and not node.dead:  # as of too many: Ray asks no raylet
                self.killed.append(name)
                self.die(name)
                continue
            if node.busy or node.dead or fault == "refused":
                self.stop_errors.put(RayStopError(im_instance_id=event.instance_id))
                continue
            if fault == "mute":
                continue
            node.dead = True
            if fault == "ended" and name in self.server.pods:  # its raylet did not end in order
                self.end(name)

    def gcs(self) -> Any:
        from ray.core.generated import autoscaler_pb2

        pb: Any = autoscaler_pb2
        out = pb.ClusterResourceState(cluster_resource_state_version=1)
        for name, node in self.nodes.items():
            head = name == "head"
            total = {"node:__internal_head__": 1.0} if head else {"CPU": 1.0, "memory": float(1 << 30)}
            idle = not (head or node.busy)
            state = pb.NodeStatus.DEAD if node.dead else pb.NodeStatus.IDLE if idle else pb.NodeStatus.RUNNING
            out.node_states.append(
                pb.NodeState(
                    node_id=node.id,
                    instance_id=name,
                    ray_node_type_name="headgroup" if head else node.group,
                    total_resources=total,
                    available_resources={**total, "CPU": 0.0} if node.busy else total,
                    status=state,
                    idle_duration_ms=int((self.clock.now - node.since) * 1000)
                    if idle and not node.dead
                    else 0,
                )
            )
        waiting = self.wanted - sum(node.busy for node in self.nodes.values())
        if waiting > 0:
            request = pb.ResourceRequest(resources_bundle={"CPU": 1.0})
            out.pending_resource_requests.append(pb.ResourceRequestByCount(request=request, count=waiting))
        return out

    def round(self) -> None:
        """As `ray.autoscaler.v2.autoscaler.Autoscaler.update_autoscaling_state`."""
        from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
        from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
        from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

        errors = []
        while not self.stop_errors.empty():
            errors.append(self.stop_errors.get())
        try:
            config = AutoscalingConfig(
                _derive_autoscaling_config_from_ray_cr(self.get("rayclusters/demo")), True
            )
            Reconciler.reconcile(
                instance_manager=self.instances,
                scheduler=self.scheduler,
                cloud_provider=self.provider,
                cloud_resource_monitor=self.monitor,
                ray_cluster_resource_state=self.gcs(),
                non_terminated_cloud_instances=self.provider.get_non_terminated(),
                cloud_provider_errors=self.provider.poll_errors(),
                ray_stop_errors=errors,
                autoscaling_config=config,
            )
        except (OSError, AssertionError):
            pass  # as there: the next round begins anew
        assert not self.refused, self.refused
        self.clock.now += ROUND

    # -- the kubelet, Ray's nodes and whoever else there is ---------------------------------------------

    def kubelet(self) -> None:
        for name, pod in list(self.server.pods.items()):
            if pod["metadata"].get("deletionTimestamp"):
                self.die(name)
                if name not in self.stuck:
                    self.server.remove(name)
            elif pod["status"]["phase"] == "Pending" and self.images:
                pod["status"] = copy.deepcopy(RUNNING)
                self.server.put(pod, "MODIFIED")
                self.nodes[name] = self.node(pod["metadata"]["labels"]["ray.io/group"])
        self.place()

    def place(self) -> None:
        """Actors go where there is room; who has none any more is idle from now on."""
        free = [node for name, node in self.nodes.items() if name != "head" and not node.dead]
        busy = [node for node in free if node.busy]
        for node in busy[self.wanted :]:
            node.busy, node.since = False, self.clock.now
        for node in [node for node in free if not node.busy][: max(0, self.wanted - len(busy))]:
            node.busy = True

    def die(self, name: str) -> None:
        if name in self.nodes:
            self.nodes[name].dead, self.nodes[name].busy = True, False

    def end(self, name: str) -> None:
        self.die(name)
        pod = self.server.pods[name]
        pod["status"] = copy.deepcopy(ENDED)
        self.server.put(pod, "MODIFIED")

    def workers(self) -> list[str]:
        """Those that nobody keeps from going but ourselves."""
        ending = {n for n in self.stuck if self.server.pods[n]["metadata"].get("deletionTimestamp")}
        return sorted(set(self.server.pods) - {"head"} - ending)

    def one(self, number: int) -> str | None:
        there = self.workers()
        return there[number % len(there)] if there else None

    def crash(self, number: int) -> None:
        if (name := self.one(number)) is not None and self.server.pods[name]["status"] != ENDED:
            self.end(name)

    def lose(self, number: int) -> None:
        if (name := self.one(number)) is not None:
            self.die(name)
            self.server.remove(name)

    def dies(self, number: int) -> None:
        """A machine with a worker: nobody confirms the pod's end, until the Node object is deleted."""
        if (name := self.one(number)) is not None:
            self.die(name)
            self.stuck.add(name)
            self.server.end(name)

    def holds(self, number: int) -> None:
        """A finalizer of somebody's on a worker."""
        if (name := self.one(number)) is not None:
            self.stuck.add(name)

    def delete(self, number: int) -> None:
        """By hand, with the pod's grace period."""
        if (name := self.one(number)) is not None:
            self.server.end(name)

    def release(self) -> None:
        """Finalizers are taken away, Nodes that died are deleted."""
        self.stuck.clear()

    # -- the end ----------------------------------------------------------------------------------------

    def settled(self) -> bool:
        """Fewer replicas than names are fine: Ray counts the pods that it sees, where they are more."""
        groups, there = self.board.scaling.groups.values(), self.workers()
        busy = [name for name, node in self.nodes.items() if node.busy]
        work = min(self.wanted, self.most)
        enough = len(busy) == work and set(busy) <= set(there) and len(there) == max(self.least, work)
        names = sorted(name for group in groups for name in group.names)
        return enough and names == there and sum(group.replicas for group in groups) <= len(there)

    def settle(self, rounds: int = ENOUGH) -> int:
        """Everybody works again; after how many rounds of the autoscaler it is as it should be, and stays."""
        self.facade_failing.clear()
        self.drains_failing.clear()
        self.server.failing = {"pods": [], "state": []}
        self.server.quota, self.server.refusing, self.images = 99, "", True
        for number in range(rounds):
            for step in (self.follow, self.deliver, self.act, self.kubelet, self.deliver, self.act):
                step()
            self.round()
            if self.settled():
                return number
        raise AssertionError(
            f"{self.wanted} wanted, pods {self.workers()}, state {self.board.scaling.groups}, "
            f"instances {[(i.cloud_instance_id, i.status) for i in self.instances._instance_storage.get_instances()[0].values()]}"
        )
