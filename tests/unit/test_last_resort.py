"""Whatever comes in, the command line ends in a sentence and an exit code, never in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scriptedserver import Answer, ScriptedServer, answer, status

from raystead.base.secrets import masked_text
from raystead.cli import failure
from raystead.cli.main import COMMANDS
from raystead.cli.submit import _runtime_env
from raystead.errors import RaysteadError
from raystead.kube.execs import _Session
from raystead.ops.survival import beats_in

RAYSTEAD = str(Path(sys.executable).parent / "raystead")


@dataclass(frozen=True)
class Case:
    """One command line: words, or a line for the shell with `$R` for raystead; what it must say."""

    words: list[str] | str
    code: int
    says: str = ""
    env: dict[str, str | None] = field(default_factory=dict)


SPEC = ["render", "-f"]
CASES = {
    "closed stdin": Case("$R render <&-", 0),
    "closed stdin that is read": Case("$R render -f - <&-", 2, "there is no RayCluster"),
    "closed stdout": Case("$R render >&-", 0),
    "closed stderr": Case("$R render 2>&-", 0),
    "closed stderr and an error": Case("$R render -f /no/such 2>&-", 2),
    "everything closed": Case("$R list --local <&- >&- 2>&-", 0),
    "a reader that goes": Case("$R render | head -1; exit ${PIPESTATUS[0]}", 0),
    "a reader that has gone before the help": Case("$R --help | true; exit ${PIPESTATUS[0]}", 0),
    "a reader that goes amid a long answer": Case("$R schema | true; exit ${PIPESTATUS[0]}", 0),
    "a full disk behind stdout": Case("$R render > /dev/full", 74, "No space left on device"),
    "a full disk behind a long answer": Case("$R schema > /dev/full", 74, "the output could not be written"),
    "a full disk behind stderr": Case("$R render -f /no/such 2> /dev/full", 2),
    "no home": Case(["up", "--local"], 74, "set HOME", {"HOME": ""}),
    "no home, nothing to list": Case(["list", "--local"], 0, "", {"HOME": ""}),
    "a name that is not UTF-8": Case([*SPEC[:1], "--name", "\udcff"], 2, r"\udcff"),
    "a file name that is not UTF-8": Case([*SPEC, "\udcff.yaml"], 2, r"\udcff.yaml cannot be read"),
    "a verb that is not UTF-8": Case(["\udcff"], 2, "there is no command"),
    "a directory": Case([*SPEC, "/"], 2, "/ cannot be read: Is a directory"),
    "the null device": Case([*SPEC, "/dev/null"], 2, "there is no RayCluster"),
    "a file without an end": Case([*SPEC, "/dev/zero"], 2, "a spec has a few KiB"),
    "a pipe": Case("$R render -f <(echo '{')", 2, "not YAML"),
    "a file that is no text": Case("printf '\\xff\\xfe\\xfd' | $R render -f -", 2, ""),
    "a file in a file": Case([*SPEC, "/dev/null/x"], 2, "Not a directory"),
    "escapes in a file": Case(
        r"""printf '{apiVersion: ray.io/v1, kind: RayCluster, "sp\\e]0;x\\a": 1}' | $R render -f -""",
        2,
        r"\x1b]0;x\x07",
    ),
    "no columns": Case(["--help"], 0, "", {"COLUMNS": "0"}),
    "columns that are no number": Case(["up", "--help"], 0, "", {"COLUMNS": "wide"}),
    "a dumb terminal": Case(["list", "--local"], 0, "", {"TERM": "dumb"}),
    "a plain C locale": Case(["list", "--local", "--name", "é"], 2, "", {"LC_ALL": "C", "PYTHONUTF8": "0"}),
    "output that ASCII cannot say": Case(
        [*SPEC, "/no/é"], 2, r"/no/\xe9", {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    ),
}


def run(case: Case, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "R": RAYSTEAD}
    env["KUBECONFIG"] = str(home / "config")
    env |= {key: value for key, value in case.env.items() if value is not None}
    words = ["bash", "-c", case.words] if isinstance(case.words, str) else [RAYSTEAD, *case.words]
    return subprocess.run(
        [os.fsencode(word) for word in words],
        input="",
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=env,
        timeout=60,
    )


def kubeconfig(home: Path, server: str) -> None:
    (home / "config").write_text(
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}],"
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{token: t}}}}]}}"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"env_vars: {D: 2020-01-01}", {"env_vars": {"D": "2020-01-01"}}),  # no date, which JSON has not
        ("pip: [a]".encode("utf-16"), {"pip": ["a"]}),
        (b"\xfdpip: [a]", "is not UTF-8 text"),
        (b"pip: [a", "this is not YAML"),
        (b"a: " + b"[" * 100_000, "nested more than 100 deep"),
        (b"- a", "is not a mapping"),
        (b"a: 1\n---\nb: 2", "is not a mapping"),
        (b"", "is not a mapping"),
    ],
)
def test_a_file_of_a_runtime_environment_is_read_or_refused(
    text: bytes, says: dict[str, Any] | str, tmp_path: Path
) -> None:
    (tmp_path / "env.yaml").write_bytes(text)
    if isinstance(says, dict):
        assert _runtime_env(str(tmp_path / "env.yaml"), None) == says
        return
    with pytest.raises(RaysteadError, match=says):
        _runtime_env(str(tmp_path / "env.yaml"), None)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_input_ends_in_a_sentence(case: Case, tmp_path: Path) -> None:
    kubeconfig(tmp_path, "http://127.0.0.1:9")
    done = run(case, tmp_path)
    assert "Traceback" not in done.stdout + done.stderr
    assert "bug in raystead" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (done.returncode, case.says in done.stderr) == (case.code, True), done.stderr


HTML = b"<html><head><title>Sign in</title></head><body>proxy \x1b]0;owned\x07</body></html>"
SERVERS: dict[str, tuple[Answer, int, str]] = {
    "HTML of a proxy": (answer(200, HTML), 80, "is not an API server"),
    "HTML of a proxy that refuses": (answer(403, HTML), 80, "proxy"),
    "JSON that is no object": (answer(200, [1, 2]), 80, "is not an API server"),
    "a message with escapes": (answer(400, status(400, "no \x1b]52;c;aGk=\x07 \u202e no")), 80, r"\x1b]52;c;aGk=\x07 \u202e"),
}  # fmt: skip


@pytest.mark.parametrize(
    "words", [["list", "-n", "\udcff"], ["status", "\udcff"], ["logs", "--name", "\udcff"]]
)
def test_a_name_that_is_no_text_is_a_sentence_whoever_answers(words: list[str], tmp_path: Path) -> None:
    with ScriptedServer(answer(200, {"items": []})) as server:
        kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}")
        done = run(Case(words, 2), tmp_path)
    assert done.returncode == 2, done.stderr
    assert "is not UTF-8 text" in done.stderr
    assert r"\udcff" in done.stderr


@pytest.mark.parametrize("verb", ["list", "up"])
@pytest.mark.parametrize("name", SERVERS)
def test_whatever_answers_for_an_api_server(name: str, verb: str, tmp_path: Path) -> None:
    send, code, says = SERVERS[name]
    with ScriptedServer(send) as server:
        kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}")
        done = run(Case([verb], code), tmp_path)
    assert "Traceback" not in done.stderr
    assert "bug in raystead" not in done.stderr, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def fail(message: str) -> BaseException:
    try:
        try:
            raise ValueError(message)
        except ValueError as error:
            raise KeyError("x") from error
    except KeyError as error:
        return error


def test_a_fault_of_ours_names_kind_and_place_and_no_value() -> None:
    text = failure.sentences(fail("Invalid header b'Bearer abcdefgh0123\\n'"), debug=False)
    assert text.startswith("this is a bug in raystead")
    assert "KeyError at" in text
    assert "test_last_resort.py:" in text
    assert "--debug" in text
    assert "abcdefgh" not in text


@pytest.mark.parametrize(
    "secret",
    [
        "Invalid header value b'Bearer {}\\n'",
        "https://me:{}@host/x refused",
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "password={} is wrong",
        "{}",
    ],
)
def test_debug_shows_the_way_and_masks_what_may_be_secret(secret: str) -> None:
    text = failure.sentences(fail(secret.format("s3cretS3cretS3cret")), debug=True)
    assert "caused by" in text
    assert "ValueError: " in text
    assert "s3cret" not in text


def test_debug_is_taken_before_and_after_the_verb(tmp_path: Path) -> None:
    for words in (["--debug", "list", "--local"], ["list", "--local", "--debug"]):
        assert run(Case(words, 0), tmp_path).returncode == 0


@pytest.mark.parametrize("typed, meant", [("upp", "up"), ("staus", "status"), ("restrat", "restart")])
def test_a_verb_with_a_slip_is_named(typed: str, meant: str, tmp_path: Path) -> None:
    done = run(Case([typed], 2), tmp_path)
    assert done.returncode == 2
    assert f'there is no command "{typed}", did you mean {meant}?' in done.stderr


def test_an_option_with_a_slip_is_named(tmp_path: Path) -> None:
    assert "--workers" in run(Case(["up", "--worker", "3"], 2), tmp_path).stderr


def test_a_torn_line_behind_the_proofs_mark_is_left_out() -> None:
    whole = 'raystead-verify {"n": 3, "s": 0.1, "error": ""}'
    torn = [
        'raystead-verify {"n": 4, "s"',
        "raystead-verify",
        "raystead-verify [1]",
        'raystead-verify {"n": 5}',
    ]
    assert [beat.n for beat in beats_in("\n".join([torn[0], whole, *torn]))] == [3]


def test_a_channel_that_we_do_not_know_is_left_out() -> None:
    messages = iter([(1, b"out"), (7, b"?"), (2, b"err"), (3, b'{"status": "Success"}'), None])

    class Streams:
        def messages(self) -> Any:
            return None

        def run(self, step: Any) -> Any:
            step.close()
            return next(messages)

    session: Any = _Session.__new__(_Session)
    session._stream, session._background, session._end = Streams(), Streams(), b""
    assert list(session) == [(1, b"out"), (2, b"err")]


def test_every_command_can_be_named_in_the_table() -> None:
    assert all(masked_text(name) == name for name in COMMANDS)
