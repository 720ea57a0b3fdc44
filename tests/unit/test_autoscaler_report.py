"""What Ray's autoscaler says, in the words of its own formatters (v1 and v2), and why it does not grow."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from observed import built_in, moment, recording, view

from raystead.live.autoscaler import obstacles, report_of, shape_of
from raystead.live.groups import groups
from raystead.plan.observed import view_json
from raystead.spec.model import RayCluster, read
from raystead.ui.status import status_text

V2 = """\
======== Autoscaler status: 2026-11-26 16:00:00.000000 ========
Node status
---------------------------------------------------------------
Active:
 1 headgroup
 2 small
Idle:
 1 gpu
Pending:
 small, 3 launching
 demo-gpu-worker-abcde: gpu, starting ray
Recent failures:
 small: LaunchFailed (latest_attempt: 15:59:58)

Resources
---------------------------------------------------------------
Total Usage:
 2.0/3.0 CPU
 0B/2.00GiB memory
From request_resources:
 {'CPU': 4.0}: 2 from request_resources()
Pending Demands:
 {'CPU': 1.0}: 3+ pending tasks/actors
 {'CPU': 2.0, 'memory': 1073741824.0}: 1+ pending tasks/actors (1+ using placement groups)
 {'GPU': 1.0} * 2, {'CPU': 1.0} * 4 (PACK): 1+ pending placement groups"""
QUIET = """\
======== Autoscaler status: 2026-11-26 16:00:00 ========
Node status
------
Active:
 1 headgroup
Pending:
 (no pending nodes)
Recent failures:
 (no failures)

Resources
------
Total Usage:
 0.0/1.0 CPU
From request_resources:
 (none)
Pending Demands:
 (no resource demands)"""


def test_all_that_it_says_is_read() -> None:
    report = report_of(V2)
    assert report is not None
    assert (report.active, report.idle) == ({"small": 2}, {"gpu": 1})
    assert report.pending == ("small, 3 launching", "demo-gpu-worker-abcde: gpu, starting ray")
    assert report.failures == ("small: LaunchFailed (latest_attempt: 15:59:58)",)
    assert [str(one) for one in report.demands] == [
        "3 x 1 CPU (tasks or actors)",
        "1 x 2 CPU, memory 1.1 GB (tasks or actors)",
        "1 x 1 GPU x 2 + 1 CPU x 4 (placement groups)",
    ]
    assert [str(one) for one in report.requested] == ["2 x 4 CPU (request_resources)"]


def test_an_autoscaler_with_nothing_to_do_has_no_demand_and_a_silent_one_is_not_known() -> None:
    report = report_of(QUIET)
    assert report is not None
    assert not (report.demands)
    assert not (report.pending)
    assert not (report.failures)
    assert not (report.idle)
    assert not (report.requested)
    assert (
        report_of("No cluster status. It may take a few seconds for the Ray internal services to start up.")
        is None
    )
    assert report_of("") is None


def test_rays_own_formatter_of_today_writes_what_is_read_here() -> None:
    from ray.autoscaler.v2.schema import (
        ClusterStatus,
        NodeInfo,
        PlacementGroupResourceDemand,
        RayTaskActorDemand,
        ResourceDemandSummary,
        ResourceRequestByCount,
    )
    from ray.autoscaler.v2.utils import ClusterStatusFormatter

    task = RayTaskActorDemand(bundles_by_count=[ResourceRequestByCount(bundle={"CPU": 1.0}, count=3)])
    group = PlacementGroupResourceDemand(
        bundles_by_count=[ResourceRequestByCount(bundle={"GPU": 1.0}, count=2)],
        strategy="PACK",
        state="PENDING",
        details="x:PACK|PENDING",
    )
    node = NodeInfo(
        instance_id="i-1",
        instance_type_name="small",
        node_status="RUNNING",
        node_id="n",
        ip_address="i",
        ray_node_type_name="small",
    )
    demands = ResourceDemandSummary(ray_task_actor_demand=[task], placement_group_demand=[group])
    status = ClusterStatus(active_nodes=[node], resource_demands=demands)
    report = report_of(ClusterStatusFormatter.format(status))
    assert report is not None
    assert report.active == {"small": 1}
    assert [str(one) for one in report.demands] == [
        "3 x 1 CPU (tasks or actors)",
        "1 x 1 GPU x 2 (placement groups)",
    ]


def cluster(**group: Any) -> RayCluster:
    container = {"name": "ray", "image": "rayproject/ray:2.60.0"}
    container["resources"] = group.pop("sizes", {"limits": {"cpu": "1500m", "memory": "1Gi"}})
    one = {
        "groupName": "small",
        "minReplicas": 0,
        "maxReplicas": 2,
        **group,
        "template": {"spec": {"containers": [container]}},
    }
    text = """
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: demo}
spec:
  enableInTreeAutoscaling: true
  headGroupSpec: {template: {spec: {containers: [{name: ray, image: x}]}}}
