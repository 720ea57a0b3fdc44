"""A slip on the command line: one sentence, what may have been meant, the line to type, and exit code 2."""

from __future__ import annotations

import functools
import json
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from raystead.cli import usage
from raystead.cli.main import COMMANDS
from raystead.cli.options import behind_the_verb
from raystead.cli.root import root, run

# what is typed, what is said, what to type
TABLE = [
    ("upp --local", 'there is no command "upp", did you mean up?', "raystead up --local"),
    ("frob", 'there is no command "frob"', "raystead --help"),
    ("help frob", 'there is no command "frob"', "raystead --help"),
    ("version", 'there is no command "version", did you mean --version?', "raystead --version"),
    ("delete", 'there is no command "delete", did you mean down?', "raystead down"),
    ("jobs", 'there is no command "jobs", did you mean job list?', "raystead job list"),
    ("job frob", 'there is no command "job frob"', "raystead job --help"),
    ("job lgos x -f", 'there is no command "job lgos", did you mean logs?', "raystead job logs x -f"),
    ("--frob", "raystead has no option --frob", "raystead --help"),
    ("-n", "raystead has no option -n", "raystead --help"),
    ("up --worker 3", "up has no option --worker, did you mean --workers?", "raystead up --workers 3"),
    ("up --worker=3", "up has no option --worker, did you mean --workers?", "raystead up --workers=3"),
    ("job logs --x", "job logs has no option --x", "raystead job logs --help"),
    ("run --x", "run has no option --x", "raystead run --help-all"),
    (
        "submit --num-cpus 2 -- x",
        "submit has no option --num-cpus, did you mean --entrypoint-num-cpus?",
        "raystead submit --entrypoint-num-cpus 2 -- x",
    ),
    ("submit python t.py --lr 3", "submit has no option --lr", "raystead submit -- python t.py --lr 3"),
    ("up --env A=s3cret --worker 2", "up has no option --worker, did you mean --workers?", "raystead up --help-all"),
    ("up --workers", "a value (N) is missing after --workers", "raystead up --help-all"),
    ("up --local=3", "--local takes no value", "raystead up --local"),
    ("up --workers x", '--workers: expected a whole number, got "x"', "raystead up --help-all"),
    ("up --wait=maybe", '--wait: expected true or false, got "maybe"', "raystead up --help-all"),
    ("submit --entrypoint-num-cpus x -- y", '--entrypoint-num-cpus: expected a number, got "x"', "raystead submit --help"),
    ("connect --port 99999", "--port: expected a whole number from 0 to 65535, got 99999", "raystead connect --help"),
    ("logs --tail=-1", "--tail: expected a whole number of at least 0, got -1", "raystead logs --help"),
    (
        "up --timeout soon",
        '--timeout: "soon" is not a time span; write for example 90, 90s, 10m or 2h',
        "raystead up --help-all",
    ),
    (
        "up --storage rediss",
        '--storage: "rediss" is not one of redis, rocksdb, external, none, did you mean redis?',
        "raystead up --storage redis",
    ),
    (
        "up --storage=rediss --workers 2",
        '--storage: "rediss" is not one of redis, rocksdb, external, none, did you mean redis?',
        "raystead up --storage=redis --workers 2",
    ),
    ("status -o yaml", '-o: "yaml" is not one of wide, json', "raystead status --help"),
    ("scale", "scale needs [GROUP=]N…", "raystead scale 3   for example"),
    ("submit", "submit needs -- CMD…", "raystead submit -- python train.py --epochs 3   for example"),
    ("list a b", 'list does not take "a b"', "raystead list --help"),
    ("job status a b", 'job status does not take "b"', "raystead job status --help"),
    ("connect a b", 'connect does not take "b": a command comes after --', "raystead connect a -- b"),
    ("exec worker ls -l", "exec has no option -l", "raystead exec worker -- ls -l"),
    ("exec ls -l", "exec has no option -l", "raystead exec -- ls -l"),
    ("exec worker df /dev/shm", 'exec does not take "df /dev/shm": a command comes after --', "raystead exec worker -- df /dev/shm"),
    ("apply -f x.yaml -n team", 'there is no command "apply", did you mean up?', "raystead up -f x.yaml -n team"),
    ("get pods", 'there is no command "get", did you mean list?', "raystead list"),
    ("stop", 'there is no command "stop", did you mean down?', "raystead down"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line that is understood by mistake reaches no cluster."""
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def typed(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["raystead", *shlex.split(line)])
    monkeypatch.setattr(root, "main", functools.partial(click.Group.main, root, prog_name="raystead"))
    return run()


@pytest.mark.parametrize(("line", "what", "remedy"), TABLE, ids=[row[0] for row in TABLE])
def test_a_slip_is_a_sentence_and_the_line_to_type(
    line: str,
    what: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(line, monkeypatch) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"raystead: {what}"
    assert said[-1] == f"  do     {remedy}"
    assert len(said) <= 3


def test_with_json_it_is_an_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("status --locl -o json", monkeypatch) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["type"], error["exitCode"]) == ("UsageError", 2)
    assert error["what"] == "status has no option --locl, did you mean --local?"
    assert error["remedy"] == "raystead status --local -o json"


def commands(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    ctx = click.Context(group)
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        found += (
            commands(command, f"{path}{name} ")
            if isinstance(command, click.Group)
            else [(path + name, command)]
        )
    return found


@pytest.mark.parametrize(
    ("verb", "command"), commands(root), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_verb_answers_a_wrong_option_and_a_missing_value_in_our_form(
    verb: str, command: click.Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(f"{verb} --no-such-thing", monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"raystead: {verb} has no option --no-such-thing")
    assert "Usage:" not in said
    valued = [p for p in command.params if isinstance(p, click.Option) and not p.is_flag and not p.hidden]
    for option in valued:
        if option.flag_value is not None and option._flag_needs_value:
            continue  # --wait alone means --wait=true
        assert typed(f"{verb} {option.opts[-1]}", monkeypatch) == 2
        said = capsys.readouterr().err
        first = said.splitlines()[0]
        assert first.startswith("raystead: a value ("), said
        assert first.endswith(f") is missing after {option.opts[-1]}"), said


@pytest.mark.parametrize(
    "line", ["help", "-h", "--help", "help up", "up -h", "job help logs", "help job logs"]
)
def test_help_is_found_however_it_is_asked_for(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(line, monkeypatch) == 0
    verb = line.replace("--help", "").replace("help", "").replace("-h", "").split()
    assert capsys.readouterr().out.startswith(" ".join(["Usage: raystead", *verb]))


@pytest.mark.parametrize("line", ["", "job"])
def test_without_a_verb_the_help_is_shown_and_nothing_counts_as_done(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(line, monkeypatch) == 2
    assert "Usage: raystead" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("-n team status", "status -n team"),
        ("-nteam status -o json", "status -nteam -o json"),
        ("--namespace=team --local up", "up --namespace=team --local"),
        ("--context a -v job list", "job list --context a -v"),
        ("-n team job", "job -n team"),
        ("-n team submit -- ls -n", "submit -n team -- ls -n"),
        ("-n", "-n"),
        ("--frob up", "--frob up"),
        ("-n team --frob up", "-n team --frob up"),
    ],
)
def test_where_may_stand_before_the_verb_as_kubectl_takes_it(line: str, meant: str) -> None:
    assert behind_the_verb(line.split()) == meant.split()


def lines_of(command: click.Command) -> list[str]:
    """What the help shows to be typed, whole lines of it."""
    shown = [line.strip() for line in (command.help or "").splitlines()]
    return [re.split(r"\s{3,}", line)[0] for line in shown if line.startswith("raystead ")]


@pytest.mark.parametrize(
    ("verb", "command"),
    [("", root), ("job", root.get_command(click.Context(root), "job")), *commands(root)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_help_shows_is_understood_as_printed(verb: str, command: click.Command) -> None:
    found = lines_of(command)
    assert found, "every verb shows what to type"
    for line in found:
        words = shlex.split(re.split(r" [|>] ", line)[0])[1:]
        ctx = click.Context(root, info_name="raystead")
        group: click.Command = root
        while isinstance(group, click.Group):
            _, next_one, words = group.resolve_command(ctx, words)
            assert next_one is not None
            ctx = next_one.make_context(next_one.name, words, parent=ctx)
            group, words = next_one, [*ctx._protected_args, *ctx.args]


def test_words_of_other_tools_lead_to_verbs_that_are_there() -> None:
    for word, verb in usage._ELSEWHERE.items():
        assert word not in COMMANDS
        assert verb.split()[0] in COMMANDS or verb == "--version"
