"""Followed logs: each line once, soon, whatever breaks."""

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from faults import Faults
from kube import Kube, pod, until

from raystead.errors import ObjectNotFound
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.logs import Follow, Line, LogNote, Source, read

pytestmark = [pytest.mark.cluster, pytest.mark.long]
RAY = "rayproject/ray:2.60.0-py311"
# Numbered lines: argv: lines, lines a second, seconds to live on, exit code. Each run begins with its own mark.
TALKER = """
import sys, time
count, rate, rest, code = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
mark, begun = time.time_ns(), time.monotonic()
for n in range(count):
    print(mark, n, "x" * 80, flush=n % 10 == 9)
    ahead = n / rate - (time.monotonic() - begun)
    if ahead > 0.005:
        sys.stdout.flush()
        time.sleep(ahead)
sys.stdout.flush()
time.sleep(rest)
sys.exit(code)
"""


def api_of(kube: Kube) -> Api:
    return Api(load(kubeconfig=str(kube.kubeconfig), namespace=kube.namespace))


def talker(name: str, count: int, rate: float, rest: float = 3600, code: int = 0) -> dict:
    words = ["python", "-S", "-c", TALKER, str(count), str(rate), str(rest), str(code)]
    return pod(name, RAY, words, {"app": "talk"}, resources={"requests": {"cpu": "10m"}})


class Listener:
    """Follows in a thread and keeps what came: numbers by pod and run, notes, the greatest delay."""

    def __init__(self, kube: Kube) -> None:
        self.runs: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.notes: list[LogNote] = []
        self.delays: list[float] = []
        self.follow = Follow(api_of(kube), kube.namespace, "app=talk")
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Listener":
        self.follow.__enter__()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.follow.close()

    def _listen(self) -> None:
        for batch in self.follow:
            now = time.time()
            for item in batch:
                if isinstance(item, LogNote):
                    self.notes.append(item)
                    continue
                mark, number, *_ = item.text.split()
                self.runs[item.source.pod, mark].append(int(number))
                self.delays.append(now - datetime.fromisoformat(item.time).timestamp())

    def has(self, *counts: int) -> bool:
        return sorted(len(numbers) for numbers in list(self.runs.values())) == sorted(counts)

    def assert_each_line_once(self) -> None:
        for (name, _), numbers in self.runs.items():
            twice = [n for n, times in Counter(numbers).items() if times > 1]
            lost = sorted(set(range(max(numbers) + 1)) - set(numbers))
            assert not twice, f"{name}: twice {twice[:10]} of {len(numbers)}"
            assert not lost, f"{name}: lost {lost[:10]} of {len(numbers)}"
            assert numbers == sorted(numbers), f"{name}: out of order"


@pytest.fixture
def listener() -> Iterator[Callable[[Kube], Listener]]:
    with contextlib.ExitStack() as stack:
        yield lambda kube: stack.enter_context(Listener(kube))


@pytest.mark.alone  # eats both cores
def test_ten_pods_of_a_thousand_lines_a_second(namespace, listener) -> None:
    kube, count = namespace(), 8000
    ear = listener(kube)
    begun = time.process_time(), time.monotonic()
    kube.apply(*(talker(f"talk-{n}", count, 1000) for n in range(10)))
    until(lambda: ear.has(*[count] * 10), 120, "all lines of all pods have come")
    ear.assert_each_line_once()
    delays = sorted(ear.delays)
    print(
        f"80,000 lines: delay median {delays[len(delays) // 2]:.2f} s, 99 % {delays[len(delays) * 99 // 100]:.2f} s, "
        f"greatest {delays[-1]:.2f} s; {time.process_time() - begun[0]:.1f} s CPU in {time.monotonic() - begun[1]:.0f} s"
    )


