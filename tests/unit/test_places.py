"""A local cluster and one in a namespace are two places; what one cannot do it says in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from raystead.cli.root import root
from raystead.cli.scale import parse_counts
from raystead.errors import Unsupported, UsageError
from raystead.ops import following
from raystead.ops.places import _NOT_HERE, Namespace, Place, ThisMachine
from raystead.spec.builtin import builtin
from raystead.spec.edits import scaled

LINES = {
    "doctor": "doctor",
    "plan": "plan",
    "run": "run -- true",
    "restart": "restart",
    "suspend": "suspend",
    "resume": "resume",
    "verify": "verify",
    "explain": "explain",
    "exec": "exec -- true",
    "autoscale": "autoscale",
}


@pytest.mark.parametrize("verb", _NOT_HERE)
def test_a_verb_that_this_machine_cannot_do_is_one_sentence(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    head, *rest = LINES[verb].split()
    result = CliRunner().invoke(root, [head, "--local", *rest])
    assert isinstance(result.exception, Unsupported), result.output
    assert (result.exception.what, result.exception.remedy) == _NOT_HERE[verb]


def test_every_such_verb_is_tried() -> None:
    assert set(LINES) == set(_NOT_HERE)


def test_both_are_places() -> None:
    places: list[type[Place]] = [ThisMachine, Namespace]
    assert [place.here for place in places] == [True, False]
    assert Namespace.patience == following.PATIENCE


@pytest.mark.parametrize(
    ("words", "present", "counts"),
    [
        (("3",), ["worker"], {"worker": 3}),
        (("gpu=1", "cpu=4"), ["cpu", "gpu"], {"gpu": 1, "cpu": 4}),
        (("worker/head=2",), ["worker/head"], {"worker/head": 2}),
    ],
)
def test_scale_reads_the_same_words_in_both(
    words: tuple[str, ...], present: list[str], counts: dict[str, int]
) -> None:
    assert parse_counts(words, present) == counts


@pytest.mark.parametrize("words", [("3",), ("x=y",), ("=",)])
def test_scale_refuses_what_it_cannot_read(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        parse_counts(words, [])


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("worker",), "raystead scale worker=3   for example"),
        (("worker=x",), "raystead scale worker=3   for example"),
        (("x",), "raystead scale 3   for example"),
        (("1", "2"), "raystead scale worker=2"),
    ],
)
def test_a_slip_in_scale_gets_the_line_for_the_group(words: tuple[str, ...], remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_counts(words, ["worker"])
    assert caught.value.remedy == remedy


def test_a_groups_bounds_give_way() -> None:
    cluster = scaled(builtin(), {"worker": 9})
    assert cluster.spec.workers[0].wanted == 9
    with pytest.raises(UsageError, match='no worker group "gpu"'):
        scaled(cluster, {"gpu": 1})
