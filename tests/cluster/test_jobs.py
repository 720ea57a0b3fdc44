"""Jobs on a cluster in a namespace, as an `edit` user types them: output, exit codes, faults midway."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cli import Cli
from faults import Faults
from kube import Kube, until
from patience import patience
from shared import Running

pytestmark = pytest.mark.cluster
HEAD = "ray.io/node-type=head"
TICKS = """\
import os, time
print("driver on", os.uname().nodename, flush=True)
for i in range({ticks}):
    print("tick", i, flush=True)
    time.sleep(0.5)
raise SystemExit({code})
"""
CANCEL = """\
import time, ray
ray.init()
@ray.remote
def forever():
    print("it runs", flush=True)
    while True: time.sleep(0.1)
ref = forever.remote()
time.sleep(3)
ray.cancel(ref)
try: ray.get(ref, timeout=20)
except ray.exceptions.TaskCancelledError: print("CANCELLED")
"""


@pytest.fixture
def cli(running: Running) -> Cli:
    return running.cli


@pytest.fixture
def space(running: Running) -> Kube:
    return running.space


def ticks(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^tick (\d+)$", text, re.MULTILINE)]


def ended(process: "subprocess.Popen[str]", seconds: float) -> tuple[str, str]:
    """What it printed until its end; where that does not come, what it printed so far is in the error."""
    try:
        return process.communicate(timeout=min(patience(seconds), 600))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        raise AssertionError(f"it goes on and on:\n{out[-3000:]}\n{errors[-3000:]}") from None


def job_of(process: "subprocess.Popen[str]") -> str:
    """The id in the line that a started `submit` writes on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"job (raysubmit_\w+) submitted", line):
            return found[1]
    raise AssertionError("nothing was submitted")


def test_the_jobs_output_is_on_stdout_and_its_exit_code_is_ours(cli: Cli) -> None:
    """Over 60 s: it is the first here, and starts the cluster."""
    done = cli("submit", "--", "python", "-c", "import ray; ray.init(); print(ray.cluster_resources())")
    assert "'CPU': 3.0" in done.stdout
    assert "'CPU'" not in done.stderr
    cli("submit", "--", "python", "-c", "raise SystemExit(3)", code=3)


def test_the_driver_runs_on_a_worker_even_when_all_workers_are_busy(cli: Cli) -> None:
    for i in range(2):
        busy = ("--submission-id", f"busy-{i}", "--no-wait", "--entrypoint-num-cpus", "1")
        cli("submit", *busy, "--", "sleep", "300")
    listed = "busy-0", "busy-1"
    until(lambda: all("RUNNING" in cli("job", "status", job).stdout for job in listed), 60, "both run")
    done = cli("submit", "--", "hostname", timeout=120)
    assert "deployment-ray-worker" in done.stdout
    for job in listed:
        cli("job", "stop", job)
    until(lambda: all("STOPPED" in cli("job", "status", job).stdout for job in listed), 60, "both stop")


def test_a_running_task_is_cancelled_and_no_process_of_an_ended_job_stays_as_a_zombie(
    cli: Cli, space: Kube
) -> None:
    """Process 1 of our pods reaps, and does not take SIGINT from Ray's workers (ADR 0010)."""
    assert "CANCELLED" in cli("submit", "--", "python", "-c", CANCEL).stdout

    def zombies() -> list[str]:
        pods = [pod["metadata"]["name"] for pod in space.items("pods", "-l", "ray.io/is-ray-node=yes")]
        script = "cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z' || true"
        return [pod for pod in pods if space.exec(pod, "sh", "-c", script).strip() != "0"]

    until(lambda: not zombies(), 30, "all are reaped", every=2)


def test_output_of_20_megabytes_is_whole_and_in_order(cli: Cli) -> None:
    code = "for i in range(200000): print('line', f'{i:07}', 'x' * 87)"
    done = cli("submit", "-q", "--", "python", "-c", code)
    lines = [line for line in done.stdout.splitlines() if line.startswith("line ")]
    assert lines == [f"line {i:07} {'x' * 87}" for i in range(200000)]


@pytest.mark.long
def test_output_of_100_megabytes_is_whole(cli: Cli) -> None:
    code = "for i in range(1000000): print('line', f'{i:07}', 'x' * 87)"
    done = cli("submit", "-q", "--", "python", "-c", code, timeout=900)
    assert [int(line[5:12]) for line in done.stdout.splitlines() if line.startswith("line ")] == [
        *range(1000000)
    ]


def test_output_that_is_no_text_does_not_cost_the_exit_code(cli: Cli) -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n'); raise SystemExit(4)"
    cli("submit", "--", "python", "-c", code, code=4)