def test_streams_that_break_all_the_time(namespace, listener) -> None:
    kube = namespace()
    ear = listener(kube)
    kube.apply(talker("talk", 20_000, 2000))
    until(lambda: ear.runs, 60, "lines come")
    breaks = 0
    while not ear.has(20_000) and breaks < 100:
        time.sleep(0.37)
        for reader in list(ear.follow._readers.values()):
            reader.stop()
        breaks += 1
    assert breaks > 10
    until(lambda: ear.has(20_000), 30, "all lines have come")
    ear.assert_each_line_once()


def test_a_container_that_is_killed_goes_on_and_so_does_its_log(
    own_cluster: Path, namespace, faults: Faults, listener
) -> None:
    kube = namespace()
    ear = listener(kube)
    kube.apply(talker("talk", 3000, 500))
    until(lambda: any(len(n) > 500 for n in ear.runs.values()), 60, "lines come")
    faults.kill_container(kube, "talk", "main")
    until(
        lambda: len(ear.runs) == 2 and 3000 in map(len, ear.runs.values()), 60, "the second run's lines came"
    )
    ear.assert_each_line_once()
    assert [n.text for n in ear.notes] == ["restarted (Error, exit code 137)"]


def test_a_container_that_ends_again_and_again(namespace, listener) -> None:
    kube = namespace()
    kube.apply(talker("talk", 50, 1000, rest=0, code=3))
    ear = listener(kube)
    until(lambda: ear.has(50, 50, 50), 90, "three runs")
    ear.assert_each_line_once()
    assert {n.text for n in ear.notes} == {"restarted (Error, exit code 3)"}
    api, source = api_of(kube), Source("talk", "main", "")
    assert len(list(read(api, kube.namespace, source, previous=True))) == 50


@pytest.mark.parametrize("force", [True, False], ids=["force", "grace"])
def test_a_pod_that_is_replaced(namespace, faults: Faults, listener, force: bool) -> None:
    kube = namespace()
    ear = listener(kube)
    inner = talker("talk", 2000, 500)
    template = {"metadata": {"labels": {"app": "talk"}}, "spec": inner["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "talk"}}, "template": template}
    kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "talk"}, "spec": spec})
    until(lambda: any(len(n) > 500 for n in ear.runs.values()), 60, "lines come")
    faults.delete_pod(kube, next(iter(ear.runs))[0], force=force)
    until(lambda: len(ear.runs) == 2 and 2000 in map(len, ear.runs.values()), 60, "the next pod's lines came")
    ear.assert_each_line_once()


@pytest.mark.alone
def test_the_api_server_goes_and_comes_back(
    own_cluster: Path, namespace, machine_faults: Faults, listener
) -> None:
    kube = namespace()
    ear = listener(kube)
    kube.apply(talker("talk-0", 20_000, 500), talker("talk-1", 20_000, 500))
    until(lambda: len(ear.runs) == 2, 60, "lines come")
    with machine_faults.no_api_server():
        time.sleep(2)
    until(lambda: ear.has(20_000, 20_000), 90, "all lines have come")
    ear.assert_each_line_once()


def test_a_last_line_without_its_end(namespace) -> None:
    kube = namespace()
    kube.apply(pod("talk", RAY, ["sh", "-c", "echo whole; printf half"], {"app": "talk"}))
    got: list[str] = []
    with Follow(api_of(kube), kube.namespace, "app=talk") as follow:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(got) < 2:
            got += [item.text for item in follow.next(1) if isinstance(item, Line)]
    assert got[:2] == ["whole", "half"]


def test_reading_once_with_tail_and_since(namespace) -> None:
    kube = namespace()
    kube.apply(talker("talk", 100, 1000))
    api, source = api_of(kube), Source("talk", "main", "")
    until(lambda: "99" in kube.run("logs", "talk", check=False).stdout, 60, "it has spoken")
    assert [int(item.text.split()[1]) for item in read(api, kube.namespace, source, tail=3)] == [97, 98, 99]
    assert len(list(read(api, kube.namespace, source, since_seconds=3600))) == 100
    with pytest.raises(ObjectNotFound):
        list(read(api, kube.namespace, Source("nobody", "main", "")))
