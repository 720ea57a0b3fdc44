"""What lies in a local cluster's directory: one that is damaged hides no other, and logs are as in a namespace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from raystead.cli.root import root
from raystead.errors import UsageError
from raystead.local import plan as planning
from raystead.local.logs import Following
from raystead.local.place import LocalPlace
from raystead.spec.builtin import builtin
from raystead.spec.edits import scaled
from raystead.ui.plain import Reporter


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    return tmp_path


def made(name: str, workers: int = 1) -> LocalPlace:
    """A cluster as `up` leaves it, without its processes."""
    place = LocalPlace(name)
    (place.directory / "logs").mkdir(parents=True)
    cluster = scaled(builtin(), {"worker": workers})
    plan = planning.make(
        cluster, uid=f"mark-{name}", root="/tmp/rs-none", directory=place.directory, started=0
    )
    place.state.save(cluster, plan)
    (place.directory / "token").write_text("secret")
    (place.directory / "status.json").write_text(json.dumps({"pid": 1, "started": "", "nodes": []}))
    (place.directory / "made.json").write_text(json.dumps({"uid": f"mark-{name}", "root": "/tmp/rs-none"}))
    return place


def listed(*words: str) -> Any:
    return CliRunner().invoke(root, ["list", "--local", *words], catch_exceptions=False)


def without(key: str) -> bytes:
    """A plan that lacks one of its fields, or one of its nodes' fields."""
    data = json.loads((made("whole").directory / "plan.json").read_text())
    (data if key in data else data["nodes"][0]).pop(key)
    return json.dumps(data).encode()


DAMAGES = {
    "nothing": lambda: b"",
    "half": lambda: b'{"name": "b',
    "bytes": lambda: b"\xff\xfe{",
    "a number": lambda: b"3",
    "a list": lambda: b"[]",
    "an empty object": lambda: b"{}",
    "no node": lambda: b'{"nodes": []}',
    "nodes of another shape": lambda: b'{"nodes": [3]}',
    "without its nodes": lambda: without("nodes"),
    "without a port": lambda: without("dashboard_port"),
    "a node without its command": lambda: without("command"),
    "a field of tomorrow": lambda: json.dumps({"name": "b", "nodes": [], "more": 1}).encode(),
}


@pytest.mark.parametrize("file", ["plan.json", "status.json", "spec.json", "token", "made.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_one_cluster_hides_no_other(file: str, damage: str, state: Path) -> None:
    for name in ("a", "b", "c"):
        made(name)
    (LocalPlace("b").directory / file).write_bytes(DAMAGES[damage]())
    answer = listed()
    assert answer.exit_code == 0
    rows = {line.split()[0]: line for line in answer.stdout.splitlines()[1:]}
    assert [name for name in rows if name != "whole"] == ["a", "b", "c"]
    end = "raystead down --local --name b --yes"
    if file == "plan.json":  # the only one without which nothing can be said of a cluster
        assert rows["b"].split() == ["b", "damaged", "?", "?", "?", "?"]
        assert end in answer.stderr
        assert str(LocalPlace("b").directory / file) in answer.stderr
        assert {row["name"]: row["state"] for row in json.loads(listed("-o", "json").stdout)}[
            "b"
        ] == "damaged"
    else:
        assert rows["b"].split()[1:3] == ["not", "ready"]
    ended = CliRunner().invoke(root, end.split()[1:], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert "b" not in LocalPlace.names()
    assert {"a", "c"} <= set(LocalPlace.names())


def test_two_damaged_ones_are_both_named(state: Path) -> None:
    for name in ("a", "b"):
        (made(name).directory / "plan.json").write_text("{")
    answer = listed()
    assert [f"--name {name} --yes" in answer.stderr for name in ("a", "b")] == [True, True]


def test_the_end_of_a_damaged_cluster_removes_nothing_that_is_not_its_own(
    state: Path, tmp_path: Path
) -> None:
    place = made("a")
    mine = tmp_path / "mine"
    mine.mkdir()
    (place.directory / "made.json").write_text(json.dumps({"uid": "mark-a", "root": str(mine)}))
    place.down()
    assert mine.is_dir()


def test_a_follower_sees_nodes_that_come_later_from_their_beginning(state: Path) -> None:
    place = made("a")
    folder = place.directory / "logs"
    (folder / "head.log").write_text("one\ntwo\nthree\n")
    following = Following(tail=1)
    assert following.added(place.logs()) == [("head", "three")]
    (folder / "worker-0.log").write_text("starts\nrun")
    with (folder / "head.log").open("a") as stream:
        stream.write("four\n")
    assert following.added(place.logs()) == [("head", "four"), ("worker/0", "starts")]
    with (folder / "worker-0.log").open("a") as stream:
        stream.write("s\n")
    assert following.added(place.logs()) == [("worker/0", "runs")], "whole lines only"
    (folder / "head.log").write_text("cut\n")
    assert following.added(place.logs()) == [("head", "cut")]


@pytest.mark.parametrize(
    ("what", "nodes"),
    [
        (None, ["head", "worker/0", "worker/1"]),
        ("head", ["head"]),
        ("worker", ["worker/0", "worker/1"]),
        ("worker/worker", ["worker/0", "worker/1"]),
        ("worker/1", ["worker/1"]),
    ],
)
def test_a_group_or_a_node_is_named_as_in_a_namespace(
    what: str | None, nodes: list[str], state: Path
) -> None:
    place = made("a", workers=2)
    for name in ("head", "worker-0", "worker-1"):
        (place.directory / "logs" / f"{name}.log").write_text(f"{name}\n")
    assert [log.node for log in place.logs(what)] == nodes


def test_a_group_without_a_log_is_waited_for_and_an_unknown_one_is_refused(state: Path) -> None:
    place = made("a", workers=0)
    assert place.logs("worker") == []
    with pytest.raises(UsageError, match='"a" has no group and no node "gpu"') as caught:
        place.logs("gpu")
    assert caught.value.evidence == "groups: head, worker"


def test_a_last_line_without_an_end_is_shown_where_nobody_follows(state: Path) -> None:
    place = made("a")
    (place.directory / "logs" / "head.log").write_text("one\ntwo")
    answer = CliRunner().invoke(root, ["logs", "--local", "--tail", "1"], catch_exceptions=False)
    assert answer.stdout == "head: two\n"


def test_the_hint_of_a_list_means_what_was_listed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also beside a kubeconfig, where the same words without --local would mean a namespace."""
    made("a")
    hints: list[str] = []
    monkeypatch.setattr(Reporter, "hint", lambda self, text: hints.append(text))
    listed()
    made("b")
    listed()
    assert hints == ["raystead status --local", "raystead status a --local"]