def test_a_job_survives_its_head_and_its_output_comes_once(cli: Cli, space: Kube) -> None:
    process = cli.start("submit", "--", "python", "-c", TICKS.format(ticks=60, code=7))
    job_of(process)
    time.sleep(5)
    space.run("delete", "pod", "-l", HEAD, "--force", "--grace-period=0")
    out, errors = ended(process, 280)
    assert process.returncode == 7, errors
    assert "driver on deployment-ray-worker" in out
    assert ticks(out) == [*range(60)]


def test_a_job_whose_worker_dies_before_it_runs_is_begun_anew(
    cli: Cli, space: Kube, machine_faults: Faults
) -> None:
    """Ray learns of a silent death 15 s later; until then it gives the dead worker's node new jobs."""
    workers = space.out("get", "pods", "-l", "ray.io/node-type=worker", "-o", "name").split()
    with contextlib.ExitStack() as cut:
        for worker in workers:
            cut.enter_context(machine_faults.no_network(space, worker.removeprefix("pod/")))
        process = cli.start("submit", "--", "python", "-c", "print(6 * 7)")
        job = job_of(process)
        space.run("delete", *workers, "--force", "--grace-period=0", "--wait=false")
        out, err = process.communicate(timeout=patience(120))
    assert process.returncode == 0, err
    assert f"the node that was to run {job} died before the job began; still trying" in err
    assert re.findall(r"^42$|died", out, re.MULTILINE) == ["42"], out
    assert json.loads(cli("job", "status", job, "-o", "json").stdout)["status"] == "SUCCEEDED"
    cli("up")


def test_a_job_whose_client_is_killed_goes_on(cli: Cli) -> None:
    process = cli.start("submit", "--", "python", "-c", TICKS.format(ticks=20, code=0))
    job = job_of(process)
    process.kill()
    process.communicate(timeout=patience(30))
    until(lambda: "SUCCEEDED" in cli("job", "status", job).stdout, 90, "it ends by itself", every=2)
    assert ticks(cli("job", "logs", job).stdout) == [*range(20)]


def test_ctrl_c_detaches_and_twice_stops(cli: Cli) -> None:
    words = ("submit", "--", "python", "-c", TICKS.format(ticks=600, code=0))
    once, twice = cli.start(*words), cli.start(*words)
    kept, stopped = job_of(once), job_of(twice)
    for process in (once, twice):
        process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    twice.send_signal(signal.SIGINT)
    assert [process.wait(timeout=patience(60)) for process in (once, twice)] == [130, 130]
    until(lambda: "STOPPED" in cli("job", "status", stopped).stdout, 60, "the second is stopped", every=1)
    until(lambda: "RUNNING" in cli("job", "status", kept).stdout, 60, "the first one goes on", every=1)
    cli("job", "stop", kept)


def test_reading_never_stops_a_job(cli: Cli) -> None:
    job = cli("submit", "--no-wait", "--", "python", "-c", TICKS.format(ticks=600, code=0)).stdout.strip()
    until(lambda: "RUNNING" in cli("job", "status", job).stdout, 60, "it runs", every=1)
    reader = cli.start("job", "logs", "-f")
    assert reader.stdout is not None
    assert reader.stdout.readline(), "it reads"
    for _ in range(2):
        reader.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, said = reader.communicate(timeout=60)
    assert reader.returncode == 130
    assert "stops the job" not in said
    time.sleep(2)
    assert "RUNNING" in cli("job", "status").stdout
    cli("job", "stop", job[:14])


