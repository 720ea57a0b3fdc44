"""How `status` and `list` look: recordings of a real cluster as text."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from observed import RECORDINGS, built_in, moment, recording, view
from syrupy.assertion import SnapshotAssertion

from raystead.plan.listing import ListRow, list_rows
from raystead.ui.status import list_text, next_command, status_text

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def text(name: str, *, width: int | None = 100, wide: bool = False, **changes: object) -> str:
    data = recording(name)
    suspend = name in ("suspending", "suspended")
    seen = view(data, **{"cluster": built_in(suspend=suspend), **changes})
    return status_text(seen, now=moment(data), width=width, wide=wide)


@pytest.mark.parametrize("name", RECORDINGS)
def test_status(name: str, snapshot: SnapshotAssertion) -> None:
    assert text(name) == snapshot


def test_wide_status_has_a_line_a_pod(snapshot: SnapshotAssertion) -> None:
    assert text("worker-killed", width=150, wide=True) == snapshot


def test_status_names_the_missing_right_and_shows_unknown_as_a_question_mark(
    snapshot: SnapshotAssertion,
) -> None:
    right = "alive: needs get and create on pods/portforward"
    assert text("busy", ray_nodes=None, policies=None, missing_rights=[right]) == snapshot


def test_status_tells_drift(snapshot: SnapshotAssertion) -> None:
    assert (
        text("busy", drift=["Deployment/deployment-ray-worker spec.replicas is 4, the spec says 2"])
        == snapshot
    )


def test_a_column_for_gpus_only_where_there_are_some(snapshot: SnapshotAssertion) -> None:
    data = recording("busy")
    for entry in data["ray"]["summary"]:
        entry["raylet"]["resourcesTotal"]["GPU"] = 4.0
    for key in data["ray"]["nodeLogicalResources"]:
        data["ray"]["nodeLogicalResources"][key] += "\n2.0/4.0 GPU"
    assert status_text(view(data), now=moment(data), width=100) == snapshot


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_status_fits_the_terminal(name: str, width: int) -> None:
    assert max(map(len, text(name, width=width).splitlines())) <= width


def test_without_a_terminal_a_group_is_one_line() -> None:
    assert len(text("rolling", width=None).splitlines()) == 5


@pytest.mark.parametrize(
    "name, command",
    [
        (
            "busy",
            "raystead submit --name ray-cluster -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'",
        ),
        ("oom1", "raystead explain --name ray-cluster"),
        ("worker-killed", "raystead explain --name ray-cluster"),
        ("suspended", "raystead resume --name ray-cluster"),
    ],
)
def test_the_next_command_fits_the_state(name: str, command: str) -> None:
    assert next_command(view(recording(name), cluster=built_in(suspend=name == "suspended"))) == command


def test_after_drift_the_plan_comes_next() -> None:
    assert next_command(view(recording("busy"), drift=["x"])) == "raystead plan --name ray-cluster"


def test_list(snapshot: SnapshotAssertion) -> None:
    assert list_text(_rows()) == snapshot


def test_list_of_all_namespaces_names_them(snapshot: SnapshotAssertion) -> None:
    assert list_text(_rows(), namespaces=True) == snapshot


@pytest.mark.parametrize(
    "name, state, workers",
    [
        ("busy", "Ready", (2, 2)),
        ("oom1", "not ready", (2, 2)),
        ("worker-killed", "partly", (1, 2)),
        ("suspended", "suspended", (0, 0)),
        ("rolling", "not ready", (0, 2)),
        ("quota", "partly", (2, 4)),  # the list knows what the Deployment wants, not the spec
    ],
)
def test_list_tells_each_state_from_deployments_alone(
    name: str, state: str, workers: tuple[int, int]
) -> None:
    (row,) = list_rows([_anchor("ray-cluster", "obs-status")], kept(name), NOW)
    assert (row.state, (row.ready, row.wanted)) == (state, workers)
    assert (row.ray_version, row.name) == ("2.60.0", "ray-cluster")
    assert row.cpu == sum((1, *([1] * row.wanted))) * (state != "suspended")


def test_a_cluster_of_which_only_the_anchor_is_left_is_not_ready() -> None:
    (row,) = list_rows([_anchor("left", "ns")], [], NOW)
    assert (row.state, row.wanted, row.ray_version) == ("not ready", 0, "")


def _rows() -> tuple[ListRow, ...]:
    deployments = []
    anchors = [_anchor("b", "obs-status"), _anchor("a", "obs-status"), _anchor("other", "team")]
    for name, of in (("b", "busy"), ("a", "worker-killed")):
        for deployment in kept(of):
            deployment["metadata"]["labels"]["raystead.io/cluster"] = name
            deployments.append(deployment)
    return list_rows(anchors, deployments, NOW)


def _anchor(name: str, namespace: str) -> dict:
    metadata = {"name": f"raystead-{name}", "namespace": namespace, "labels": {"raystead.io/cluster": name}}
    return {"metadata": {**metadata, "creationTimestamp": "2026-11-24T07:24:57Z"}}


def kept(name: str) -> list[dict[str, Any]]:
    """A recording's Deployments with their kind, which lists of the server leave out."""
    return [{**item, "kind": "Deployment"} for item in copy.deepcopy(recording(name)["deployments"])]
