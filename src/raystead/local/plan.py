"""From a spec to a local cluster's processes: commands, ports, environment, and whether they fit."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from msgspec.structs import replace as changed

from raystead.base.quantities import ceil, human_bytes, parse
from raystead.base.rayversions import version_of
from raystead.errors import NotEnough, PortInUse, RayMissing
from raystead.local.machine import Machine, here
from raystead.local.model import MARKER, ClusterPlan, NodePlan
from raystead.manifests.start import start_params
from raystead.spec.model import GroupSpec, Json, RayCluster, WorkerGroup

_OVERHEAD = 100 * 2**20  # the least object store that is useful; Ray refuses less than 75 MB
_WORKER_PORTS = 100  # ports for worker processes of a node: 99 were enough (docs/facts/ray.md#ports)
VISIBLE = "CUDA_VISIBLE_DEVICES"
_LONGEST_FOLDER = 12
_HONOURED = {"name", "image", "resources", "env", "ports"}
_SPEC_IGNORED = {  # field -> what else asks for it
    "gcsFaultToleranceOptions": "",
    "authOptions": "",
    "networkPolicy": "",
    "headServiceAnnotations": "",
    "suspend": "",
    "upgradeStrategy": "",
    "enableInTreeAutoscaling": "",
    "idleTerminationOptions": " (--idle)",
}
_PORT_FLAGS = (
    "object-manager-port",
    "node-manager-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_HEAD_PORT_FLAGS = ("port", "dashboard-port", "ray-client-server-port")
_KEPT_QUIETLY = (
    *_PORT_FLAGS,
    *_HEAD_PORT_FLAGS,
    "block",
    "dashboard-host",
    "min-worker-port",
    "max-worker-port",
)
_OURS = {  # start parameters that this machine decides
    *_KEPT_QUIETLY,
    *("address", "node-ip-address", "worker-port-list", "temp-dir", "include-dashboard", "no-monitor"),
    *("redis-password", "redis-username", "plasma-directory"),
}

_RAY = f"{shlex.quote(sys.executable)} -m pip install -U 'ray[default]>=2.57'"


def find_ray() -> tuple[str, str]:
    """Ray's program and its version, of the Python that runs us.

    Raises:
        RayMissing: there is none, or one before 2.57 (the GCS keeps its state in RocksDB,
            docs/facts/ray.md#rocksdb).
    """
    program = Path(sys.executable).parent / "ray"
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError:
        version = ""
    if not version or not program.exists():
        raise RayMissing(
            "Ray is not installed with this raystead",
            evidence=f"{sys.executable} has no ray package",
            remedy=_RAY,
        )
    if (version_of(version) or (0, 0)) < (2, 57):
        raise RayMissing(
            f"Ray {version} is too old for the local place",
            evidence="2.57 is the first whose head can come back without Redis",
            remedy=_RAY,
        )
    return str(program), version


def warnings(cluster: RayCluster, version: str) -> Iterator[str]:
    """A line for each field that has no meaning for a process on this machine, which runs Ray `version`."""
    for field in sorted(cluster.given["spec"].keys() & _SPEC_IGNORED.keys()):
        yield f"spec.{field}{_SPEC_IGNORED[field]} has no effect on this machine"
    for name, group in groups(cluster):
        ignored = [key for key in group.template.spec if key != "containers"]
        ignored += [f"containers[0].{key}" for key in group.template.ray_container if key not in _HONOURED]
        if len(group.template.containers) > 1:
            ignored.append("containers after the first")
        for entry in group.template.ray_container.get("env") or []:
            if "value" not in entry:
                ignored.append(f"env {entry['name']} (not a literal)")
            elif not _users(entry["name"]):
                ignored.append(f"env {entry['name']}")
        for key, value in group.ray_start_params.items():
            if key in _OURS and key not in _KEPT_QUIETLY:
                ignored.append(f"rayStartParams {key}")
            elif "$" in value:
                ignored.append(f"rayStartParams {key} (it asks a shell)")
        for field in ignored:
            yield f"{name}: {field} has no effect on this machine"
        image = str(group.template.ray_container.get("image") or "")
        if not re.search(rf":{re.escape(version)}(-|$)", image):
            yield f"{name}: image {image or '(none)'} is not used; Ray {version} of this machine runs"


def _users(name: str) -> bool:
    """A variable that a template may set here: not the token's, not where the GCS keeps its state."""
    lower = name.lower()
    return not lower.startswith(
        ("ray_auth_", "ray_gcs_storage", "ray_redis", "redis_", "ray_external_storage")
    )


def groups(cluster: RayCluster) -> list[tuple[str, GroupSpec]]:
    """("head", …) and the worker groups by name."""
    return [("head", cluster.spec.head), *((g.name, g) for g in cluster.spec.workers)]


def requests(group: GroupSpec) -> tuple[float, int]:
    """CPU cores and bytes that a pod's Ray container asks for (requests, else limits, else 0)."""
    resources: Json = group.template.ray_container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return float(parse(asked.get("cpu", 0))), ceil(asked.get("memory", 0))


def gpus_wanted(cluster: RayCluster, group: GroupSpec, *, head: bool) -> int:
    """GPUs of each node of the group: as Ray counts them there."""
    gpus = start_params(cluster, group, head=head).get("num-gpus", "0")
    return int(gpus) if gpus.isdigit() else 0


def check_fits(cluster: RayCluster, machine: Machine, *, free_disk: int) -> None:
    """Refuses with numbers what this machine cannot hold.

    Raises:
        NotEnough: requests, GPUs or the disk do not fit.
    """
    cores, free_memory = machine.cores, machine.free_memory
    cpu, memory = requests(cluster.spec.head)
    gpus = gpus_wanted(cluster, cluster.spec.head, head=True)
    for worker in cluster.spec.workers:
        one_cpu, one_memory = requests(worker)
        cpu, memory = cpu + one_cpu * worker.wanted, memory + one_memory * worker.wanted
        gpus += gpus_wanted(cluster, worker, head=False) * worker.wanted
    short = []
    if cpu > cores:
        short.append(f"{cpu:g} CPU asked for, {cores:g} here")
    if memory > free_memory:
        short.append(f"{human_bytes(memory)} of memory asked for, {human_bytes(free_memory)} free")
    if gpus > len(machine.gpus):
        short.append(f"{_count(gpus, 'GPU')} asked for, {len(machine.gpus)} here")
    if free_disk < 2**30:
        short.append(f"1 GB of disk needed, {human_bytes(free_disk)} free")
    if short:
        raise NotEnough(
            f'"{cluster.name}" does not fit on this machine',
            evidence="; ".join(short) + " (requests count, not limits)",
            remedy="fewer workers (--workers N) or smaller ones (--worker-cpu, --worker-memory, --gpus)",
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def divided(plan: ClusterPlan, cluster: RayCluster, gpus: Sequence[str]) -> ClusterPlan:
    """The plan with GPUs given to the nodes that ask for some, to no two the same; the others see none.

    Several raylets on one machine would each hand out all of them. What a node has already it keeps, and a
    CUDA_VISIBLE_DEVICES that the spec sets is the spec's.
    """
    wanted = {name: gpus_wanted(cluster, group, head=name == "head") for name, group in groups(cluster)}
    given = {gpu for node in plan.nodes for gpu in node.env.get(VISIBLE, "").split(",")}
    free = [gpu for gpu in gpus if gpu not in given]
    nodes = []
    for node in plan.nodes:
        if VISIBLE not in node.env:
            count = wanted["head" if node.name == "head" else node.group]
            mine, free = free[:count], free[count:]
            node = replace(node, env={**node.env, VISIBLE: ",".join(mine)})
        nodes.append(node)
    return replace(plan, nodes=tuple(nodes))


class Ports:
    """Ports of this machine that are free now and given out once."""

    def __init__(self) -> None:
        self.given: set[int] = set()

    def one(self) -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in self.given:
                self.given.add(port)
                return port

    def preferred(self, port: int) -> int:
        """`port` where it is free, another one otherwise."""
        return port if self._free(port) else self.one()

    def wanted(self, port: int, flag: str) -> int:
        """`port`, which the spec fixes.

        Raises:
            PortInUse: somebody listens there.
        """
        if not self._free(port):
            raise PortInUse(
                f"port {port} is taken",
                evidence=f"rayStartParams {flag} asks for it and something listens there",
                remedy=f"end what listens (ss -ltnp 'sport = :{port}'), or remove {flag} from rayStartParams",
            )
        return port

    def _free(self, port: int) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        if port in self.given:
            return False
        self.given.add(port)
        return True


def make(
    cluster: RayCluster,
    *,
    uid: str,
    root: str,
    directory: Path,
    started: float,
    machine: Machine | None = None,
) -> ClusterPlan:
    """A cluster's plan: `root` holds Ray's temp directories (short: sockets), `directory` our state."""
    program, version = find_ray()
    ports = Ports()
    params = cluster.spec.head.ray_start_params
    head_ports = {"port": ports.one(), "ray-client-server-port": ports.one()}
    fixed = params.get("dashboard-port", "")
    head_ports["dashboard-port"] = (
        ports.wanted(int(fixed), "dashboard-port") if fixed.isdigit() else ports.preferred(8265)
    )
    plan = ClusterPlan(
        name=cluster.name,
        uid=uid,
        root=root,
        gcs_port=head_ports["port"],
        dashboard_port=head_ports["dashboard-port"],
        agent_port=0,
        ray_version=version,
        started=started,
        env=environment(uid, directory),
        nodes=(),
    )
    agent = ports.one()
    more = {**{k: str(v) for k, v in head_ports.items()}, "dashboard-agent-listen-port": str(agent)}
    head = node(plan, program, cluster, "head", cluster.spec.head, ports, more)
    storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(directory / "gcs")}
    metrics = {"AUTOSCALER_METRIC_PORT": str(ports.one()), "DASHBOARD_METRIC_PORT": str(ports.one())}
    head = replace(head, env={**head.env, **storage, **metrics})
    plan = replace(plan, agent_port=agent, nodes=(head,))
    for group in cluster.spec.workers:
        plan = with_workers(plan, cluster, group, group.wanted, program)
    return divided(plan, cluster, machine.gpus if machine else ())


def with_workers(
    plan: ClusterPlan,
    cluster: RayCluster,
    group: WorkerGroup,
    count: int,
    program: str,
    *,
    first: Collection[str] = (),
) -> ClusterPlan:
    """The plan with `count` workers in the group: where some must go, those named `first`, then the last."""
    taken = [n for n in plan.nodes if n.group == group.name and n.name != "head"]
    others = [n for n in plan.nodes if n.group != group.name or n.name == "head"]
    ports = Ports()
    ports.given |= {int(word.partition("=")[2]) for n in plan.nodes for word in n.command if "port=" in word}
    stay = sorted(taken, key=lambda n: n.name in first)[:count]
    nodes = [n for n in taken if n in stay]
    names = {n.name for n in nodes}
    free = (name for index in itertools.count() if (name := f"{group.name}/{index}") not in names)
    for _ in range(len(nodes), count):
        nodes.append(node(plan, program, cluster, next(free), group, ports, {}))
    return replace(plan, nodes=tuple(others + nodes))


def environment(uid: str, directory: Path) -> dict[str, str]:
    """The environment of every process of the cluster; the token is a file (docs/facts/ray.md#tokens)."""
    return {
        MARKER: uid,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(directory / "token"),
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
        "RAY_grpc_client_keepalive_time_ms": "20000",
        "RAY_grpc_client_keepalive_timeout_ms": "10000",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "2",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def node(
    plan: ClusterPlan,
    program: str,
    cluster: RayCluster,
    name: str,
    group: GroupSpec,
    ports: Ports,
    more: dict[str, str],
) -> NodePlan:
    """One node's command: the spec's start parameters under this machine's ports and directories."""
    head = name == "head"
    # What asks a shell of the container has no answer here: the value that its resources give is taken.
    literal = {key: value for key, value in group.ray_start_params.items() if "$" not in value}
    ray_params = start_params(cluster, changed(group, ray_start_params=literal), head=head)
    params = {key: _without_quotes(value) for key, value in ray_params.items() if key not in _OURS}
    cpus = int(params.setdefault("num-cpus", str(max(1, int(here().cores)))))
    _, asked = requests(group)
    memory = int(params.setdefault("memory", str(asked or 2**30)))
    params.setdefault("object-store-memory", str(max(_OVERHEAD, int(memory * 0.3))))
    first = ports.one()
    own = {flag: str(ports.one()) for flag in _PORT_FLAGS}
    own |= {"node-ip-address": "127.0.0.1", "temp-dir": f"{plan.root}/{_folder(name, own)}"}
    own |= {"dashboard-host": "127.0.0.1"} if head else {"address": f"127.0.0.1:{plan.gcs_port}"}
    worker_ports = [str(first), *(str(ports.one()) for _ in range(_WORKER_PORTS))]
    own["worker-port-list"] = ",".join(worker_ports)
    command = [program, "start", "--block", *(["--head"] if head else [])]
    for key, value in {**params, **own, **more}.items():
        if value == "true" and key not in ("include-dashboard", "include-log-monitor", "log-color"):
            command.append(f"--{key}")
        elif value != "false" or key in ("include-dashboard", "include-log-monitor", "log-color"):
            command.append(f"--{key}={value}")
    entries = group.template.ray_container.get("env") or []
    env = {e["name"]: str(e["value"]) for e in entries if "value" in e and _users(e["name"])}
    return NodePlan(name, "headgroup" if head else name.rpartition("/")[0], tuple(command), env, cpus, memory)


def _folder(name: str, ports: dict[str, str]) -> str:
    """A node's directory: its name, or where that is long its port.

    Ray's sockets lie some 65 characters below it (session_…/sockets/plasma_store); the kernel takes 107.
    """
    plain = name.replace("/", "-")
    return plain if len(plain) <= _LONGEST_FOLDER else f"node-{ports['node-manager-port']}"


def _without_quotes(value: str) -> str:
    """A start parameter as a shell would hand it over: KubeRay's values are quoted for one."""
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value


def free_disk(directory: Path) -> int:
    """Bytes free where the state is and where Ray works, whichever is less."""
    return min(shutil.disk_usage(place).free for place in (directory, "/tmp"))