"""
    document = yaml.safe_load(text)
    document["spec"]["workerGroupSpecs"] = [one]
    return read(RayCluster, document)


@pytest.mark.parametrize(
    ("group", "shape"),
    [
        ({}, {"CPU": 2, "memory": 2**30}),
        ({"sizes": {"requests": {"cpu": "1", "nvidia.com/gpu": "2"}}}, {"CPU": 1, "GPU": 2}),
        ({"rayStartParams": {"num-cpus": "4", "num-gpus": "1"}}, {"CPU": 4, "GPU": 1, "memory": 2**30}),
        ({"rayStartParams": {"resources": "'{\"tpu\": 2}'"}}, {"CPU": 2, "memory": 2**30, "tpu": 2}),
        ({"rayStartParams": {"resources": '"{\\"tpu\\": 2}"'}}, {"CPU": 2, "memory": 2**30, "tpu": 2}),
        ({"resources": {"CPU": "8", "disk": 3}}, {"CPU": 8, "memory": 2**30, "disk": 3}),
        ({"rayStartParams": {"resources": "nonsense"}}, {"CPU": 2, "memory": 2**30}),
    ],
)  # fmt: skip
def test_a_workers_resources_are_those_that_ray_counts(
    group: dict[str, Any], shape: dict[str, float]
) -> None:
    assert shape_of(cluster(**group).spec.workers[0]) == shape


@pytest.mark.parametrize(
    ("demand", "there", "found"),
    [
        ("{'CPU': 1.0}: 3+ pending tasks/actors", 2, [("maximum", "1 CPU", (("small", 2),))]),
        ("{'CPU': 1.0}: 3+ pending tasks/actors", 1, []),
        ("{'CPU': 8.0}: 1+ pending tasks/actors", 0, [("infeasible", "8 CPU", ())]),
        ("{'GPU': 1.0}: 1+ pending tasks/actors", 2, [("infeasible", "1 GPU", ())]),
        ("{'node:10.0.0.1': 0.01, 'CPU': 1.0}: 1+ pending tasks/actors", 0, []),
        ("{'CPU': 1.0} * 2, {'GPU': 1.0} * 1 (PACK): 1+ pending placement groups", 0, [("infeasible", "1 GPU", ())]),
    ],
)  # fmt: skip
def test_why_a_demand_stays_unmet(demand: str, there: int, found: list[Any]) -> None:
    report = report_of(QUIET.replace("(no resource demands)", demand))
    assert report is not None
    spec = cluster(replicas=there)
    stuck = obstacles(report, spec, groups(spec, (), ()))
    assert [(one.kind, one.needed, one.groups) for one in stuck] == found


def test_status_shows_what_it_says_and_why_it_does_not_grow() -> None:
    data, report = recording("busy"), report_of(V2)
    assert report is not None
    told = replace(report, idle_seconds={"demo-gpu-worker-1": 12.0})
    seen = view(data, cluster=built_in(), autoscaler=told)
    lines = [x for x in status_text(seen, now=moment(data)).splitlines() if x.startswith("autoscaler:")]
    assert lines == [
        "autoscaler: demand: 3 x 1 CPU (tasks or actors); 1 x 2 CPU, memory 1.1 GB (tasks or actors); "
        "1 x 1 GPU x 2 + 1 CPU x 4 (placement groups); 2 x 4 CPU (request_resources)",
        "autoscaler: does not grow: worker is at its maximum, 2",
        "autoscaler: does not grow: no group's worker has 2 CPU, memory 1.1 GB",
        "autoscaler: does not grow: no group's worker has 1 GPU",
        "autoscaler: pending: small, 3 launching; demo-gpu-worker-abcde: gpu, starting ray",
        "autoscaler: idle: demo-gpu-worker-1 for 12 s",
        "autoscaler: failures: small: LaunchFailed (latest_attempt: 15:59:58)",
    ]
    found = view_json(seen)["raystead"]["autoscaler"]
    assert found["demands"][0] == {
        "kind": "tasks or actors",
        "count": 3,
        "bundles": [{"resources": {"CPU": 1.0}, "count": 1}],
    }
    assert {one["why"] for one in found["unmet"]} == {"maximum", "infeasible"}
    assert found["idleSeconds"] == {"demo-gpu-worker-1": 12.0}


def test_status_of_an_autoscaler_without_anything_to_do_is_one_line() -> None:
    data = recording("busy")
    seen = view(data, cluster=built_in(), autoscaler=report_of(QUIET))
    assert "autoscaler: no demand" in status_text(seen, now=moment(data)).splitlines()
    assert "autoscaler" not in view_json(view(data, cluster=built_in()))["raystead"]
