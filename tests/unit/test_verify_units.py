"""What `verify` calls lost, from the record of its job."""

from raystead.ops.survival import Beat, beats_in, judge


def line(n: int | None, error: str = "", seconds: float = 0.1) -> str:
    import json

    return "raystead-verify " + json.dumps({"n": n, "s": seconds, "error": error})


def log(*lines: str) -> str:
    return "\n".join(["raystead-verify " + '{"driver": "pod"}', "noise", *lines])


def test_only_beats_and_failed_searches_count() -> None:
    found = 'raystead-verify {"found": true, "s": 9.0, "error": ""}'
    missing = 'raystead-verify {"found": null, "s": 9.0, "error": "ValueError: no actor"}'
    assert beats_in(log(line(1), found, line(2))) == [Beat(1, 0.1, ""), Beat(2, 0.1, "")]
    assert beats_in(log(line(1), missing))[1].error == "ValueError: no actor"


def test_a_counter_that_goes_on_is_no_loss() -> None:
    beats = [Beat(1, 0.1, ""), Beat(2, 0.1, ""), Beat(3, 4.5, ""), Beat(4, 0.1, "")]
    outcome = judge("head", "head-1", 9.0, beats, 2, ())
    assert outcome.lost == ()
    assert (outcome.before, outcome.after, outcome.slowest, outcome.beats) == (2, 4, 4.5, 2)


def test_every_loss_is_named() -> None:
    beats = [Beat(7, 0.1, ""), Beat(None, 0.1, "RayError: gone"), Beat(1, 0.1, "")]
    lost = judge("head", "head-1", 9.0, beats, 1, ("worker-1",), "FAILED").lost
    assert lost == (
        "the job ended: FAILED",
        "1 of 2 calls failed: RayError: gone",
        "the actor's counter went back from 7 to 1",
        "restarted: worker-1",
    )
    assert judge("head", "h", 9.0, beats[:1], 1, ()).lost == ("the actor never answered again",)


def test_a_lost_worker_may_take_the_state_along() -> None:
    assert judge("worker", "w", 9.0, [Beat(7, 0.1, ""), Beat(1, 0.1, "")], 1, ()).lost == ()
