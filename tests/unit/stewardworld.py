"""A cluster in which each step of everybody can be made, and made to fail, by itself.

Ray's own autoscaler v2 (provider, reconciler, scheduler) against our steward over an API server, a kubelet, a
GCS and a clock that are played here, so that each may fail at any step and ten minutes take a moment.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import threading
from queue import Queue
from types import SimpleNamespace
from typing import Any

from stewardserver import ENDED, GROUP, PODS, RUNNING, Clock, Killed, Now, Server

from raystead.incluster.hands import ApiFailed, Hands
from raystead.incluster.kept import Kept, Overtaken
from raystead.incluster.scaling import PatchRefused

Json = dict[str, Any]
ROUND = 5  # seconds between two rounds of the autoscaler
ENOUGH = 260  # rounds: Ray itself waits up to 600 s for an instance that it has asked for


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
        self.least, self.most = 0, int(GROUP["maxReplicas"])
        self.shape = {"CPU": 1.0, "memory": float(1 << 30)}  # of a worker
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
        if self.server.away:
            return
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
        while self.server.events and not self.server.away:
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
            total = {"node:__internal_head__": 1.0} if head else self.shape
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
                pod["status"] = {**copy.deepcopy(RUNNING), "podIP": f"10.0.{next(self.numbers)}"}
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


class OldWorld(World):
    """The same with Ray's autoscaler v1, which knows a node by its address."""

    def start_autoscaler(self) -> None:
        from ray.autoscaler._private import autoscaler
        from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
        from ray.autoscaler._private.load_metrics import LoadMetrics

        def config() -> Json:
            return _derive_autoscaling_config_from_ray_cr(self.get("rayclusters/demo"))

        self.facade_failing, failing = [], self.facade_failing
        self.metrics: Any = LoadMetrics()  # type: ignore[no-untyped-call]
        self.autoscaler: Any = autoscaler.StandardAutoscaler(config, self.metrics, self, update_interval_s=1)  # type: ignore[arg-type]
        self.autoscaler.provider.k8s_api_client = self
        self.facade_failing = failing

    def drain_nodes(self, ids: set[bytes], timeout: float) -> list[bytes]:
        """What Ray's autoscaler asks of the GCS before it deletes a pod."""
        for name, node in self.nodes.items():
            if node.id in ids and not node.dead:
                if node.busy:
                    self.killed.append(name)
                self.die(name)
        return list(ids)

    def round(self) -> None:
        """As `ray.autoscaler._private.monitor.Monitor.update_load_metrics`, and the autoscaler's own round."""
        waiting = [{"CPU": 1.0}] * (self.wanted - sum(node.busy for node in self.nodes.values()))
        for name, node in self.nodes.items():
            pod = self.server.pods.get(name)
            if node.dead or pod is None:
                continue
            total = {"memory": 1.0} if name == "head" else self.shape
            free = {**total, "CPU": 0.0} if node.busy else total
            idle = 0.0 if node.busy or name == "head" else self.clock.now - node.since
            self.metrics.update(pod["status"]["podIP"], node.id, total, free, idle, waiting)
        try:
            self.autoscaler.update()
        except Exception:  # noqa: BLE001 - after five failures it ends, and its container starts again
            self.start_autoscaler()
        assert not self.refused, self.refused
        self.clock.now += ROUND
