"""Which workers of this machine go when there shall be fewer, and what is asked before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from raystead.live.nodeidle import NodeIdle, read_idle
from raystead.local import plan as planning
from raystead.local import shrinking as asking
from raystead.local.machine import Machine
from raystead.local.model import ClusterPlan
from raystead.local.shrinking import Shrinking, chosen, shrinking
from raystead.spec.builtin import builtin
from raystead.spec.edits import scaled

IDLE, BUSY, ACTOR = NodeIdle(9, 0), NodeIdle(0, 1), NodeIdle(0, 0)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterPlan:
    monkeypatch.setattr(planning, "find_ray", lambda: ("ray", "2.60.0"))
    machine = Machine(cores=8.0, free_memory=2**34, gpus=())
    return planning.make(
        scaled(builtin(), {"worker": 3}),
        uid="u",
        root="/tmp/rs-x",
        directory=tmp_path,
        started=0.0,
        machine=machine,
    )


def ray(monkeypatch: pytest.MonkeyPatch, plan: ClusterPlan, doing: dict[str, NodeIdle]) -> Any:
    """A dashboard that knows the nodes as n-NAME, one finished job on worker/1, one that runs on worker/2."""
    monkeypatch.setattr(asking, "_idle", lambda plan: {f"n-{name}": idle for name, idle in doing.items()})
    nodes = [
        {"raylet": {"state": "ALIVE", "nodeId": f"n-{n.name}", "nodeManagerPort": n.manager_port}}
        for n in plan.nodes
    ]
    jobs = [
        {"status": "SUCCEEDED", "driver_node_id": "n-worker/1"},
        {"status": "RUNNING", "driver_node_id": "n-worker/2"},
    ]
    return {"/nodes?view=summary": {"data": {"summary": nodes}}, "/api/jobs/": jobs}.__getitem__


def test_idle_workers_go_first_and_nothing_is_asked(
    plan: ClusterPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    doing = {"worker/0": BUSY, "worker/1": IDLE, "worker/2": ACTOR}
    going = shrinking(plan, {"worker": 2}, ray(monkeypatch, plan, doing))
    assert going == Shrinking({"worker/1": IDLE}, outputs=1)
    assert going.costs == ""


def test_what_busy_workers_do_stands_in_the_question(
    plan: ClusterPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    doing = {"worker/0": BUSY, "worker/1": IDLE, "worker/2": ACTOR}
    going = shrinking(plan, {"worker": 1}, ray(monkeypatch, plan, doing))
    assert going.costs == "worker: 2 nodes stop (worker/2 is busy: an actor or objects without CPU)"


def test_where_ray_says_nothing_it_is_asked_for(plan: ClusterPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_idle", lambda plan: {})

    def deaf(path: str) -> Any:
        raise OSError("connection refused")

    going = shrinking(plan, {"worker": 2}, deaf)
    assert going.costs == "worker: 1 node stops (what worker/2 does is not known)"


def test_ray_is_not_asked_where_nobody_goes(plan: ClusterPlan) -> None:
    assert shrinking(plan, {"worker": 3}, lambda path: pytest.fail(path)) == Shrinking()
    assert shrinking(plan, {"worker": 4, "gone": 0}, lambda path: pytest.fail(path)) == Shrinking()


def test_those_that_were_chosen_go_and_new_ones_get_names_that_are_free(plan: ClusterPlan) -> None:
    cluster = builtin()
    (group,) = cluster.spec.workers
    fewer = planning.with_workers(plan, cluster, group, 2, "ray", first=["worker/0"])
    assert [node.name for node in fewer.nodes] == ["head", "worker/1", "worker/2"]
    assert [n for n in fewer.nodes if n.name != "head"] == [
        n for n in plan.nodes if n.name in ("worker/1", "worker/2")
    ]
    more = planning.with_workers(fewer, cluster, group, 4, "ray")
    assert [node.name for node in more.nodes] == ["head", "worker/1", "worker/2", "worker/0", "worker/3"]


def test_the_longest_idle_goes_first(plan: ClusterPlan) -> None:
    workers = [node for node in plan.nodes if node.name != "head"]
    doing = {"worker/0": replace(IDLE, seconds=90), "worker/1": IDLE, "worker/2": replace(BUSY, cpus=2)}
    assert chosen(workers, 3, doing) == ["worker/0", "worker/1", "worker/2"]
    assert chosen(workers, 2, {}) == ["worker/2", "worker/1"], "the last, as long as all are alike"


def test_what_rays_autoscaler_is_told_is_read_by_pod_and_by_node() -> None:
    out = b'2026 INFO noise\n[["pod-1", "aa", 2000, 0], ["", "bb", 0, 1.5]]\n'
    assert read_idle(out) == {"pod-1": NodeIdle(2, 0), "aa": NodeIdle(2, 0), "bb": NodeIdle(0, 1.5)}
    for wrong in (b"", b"{}\n[1]", b"not json"):
        with pytest.raises(ValueError, match="not a list of nodes"):
            read_idle(wrong)
