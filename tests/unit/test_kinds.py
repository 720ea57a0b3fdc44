"""One row a kind: whatever is rendered, read or deleted is found in the table, and no second table disagrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from msgspec import Struct

from raystead.base import kinds
from raystead.base.kinds import KINDS
from raystead.doctor.model import Observations
from raystead.doctor.rights import needed
from raystead.explain.model import Snapshot
from raystead.kube.paths import path_of
from raystead.manifests.cleanup import cleanup_pod
from raystead.manifests.facts import Choices, Facts
from raystead.manifests.lease import lease_job
from raystead.manifests.render import manifests
from raystead.spec.documents import parsed
from raystead.spec.flags import Flags, build

SOURCE = Path(__file__).parents[2] / "src/raystead"
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.in.yaml"))
FACTS = Facts(namespace="ns", anchor_uid="u", storage_namespace="u", isolated=True)
CHOICES = Choices(policies="always")
COMING = {"Job", "CronJob", "Pod", "Role", "RoleBinding", "ServiceAccount", "Ingress"}  # RayJob, autoscaling


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.name)
def test_every_object_that_is_rendered_has_a_row_with_its_version(path: Path) -> None:
    wish = parsed(yaml.safe_load(path.read_text()))
    cluster = wish.cluster
    objects = [*manifests(wish, FACTS, CHOICES), lease_job(cluster, "ns", 60)]
    objects += [pod] if (pod := cleanup_pod(cluster, FACTS)) else []
    for item in objects:
        row = KINDS[item["kind"]]
        assert item["apiVersion"] == row.version
        if "ownerReferences" in item["metadata"] and item["kind"] != "Pod":
            assert row.owned


def test_every_kind_that_the_code_of_manifests_names_has_a_row() -> None:
    """Also one that no golden file happens to render."""
    text = "".join(path.read_text() for path in (SOURCE / "manifests").glob("*.py"))
    made = set(re.findall(r'"kind": "(\w+)"', text))
    assert {"Deployment", "NetworkPolicy", "Job"} <= made
    assert made <= set(KINDS)


def test_the_kinds_of_jobs_and_autoscaling_are_there_and_cost_a_plain_cluster_nothing() -> None:
    assert set(KINDS) >= COMING
    assert not COMING & set(kinds.owned())
    assert kinds.owned({"CronJob", "Role", "Nonsense"}) == (
        "CronJob", "Deployment", "StatefulSet", "Service", "NetworkPolicy", "PersistentVolumeClaim", "Role", "Secret",
        "ConfigMap",
    )  # fmt: skip
    plain = {right.resource for right in needed(build(Flags()))}
    assert not plain & {"cronjobs", "roles", "rolebindings", "serviceaccounts", "ingresses"}


@pytest.mark.parametrize("holder", [Snapshot, Observations])
def test_what_is_looked_at_has_a_list_for_each_part(holder: type[Struct]) -> None:
    there = set(holder.__struct_fields__)
    without = () if holder is Snapshot else ("Event", "ReplicaSet")
    assert set(kinds.parts(*without)) <= there


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("ConfigMap", "/api/v1/namespaces/ns/configmaps/x"),
        ("Job", "/apis/batch/v1/namespaces/ns/jobs/x"),
        ("Ingress", "/apis/networking.k8s.io/v1/namespaces/ns/ingresses/x"),
        ("RoleBinding", "/apis/rbac.authorization.k8s.io/v1/namespaces/ns/rolebindings/x"),
        ("RayCluster", "/apis/ray.io/v1/namespaces/ns/rayclusters/x"),
    ],
)
def test_an_objects_path_follows_from_its_row(kind: str, path: str) -> None:
    assert path_of("ns", kind, "x") == path


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Service", ("services", "count/services")),
        ("Deployment", ("count/deployments.apps",)),
        ("CronJob", ("count/cronjobs.batch",)),
        ("Role", ("count/roles.rbac.authorization.k8s.io",)),
    ],
)
def test_quotas_count_it_under_these_names(kind: str, names: tuple[str, ...]) -> None:
    assert KINDS[kind].quota_names == names


def test_a_pod_template_is_found_wherever_its_kind_keeps_it() -> None:
    template = {"metadata": {}, "spec": {"containers": []}}
    job = {"spec": {"template": template}}
    for kind, spec in (("Deployment", job), ("Job", job), ("CronJob", {"spec": {"jobTemplate": job}})):
        assert kinds.pod_template({"kind": kind, **spec}) == template
    assert kinds.pod_template({"kind": "Service", **job}) is None
    assert kinds.pod_template({"kind": "Strange", **job}) is None


def test_what_cannot_be_replaced_holds_state() -> None:
    for row in kinds.ROWS:
        assert not (row.immutable and row.holds_state)
        assert row.owned or not row.rare
