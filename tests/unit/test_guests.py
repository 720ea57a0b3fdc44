"""A RayJob on somebody's cluster: its policy is for that cluster's head, whatever names the cluster has."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raystead.doctor.taken import caught, selectors
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.policies import head_behind_policy
from raystead.manifests.render import manifests
from raystead.ops.specs import desired
from raystead.spec.flags import Flags
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
GROUP = {"template": {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0"}]}}}


def cluster(names: str) -> RayCluster:
    metadata = {"name": "lab", "annotations": {"raystead.io/names": names}}
    return read(RayCluster, {"metadata": metadata, "spec": {"headGroupSpec": GROUP}})


@pytest.mark.parametrize("names", ["guide", "kuberay"])
def test_the_head_that_a_job_selects_is_nobody_elses(names: str) -> None:
    lab = Context(cluster(names), Facts(namespace="ns"))
    (head,) = [
        item["spec"]["template"] for item in manifests(lab.cluster, lab.facts) if item["kind"] == "Deployment"
    ]
    reached = head_behind_policy(lab)
    assert reached
    assert reached.items() <= head["metadata"]["labels"].items()
    job = {"entrypoint": "true", "clusterSelector": {"ray.io/cluster": "lab"}}
    text = yaml.safe_dump(
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "guest"}, "spec": job}
    )
    facts = Facts(namespace="ns", anchor_uid="0", selected={"name": "lab", "head": reached, "port": 8265})
    objects = manifests(desired(Flags(), text, "job.yaml").document, facts)
    assert "guest-to-head" in [item["metadata"]["name"] for item in objects]
    pod = {"metadata": {"name": "lab-head-x", "labels": head["metadata"]["labels"]}}
    assert list(caught(objects, [pod])) == []
    assert selectors(objects) == []
