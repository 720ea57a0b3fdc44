"""Which version is believed, whether Ray checks tokens, and that a cluster without them is said."""

from __future__ import annotations

from typing import Any

import pytest

from raystead.base.rayversions import tag_version
from raystead.manifests.context import Context, ray_version
from raystead.manifests.facts import Facts
from raystead.manifests.living import Living, token_difference, version_difference
from raystead.manifests.notes import notes
from raystead.manifests.render import manifests
from raystead.spec.model import RayCluster, read


def cluster(image: str, version: str | None = None, env: Any = (), **spec: Any) -> RayCluster:
    ray = {
        "name": "r",
        "image": image,
        "env": list(env),
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
    }
    spec |= {"headGroupSpec": {"template": {"spec": {"containers": [ray]}}}}
    if version:
        spec["rayVersion"] = version
    return read(RayCluster, {"metadata": {"name": "c"}, "spec": spec})


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("rayproject/ray:2.60.0-py311", (2, 60)),
        ("rayproject/ray:2.9", (2, 9)),
        ("mirror.example.com:5000/rayproject/ray:2.46.0", (2, 46)),
        ("registry.example.com/ml/ray:2.46.0@sha256:" + "0" * 64, (2, 46)),
        ("registry.example.com/ml/ray:2024.11.3", None),
        ("rayproject/ray:nightly-py311", None),
        ("registry.example.com/ml/ray@sha256:" + "0" * 64, None),
        ("mirror.example.com:5000/ml/ray", None),
        ("ghcr.io/acme/trainer:1.4.2", None),
        ("ghcr.io/acme/trainer:2.10", None),
        ("registry.example.com/ml/ray-train:1.4.2", None),
        ("ray:2.9.0", None),
        ("", None),
    ],
)
def test_only_tags_of_repositories_that_end_in_ray_are_believed(image: str, version: Any) -> None:
    assert tag_version(image) == version


@pytest.mark.parametrize(
    ("image", "said", "runs", "noted"),
    [
        ("rayproject/ray:2.60.0", "2.46.0", (2, 60), True),
        ("rayproject/ray:2.9.3", "2.60.0", (2, 9), True),
        ("rayproject/ray:2.60.0", "2.60.1", (2, 60), False),
        ("acme/trainer:1.4.2", "2.46.0", (2, 46), False),
        ("acme/trainer:1.4.2", None, None, False),
        ("acme/trainer:1.4.2", "nightly", None, False),
        ("rayproject/ray:nightly", "v2.52.0", (2, 52), False),
    ],
)
def test_the_image_counts_where_rayversion_says_another(
    image: str, said: Any, runs: Any, noted: bool
) -> None:
    spec = cluster(image, said)
    assert ray_version(spec) == runs
    assert any("the image counts" in line for line in notes(spec, Facts())) == noted


DISABLED = {"name": "RAY_AUTH_MODE", "value": "disabled"}
TOKEN = {"name": "RAY_AUTH_MODE", "value": "token"}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (cluster("rayproject/ray:2.60.0"), None),
        (cluster("acme/trainer:1.4.2"), None),
        (cluster("registry.example.com/ml/ray:2024.11.3"), None),
        (cluster("rayproject/ray:2.60.0", "2.46.0"), None),
        (cluster("rayproject/ray:2.9.3", "2.60.0"), "the head's image is Ray 2.9"),
        (cluster("acme/trainer:1.4.2", "2.46.0"), "rayVersion is Ray 2.46"),
        (cluster("rayproject/ray:2.60.0", authOptions={"mode": "disabled"}), "authOptions.mode is disabled"),
        (cluster("rayproject/ray:2.60.0", env=[DISABLED]), "RAY_AUTH_MODE is disabled in the head's env"),
        (cluster("rayproject/ray:2.60.0", env=[TOKEN], authOptions={"mode": "disabled"}), None),
    ],
)
def test_a_cluster_without_a_token_says_why(spec: RayCluster, reason: str | None) -> None:
    context = Context(spec, Facts())
    assert context.token == (reason is None)
    said = [line for line in notes(spec, Facts()) if line.startswith("no token: ")]
    assert len(said) == (reason is not None)
    assert reason is None or reason in said[0]
    volumes = repr(manifests(spec, Facts()))
    assert ("/etc/raystead/token" in volumes) == (reason is None)


@pytest.mark.parametrize(
    ("spec", "living", "token", "version"),
    [
        (cluster("acme/x:1"), Living(), None, None),
        (cluster("acme/x:1"), Living("token", "2.60.0"), None, None),
        (cluster("acme/x:1"), Living("disabled", "2.9.3"), "it is 2.9.3, tokens came with 2.52", None),
        (cluster("acme/x:1"), Living("disabled", "2.60.0"), "the running Ray checks none", None),
        (cluster("rayproject/ray:2.60.0", env=[DISABLED]), Living("token", "2.60.0"), "requires one", None),
        (cluster("rayproject/ray:2.60.0"), Living("token", "2.60.1"), None, None),
        (cluster("acme/x:1", "2.60.0"), Living("token", "2.54.0"), None, "Ray 2.54.0 runs"),
    ],
)
def test_the_living_ray_is_compared_with_the_spec(
    spec: RayCluster, living: Living, token: str | None, version: str | None
) -> None:
    context = Context(spec, Facts())
    for found, expected in (
        (token_difference(context, living), token),
        (version_difference(context, living), version),
    ):
        assert (found is None) == (expected is None)
        assert expected is None or expected in str(found)
