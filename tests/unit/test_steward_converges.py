"""Whatever fails on the way, the cluster ends with the workers that the demand needs, and none that works is killed.

`stewardworld` plays the API server, a kubelet, a GCS and a clock around Ray's own autoscaler v2 and our
steward, so that each may fail at any step and ten minutes take a moment.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stewardserver import GROUP, PODS, Clock
from stewardworld import OldWorld, World

from raystead.incluster import facade, hands, kept
from raystead.incluster.scaling import TEMPLATE

Steps = list[tuple[str, Any]]
FAULT = st.sampled_from(["refused", "mute"])
AT_ONCE = (
    *("round", "act", "deliver", "kubelet", "relist", "rewatch", "follow", "release"),
    *("steward", "autoscaler", "wake_the_one_before"),
)
STEPS = st.one_of(
    st.tuples(st.just("want"), st.integers(0, 3)),
    st.tuples(st.just("cycle"), st.integers(1, 4)),
    *(
        st.tuples(st.just(one), st.integers(0, 3))
        for one in ("crash", "lose", "delete", "dies", "holds", "quota")
    ),
    *(st.tuples(st.just(one), st.just(0)) for one in AT_ONCE),
    st.tuples(st.just("images"), st.booleans()),
    st.tuples(st.just("bounds"), st.tuples(st.integers(0, 1), st.integers(1, 4))),
    *(st.tuples(st.just(one), FAULT) for one in ("facade", "state", "pods")),
    st.tuples(st.just("drain"), st.sampled_from(["refused", "mute", "ended"])),
)


def play(world: World, steps: Steps) -> None:
    for what, value in steps:
        if what == "want":
            world.wanted = value
        elif what == "cycle":
            for _ in range(value):
                for step in (world.follow, world.deliver, world.act, world.kubelet, world.round):
                    step()
        elif what in ("crash", "lose", "delete", "dies", "holds"):
            getattr(world, what)(value)
        elif what == "bounds":
            world.bounds(*value)
        elif what == "quota":
            world.server.quota = value
        elif what == "images":
            world.images = value
        elif what == "refusing":
            world.server.refusing = value
        elif what == "steward":
            world.restart_steward()
        elif what == "autoscaler":
            world.start_autoscaler()
        elif what == "facade":
            world.facade_failing.append(value)
        elif what in ("state", "pods"):
            world.server.failing[what].append(value)
        elif what == "drain":
            world.drains_failing.append(value)
        else:
            getattr(world, what)()


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.autoscaler._private import autoscaler, load_metrics
    from ray.autoscaler.v2.instance_manager import common

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    now = Clock()
    for module in (common, facade, hands, kept, autoscaler, load_metrics):
        patch.setattr(module, "time", now)
    yield now
    patch.undo()


def ends_well(world: World) -> None:
    """No worker that had work was killed, and no name was used for two pods."""
    assert world.lowered or world.killed == []
    assert len(world.server.used) == len(set(world.server.used))


BEHIND: Steps = [
    ("cycle", 1), ("want", 1), ("round", 0), ("act", 0), ("kubelet", 0), ("round", 0), ("round", 0)
]  # fmt: skip
MISSED: Steps = [
    ("want", 2), ("cycle", 3), ("crash", 0), ("want", 3), ("round", 0), ("act", 0), ("rewatch", 0)
]  # fmt: skip
TWO: Steps = [("want", 2), ("cycle", 4)]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(BEHIND, id="a raylet is in the GCS before the watch has told of its pod"),
        pytest.param([("pods", "mute"), *BEHIND], id="and the request for the pod was not answered"),
        pytest.param(MISSED, id="a pod ends, and the watch does before it has told so"),
        pytest.param(
            [("want", 1), ("cycle", 3), ("want", 0), ("drain", "ended"), ("cycle", 4)],
            id="a drained pod ends",
        ),
        pytest.param(
            [("want", 1), ("cycle", 3), ("want", 0), ("drain", "mute"), ("cycle", 4)], id="a drain is lost"
        ),
        pytest.param([("want", 2), ("facade", "mute"), ("cycle", 4)], id="a patch is taken and not answered"),
        pytest.param(
            [("want", 2), ("state", "mute"), ("cycle", 4)], id="a state is stored and nobody is told"
        ),
        pytest.param([("want", 2), ("quota", 1), ("cycle", 4)], id="a quota is hit midway"),
        pytest.param(
            [("want", 3), ("quota", 1), ("cycle", 4), ("quota", 2), ("cycle", 9)], id="and raised by one"
        ),
        pytest.param(
            [("want", 2), ("refusing", "violates PodSecurity"), ("cycle", 4)], id="an admission refuses all"
        ),
        pytest.param([("want", 2), ("images", False), ("cycle", 9)], id="an image is missing for a while"),
        pytest.param([*TWO, ("dies", 0), ("cycle", 3)], id="a node dies with a worker"),
        pytest.param([*TWO, ("dies", 0), ("dies", 0), ("cycle", 3)], id="and the other one's too"),
        pytest.param([*TWO, ("holds", 0), ("want", 0), ("cycle", 6)], id="a finalizer holds a pod"),
        pytest.param([*TWO, ("holds", 0), ("delete", 0), ("cycle", 3)], id="of a pod that somebody deletes"),
        pytest.param([*TWO, ("delete", 0), ("cycle", 3)], id="a pod is deleted by hand"),
        pytest.param([("want", 1), ("cycle", 2), ("lose", 0)], id="by force, as soon as it is made"),
        pytest.param([("want", 3), ("round", 0), ("bounds", (1, 3))], id="bounds change before a pod is made"),
        pytest.param([("bounds", (1, 4)), ("cycle", 4)], id="a minimum brings a worker that nobody asked for"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_idle_workers_go_whatever_came_late(clock: Clock, made: type[World], steps: Steps) -> None:
    world = made(clock)
    play(world, steps)
    world.deliver()
    world.settle()
    assert world.killed == []
    world.wanted = 0
    world.place()
    assert world.settle() < 30, "no time-out of Ray's is needed for it"
    assert world.restarts == 0
    ends_well(world)


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_a_maximum_below_what_runs_ends_as_many_as_are_too_many(clock: Clock, made: type[World]) -> None:
    """Ray chooses who, the idle first; `scale` says beforehand how many stop. A higher one is used at once."""
    world = made(clock)
    play(world, [("want", 3), ("cycle", 4), ("bounds", (0, 1))])
    world.settle()
    assert len(world.workers()) == 1
    assert len(world.killed) == 2
    world.bounds(0, 4)
    world.settle()
    assert len(world.workers()) == 3


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_a_higher_minimum_brings_workers_and_demand_goes_beyond_it(clock: Clock, made: type[World]) -> None:
    world = made(clock)
    play(world, [("want", 1), ("cycle", 3), ("bounds", (2, 3))])
    world.settle()
    assert len(world.workers()) == 2
    world.wanted = 3
    world.settle()
    assert [group.replicas for group in world.board.scaling.groups.values()] == [3]


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_upscaling_that_is_conservative_begins_with_five_at_most(clock: Clock, made: type[World]) -> None:
    options = {"version": "v2", "idleTimeoutSeconds": 8, "upscalingMode": "Conservative"}
    world = made(clock)
    world.server.change({**GROUP, "maxReplicas": 10}, autoscalerOptions=options)
    world.most = world.wanted = 10
    play(world, [("follow", 0), ("round", 0), ("round", 0)])
    assert 1 <= len(world.board.scaling.groups["small"].names) <= 5
    world.settle()
    assert len(world.workers()) == 10


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_a_group_with_gpus_serves_tasks_without_one_where_no_other_can(
    clock: Clock, made: type[World]
) -> None:
    world = made(clock)
    world.shape |= {"GPU": 1.0}
    world.server.change({**GROUP, "rayStartParams": {"num-gpus": "1"}})
    play(world, [("want", 1), ("cycle", 3)])
    world.settle()
    assert len(world.workers()) == 1
    world.wanted = 0
    world.place()
    world.settle()


def test_a_group_that_is_removed_with_its_workers_and_comes_back(clock: Clock) -> None:
    world = World(clock)
    play(world, TWO)
    before = set(world.workers())
    other = {**GROUP, "groupName": "other"}
    world.server.change(other)
    world.settle()
    assert {name.split("-")[1] for name in world.workers()} == {"other"}
    world.server.change(GROUP)
    world.settle()
    assert {name.split("-")[1] for name in world.workers()} == {"small"}
    assert before.isdisjoint(world.workers())


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_a_new_template_replaces_workers_one_after_the_other(clock: Clock, made: type[World]) -> None:
    """A second one comes meanwhile, and those that are made anew are of the last."""
    world = made(clock)
    play(world, [("want", 3), ("cycle", 5)])
    old, at_once = set(world.workers()), []
    for template in ("second", "third"):
        world.server.renew(template)
        for _ in range(8):
            there = set(world.workers())
            play(world, [("cycle", 1)])
            at_once.append(len(there - set(world.workers())))
    world.settle()
    assert max(at_once) == 1
    assert old.isdisjoint(world.workers())
    made_from = {pod["metadata"].get("annotations", {}).get(TEMPLATE) for pod in world.server.pods.values()}
    assert made_from == {None, "third"}, "the head has none"
    assert len(world.workers()) == 3


def test_a_suspended_spec_leaves_no_pod_and_a_resumed_one_brings_what_is_wanted(clock: Clock) -> None:
    """Where the steward still runs; the head that it lives in goes too."""
    world = World(clock)
    play(world, TWO)
    world.server.change(suspend=True)
    for name in world.workers():  # by `suspend`, before the steward has heard of it
        world.server.end(name)
    play(world, [("deliver", 0), ("act", 0), ("act", 0)])
    play(world, [("follow", 0), ("act", 0), ("kubelet", 0), ("deliver", 0), ("act", 0)])
    assert world.workers() == []
    assert len(world.server.used) == 2
    world.server.change(suspend=False)
    world.settle()
    assert len(world.workers()) == 2


def test_pods_of_an_image_that_never_comes_go_within_the_hour_that_ray_gives_them(clock: Clock) -> None:
    """The demand is taken back meanwhile: Ray's autoscaler waits an hour for a node to start, here as under KubeRay."""
    world = World(clock)
    play(world, [("want", 2), ("images", False), ("cycle", 4), ("want", 0)])
    assert len(world.workers()) == 2
    for _ in range(20):
        world.clock.now += 200
        play(world, [("cycle", 1)])
    assert world.workers() == []