def test_a_file_that_the_command_names_goes_along(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text("import os, sys; print(sorted(os.listdir())); sys.exit(7)")
    (tmp_path / "outputs").mkdir()
    monkeypatch.chdir(tmp_path)
    done = cli("submit", "--", "python", "train.py", code=7)
    assert "['outputs', 'train.py']" in done.stdout
    assert "uploading the current directory, because train.py is in it" in done.stderr
    assert re.search(r"job FAILED in [\d.]+ s: exit code 7$", done.stderr.strip())
    assert done.stdout.count("outputs") == 1
    assert "outputs" not in done.stderr, "its output is told once"
    status = cli("job", "status").stdout
    assert "FAILED: exit code 7" in status
    assert re.search(r"where  deployment-ray-worker-\S+ on node", status)
    refused = cli("submit", "--", "train.py", code=2)
    assert "raystead submit -- python train.py" in refused.stderr


def test_who_follows_a_job_is_told_of_its_pods_end_and_keeps_what_was_shown(
    cli: Cli, space: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 60 s where a worker of an earlier test is still to come back first."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    process = cli.start("submit", "--", "python", "-c", TICKS.format(ticks=600, code=0))
    job = job_of(process)
    until(lambda: "tick 2" in cli("job", "logs", job).stdout, 90, "it prints", every=1)
    where = re.search(r"where  (\S+)", cli("job", "status", job).stdout)
    assert where
    time.sleep(3)
    space.run("delete", "pod", where[1], "--force", "--grace-period=0", "--wait=false")
    begun = time.monotonic()
    assert process.stderr is not None
    line = next(
        line
        for line in process.stderr
        if "printed nothing yet" not in line and "the job waits for" not in line
    )
    assert where[1] in line
    assert time.monotonic() - begun < patience(5), line
    out, said = process.communicate(timeout=patience(120))
    assert time.monotonic() - begun < patience(30), "Ray itself needs a minute to notice"
    assert process.returncode == 70
    assert re.search(r"job FAILED in [\d.]+ s: the pod \S+, where \S+ ran, was deleted$", said.strip()), said
    assert "class_name" not in said, "none of Ray's internals"
    kept = cli("job", "logs", job)
    assert ticks(kept.stdout) == ticks(out)
    assert "what this machine kept" in kept.stderr
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    gone = cli("job", "logs", job, code=89)
    assert "went with the worker that ran it" in gone.stderr
    assert "aiohttp" not in gone.stderr


def test_two_submits_at_once_are_two_jobs(cli: Cli) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda i: cli("submit", "--", "echo", f"mine {i}"), range(2)))
    for i, answer in enumerate(done):
        assert f"mine {i}\n" in answer.stdout
        assert f"mine {1 - i}\n" not in answer.stdout


def test_a_second_job_of_the_same_id_is_refused(cli: Cli) -> None:
    cli("submit", "--submission-id", "twice", "--", "true")
    answer = cli("submit", "--submission-id", "twice", "--", "true", code=88)
    assert "has a job of that id already" in answer.stderr


def test_a_working_directory_goes_along_without_what_is_excluded(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import os; print(sorted(os.listdir()))")
    (tmp_path / "model.bin").write_bytes(os.urandom(101 * 2**20))
    words = ("submit", "--working-dir", str(tmp_path))
    refused = cli(*words, "--", "python", "main.py", code=72)
    assert "model.bin" in refused.stderr
    done = cli(*words, "--exclude", "*.bin", "--", "python", "main.py")
    assert "['main.py']" in done.stdout


def test_a_token_that_is_not_the_clusters_is_refused(cli: Cli, space: Kube) -> None:
    secret = space.get("secret", "ray-cluster")["data"]["auth_token"]
    wrong = "d3JvbmctdG9rZW4td3JvbmctdG9rZW4="

    def set_to(value: str) -> None:
        space.run("patch", "secret", "ray-cluster", "-p", f'{{"data":{{"auth_token":"{value}"}}}}')

    set_to(wrong)
    try:
        answer = cli("job", "list", code=88)
    finally:
        set_to(secret)
    assert "the token is not this cluster's" in answer.stderr
    assert "wrong-token" not in answer.stderr
    cli("job", "list")


def test_who_may_not_read_the_token_is_told_so(cli: Cli, space: Kube, as_user) -> None:
    answer = Cli(as_user(space, "view"))("submit", "--", "true", code=78)
    assert "secrets" in answer.stderr


def test_a_job_that_is_not_there(cli: Cli) -> None:
    assert 'there is no job "none"' in cli("job", "logs", "none", "-f", code=71).stderr


def test_what_a_reader_of_the_guide_types_works(cli: Cli, space: Kube) -> None:
    """kubectl port-forward, and Ray's own client with our token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kubectl = [str(cli.user.kubectl), "--kubeconfig", str(cli.user.kubeconfig)]
    forward = subprocess.Popen(
        [*kubectl, "port-forward", "service/service-ray-cluster", f"{port}:8265"], stdout=subprocess.PIPE
    )
    try:
        assert forward.stdout is not None
        assert b"Forwarding" in forward.stdout.readline()
        scripts = Path(sys.executable).parent
        submit = f"{scripts}/ray job submit --address http://localhost:{port} -- echo from the guide"
        done = subprocess.run(
            ["bash", "-c", f'eval "$({scripts}/raystead token --env)" && {submit}'],
            env=cli.env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        forward.terminate()
        forward.wait(timeout=patience(10))
    assert done.returncode == 0, done.stderr
    assert "from the guide\n" in done.stdout
