"""The other documents of a file: what may not be applied is refused with its line, before anything changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from raystead.errors import SpecError
from raystead.ops.specs import Desired, desired
from raystead.spec.flags import Flags

RAY = (Path(__file__).parents[1] / "golden" / "kuberay-minimal.in.yaml").read_text()
REDIS = (Path(__file__).parents[1] / "golden" / "guide.in.yaml").read_text()


def asked(
    document: str, *, namespace: str | None = None, home: str | None = "team", ray: str = RAY
) -> Desired:
    return desired(Flags(namespace=namespace), f"{document}---\n{ray}", "f.yaml", home=home)


def document(kind: str, name: str, api: str = "v1", **metadata: str) -> str:
    more = "".join(f"  {key}: {value}\n" for key, value in metadata.items())
    return f"apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{more}"


NAME = desired(Flags(), RAY, "f.yaml").cluster.name

REFUSED = [
    (document("PersistentVolumeClaim", "data", namespace="other"), "f.yaml:5:", 'than the chosen one, "team"'),
    (document("ConfigMap", f"raystead-{NAME}"), "f.yaml:4:", "is the anchor of this very cluster"),
    (document("Service", f"{NAME}-head-svc"), "f.yaml:4:", "is an object of this very cluster"),
    (document("Deployment", f"{NAME}-head", "apps/v1"), "f.yaml:4:", "is an object of this very cluster"),
    (document("Secret", NAME), "f.yaml:4:", "is a Secret of this very cluster"),
    (document("NetworkPolicy", f"{NAME}-head", "networking.k8s.io/v1"), "f.yaml:4:", "an object of this very"),
    (document("ClusterRole", "x", "rbac.authorization.k8s.io/v1"), "f.yaml:2:", "belongs to no namespace"),
    (document("Namespace", "elsewhere"), "f.yaml:2:", "choose it with -n elsewhere"),
    ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: x-\n", "f.yaml:3:", "this ConfigMap has no name"),
    ("apiVersion: v1\nkind: ConfigMap\n", "f.yaml:1:", "this ConfigMap has no name"),
    (document("Secret", "x") + "---\n" + document("Secret", "x"), "f.yaml:9:", "appears twice, first on line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), REFUSED, ids=[row[2][:40] for row in REFUSED])
def test_what_a_file_may_not_bring_is_refused_with_its_line(text: str, place: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        asked(text)
    assert place in str(error.value)
    assert words in str(error.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SpecError) as error:
        asked(document("ClusterRole", "x", "a/v1") + "---\n" + document("Secret", NAME))
    assert "2 problems" in str(error.value)


def test_redis_of_ours_is_not_replaced_by_the_files() -> None:
    for kind, name, api in (
        ("Service", "redis", "v1"),
        ("StatefulSet", "redis", "apps/v1"),
        ("PersistentVolumeClaim", "data-redis-0", "v1"),
        ("Secret", "raystead-ray-cluster-redis", "v1"),
    ):
        with pytest.raises(SpecError, match="of this very cluster"):
            asked(document(kind, name, api), ray=REDIS)


@pytest.mark.parametrize(
    ("namespace", "home"), [("team", "home"), (None, "team")], ids=["chosen with -n", "of the context"]
)
def test_the_chosen_namespace_counts(namespace: str | None, home: str) -> None:
    text = document("Secret", "s", namespace="team") + "---\n" + document("Namespace", "team")
    made = asked(text, namespace=namespace, home=home)
    marked = {"raystead.io/brought-by": NAME}  # it has no field of its own by which `down -f` could know it
    metadata = {"name": "s", "namespace": "team", "annotations": marked}
    assert made.placed == (({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}, "f.yaml:1"),)
    assert any("Namespace/team is left out" in str(note) for note in made.notes)
    with pytest.raises(SpecError, match="the Secret is for another namespace"):
        asked(document("Secret", "s", namespace="home"), namespace=namespace, home="team")


def test_offline_nothing_is_known_of_namespaces() -> None:
    assert (
        asked(document("Secret", "s", namespace="any"), home=None).foreign[0]["metadata"]["namespace"]
        == "any"
    )


def test_a_kind_of_another_group_may_have_our_names() -> None:
    assert asked(document("Service", f"{NAME}-head-svc", "serving.knative.dev/v1")).foreign


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("  tlsOptions: {enabled: true}\n", "cert-manager"), ("  headGroupSpecs: {}\n", "did you mean headGroupSpec")],
)  # fmt: skip
def test_the_cluster_and_its_companions_are_refused_in_one_go(wrong: str, words: str) -> None:
    ray = RAY.replace("\nspec:\n", f"\nspec:\n{wrong}", 1)
    others = [document("ClusterRole", "x", "rbac/v1"), document("Secret", "x", namespace="there")]
    with pytest.raises(SpecError) as error:
        desired(Flags(namespace="team"), "---\n".join([ray, *others]), "f.yaml")
    for told in (words, "ClusterRole/x belongs to no namespace", "for another namespace than the chosen one"):
        assert told in str(error.value)
    assert "3 problems" in str(error.value)
    lines = [problem.line for problem in error.value.problems]
    assert lines == sorted(lines)
