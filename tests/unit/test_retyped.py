"""Hints repeat what was typed, so that they work as printed; what may be secret is never repeated."""

import io
import shlex
import sys

import pytest

from raystead.cli import options
from raystead.cli.options import Where
from raystead.cli.retyped import corrected, placed, spelled_out
from raystead.ui.plain import Reporter

YES = "the same command with --yes"
TABLE = [
    ("up --name mine -f 'my ray.yaml'", YES, "raystead up --name mine -f 'my ray.yaml' --yes"),
    ("exec worker -- ls -l", "the same command with --name a", "raystead exec worker --name a -- ls -l"),
    ("up", f"{YES}; or raystead up --name a for the one", "raystead up --yes; or raystead up --name a for the one"),
    ("up --env A=s3cret", YES, YES),
    ("up", "raystead plan", "raystead plan"),
]  # fmt: skip


@pytest.mark.parametrize("typed, text, told", TABLE)
def test_the_same_command_is_spelled_out(
    typed: str, text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["raystead", *shlex.split(typed)])
    assert spelled_out(text) == told


def test_another_verb_takes_the_place_of_the_one_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["raystead", "plan", "--workers", "3", "--exit-code"])
    assert corrected("plan", "up", without=["--exit-code"]) == "raystead up --workers 3"
    monkeypatch.setattr(sys, "argv", ["raystead", "plan", "--env=A=s3cret"])
    assert corrected("plan", "up") is None


PLACED = [
    ("raystead status", "raystead status -n team"),
    ("`raystead job logs -f` or `raystead down mine`", "`raystead job logs -n team -f` or `raystead down -n team mine`"),
    ("raystead list, raystead down old", "raystead list -n team, raystead down -n team old"),
    ("raystead exec -- ls -n 1", "raystead exec -n team -- ls -n 1"),
    ("raystead up --name a --context x", "raystead up --name a --context x"),
    ("raystead up --local", "raystead up --local"),
    ("raystead 0.1.0; another raystead changes it", "raystead 0.1.0; another raystead changes it"),
    ("raystead render -f FILE", "raystead render -f FILE"),
]  # fmt: skip


@pytest.mark.parametrize("text, told", PLACED)
def test_a_command_that_is_advised_means_the_namespace_that_was_typed(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "places_typed", [Where(namespace="team")])
    assert placed(text) == told
    monkeypatch.setattr(options, "places_typed", [Where(local=True)])
    assert placed(text) == text


def test_every_line_of_a_reporter_is_completed_once_and_a_jobs_output_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "places_typed", [Where(namespace="team")])
    err, out = io.StringIO(), io.StringIO()
    reporter = Reporter(err=err, out=out, meant=placed)
    for say in (reporter.step, reporter.warn, reporter.line):
        say("see raystead status")
    reporter.write("see raystead status\n")
    assert [text[-27:] for text in err.getvalue().splitlines()] == ["see raystead status -n team"] * 3
    assert out.getvalue() == "see raystead status\n"
