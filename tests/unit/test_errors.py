"""Every error has one exit code of one table, and says what, how we know and what to do."""

from __future__ import annotations

import pytest

from raystead import errors


def test_the_table_of_exit_codes_is_api() -> None:
    assert errors.EXIT_CODES == {
        "UsageError": 2,
        "SpecError": 2,
        "ClusterNotFound": 64,
        "ClusterExists": 65,
        "NotEnough": 66,
        "RayMissing": 67,
        "NotReady": 68,
        "PortInUse": 69,
        "JobFailed": 70,
        "JobNotFound": 71,
        "UploadTooLarge": 72,
        "RayUnreachable": 73,
        "StateError": 74,
        "Unsupported": 75,
        "KubeConfigError": 76,
        "ApiUnreachable": 77,
        "Forbidden": 78,
        "Conflict": 79,
        "ApiError": 80,
        "NewerFormat": 81,
        "Busy": 82,
        "Remains": 83,
        "ProblemsFound": 84,
        "StreamLost": 85,
        "CommandNotStarted": 86,
        "ObjectNotFound": 87,
        "RayRefuses": 88,
        "OutputGone": 89,
        "WrongState": 90,
    }


def test_our_codes_stay_between_64_and_99_and_are_not_shared() -> None:
    ours = [code for code in errors.EXIT_CODES.values() if code != 2]
    assert all(64 <= code <= 99 for code in ours)
    assert len(ours) == len(set(ours))


def test_the_docstring_is_the_same_table() -> None:
    for name, code in errors.EXIT_CODES.items():
        assert f"{name} ({code})" in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.UsageError("no"), "no"),
        (
            errors.NotEnough("memory is short", evidence="1 GB free", remedy="close something"),
            "memory is short\n  seen   1 GB free\n  do     close something",
        ),
    ],
)
def test_diagnostics_are_sentences_in_order(error: errors.RaysteadError, text: str) -> None:
    assert error.diagnostics() == text


def test_all_is_whole() -> None:
    public = {n for n, v in vars(errors).items() if isinstance(v, type) and v.__module__ == errors.__name__}
    assert public | {"EXIT_CODES"} == set(errors.__all__)