def test_a_steward_that_is_killed_between_any_two_of_its_requests_loses_and_doubles_nothing(
    clock: Clock,
) -> None:
    """While it grows, loses a worker, is refused one, and shrinks. What is killed forgets all but what is stored."""
    for number in itertools.count(1):
        world = World(clock)
        began = world.server.asked
        world.server.killed_at = began + number
        play(world, [("want", 3), ("cycle", 2), ("quota", 2), ("crash", 0), ("cycle", 4), ("quota", 9)])
        play(world, [("cycle", 4), ("want", 1)])
        world.place()
        play(world, [("cycle", 6)])
        world.settle()
        assert len(world.workers()) == 1
        ends_well(world)
        if not world.restarts:
            break  # the story has no more requests
        assert world.restarts == 1
    assert number > 15


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
def test_an_api_server_that_is_away_for_minutes_costs_no_worker_and_then_brings_what_is_wanted(
    clock: Clock, made: type[World]
) -> None:
    """Longer than the steward's knowledge of the pods is good for; a worker ends meanwhile."""
    world = made(clock)
    play(world, [("want", 2), ("cycle", 4)])
    there = world.workers()
    world.server.away = True
    play(world, [("want", 3), ("cycle", 40), ("crash", 0), ("cycle", 40)])
    assert set(world.workers()) == set(there), "nobody can make or delete a pod"
    world.server.away = False
    world.relist()
    world.settle()
    assert len(world.workers()) == 3
    assert there[1] in world.workers(), "a worker with work outlives it"
    ends_well(world)


