"""How an exec's end is read; what `eval` and Ray's clients get of a token."""

import shlex

import pytest

from raystead.errors import CommandNotStarted, StreamLost
from raystead.kube.execs import Target, outcome
from raystead.ops.connect import Connection, as_shell, environment, token_environment

HERE = Target("ns", "head-1", "ray-head")
INTERNAL = "Internal error occurred: error executing command in container: failed to exec in container: "
RUNC = (
    'failed to start exec "0a1b": OCI runtime exec failed: exec failed: unable to start container process: '
)


def failure(message: str, **more: object) -> dict:
    return {"status": "Failure", "message": message, "reason": "InternalError", "code": 500, **more}


def test_success_and_exit_codes() -> None:
    assert outcome({"metadata": {}, "status": "Success"}, HERE, ["true"]) == 0
    details = {"causes": [{"reason": "ExitCode", "message": "137"}]}
    assert outcome(failure("x", reason="NonZeroExitCode", details=details), HERE, ["sh"]) == 137


@pytest.mark.parametrize(
    "message, said",
    [
        (
            "Internal error occurred: "
            + INTERNAL
            + RUNC
            + 'exec: "bash": executable file not found in $PATH',
            "bash cannot be started in pod head-1: executable file not found in $PATH",
        ),
        (
            INTERNAL + RUNC + 'exec: "bash": stat bash: no such file or directory: unknown',
            "bash cannot be started in pod head-1: stat bash: no such file or directory: unknown",
        ),
    ],
)
def test_a_program_that_is_not_there_is_named(message: str, said: str) -> None:
    with pytest.raises(CommandNotStarted) as caught:
        outcome(failure(message), HERE, ["bash"])
    assert caught.value.what == said
    assert "Internal error occurred: Internal" not in caught.value.evidence


def test_an_end_that_nobody_knows_is_not_taken_for_a_code() -> None:
    with pytest.raises(StreamLost, match="the end of sleep in pod head-1 is not known"):
        outcome(failure("Internal error occurred: error reading from error stream: EOF"), HERE, ["sleep"])


def test_the_token_as_shell_lines_survives_the_shell() -> None:
    lines = as_shell(token_environment("a'b $c"))
    got = dict(word.split("=", 1) for line in lines.splitlines() for word in shlex.split(line)[1:])
    assert got == token_environment("a'b $c")
    assert got["RAY_JOB_HEADERS"] == '{"Authorization": "Bearer a\'b $c"}'


def test_jobs_and_ray_init_each_get_their_address() -> None:
    both = environment(Connection("c", "http://127.0.0.1:1", "ray://127.0.0.1:2", None))
    assert both["RAY_ADDRESS"] == "ray://127.0.0.1:2"
    assert both["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"
    assert both["RAY_AUTH_MODE"] == "disabled"
    assert (
        environment(Connection("c", "http://127.0.0.1:1", None, "t"))["RAY_ADDRESS"] == "http://127.0.0.1:1"
    )


def test_a_connection_does_not_print_its_token() -> None:
    assert "secret" not in repr(Connection("c", "http://127.0.0.1:1", None, "secret"))
