"""Slips in an image's name are recognized, and nothing else is."""

import explain_kit as kit
import pytest

from raystead.explain.tags import better, complaint

SLIPS = [
    ("rayproject/ray:2.60.O", "rayproject/ray:2.60.0", "letter O where a digit 0"),
    ("rayproject/ray:2.6o.0-py311", "rayproject/ray:2.60.0-py311", "letter o where a digit 0"),
    ("rayproject/ray:2.60.l", "rayproject/ray:2.60.1", "letter l where a digit 1"),
    ("rayproject/ray:v2.60.0", "rayproject/ray:2.60.0", "no v in front"),
    ("rayproject/ray:2.60", "rayproject/ray:2.60.0", "no patch version"),
    ("rayproject/ray:2.59-gpu", "rayproject/ray:2.59.0-gpu", "no patch version"),
    ("rayproject/ray:2.60.0-py3.11", "rayproject/ray:2.60.0-py311", "py311"),
    ("rayproject/ray:2.60.0_py311", "rayproject/ray:2.60.0-py311", "py311"),
    ("rayprojct/ray:2.60.0", "rayproject/ray:2.60.0", "looks like rayproject/ray"),
    ("ray-project/ray:2.60.0", "rayproject/ray:2.60.0", "looks like rayproject/ray"),
    ("rayproject/Ray:2.60.0", "rayproject/ray:2.60.0", "looks like rayproject/ray"),
    ("registry.example.com:5000/team/ray:2.60.O", "registry.example.com:5000/team/ray:2.60.0", "letter O"),
]
RIGHT = [
    "rayproject/ray:2.60.0", "rayproject/ray:2.60.0-py311-gpu", "rayproject/ray:nightly", "rayproject/ray",
    "rayproject/ray-ml:2.9.0", "ghcr.io/team/trainer:main", "ghcr.io/team/trainer:2.1", "redis:7",
    "r.io/ray@sha256:0123", "localhost:5000/x",
]  # fmt: skip


@pytest.mark.parametrize(("image", "meant", "words"), SLIPS)
def test_a_slip_is_named_with_what_was_meant(image: str, meant: str, words: str) -> None:
    assert better(image) == meant
    assert words in complaint(image)


@pytest.mark.parametrize("image", RIGHT)
def test_a_name_without_a_slip_is_left_alone(image: str) -> None:
    assert better(image) is None
    assert complaint(image) == ""


def test_the_specs_ray_version_fills_in_the_patch() -> None:
    assert better("rayproject/ray:2.60", kit.spec()) == "rayproject/ray:2.60.0"
