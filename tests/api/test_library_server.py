"""The library on a real API server, where objects are made and no pod ever runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kube import Kube, until
from patience import patience
from raycronjobs import raycronjob

import raystead
from raystead import errors, events
from raystead.base import labels

pytestmark = pytest.mark.api
SMALL = {"worker_cpu": "100m", "worker_memory": "1Gi", "head_cpu": "100m", "head_memory": "1Gi"}


@pytest.fixture
def where(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> dict[str, Any]:
    """Somebody with `edit` in a fresh namespace."""
    user = as_user(namespace(), "edit")
    return {"kubeconfig": user.kubeconfig, "namespace": user.namespace}


def test_a_life_without_pods(where: dict[str, Any], admin: Kube) -> None:
    seen: list[events.Event] = []
    plan = raystead.Cluster.plan(name="one", **where, **SMALL)
    assert plan.mutates
    cluster = raystead.Cluster.up(
        name="one", wait=False, label=["team=nlp"], on_event=seen.append, **where, **SMALL
    )
    assert isinstance(seen[0], events.Planned)
    applied = [event for event in seen if isinstance(event, events.Applied)]
    assert {"Deployment", "Service", "Secret"} <= {event.kind for event in applied}
    raystead.Cluster.up(name="two", wait=False, **where, **SMALL)
    rows = raystead.Cluster.list(labels={"team": "nlp"}, **where)
    assert [row.name for row in rows] == ["one"]
    assert {row.name for row in raystead.Cluster.list(**where)} == {"one", "two"}
    for kind in ("configmap", "deployment", "statefulset", "service", "networkpolicy"):
        found = json.loads(
            admin.run("get", kind, "-n", cluster.namespace, "-l", f"{labels.OURS}=one", "-o", "json").stdout
        )["items"]
        assert found, kind
        assert {item["metadata"]["labels"].get("team") for item in found} == {"nlp"}, kind
    host = f"one-head-svc.{cluster.namespace}.svc"
    assert cluster.ray_address == f"ray://{host}:10001"
    assert cluster.dashboard_url == f"http://{host}:8265"
    assert len(cluster.token() or "") > 20
    cluster.scale({"worker": 3}, wait=False)
    assert cluster.spec().spec.workers[0].replicas == 3
    assert raystead.Cluster.get("one", **where).status().state == "not ready"
    with pytest.raises(errors.UsageError, match="there are 2 clusters"):
        raystead.Cluster.get(**where)
    assert cluster.down().remains == ()
    with pytest.raises(errors.ClusterNotFound):
        cluster.status()


def test_the_namespace_of_a_file_is_where_it_goes(where: dict[str, Any]) -> None:
    document = raystead.Cluster.render(name="x")
    assert document.objects
    spec = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "x", "namespace": where["namespace"]},
        "spec": {
            "headGroupSpec": {
                "rayStartParams": {},
                "template": {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0"}]}},
            }
        },
    }
    plan = raystead.Cluster.plan(spec, kubeconfig=where["kubeconfig"])
    assert plan.mutates
    with raystead.Cluster.up(spec, kubeconfig=where["kubeconfig"], wait=False) as cluster:
        assert cluster.namespace == where["namespace"]
    assert raystead.Cluster.list(**where) == []


def test_errors_carry_data(
    where: dict[str, Any], namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    with pytest.raises(errors.NotReady) as late:
        raystead.Cluster.up(name="late", timeout=8, **where, **SMALL)
    assert isinstance(late.value.findings, tuple)
    with pytest.raises(errors.NotReady):
        raystead.Cluster.get("late", **where).wait(timeout=1)
    with pytest.raises(errors.SpecError) as broken:
        raystead.Cluster.up("kind: RayCluster\napiVersion: ray.io/v1\nspec: {}\n", **where)
    assert [problem.line for problem in broken.value.problems]
    user = as_user(namespace(), "view")
    with pytest.raises(errors.Forbidden) as refused:
        raystead.Cluster.up(kubeconfig=user.kubeconfig, namespace=user.namespace, wait=False)
    error = refused.value
    assert (error.namespace, bool(error.verb), bool(error.resource)) == (user.namespace, True, True)


def test_a_state_that_forbids_is_no_bad_usage(where: dict[str, Any]) -> None:
    cluster = raystead.Cluster.up(name="bare", storage="none", wait=False, **where, **SMALL)
    with pytest.raises(errors.WrongState, match="head's memory"):
        cluster.suspend()
    cluster.suspend(lose_state=True, timeout=60)
    for call in (cluster.jobs, lambda: cluster.exec("true"), lambda: cluster.connect().__enter__()):
        with pytest.raises(errors.WrongState, match="suspended"):
            call()  # type: ignore[operator]


def test_a_run_that_does_not_become_ready_leaves_nothing(where: dict[str, Any]) -> None:
    with (
        pytest.raises(errors.NotReady),
        raystead.Cluster.run(name="once", ttl="10m", timeout=3, storage="none", **where, **SMALL),
    ):
        raise AssertionError("it was never ready")
    assert raystead.Cluster.list(**where) == []


def test_what_doctor_finds_refuses_an_up_and_a_run_before_anything_is_made(
    where: dict[str, Any], admin: Kube
) -> None:
    space = admin.at(where["namespace"])
    space.run("create", "quota", "tight", "--hard=pods=1")
    until(
        lambda: "1" in space.out("get", "quota", "tight", "-o", "jsonpath={.status.hard.pods}"),
        20,
        "the quota counts",
    )
    for make in (
        lambda: raystead.Cluster.up(wait=False, **where),
        lambda: raystead.Cluster.run(**where).__enter__(),
    ):
        with pytest.raises(errors.ProblemsFound, match="quota") as caught:
            make()  # type: ignore[operator]
        assert "checks=False" in str(caught.value.remedy)
    assert raystead.Cluster.list(**where) == []
    raystead.Cluster.up(wait=False, checks=False, storage="none", **where, **SMALL)
    assert [row.name for row in raystead.Cluster.list(**where)] == ["ray-cluster"]


def test_what_doctor_finds_refuses_a_scale_and_a_restart_too(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    user = as_user(namespace(quota={"requests.cpu": "500m", "limits.cpu": "4"}), "edit")
    where: dict[str, Any] = {"kubeconfig": user.kubeconfig, "namespace": user.namespace}
    cluster = raystead.Cluster.up(name="one", wait=False, **where, **SMALL)
    with pytest.raises(errors.ProblemsFound) as caught:
        cluster.scale(worker=30, wait=False)
    assert "quota" in caught.value.what
    assert "checks=False" in caught.value.remedy
    assert cluster.spec().spec.workers[0].replicas == 2, "nothing was changed"
    cluster.scale(worker=30, wait=False, checks=False)
    assert cluster.spec().spec.workers[0].replicas == 30
    with pytest.raises(errors.ProblemsFound):
        cluster.restart("worker", wait=False)


def test_a_program_makes_the_workers_of_an_autoscaled_cluster_until_it_is_told_to_stop(
    where: dict[str, Any],
) -> None:
    cluster = raystead.Cluster.up(name="auto", autoscale=True, wait=False, **where, **SMALL)
    stop, seen = threading.Event(), list[events.Event]()
    acting = threading.Thread(target=lambda: cluster.autoscale(stop=stop, on_event=seen.append))
    acting.start()
    try:
        until(lambda: any("acting for" in str(getattr(e, "text", "")) for e in seen), 30, "it acts")
        assert all(isinstance(event, events.Note) for event in seen)
    finally:
        stop.set()
        acting.join(patience(15))
    assert not acting.is_alive()
    cluster.autoscale(stop=stop)  # told before: it does not begin
    with pytest.raises(errors.UsageError, match="only bounds can be given"):
        cluster.scale(worker=2, wait=False)
    cluster.scale(worker=(1, 3), wait=False)
    group = cluster.spec().spec.workers[0]
    assert (group.min_replicas, group.max_replicas) == (1, 3)
    plain = raystead.Cluster.up(name="plain", wait=False, **where, **SMALL)
    with pytest.raises(errors.WrongState, match="not autoscaled"):
        plain.autoscale(stop=stop)


def test_the_ticks_of_a_raycronjob_are_listed_read_and_named(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    user = as_user(namespace(quota={"pods": "0"}), "edit")
    where: dict[str, Any] = {"kubeconfig": user.kubeconfig, "namespace": user.namespace}
    cluster = raystead.Cluster.up(raycronjob(), wait=False, checks=False, **where)
    assert cluster.ticks() == []
    with pytest.raises(errors.JobNotFound, match="no tick yet"):
        cluster.tick()
    for minute in (29928523, 29928524):
        user.run("create", "job", f"nightly-head-{minute}", "--from=cronjob/nightly-head")
    assert [tick.id for tick in cluster.ticks()] == ["nightly-29928524", "nightly-29928523"]
    first = cluster.ticks()[1]
    assert (first.job, first.state.over) == ("nightly-head-29928523", False)
    handle = cluster.tick("29928523")
    assert handle.id == "nightly-29928523"
    assert handle.status() == first
    with pytest.raises(errors.OutputGone):
        handle.logs()
    with pytest.raises(errors.JobNotFound, match='there is no tick "x"'):
        cluster.tick("x")
    plain = raystead.Cluster.up(name="plain", wait=False, checks=False, **where)
    with pytest.raises(errors.WrongState, match='"plain" is a RayCluster, and only a RayCronJob has ticks'):
        plain.ticks()
