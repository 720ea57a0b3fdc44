"""The places of the tests are what they are named after: each changes and refuses what it is to."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kube import Kube, pod
from places import PLACES, QUEUE, UID

pytestmark = pytest.mark.api
Place = Callable[[str], Kube]


def job() -> dict[str, Any]:
    template = {"metadata": {"labels": {QUEUE: "short"}}, "spec": pod("x", "none", ["x"])["spec"]}
    template["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": template},
    }


def refusal(kube: Kube, document: dict[str, Any]) -> str:
    return kube.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(document), check=False).stderr


@pytest.mark.parametrize("name", PLACES)
def test_a_modest_pod_with_a_label_is_let_in_everywhere(place: Place, as_user: Any, name: str) -> None:
    user = as_user(place(name), "edit")
    few = {"cpu": "100m", "memory": "64Mi"}
    user.apply(
        pod("modest", "none", ["x"], labels={QUEUE: "short"}, resources={"requests": few, "limits": few})
    )
    assert user.get("pod", "modest")["metadata"]["name"] == "modest"


def test_a_company_is_closed_and_counts(place: Place) -> None:
    kube = place("company")
    assert sorted(kube.get("networkpolicy", "default-deny")["spec"]["policyTypes"]) == ["Egress", "Ingress"]
    few = {"cpu": "100m", "memory": "64Mi"}
    loose = pod("loose", "none", ["x"], securityContext={}, resources={"requests": few, "limits": few})
    assert "violates PodSecurity" in refusal(kube, loose)
    steep = pod("steep", "none", ["x"], resources={"requests": {"cpu": "10m"}, "limits": {"cpu": "1"}})
    assert "ratio" in refusal(kube, steep)


def test_a_university_ends_pods_forgets_jobs_and_demands_a_queue(place: Place) -> None:
    kube = place("university")
    assert QUEUE in refusal(kube, pod("unqueued", "none", ["x"]))
    kube.apply(pod("queued", "none", ["x"], labels={QUEUE: "short"}), job())
    assert kube.get("pod", "queued")["spec"]["activeDeadlineSeconds"] == 21600
    assert kube.get("job", "j")["spec"]["ttlSecondsAfterFinished"] == 300


def test_openshift_gives_the_user_and_takes_no_other(place: Place) -> None:
    kube = place("openshift-like")
    first = int(kube.get("namespace", kube.namespace)["metadata"]["annotations"][UID].split("/")[0])
    kube.apply(pod("any", "none", ["x"]))
    context = kube.get("pod", "any")["spec"]["securityContext"]
    assert (context["runAsUser"], context["fsGroup"]) == (first, first)
    for context in ({"runAsUser": 999}, {"fsGroup": 100}, {"runAsUser": first + 10_000}):
        strange = pod("strange", "none", ["x"])
        strange["spec"]["securityContext"] = context
        assert "security context constraint" in refusal(kube, strange), context
    inner = pod("inner", "none", ["x"])
    inner["spec"]["containers"][0]["securityContext"]["runAsUser"] = 999
    assert "security context constraint" in refusal(kube, inner)


def test_a_free_namespace_is_left_alone(place: Place) -> None:
    kube = place("free")
    kube.apply(pod("plain", "none", ["x"]))
    spec = kube.get("pod", "plain")["spec"]
    assert "activeDeadlineSeconds" not in spec
    assert "runAsUser" not in spec.get("securityContext", {})
