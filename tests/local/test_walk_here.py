"""A person's first quarter of an hour without Kubernetes, at a real terminal: jobs, mistakes, the ways out that are printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal, raystead_env, shows, waits_table

pytestmark = pytest.mark.local

TRAIN = """\
import ray
ray.init(logging_level="ERROR")
@ray.remote
def square(x):
    return x * x
print("squares:", ray.get([square.remote(i) for i in range(4)]))
"""
LONG = """\
import time
for i in range(600):
    print("epoch", i, flush=True)
    time.sleep(0.3)
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """In a directory with three programs; a cluster that a failed walk leaves is ended."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(TRAIN)
    (work / "fails.py").write_text("print('epoch 1')\nraise SystemExit(7)\n")
    (work / "long.py").write_text(LONG)
    env = raystead_env(XDG_STATE_HOME=str(tmp_path / "state"), HOME=str(tmp_path))
    with Terminal(env, work) as terminal:
        yield terminal
    print(waits_table("this machine", terminal.waits))
    with Terminal(env, work) as after:
        after.run("raystead down --local --yes --ignore-not-found")


def test_a_walk_on_this_machine(terminal: Terminal) -> None:
    """A minute and a half: one start of a real cluster, five jobs, and every wait of a person in between."""
    run = terminal.run

    there_is_none = run("raystead status", 64)
    shows(
        there_is_none,
        """
        raystead: there is no local cluster on this machine
        seen the state directory of raystead holds none, and no kubeconfig at ~/.kube/config
        do raystead up --local
        in a namespace: KUBECONFIG=FILE raystead doctor
        """,
    )
    up = run(there_is_none.hint("raystead up"), seconds=100)
    shows(
        up,
        """
        ▸ local cluster "ray-cluster": head + 2 workers   … s
          head      pid …   1 CPU   2.0 GB   dashboard http://127.0.0.1:…
          worker/0  pid …   1 CPU   1.0 GB
          worker/1  pid …   1 CPU   1.0 GB
        next: raystead submit --local -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'
        """,
    )
    assert "'CPU': 3.0" in run(up.hint("raystead submit")).text

    second = run("raystead submit -- python train.py")
    shows(
        second,
        """
        ▸ uploading the current directory, because train.py is in it: … B (3 files)
        ▸ job raysubmit_… submitted   (Ctrl-C detaches, twice stops)
        …
        squares: [0, 1, 4, 9]
        ▸ job SUCCEEDED in … s
        """,
    )
    shows(
        run("raystead job status"),
        """
        raysubmit_…   SUCCEEDED
          runs   python train.py
          start  …
          end    …
          took   … s
          code   0
          where  the head
        """,
    )
    assert run("raystead job logs").text.endswith("squares: [0, 1, 4, 9]")

    run("mkdir data; head -c 220000000 /dev/urandom > data/weights.bin")
    large = run("raystead submit -- python train.py", 72, seconds=20)
    assert "data" in large.text
    assert "squares:" in run(large.hint("raystead submit --exclude")).text
    run("rm -r data")

    failed = run("raystead submit -- python fails.py", 7)
    assert failed.text.count("epoch 1") == 1
    assert failed.text.splitlines()[-1].startswith("▸ job FAILED in ")
    assert failed.text.endswith(": exit code 7")
    assert "FAILED: exit code 7" in run("raystead job status").text

    typo = run("raystead sumbit -- python train.py", 2)
    shows(
        typo,
        """
        raystead: there is no command "sumbit", did you mean submit?
        do raystead submit -- python train.py
        """,
    )
    assert "squares:" in run(typo.hint("raystead submit --")).text
    mistyped = run("raystead submit -- python trian.py", 2).text
    assert mistyped.startswith("! trian.py is not in this directory (did you mean train.py?)")
    not_a_command = run("raystead submit -- train.py", 2)
    shows(
        not_a_command,
        """
        raystead: train.py is a file, and a shell would not run it as a command
        seen a shell looks for commands in PATH only
        do raystead submit -- python train.py
        """,
    )
    assert "squares:" in run(not_a_command.hint("raystead submit --")).text

    left = run("raystead submit -- python long.py", 130, answers={"epoch 3": "^C"})
    assert "within 1.5 s stops the job" not in left.text, "the offer goes when it no longer stands"
    follow = left.hint("raystead job logs")
    reading = run(follow, 130, answers={"epoch 5": "^C"})
    assert "stops the job" not in reading.text
    assert "RUNNING" in run("raystead job status").text, "reading stops nothing"
    assert run("raystead job stop").text.endswith(" is stopping")

    opened = run("raystead connect").text
    assert opened.startswith("dashboard  http://127.0.0.1:")
    assert "(the dashboard asks for it once)" in opened
    grown = run("raystead scale 3")
    assert grown.text.startswith("▸ ray-cluster: 3 workers\n")
    assert "head + 3 workers" in run("raystead up --local").text, "what was scaled stays"

    kept = run("raystead down", 1, answers={"[y/N]": "n\n"})
    shows(
        kept,
        """
        stop "ray-cluster": 4 nodes, their jobs and their state are lost. Go on? [y/N]: n
        nothing was changed
        """,
    )
    assert "Ready" in run("raystead status").text
    shows(
        run("raystead down", answers={"[y/N]": "y\n"}),
        """
        stop "ray-cluster": 4 nodes, their jobs and their state are lost. Go on? [y/N]: y
        ▸ everything stopped   … s
        """,
    )
