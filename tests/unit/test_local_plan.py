"""From a RayCluster to processes of this machine: what reaches `ray start`, and what is said to have no effect."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raystead.cli import logs
from raystead.errors import ClusterNotFound, NotEnough, PortInUse, StateError
from raystead.local import plan as planning
from raystead.local.logs import Following
from raystead.local.machine import Machine, _cgroups, cgroup_cores, cgroup_memory, gpus
from raystead.local.model import ClusterPlan, NodePlan, write_atomically
from raystead.local.place import LocalPlace
from raystead.local.processes import started_at
from raystead.local.supervisor import Node, Supervisor
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster, read

VERSION = planning.find_ray()[1]


def cluster(
    head: dict[str, Any] | None = None, worker: dict[str, Any] | None = None, **spec: Any
) -> RayCluster:
    """A head and one group; `head` and `worker` change the group, `container` in them the Ray container."""

    def group(change: dict[str, Any] | None) -> dict[str, Any]:
        change = dict(change or {})
        container = {"name": "ray", "image": f"rayproject/ray:{VERSION}", **change.pop("container", {})}
        return {"template": {"spec": {"containers": [container], **change.pop("pod", {})}}, **change}

    return read(
        RayCluster,
        {
            "metadata": {"name": "mine"},
            "spec": {
                "headGroupSpec": group(head),
                "workerGroupSpecs": [{"groupName": "small", "replicas": 1, **group(worker)}],
                **spec,
            },
        },
    )


def made(spec: RayCluster, tmp_path: Path) -> ClusterPlan:
    return planning.make(spec, uid="u", root="/tmp/rs-x", directory=tmp_path, started=0)


def flags(node: NodePlan) -> dict[str, str]:
    return {w.partition("=")[0].removeprefix("--"): w.partition("=")[2] for w in node.command[2:]}


def test_quotes_for_a_shell_do_not_reach_ray(tmp_path: Path) -> None:
    spec = cluster(
        {"rayStartParams": {"resources": "'{\"disk\": 2}'"}},
        {"resources": {"CPU": 2, "special": 1}, "labels": {"zone": "a"}},
    )
    head, worker = made(spec, tmp_path).nodes
    assert json.loads(flags(head)["resources"]) == {"disk": 2}
    assert json.loads(flags(worker)["resources"]) == {"special": 1}
    assert flags(worker)["num-cpus"] == "2"
    assert flags(worker)["labels"] == "zone=a"


def test_what_asks_the_containers_shell_is_taken_from_its_resources_and_said(tmp_path: Path) -> None:
    resources = {"limits": {"cpu": "1500m", "memory": "1Gi"}}
    spec = cluster({"rayStartParams": {"num-cpus": "$MY_CPU_REQUEST"}, "container": {"resources": resources}})
    assert flags(made(spec, tmp_path).nodes[0])["num-cpus"] == "2"
    assert "head: rayStartParams num-cpus (it asks a shell) has no effect on this machine" in list(
        planning.warnings(spec, VERSION)
    )


def test_a_files_redis_and_token_settings_do_not_reach_the_local_processes(tmp_path: Path) -> None:
    names = ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "RAY_AUTH_MODE", "RAY_gcs_storage_path", "MINE")
    env = [{"name": name, "value": "elsewhere"} for name in names]
    spec = cluster({"container": {"env": env}})
    head = made(spec, tmp_path).nodes[0]
    assert {k for k, v in head.env.items() if v == "elsewhere"} == {"MINE"}
    said = "\n".join(planning.warnings(spec, VERSION))
    assert all(f"head: env {name} has no effect" in said for name in names[:-1])
    assert "MINE" not in said


def test_every_field_without_effect_is_one_line() -> None:
    spec = cluster(
        {"pod": {"nodeSelector": {"a": "b"}}, "container": {"livenessProbe": {}, "image": "mine/ray:1"}},
        {"container": {"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}}]}},
        networkPolicy={},
        suspend=True,
    )
    assert list(planning.warnings(spec, VERSION)) == [
        "spec.networkPolicy has no effect on this machine",
        "spec.suspend has no effect on this machine",
        "head: nodeSelector has no effect on this machine",
        "head: containers[0].livenessProbe has no effect on this machine",
        f"head: image mine/ray:1 is not used; Ray {VERSION} of this machine runs",
        "small: env S (not a literal) has no effect on this machine",
    ]


def test_the_built_in_cluster_has_nothing_to_say() -> None:
    assert list(planning.warnings(build(Flags()), VERSION)) == []


def test_requests_count_and_not_limits() -> None:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "100", "memory": "1Ti"}}
    spec = cluster({"container": {"resources": resources}}, {"container": {"resources": resources}})
    planning.check_fits(spec, Machine(2, 2 * 2**30, ()), free_disk=2**40)
    with pytest.raises(NotEnough) as caught:
        planning.check_fits(spec, Machine(1.5, 2**30, ()), free_disk=2**20)
    text = caught.value.diagnostics()
    for words in ("2 CPU asked for, 1.5 here", "2.1 GB of memory asked for, 1.1 GB free", "1.0 MB free"):
        assert words in text


def test_a_port_that_the_spec_fixes_and_somebody_has_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} is taken"):
            made(cluster({"rayStartParams": {"dashboard-port": str(port)}}), tmp_path)


def with_gpus(head: int = 0, worker: int = 1, replicas: int = 2) -> RayCluster:
    def container(count: int) -> dict[str, Any]:
        return {"resources": {"limits": {"nvidia.com/gpu": count}}} if count else {}

    return cluster({"container": container(head)}, {"container": container(worker), "replicas": replicas})


def visible(plan: ClusterPlan) -> dict[str, str]:
    return {node.name: node.env[planning.VISIBLE] for node in plan.nodes}


def test_gpus_are_divided_and_who_asks_for_none_sees_none(tmp_path: Path) -> None:
    machine = Machine(8, 2**40, ("0", "1", "2", "3"))
    spec = with_gpus(head=1, worker=1)
    plan = planning.make(spec, uid="u", root="/tmp/rs-x", directory=tmp_path, started=0, machine=machine)
    assert visible(plan) == {"head": "0", "small/0": "1", "small/1": "2"}
    assert visible(planning.divided(plan, spec, machine.gpus)) == visible(plan), "nobody loses what it has"
    group = spec.spec.workers[0]
    fewer = planning.with_workers(plan, spec, group, 1, "ray")
    more = planning.divided(planning.with_workers(fewer, spec, group, 3, "ray"), spec, machine.gpus)
    assert visible(more) == {"head": "0", "small/0": "1", "small/1": "2", "small/2": "3"}
    none = planning.make(cluster(), uid="u", root="/tmp/rs-x", directory=tmp_path, started=0, machine=machine)
    assert set(visible(none).values()) == {""}


def test_too_few_gpus_are_refused_with_numbers() -> None:
    with pytest.raises(NotEnough) as caught:
        planning.check_fits(
            with_gpus(worker=2, replicas=2), Machine(8, 2**40, ("0", "1", "2")), free_disk=2**40
        )
    assert "4 GPUs asked for, 3 here" in caught.value.evidence
    planning.check_fits(with_gpus(worker=1, replicas=3), Machine(8, 2**40, ("0", "1", "2")), free_disk=2**40)


@pytest.mark.parametrize(
    "said, found",
    [
        (None, ("0", "1", "10")),
        ("", ()),
        ("-1", ()),
        ("2,5", ("2", "5")),
        ("GPU-8f, MIG-1", ("GPU-8f", "MIG-1")),
    ],
)
def test_the_gpus_of_this_machine(said: str | None, found: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus(said, tmp_path) == found


GIB = 2**30
STAT = f"anon 5\ninactive_file {GIB}\ntotal_inactive_file {GIB}\n"


@pytest.mark.parametrize(
    "own, files, cores, memory",
    [
        ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, [], []),
        ("0::/", {"cpu.max": "150000 100000"}, [1.5], []),
        (
            "0::/a/b",
            {"a/cpu.max": "400000 100000", "a/b/memory.max": 4 * GIB, "a/b/memory.current": 3 * GIB, "a/b/memory.stat": STAT},
            [4.0],
            [2 * GIB],
        ),
        ("0::/docker/of/the/host", {"memory.max": 2 * GIB, "memory.current": 0}, [], [2 * GIB]),
        (
            "5:memory:/x\n4:cpu,cpuacct:/x\n1:name=systemd:/x",
            {
                "memory/x/memory.limit_in_bytes": 3 * GIB,
                "memory/x/memory.usage_in_bytes": 2 * GIB,
                "memory/x/memory.stat": STAT,
                "memory/memory.limit_in_bytes": 9223372036854771712,
                "cpu,cpuacct/x/cpu.cfs_quota_us": 50000,
                "cpu,cpuacct/x/cpu.cfs_period_us": 100000,
                "cpu,cpuacct/cpu.cfs_quota_us": -1,
            },
            [0.5],
            [2 * GIB],
        ),
    ],
    ids=["v2 without limits", "v2 cpu", "v2 nested", "v2 in a container", "v1"],
)  # fmt: skip
def test_limits_of_cgroups_count(
    own: str, files: dict[str, Any], cores: list[float], memory: list[int], tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(f"{own}\n")
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(f"{text}\n")
    found = _cgroups(tmp_path / "own", tmp_path / "fs")
    assert (list(cgroup_cores(found)), list(cgroup_memory(found))) == (cores, memory)


@pytest.mark.parametrize("length", [1, 12, 25, 60])
def test_sockets_fit_however_long_a_groups_name_is(length: int, tmp_path: Path) -> None:
    spec = cluster(worker={"groupName": "g" * length})
    plan = planning.make(spec, uid="u", root="/tmp/rs-abcdefgh", directory=tmp_path, started=0)
    deepest = "session_2026-11-26_13-40-00_123456_1234567/sockets/plasma_store.12"
    folders = [flags(node)["temp-dir"] for node in plan.nodes]
    assert all(len(f"{folder}/{deepest}") <= 107 for folder in folders)
    assert len(set(folders)) == 2


class Ended:
    pid, returncode = 2**22 - 3, 1


def ends(supervisor: Supervisor, node: Node, words: str, code: int = 1) -> None:
    log = supervisor.directory / "logs" / "head.log"
    node.at = log.stat().st_size if log.exists() else 0
    with log.open("a") as stream:
        stream.write(words)
    process: Any = Ended()
    process.returncode = code
    node.process, node.began = process, 100.0
    supervisor._lost(node, 101.0)


def supervising(tmp_path: Path) -> tuple[Supervisor, Node]:
    plan = planning.make(
        cluster(), uid="no-such-mark", root=str(tmp_path / "rs"), directory=tmp_path, started=0
    )
    (tmp_path / "logs").mkdir(parents=True)
    (tmp_path / "rs").mkdir()
    plan.save(tmp_path / "plan.json")
    supervisor = Supervisor(tmp_path)
    supervisor._read_plan()
    supervisor._fail_dead_jobs_later = lambda: None  # type: ignore[method-assign]
    return supervisor, supervisor.nodes["head"]


def test_a_node_that_ends_over_and_over_for_one_reason_is_counted(tmp_path: Path) -> None:
    supervisor, head = supervising(tmp_path)
    for pid in (11, 12, 13):
        ends(supervisor, head, f"starting {pid}\nValueError: port 6379 of {pid} is taken\n\nbye\n")
    assert (head.same, head.error) == (3, "exit 1: ValueError: port 6379 of 13 is taken")
    ends(supervisor, head, "another error\n")
    assert head.same == 1
    ends(supervisor, head, "", code=-9)
    assert head.same == 0, "somebody killed it"


def test_a_supervisor_whose_state_is_gone_ends_with_its_nodes(tmp_path: Path) -> None:
    supervisor, _ = supervising(tmp_path)
    (tmp_path / "plan.json").unlink()
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        supervisor.run()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert supervisor.ending
    assert not (tmp_path / "rs").exists()


def test_a_plan_that_is_damaged_ends_no_node(tmp_path: Path) -> None:
    supervisor, head = supervising(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    supervisor._read_plan()
    assert not supervisor.ending
    assert supervisor.nodes["head"] is head
    with pytest.raises(ValueError, match="Expecting property name"):
        Supervisor(tmp_path)._read_plan()  # one that has no plan yet cannot go on


def test_logs_are_cut_when_they_are_large_and_writers_go_on(tmp_path: Path) -> None:
    supervisor, _ = supervising(tmp_path)
    log = tmp_path / "logs" / "head.log"
    with log.open("ab") as writer:
        writer.write(b"x" * (9 * 2**20))
        writer.flush()
        supervisor._rotate()
        writer.write(b"next\n")
    assert log.read_bytes() == b"next\n"
    assert log.with_suffix(".log.1").stat().st_size == 9 * 2**20
    supervisor._rotate()
    assert log.read_bytes() == b"next\n"


def test_a_process_that_has_ended_is_no_living_supervisor_though_nobody_asked_how(tmp_path: Path) -> None:
    """A program that uses the library is the supervisor's parent, and does not wait for it."""
    place = LocalPlace("mine", state_dir=tmp_path)
    supervising(place.directory)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        told = {"pid": child.pid, "started": started_at(child.pid), "nodes": []}
        write_atomically(place.directory / "status.json", told)
        assert place.status().supervisor_pid == child.pid
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert place.status().supervisor_pid is None


