"""The README's tutorial and the second job at a real terminal, as an `edit` user, and what goes wrong on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube import Kube, until
from shared import Running
from terminal import Terminal, raystead_env, shows, waits_table

pytestmark = pytest.mark.cluster
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
def terminal(running: Running, tmp_path: Path) -> Iterator[Terminal]:
    """In a directory with three programs, beside a cluster that is there."""
    user = running.cli.user
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "fails.py").write_text("print('epoch 1')\nraise SystemExit(7)\n")
    (tmp_path / "long.py").write_text(LONG)
    env = raystead_env(KUBECONFIG=str(user.kubeconfig), XDG_STATE_HOME=str(tmp_path.parent / "state"))
    with Terminal({**env, "PATH": f"{env['PATH']}:{user.kubectl.parent}"}, tmp_path) as terminal:
        yield terminal
    print(waits_table("a namespace", terminal.waits))


@pytest.fixture
def space(running: Running) -> Kube:
    return running.space


def test_a_walk_in_a_namespace(terminal: Terminal, space: Kube) -> None:
    """Two minutes: a person's jobs, their mistakes, a lost worker and a scale-down, each wait watched for silence."""
    run = terminal.run

    assert run("raystead up").text.startswith("nothing to change")
    state = run("raystead status")
    shows(
        state,
        """
        ray-cluster   Ready since …   Ray 2.60.0   state: redis (volume)   token: on   policies: on
        GROUP   WANT  RUN  ALIVE  CPU used/all  MEM
        head       1    1      1  0.0/1         …
        worker     2    2      2  …/2         …
        next: raystead submit -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'
        """,
    )
    assert "'CPU': 3.0" in run(state.hint("raystead submit --")).text
    second = run("raystead submit -- python train.py")
    shows(
        second,
        """
        ▸ uploading the current directory, because train.py is in it: … B (3 files)
        ▸ job raysubmit_… submitted on a worker   (Ctrl-C detaches, twice stops)
        …
        squares: [0, 1, 4, 9]
        ▸ job SUCCEEDED in … s
        """,
    )
    status = run("raystead job status")
    assert "deployment-ray-worker-" in status.text, "where the driver ran"
    assert "code   0" in status.text

    failed = run("raystead submit -- python fails.py", 7)
    assert failed.text.count("epoch 1") == 1
    assert failed.text.splitlines()[-1].endswith(": exit code 7")

    wrong = run("raystead submit -- train.py", 2)
    assert "squares:" in run(wrong.hint("raystead submit --")).text
    slip = run("raystead exce worker -- hostname", 2)
    assert run(slip.hint("raystead exec worker")).text.startswith("deployment-ray-worker-")

    left = run("raystead submit -- python long.py", 130, answers={"epoch 3": "^C"})
    reading = run(left.hint("raystead job logs"), 130, answers={"epoch 5": "^C"})
    assert "stops the job" not in reading.text
    assert "RUNNING" in run("raystead job status").text, "reading stops nothing"
    run("raystead job stop")

    no = run("raystead up --worker-memory 2Gi", 1, answers={"[y/N]": "n\n"})
    assert "worker: 2 pods restart (memory 1G → 2Gi" in no.text
    assert no.text.endswith("nothing was changed")
    shrunk = run("raystead scale 1 --yes", seconds=90)
    assert re.search(r"the output of up to \d finished jobs? goes with these pods", shrunk.text)
    until(lambda: len(space.items("pods", "-l", "ray.io/node-type=worker")) == 1, 60, "one worker is left")
    assert "epoch 3" in run("raystead job logs").text, "what was followed here is kept here"
    run("raystead scale 2", seconds=90)

    connected = run("raystead connect -- sh -c 'echo the dashboard is at $RAY_API_SERVER_ADDRESS'")
    assert "the dashboard is at http://127.0.0.1:" in connected.text
    assert run("raystead down", 1, answers={"[y/N]": "n\n"}).text.endswith("nothing was changed")
    assert run("raystead explain").text.startswith("ray-cluster")
