"""A RayJob file: its own mistakes and those of the cluster in it, each with the line; flags change its cluster."""

from __future__ import annotations

import pytest

from raystead.errors import SpecError
from raystead.spec.flags import Flags
from raystead.spec.load import load
from raystead.spec.model import read
from raystead.spec.rayjob import RayJob

FILE = """\
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: train
  labels: {team: nlp}
spec:
  entrypoint: python train.py && echo done
  shutdownAfterJobFinishes: true
  ttlSecondsAfterFinished: 10
  rayClusterSpec:
    rayVersion: 2.60.0
    headGroupSpec:
      rayStartParams: {}
      template: {spec: {containers: [{name: ray-head, image: 'rayproject/ray:2.60.0'}]}}
    workerGroupSpecs:
    - groupName: small
      replicas: 1
      minReplicas: 1
      maxReplicas: 3
      template: {spec: {containers: [{name: ray-worker, image: 'rayproject/ray:2.60.0'}]}}
"""


def refused(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load(text, "job.yaml")
    return caught.value.diagnostics()


def test_the_document_and_the_cluster_that_it_asks_for() -> None:
    job = load(FILE, "job.yaml").document
    assert isinstance(job, RayJob)
    assert job.spec.entrypoint == "python train.py && echo done"
    assert job.cluster.name == "train"
    assert job.cluster.metadata.labels["team"] == "nlp"
    assert [group.wanted for group in job.cluster.spec.workers] == [1]


@pytest.mark.parametrize(
    "old, new, told",
    [
        (
            "  ttlSeconds",
            "  ttlSecond",
            "job.yaml:9:3: spec.ttlSecondAfterFinished: there is no such field here",
        ),
        ("shutdownAfterJobFinishes: true\n", "suspend: true\n", "job.yaml:8:3: spec.suspend: suspend needs"),
        (
            "maxReplicas: 3",
            "maxReplica: 3",
            "job.yaml:19:7: spec.rayClusterSpec.workerGroupSpecs[0].maxReplica",
        ),
        ("maxReplicas: 3", "maxReplicas: 0", "spec.rayClusterSpec.workerGroupSpecs[0]"),
        (
            "name: train",
            f"name: {'a' * 48}",
            "job.yaml:4:3: metadata.name: the name has 48 characters, 47 at most",
        ),
        ("  rayClusterSpec:", "  rayClusterSpecs:", "did you mean rayClusterSpec?"),
        ("replicas: 1\n", "replicas: one\n", "spec.rayClusterSpec.workerGroupSpecs[0].replicas"),
    ],
)
def test_a_mistake_has_its_line_in_the_file(old: str, new: str, told: str) -> None:
    assert old in FILE
    assert told in refused(FILE.replace(old, new, 1))


def test_all_mistakes_are_told_at_once() -> None:
    text = refused(FILE.replace("groupName: small", "groupName: 'b b'").replace("true", "false"))
    assert "ttlSecondsAfterFinished" in text
    assert "groupName" in text


def test_flags_change_the_cluster_and_the_name_and_nothing_of_the_job() -> None:
    flags = Flags(name="other", workers=2, label=("a=b",))
    job = load(FILE, "job.yaml", flags).document
    assert isinstance(job, RayJob)
    assert job.name == job.cluster.name == "other"
    assert [group.wanted for group in job.cluster.spec.workers] == [2]
    assert job.cluster.metadata.labels.items() >= {"team": "nlp"}.items()
    assert job.spec.ttl_seconds_after_finished == 10
    again = read(RayJob, job.document())
    assert again == job, "what is kept in the anchor is the same job"


def test_a_suspended_job_has_a_suspended_cluster() -> None:
    job = load(FILE.replace("shutdownAfter", "suspend: true\n  shutdownAfter"), "job.yaml").document
    assert job.cluster.spec.suspend is True
    assert isinstance(job, RayJob)
    assert "suspend" not in job.document()["spec"]["rayClusterSpec"]


def test_a_job_beside_a_cluster_is_refused() -> None:
    other = "\n---\n" + FILE.replace("kind: RayJob", "kind: RayCluster")
    assert "a RayCluster next to another of Ray's documents" in refused(FILE + other)