@pytest.mark.parametrize("file", ["spec.json", "token"])
def test_a_damaged_state_is_told_with_its_file_and_what_to_do(file: str, tmp_path: Path) -> None:
    place = LocalPlace("mine", state_dir=tmp_path)
    supervising(place.directory)
    (place.directory / file).write_bytes(b"\xff{")
    with pytest.raises(StateError, match='the state of "mine" cannot be read') as caught:
        place.groups() if file == "spec.json" else place.token()
    assert str(place.directory / file) in caught.value.evidence
    assert caught.value.remedy == "raystead down --local --name mine --yes"
    assert not place.status().ready, "it is still shown"


def test_following_a_local_log_ends_with_its_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = LocalPlace("mine").directory
    supervising(directory)
    (directory / "logs" / "head.log").write_text("it runs\n")
    monkeypatch.setattr(Following, "added", once_then(Following.added, lambda: shutil.rmtree(directory)))
    with pytest.raises(ClusterNotFound, match='there is no local cluster "mine"'):
        logs.command.main(["--local", "--name", "mine", "-f"], standalone_mode=False)
    assert capsys.readouterr().out == "head: it runs\n"


def once_then(call: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """The call, and `then` behind its first time."""
    times = []

    def wrapped(*args: Any, **more: Any) -> Any:
        answer = call(*args, **more)
        if not times:
            times.append(1)
            then()
        return answer

    return wrapped


def test_what_cannot_be_written_whole_leaves_the_old_state_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "plan.json"
    write_atomically(state, {"nodes": 1})

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(state, {"nodes": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert json.loads(state.read_text()) == {"nodes": 1}
