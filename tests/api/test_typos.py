"""What server-side apply answers to a typo, a duplicate and a wrong type: 500, which is no outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kube import Kube

from raystead.errors import ApiError
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.paths import path_of
from raystead.spec.podshape import check

pytestmark = pytest.mark.api

GOOD: dict[str, Any] = {"name": "a", "image": "b"}
MISTAKES = [
    # (what the pod's spec gets, what the server says of it)
    ({"containers": [{**GOOD, "resources": {"limit": {"cpu": "1"}}}]}, "field not declared in schema"),
    ({"hostnetwork": True, "containers": [GOOD]}, "field not declared in schema"),
    ({"containers": [{**GOOD, "env": [{"name": "A"}, {"name": "A"}]}]}, "duplicate entries"),
    ({"containers": [{**GOOD, "ports": [{"containerPort": 1}, {"containerPort": 1}]}]}, "duplicate entries"),
    ({"containers": [GOOD], "volumes": [{"name": "v"}, {"name": "v"}]}, "duplicate entries"),
    ({"containers": [{**GOOD, "env": [{"name": "A", "value": True}]}]}, "expected string"),
    ({"containers": [{**GOOD, "args": [1]}]}, "expected string"),
    ({"containers": [GOOD], "tolerations": [{"key": "a", "value": True}]}, "expected string"),
    ({"containers": [GOOD], "terminationGracePeriodSeconds": "5"}, "expected numeric"),
    ({"containers": [{**GOOD, "tty": "true"}]}, "expected boolean"),
    ({"containers": {"name": "a"}}, "expected list"),
    ({"containers": [GOOD], "securityContext": []}, "expected map"),
    ({"containers": [{"image": "b"}]}, "name"),
]


def deployment(spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


@pytest.mark.parametrize(("spec", "words"), MISTAKES, ids=[f"{m[1]}-{i}" for i, m in enumerate(MISTAKES)])
def test_a_mistake_in_a_template_is_refused_at_once_here_and_by_the_server(
    namespace: Callable[..., Kube], spec: dict[str, Any], words: str
) -> None:
    kube = namespace()
    api = Api(load(kubeconfig=str(kube.kubeconfig), namespace=kube.namespace))
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        api.apply(path_of(kube.namespace, "Deployment", "x"), deployment(spec), dry_run=True)
    assert time.monotonic() - began < 5  # an outage is tried for ten
    assert words in caught.value.evidence
    problems, _ = check(spec, "PodSpec", ())
    assert problems