def test_a_steward_that_wakes_after_another_has_taken_its_place_touches_no_pod(clock: Clock) -> None:
    """A laptop with `raystead autoscale` was shut, or a node was cut off: it hears of the pods first."""
    world = World(clock)
    play(world, [("want", 1), ("cycle", 4), ("steward", 0), ("want", 3), ("cycle", 4)])
    there = world.workers()
    assert len(there) == 3
    play(world, [("wake_the_one_before", 0), ("lose", 0), ("wake_the_one_before", 0)])
    assert world.server.deleted == []
    assert set(world.server.used) == set(there)
    world.settle()
    ends_well(world)


def test_a_refusal_never_has_ray_end_a_worker_that_was_made_beside_it(clock: Clock) -> None:
    """Of pods that are asked for at once, one is refused before the others' answers have come."""
    world = World(clock)
    play(world, [("want", 3), ("round", 0)])
    template = world.kept.templates["small"]
    world.hands._refused("small", "exceeded quota")
    for count, name in enumerate(world.board.scaling.groups["small"].names, 1):
        pod = {**template, "metadata": {**template["metadata"], "name": name}}
        world.hands._learn(world.server.request("POST", f"{PODS}/", pod))
        assert world.board.cluster()["spec"]["workerGroupSpecs"][0]["maxReplicas"] == count
    world.settle()
    ends_well(world)


@pytest.mark.parametrize("made", [OldWorld, World], ids=["v1", "v2"])
@given(st.lists(STEPS, max_size=30))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_fails_on_the_way_it_ends_with_the_workers_that_are_wanted(
    made: type[World], clock: Clock, steps: Steps
) -> None:
    world = made(clock)
    play(world, steps)
    world.settle()
    world.release()
    world.settle()
    ends_well(world)
