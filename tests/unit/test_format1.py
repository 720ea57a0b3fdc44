"""A cluster that raystead's first format describes is taken over by `up`, and not one of its pods restarts.

The recordings in tests/data/format1 are anchors and objects as the last raystead of format 1 wrote them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from raystead.base import kinds
from raystead.manifests.render import manifests
from raystead.ops.anchor import FORMAT, decoded, document
from raystead.plan.make import key_of, make
from raystead.plan.model import Plan

Json = dict[str, Any]
RECORDINGS = sorted((Path(__file__).parents[1] / "data/format1").glob("*.json"))
STAMPED = "2026-11-20T08:00:00Z"


def recording(path: Path) -> Json:
    return json.loads(path.read_text())


def stored(item: Json) -> Json:
    """The object as the server gives it back."""
    out = copy.deepcopy(item)
    out["metadata"] |= {"uid": f"uid-{out['metadata']['name']}", "resourceVersion": "5"}
    if kinds.pod_template(out) is not None:
        out["status"] = {"replicas": out["spec"]["replicas"]}
    return out


def taken_over(saved: Json) -> Plan:
    """The plan of an `up` without changes: the server's dry-run answers what we would apply."""
    there = decoded(saved["anchor"])
    wanted = manifests(there.cluster, there.with_facts(), there.choices)
    live = {key_of(item): stored(item) for item in [*saved["objects"], *saved["secrets"]]}
    return make(
        [*saved["secrets"], *wanted],
        list(live.values()),
        {key_of(item): stored(item) for item in wanted if key_of(item) in live},
        desired=there.cluster,
        applied=there.cluster,
        rendered_by=there.written_by,
        previous=wanted,
    )


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_no_pod_restarts_and_nothing_is_lost(path: Path) -> None:
    plan = taken_over(recording(path))
    assert (plan.problems, plan.losses, plan.restarts, plan.stops) == ((), (), 0, 0)
    assert not [change for change in plan.mutating if str(change.action) in ("delete", "replace")]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_anchor_is_written_in_the_new_format_and_says_the_same(path: Path) -> None:
    raw = recording(path)["anchor"]
    assert raw["data"]["format"] == "1"
    there = decoded(raw)
    new = document(there.document, there.with_facts(), there, choices=there.choices)
    assert new["data"]["format"] == str(FORMAT) == "2"
    assert json.loads(new["data"]["document"]) == json.loads(raw["data"]["spec"])
    new["metadata"] |= {"uid": there.uid, "resourceVersion": "8"}
    again = decoded(new)
    assert (again.document, again.facts, again.choices) == (there.document, there.facts, there.choices)
    assert again.foreign == there.foreign
    assert (
        document(again.document, again.with_facts(), again, choices=again.choices)["data"] == new["data"]
    )  # the next `up` rests


def test_stamps_of_restarts_find_their_groups_again_whatever_these_are_called() -> None:
    """Format 1 knew groups by a label that the head shares with a worker group called headgroup."""
    there = decoded(recording(next(p for p in RECORDINGS if p.stem == "odd-names"))["anchor"])
    assert there.choices.restarted == {"head": STAMPED, "worker/head": STAMPED, "headgroup": STAMPED}
