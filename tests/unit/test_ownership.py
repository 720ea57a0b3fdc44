"""What is a cluster's own: the label and an owner, or a name that only our own controllers give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from raystead.base.ownership import anchor_uids, owned

Json = dict[str, Any]
MINE = {"raystead.io/cluster": "a"}
ANCHOR = "anchor-uid"


def item(
    kind: str, name: str, *owners: str, uid: str = "", by: str = "", space: str | None = None, **labels: str
) -> Json:
    """An object with the cluster's label; `owners` are uids, of ConfigMaps called `by` if that is given."""
    metadata: Json = {"name": name, "uid": uid or f"{kind}/{name}", "labels": {**MINE, **labels}}
    if owners:
        metadata["ownerReferences"] = [
            {"kind": "ConfigMap" if by else "X", "name": by or "x", "uid": uid} for uid in owners
        ]
    if space is not None:
        metadata["annotations"] = {"raystead.io/storage-namespace": space}
    return {"kind": kind, "metadata": metadata}


def stateful_set(name: str, *owners: str, space: str | None = None) -> Json:
    claim: Json = {"name": "data"}
    if space is not None:
        claim["annotations"] = {"raystead.io/storage-namespace": space}
    return {**item("StatefulSet", name, *owners), "spec": {"volumeClaimTemplates": [{"metadata": claim}]}}


HEAD = item("Deployment", "a-head", ANCHOR)
HASH = {"pod-template-hash": "7d9f8"}
REPLICA_SET = item("ReplicaSet", "a-head-7d9f8", "Deployment/a-head", **HASH)
REDIS = stateful_set("a-redis", ANCHOR)
RENDERED = (item("Deployment", "a-head"), stateful_set("a-redis", space="0-uid"))

CRON = item("CronJob", "a-head", ANCHOR)
TICK = item("Job", "a-head-29928523")
TICK_POD = item("Pod", "a-head-29928523-0-x1y2z", **{"job-name": "a-head-29928523"})

TABLE: list[tuple[str, list[Json], Sequence[Json], set[str]]] = [
    ("owned by the anchor", [HEAD], (), {"a-head"}),
    ("the anchor itself", [item("ConfigMap", "raystead-a", uid=ANCHOR)], (), {"raystead-a"}),
    ("only the label", [item("Deployment", "copy"), item("Secret", "copy"), item("Pod", "notebook")], (), set()),
    ("owned by another anchor", [item("Deployment", "b-head", "other-uid")], (), set()),
    ("owned, but without our label", [{**HEAD, "metadata": {**HEAD["metadata"], "labels": {}}}], (), set()),
    (
        "owned, but with another cluster's label",
        [item("Deployment", "x", ANCHOR, **{"raystead.io/cluster": "b"})],
        (),
        set(),
    ),
    ("orphans of our CronJob", [CRON, TICK, TICK_POD], (), {"a-head", "a-head-29928523", "a-head-29928523-0-x1y2z"}),
    (
        "orphans of a CronJob that is gone",
        [TICK, TICK_POD],
        (item("CronJob", "a-head"),),
        {"a-head-29928523", "a-head-29928523-0-x1y2z"},
    ),
    (
        "Jobs and pods of other names beside our CronJob",
        [CRON, item("Job", "a-head-nightly"), item("Pod", "a-head-29928523-0-x1y2z"), item("Job", "b-29928523")],
        (),
        {"a-head"},
    ),
    (
        "pods of a ReplicaSet of our Deployment",
        [item("Pod", "a-head-7d9f8-x1y2z", "ReplicaSet/a-head-7d9f8"), REPLICA_SET, HEAD],
        (),
        {"a-head-7d9f8-x1y2z", "a-head-7d9f8", "a-head"},
    ),
    (
        "pods of a ReplicaSet of a copy",
        [
            item("Pod", "copy-7d9f8-x1y2z", "ReplicaSet/copy-7d9f8"),
            item("ReplicaSet", "copy-7d9f8", "Deployment/copy", **HASH),
            item("Deployment", "copy"),
        ],
        (),
        set(),
    ),
    ("pods of our StatefulSet", [REDIS, item("Pod", "a-redis-0", "StatefulSet/a-redis")], (), {"a-redis", "a-redis-0"}),
    (
        "a claim of our StatefulSet, and one that somebody calls after it",
        [REDIS, *(item("PersistentVolumeClaim", n) for n in ("data-a-redis-0", "data-a-redis-0-copy", "data-a-redis"))],
        (),
        {"a-redis", "data-a-redis-0"},
    ),
    (
        "a claim of a StatefulSet that is not ours",
        [stateful_set("a-redis"), item("PersistentVolumeClaim", "data-a-redis-0")],
        RENDERED,
        set(),
    ),
    (
        "a claim whose StatefulSet is gone, and one with other state",
        [
            item("PersistentVolumeClaim", "data-a-redis-0", space="0-uid"),
            item("PersistentVolumeClaim", "data-a-redis-1", space="other"),
        ],
        RENDERED,
        {"data-a-redis-0"},
    ),
    (
        "left by a Deployment that was deleted with orphans",
        [item("ReplicaSet", "a-head-7d9f8", **HASH), item("Pod", "a-head-7d9f8-x1y2z", **HASH)],
        RENDERED,
        {"a-head-7d9f8", "a-head-7d9f8-x1y2z"},
    ),
    (
        "a pod that copies one of ours under another name",
        [item("Pod", "notebook", **HASH), item("Pod", "a-head-7d9f8-copy", **HASH)],
        RENDERED,
        set(),
    ),
    (
        "a pod of ours that somebody else's ReplicaSet has taken",
        [item("Pod", "a-head-7d9f8-x1y2z", "ReplicaSet/theirs", **HASH)],
        RENDERED,
        set(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "makers", "ours"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_is_proved_to_be_ours(items: list[Json], makers: Sequence[Json], ours: set[str]) -> None:
    found = owned(items, "a", [ANCHOR], makers)
    assert {i["metadata"]["name"] for i in items if i["metadata"]["uid"] in found} == ours
    assert owned(items[::-1], "a", [ANCHOR], makers) == found


def test_what_was_proved_once_needs_its_owner_no_longer() -> None:
    found = owned([HEAD, REPLICA_SET], "a", [ANCHOR])
    stripped = item("ReplicaSet", "a-head-7d9f8", **HASH)
    pod = item("Pod", "any", "ReplicaSet/a-head-7d9f8")
    assert owned([stripped, pod], "a", found) == {"ReplicaSet/a-head-7d9f8", "Pod/any"}


def test_anchors_that_are_gone_are_known_by_what_they_owned() -> None:
    items = [
        item("Service", "a", "old-uid", by="raystead-a"),
        item("Service", "b", "b-uid", by="raystead-b"),
        item("Service", "c", "c-uid"),
    ]
    assert anchor_uids(items, "a") == {"old-uid"}


def test_a_claim_that_was_kept_is_known_by_its_own_uid_and_a_copy_is_not() -> None:
    kept, copied, given = (item("PersistentVolumeClaim", name) for name in ("kept", "copied", "given"))
    for claim in (kept, copied, given):
        claim["metadata"]["annotations"] = {"raystead.io/kept": kept["metadata"]["uid"]}
    given["metadata"]["annotations"] = {"raystead.io/kept": given["metadata"]["uid"]}
    given["metadata"]["ownerReferences"] = [{"kind": "X", "name": "theirs", "uid": "theirs"}]
    assert owned([kept, copied, given], "a", []) == {kept["metadata"]["uid"]}
