"""The command line as a newcomer meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from raystead.cli.main import COMMANDS
from raystead.cli.root import root

RAYSTEAD = str(Path(sys.executable).parent / "raystead")


def run(*words: str, stdin: str = "", state: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(state or "/nonexistent"), "LANG": "C.UTF-8"}
    if state:
        env["XDG_STATE_HOME"] = str(state)
    return subprocess.run(
        [RAYSTEAD, *words], input=stdin, capture_output=True, text=True, env=env, timeout=60
    )


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_every_command_tells_and_shows(name: str) -> None:
    answer = run(name, "--help")
    assert answer.returncode == 0
    assert f"raystead {name}" in answer.stdout


def test_it_runs_as_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "raystead", "--help"], capture_output=True, text=True)
    assert done.stdout.startswith("Usage: python -m raystead ")


def test_the_first_help_shows_every_option_and_fits_80_columns() -> None:
    """It is not click's own text, for which click would have to be imported."""
    ctx = click.Context(root, info_name="raystead", **root.context_settings)
    text = run("--help").stdout
    assert text == root.get_help(ctx) + "\n" == run("-h").stdout
    words = " ".join(text.split())
    for option in root.get_params(ctx):
        assert isinstance(option, click.Option)
        record = option.get_help_record(ctx)
        assert record
        assert " ".join(record) in words
    assert max(map(len, text.splitlines())) < 80


def test_a_wrong_command_exits_2() -> None:
    answer = run("upp")
    assert answer.returncode == 2
    assert "upp" in answer.stderr


def test_up_without_a_kubeconfig_says_what_works() -> None:
    answer = run("up")
    assert answer.returncode == 76
    assert "raystead up --local" in answer.stderr


@pytest.mark.parametrize(
    "verb",
    [("status",), ("logs",), ("scale", "2"), ("job", "list"), ("submit", "--", "true")],
    ids=lambda v: v[0],
)
def test_verbs_without_a_cluster_exit_64_with_the_remedy(verb: tuple[str, ...], tmp_path: Path) -> None:
    answer = run(*verb, state=tmp_path)
    assert answer.returncode == 64
    assert "raystead up --local" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_down_of_nothing_does_not_advise_up(tmp_path: Path) -> None:
    for words in (("down",), ("down", "mine", "--yes")):
        answer = run(*words, state=tmp_path)
        assert answer.returncode == 64
        assert "raystead list --local" in answer.stderr
        assert "raystead up" not in answer.stderr


def test_down_may_ignore_that_there_is_none(tmp_path: Path) -> None:
    assert run("down", "--ignore-not-found", state=tmp_path).returncode == 0


def test_render_prints_yaml_only_on_stdout() -> None:
    answer = run("render")
    assert answer.returncode == 0
    kinds = [document["kind"] for document in yaml.safe_load_all(answer.stdout)]
    assert kinds.count("Deployment") == 2
    assert kinds.count("NetworkPolicy") >= 2


def test_render_as_raycluster_reads_back_to_the_same_objects(tmp_path: Path) -> None:
    flags = ["--name", "mine", "--workers", "3", "--worker-cpu", "2", "--gpus", "1"]
    spec = run("render", "--as", "raycluster", *flags)
    assert spec.returncode == 0, spec.stderr
    assert run("render", "-f", "-", stdin=spec.stdout).stdout == run("render", *flags).stdout


def test_a_bad_file_lists_all_problems_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata:\n  name: Bad_Name\nspec:\n  rayVersio: 2.60.0\n"
        "  headGroupSpec:\n    template:\n      spec:\n        containers: []\n"
    )
    answer = run("render", "-f", str(file))
    assert answer.returncode == 2
    assert "bad.yaml:4" in answer.stderr
    assert "bad.yaml:6" in answer.stderr
    assert "rayVersion" in answer.stderr
    assert answer.stdout == ""


def test_a_missing_file_is_a_sentence() -> None:
    answer = run("render", "-f", "/no/such/file.yaml")
    assert answer.returncode == 2
    assert "/no/such/file.yaml cannot be read" in answer.stderr
