"""The anchor: what was applied comes back whole, nothing secret is in it, what cannot be read is a sentence."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from raystead.errors import ClusterNotFound, NewerFormat, ObjectNotFound, SpecError, StateError, UsageError
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.ops.anchor import FORMAT, Anchor, decoded, document, storable
from raystead.ops.clusters import anchor_of, undecoded
from raystead.spec.documents import RayDocument, parsed
from raystead.spec.load import load
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.in.yaml"))
ANCHORS = Path(__file__).parents[1] / "data" / "anchors"
FACTS = Facts(namespace="team", server_version="1.36", isolated=True, has_default_storage=False)


def wish(path: Path) -> RayDocument:
    return parsed(yaml.safe_load(path.read_text()))


def stored(document: Json, version: str = "7") -> Json:
    """The ConfigMap as the server answers it."""
    raw = copy.deepcopy(document)
    raw["metadata"] |= {"uid": "u-1", "resourceVersion": version}
    return raw


def anchor(path: Path = GOLDEN[0], facts: Facts = FACTS, choices: Choices = NO_CHOICES) -> Anchor:
    return decoded(stored(document(wish(path), facts, choices=choices)))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.name)
def test_what_was_applied_comes_back_whole(path: Path) -> None:
    wanted = wish(path)
    there = anchor(path)
    assert there.document.document() == wanted.document()
    assert (there.facts, there.choices) == (FACTS, NO_CHOICES)
    assert (there.name, there.namespace) == (wanted.name, "team")


def test_a_large_document_is_kept_in_few_bytes() -> None:
    value = wish(GOLDEN[0]).document()
    value["metadata"]["annotations"] = {"notes": "集群" * 150_000}  # 900 kB; as escapes 1.8 MB
    made = document(parsed(value), FACTS, choices=NO_CHOICES)
    assert sum(len(text.encode()) for text in made["data"].values()) < 2**20
    assert decoded(stored(made)).document.document() == value


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.name)
def test_the_same_spec_makes_the_same_anchor(path: Path) -> None:
    """So that an unchanged `up` writes nothing; the facts that the anchor itself tells are no change."""
    there = anchor(path)
    again = document(there.document, there.with_facts(), there, choices=there.choices)
    assert again["data"] == there.raw["data"]


@pytest.mark.parametrize("kind", ["cluster", "rayjob", "raycronjob"])
def test_an_unchanged_file_has_the_anchor_that_earlier_versions_wrote(kind: str) -> None:
    """Byte for byte, defaults that stand in the file included: another anchor would be a change of the cluster.

    The .json files were written by the version that read the spec with pydantic.
    """
    before = (ANCHORS / f"{kind}.json").read_text().rstrip("\n")
    wanted, _ = storable(load((ANCHORS / f"{kind}.in.yaml").read_text(), "f.yaml").document)
    assert document(wanted, FACTS, choices=NO_CHOICES)["data"]["document"] == before
    again, _ = storable(parsed(json.loads(before)))
    assert document(again, FACTS, choices=NO_CHOICES)["data"]["document"] == before


def test_the_storage_namespace_is_the_first_anchors_uid_or_what_was_kept() -> None:
    assert anchor().with_facts().storage_namespace == "u-1"
    assert anchor(facts=replace(FACTS, storage_namespace="older")).with_facts().storage_namespace == "older"


def test_the_version_that_was_read_is_the_lock() -> None:
    there = anchor()
    metadata = document(there.cluster, FACTS, there, choices=NO_CHOICES)["metadata"]
    assert (metadata["resourceVersion"], metadata["uid"]) == ("7", "u-1")
    assert "resourceVersion" not in document(there.cluster, FACTS, choices=NO_CHOICES)["metadata"]


@pytest.mark.parametrize("other", ["spec", "facts", "choices", "foreign"])
def test_the_hash_tells_everything_apart(other: str) -> None:
    there = anchor()
    facts = replace(FACTS, isolated=False) if other == "facts" else FACTS
    spec = wish(GOLDEN[1]) if other == "spec" else there.document
    foreign = ["ConfigMap/x"] if other == "foreign" else []
    choices = Choices(policies="never") if other == "choices" else NO_CHOICES
    assert document(spec, facts, None, foreign, choices=choices)["data"]["hash"] != there.hash


def test_foreign_documents_are_remembered_by_name() -> None:
    raw = stored(document(wish(GOLDEN[0]), FACTS, None, ["ConfigMap/a", "Secret/b"], choices=NO_CHOICES))
    assert decoded(raw).foreign == ("ConfigMap/a", "Secret/b")


def test_a_newer_format_is_refused() -> None:
    raw = stored(document(wish(GOLDEN[0]), FACTS, choices=NO_CHOICES))
    raw["data"] |= {"format": str(FORMAT + 1), "version": "9.9.9", "spec": "not to be read"}
    with pytest.raises(NewerFormat, match=r"9\.9\.9") as caught:
        decoded(raw)
    assert "pip install --upgrade" in caught.value.remedy


@pytest.mark.parametrize(
    "damage",
    [
        {"format": None},
        {"format": "one"},
        {"document": None},
        {"document": "{"},
        {"document": "[]"},
        {"document": '{"kind": "RayCluster"}'},
        {"document": '{"kind": "RayJob"}'},
        {"facts": '{"unknown": 1}'},
        {"facts": "3"},
        {"foreign": "{"},
    ],
    ids=json.dumps,
)
def test_a_damaged_anchor_is_a_sentence(damage: Json) -> None:
    raw = stored(document(wish(GOLDEN[0]), FACTS, choices=NO_CHOICES))
    raw["data"] = {k: v for k, v in (raw["data"] | damage).items() if v is not None}
    with pytest.raises(StateError, match="can be read"):
        decoded(raw)


def test_a_config_map_of_somebody_else_with_the_anchors_name_is_a_sentence() -> None:
    metadata = {"name": "raystead-x", "namespace": "team", "uid": "u", "resourceVersion": "1"}
    with pytest.raises(StateError, match="raystead-x"):
        decoded({"metadata": metadata})


def test_a_password_in_the_file_never_reaches_the_anchor() -> None:
    (path,) = [p for p in GOLDEN if p.name == "inline-password.in.yaml"]
    spec = wish(path)
    written = spec.document()["spec"]["gcsFaultToleranceOptions"]["redisPassword"]["value"]
    safe, password = storable(spec)
    assert password == written
    assert written not in json.dumps(document(safe, FACTS, choices=NO_CHOICES))
    assert storable(safe) == (safe, None)


@pytest.mark.parametrize("where", ["rayStartParams", "env"])
def test_a_password_where_everybody_can_read_it_is_refused(where: str) -> None:
    (path,) = [p for p in GOLDEN if p.name == "external-redis.in.yaml"]
    spec = wish(path).document()
    del spec["spec"]["gcsFaultToleranceOptions"]
    head = spec["spec"]["headGroupSpec"]
    spec["metadata"]["annotations"] = {"ray.io/ft-enabled": "true"}
    container = head["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]
    if where == "env":
        container["env"].append({"name": "REDIS_PASSWORD", "value": "s3cret"})
    else:
        head["rayStartParams"] = {"redis-password": "s3cret"}
    with pytest.raises(SpecError, match="password") as caught:
        storable(read(RayCluster, spec))
    assert "s3cret" not in caught.value.diagnostics()


def test_what_kubectl_and_the_server_leave_in_a_file_is_not_kept() -> None:
    spec = wish(GOLDEN[0]).document()
    spec["metadata"] |= {"uid": "x", "resourceVersion": "3", "managedFields": []}
    spec["metadata"]["annotations"] = {
        **(spec["metadata"].get("annotations") or {}),
        "kubectl.kubernetes.io/last-applied-configuration": "the whole file, its password too",
    }
    safe, _ = storable(read(RayCluster, spec))
    text = json.dumps(safe.document())
    assert "last-applied" not in text
    assert not {"uid", "resourceVersion", "managedFields"} & set(safe.document()["metadata"])


def test_choices_that_stood_among_the_facts_are_read() -> None:
    raw = stored(document(wish(GOLDEN[0]), FACTS, choices=NO_CHOICES))
    facts = {**json.loads(raw["data"]["facts"]), "policies": "never", "restarted": {"head": "then"}}
    raw["data"]["facts"] = json.dumps(facts)
    del raw["data"]["choices"]
    there = decoded(raw)
    assert (there.facts, there.choices) == (FACTS, Choices("never", {"head": "then"}))


@pytest.mark.parametrize("damage", [{"format": "99"}, {"format": None}, {"document": "{"}])
def test_an_anchor_that_cannot_be_read_hides_no_other_cluster(damage: Json) -> None:
    """A colleague's newer raystead, or a hand in the ConfigMap: whoever means another cluster is not concerned."""
    maps = {}
    for name in ("a", "b", "c"):
        raw = stored(document(wish(GOLDEN[0]), FACTS, choices=NO_CHOICES))
        raw["metadata"]["name"] = f"raystead-{name}"
        raw["metadata"]["labels"]["raystead.io/cluster"] = name
        maps[name] = raw
    maps["b"]["data"] = {k: v for k, v in {**maps["b"]["data"], **damage}.items() if v is not None}

    def get(path: str) -> Json:
        try:
            return maps[path.rpartition("/raystead-")[2]]
        except KeyError:
            raise ObjectNotFound("gone") from None

    api: Any = SimpleNamespace(namespace="team", get=get, list=lambda path, labels: [*maps.values()])
    assert list(undecoded(api)) == ["a", "b", "c"]
    assert anchor_of(api, "a").uid == "u-1"
    with pytest.raises((StateError, NewerFormat)):
        anchor_of(api, "b")
    with pytest.raises(ClusterNotFound) as caught:
        anchor_of(api, "d")
    assert caught.value.evidence == "clusters there: a, b, c"
    with pytest.raises(UsageError, match="3 clusters in namespace team: a, b, c"):
        anchor_of(api, None)
