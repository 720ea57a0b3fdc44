"""What a newcomer reads first: help that fits the terminal, and refusals when there is nothing to work on yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from scriptedserver import ScriptedServer, answer

from raystead.cli.root import root
from raystead.errors import RaysteadError
from raystead.local.place import LocalPlace

NEEDS_A_NAMESPACE = ("restart", "suspend", "resume", "verify", "explain", "exec", "autoscale", "run -- true")


def verbs(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("words", list(verbs(root)), ids=" ".join)
@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_of_the_help_is_broken_or_cut(words: tuple[str, ...], columns: int) -> None:
    done = CliRunner().invoke(root, [*words, "--help"], prog_name="raystead", terminal_width=columns)
    assert done.exit_code == 0
    assert [line for line in done.output.splitlines() if len(line) > columns] == []
    assert not re.search(r"\w\.\.\.", done.output), "a sentence is cut"


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a kubeconfig nor a local cluster."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize("words", NEEDS_A_NAMESPACE)
@pytest.mark.usefixtures("nothing")
def test_a_verb_that_needs_a_namespace_asks_for_the_kubeconfig_not_for_a_local_cluster(words: str) -> None:
    error = CliRunner().invoke(root, words.split(), prog_name="raystead").exception
    assert isinstance(error, RaysteadError)
    assert (error.what, error.exit_code) == ("there is no kubeconfig", 76)


@pytest.mark.parametrize("words", NEEDS_A_NAMESPACE)
@pytest.mark.usefixtures("nothing")
def test_beside_a_local_cluster_it_says_what_there_is_instead(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalPlace, "names", staticmethod(lambda state_dir=None: ["ray-cluster"]))
    error = CliRunner().invoke(root, words.split(), prog_name="raystead").exception
    assert isinstance(error, RaysteadError)
    assert error.exit_code == 75
    assert "raystead " in error.remedy


@pytest.mark.parametrize(
    "words", ["status", "list", "job list", "submit -- true", "scale 2", "connect", "logs"]
)
@pytest.mark.usefixtures("nothing")
def test_a_kubeconfig_that_was_named_and_is_not_there_is_what_is_missing(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for kubectl: no wrong way to the API server ends well, or in a word about this machine."""
    monkeypatch.setenv("KUBECONFIG", "/missing")
    error = CliRunner().invoke(root, words.split(), prog_name="raystead").exception
    assert isinstance(error, RaysteadError)
    assert (error.what, error.exit_code) == ("there is no kubeconfig", 76)
    assert error.evidence.startswith("no file at /missing")


def test_down_of_nothing_points_to_what_an_edit_user_may_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters of all namespaces may be listed by administrators only: that hint would be refused."""
    with ScriptedServer(answer(200, {"items": []})) as server:
        config = tmp_path / "config"
        config.write_text(
            "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k}}],"
            f"clusters: [{{name: k, cluster: {{server: 'http://127.0.0.1:{server.port}'}}}}]}}"
        )
        monkeypatch.setenv("KUBECONFIG", str(config))
        error = CliRunner().invoke(root, ["down", "-n", "team"], prog_name="raystead").exception
    assert isinstance(error, RaysteadError)
    assert error.exit_code == 64
    assert error.remedy.startswith("raystead list -n team shows what there is")
    assert "-A" not in error.remedy
