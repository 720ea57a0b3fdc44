"""Commands in pods: input, output, exit code, a terminal; and a sentence when they cannot run or are cut off."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Faults
from kube import Kube, pod, until
from patience import patience

from raystead.errors import CommandNotStarted, ObjectNotFound, StreamLost
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.execs import Target, run

pytestmark = pytest.mark.cluster
RAY, PAUSE = "rayproject/ray:2.60.0-py311", "registry.k8s.io/pause:3.10"
INTERACTIVE = """
import sys
from raystead.kube.access import load
from raystead.kube.api import Api
from raystead.kube.execs import Target, interactive
namespace, pod, tty, *command = sys.argv[1:]
code = interactive(Api(load(namespace=namespace)), Target(namespace, pod), command, tty=tty == "tty")
sys.exit(code)
"""


def api_of(kube: Kube) -> Api:
    return Api(load(kubeconfig=str(kube.kubeconfig), namespace=kube.namespace))


@pytest.fixture(scope="module")
def pods(space: Kube) -> Kube:
    """A namespace with the pod "main", and "bare" without a shell."""
    space.apply(pod("main", RAY, ["sleep", "3600"]), pod("bare", PAUSE, ["/pause"]))
    space.run("wait", "--for=condition=Ready", "pod/main", "pod/bare", "--timeout=90s", timeout=100)
    return space


@pytest.fixture
def target(pods: Kube) -> Target:
    return Target(pods.namespace, "main", "main")


def sh(text: str) -> list[str]:
    return ["sh", "-c", text]


def test_output_and_exit_code(pods: Kube, target: Target) -> None:
    got = run(api_of(pods), target, sh("echo out; echo err >&2; exit 7"))
    assert (got.code, got.out, got.err) == (7, b"out\n", b"err\n")


def test_input_is_given_whole_and_ends(pods: Kube, target: Target) -> None:
    data = os.urandom(5 << 20)
    got = run(api_of(pods), target, ["cat"], stdin=data)
    assert got.code == 0
    assert got.out == data


def test_no_input_at_all(pods: Kube, target: Target) -> None:
    assert run(api_of(pods), target, ["cat"], stdin=b"").out == b""
    assert run(api_of(pods), target, ["cat"]).out == b""


def test_a_command_that_does_not_read_its_input(pods: Kube, target: Target) -> None:
    """As much as the pipe of the container runtime holds; kubectl waits for ever on more, as `run` says."""
    assert run(api_of(pods), target, sh("exit 3"), stdin=b"x" * (1 << 15)).code == 3


def test_much_output_comes_whole(pods: Kube, target: Target) -> None:
    got = run(api_of(pods), target, sh("seq 1 2000000"))
    assert got.out == b"".join(b"%d\n" % n for n in range(1, 2_000_001))


def test_a_pod_without_a_shell(pods: Kube) -> None:
    with pytest.raises(CommandNotStarted, match=r"sh cannot be started in pod bare: .*not found") as caught:
        run(api_of(pods), Target(pods.namespace, "bare"), ["sh"])
    assert "image" in caught.value.remedy


def test_a_file_that_is_no_program(pods: Kube, target: Target) -> None:
    with pytest.raises(CommandNotStarted, match="permission denied"):
        run(api_of(pods), target, ["/etc/passwd"])


def test_there_is_no_such_pod(pods: Kube) -> None:
    with pytest.raises(ObjectNotFound):
        run(api_of(pods), Target(pods.namespace, "nobody"), ["true"])


@pytest.mark.parametrize("force", [True, False], ids=["force", "grace"])
def test_the_pod_goes_under_a_command(namespace, faults: Faults, force: bool) -> None:
    kube = namespace()
    kube.apply(pod("main", RAY, ["sleep", "3600"]))
    kube.run("wait", "--for=condition=Ready", "pod/main", "--timeout=90s", timeout=100)
    threading.Timer(1, lambda: faults.delete_pod(kube, "main", force=force)).start()
    begun = time.monotonic()
    with contextlib.suppress(StreamLost):  # else the runtime could still tell that it was killed
        assert run(api_of(kube), Target(kube.namespace, "main"), ["sleep", "60"]).code == 137
    assert time.monotonic() - begun < patience(8)


def child(pods: Kube, tty: str, *command: str, **more: object) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", INTERACTIVE, pods.namespace, "main", tty, *command]
    return subprocess.Popen(words, env={**os.environ, "KUBECONFIG": str(pods.kubeconfig)}, **more)


def test_a_pipe_through_a_command(pods: Kube) -> None:
    process = child(
        pods, "pipe", "sh", "-c", "tr a-z A-Z; echo bad >&2; exit 5", stdin=-1, stdout=-1, stderr=-1
    )
    out, err = process.communicate(b"hello\n" * 100_000, timeout=patience(60))
    assert (process.returncode, out, err) == (5, b"HELLO\n" * 100_000, b"bad\n")


class Terminal:
    """A child of ours on a terminal of its own."""

    def __init__(self, pods: Kube, *command: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(self.ours, (40, 100))
        self.theirs = theirs
        self.before = termios.tcgetattr(theirs)
        self.process = child(
            pods, "tty", *command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        self.seen = b""

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def wait_for(self, text: bytes, seconds: float = 20) -> None:
        deadline = time.monotonic() + patience(seconds)
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 65536)

    def ended(self, seconds: float = 20) -> int:
        """The exit code; what is still written is read, for a full terminal blocks its writer."""
        with contextlib.suppress(AssertionError):
            self.wait_for(b"\0never", 1)
        return self.process.wait(patience(seconds))

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.theirs) == self.before


@pytest.fixture
def shell(pods: Kube) -> Iterator[Terminal]:
    terminal = Terminal(pods, "sh")
    terminal.type(b"echo re''ady\r")
    terminal.wait_for(b"ready")
    yield terminal
    terminal.process.kill()
    terminal.process.wait()


def test_a_shell_knows_its_terminals_size_and_follows_it(shell: Terminal) -> None:
    shell.type(b"stty size\r")
    shell.wait_for(b"40 100")
    termios.tcsetwinsize(shell.ours, (50, 120))
    shell.process.send_signal(signal.SIGWINCH)
    shell.type(b"sleep 0.5; stty size\r")
    shell.wait_for(b"50 120")


def test_ctrl_c_is_the_commands_and_not_ours(shell: Terminal) -> None:
    assert not shell.is_as_before()
    shell.type(b"sleep 60; echo after=$?\r")
    time.sleep(1)
    shell.type(b"\x03")
    shell.type(b"echo still $((40 + 2))\r")
    shell.wait_for(b"still 42", 5)


def test_the_shells_exit_code_is_ours_and_the_terminal_is_as_before(shell: Terminal) -> None:
    shell.type(b"exit 9\r")
    assert shell.ended() == 9
    assert shell.is_as_before()


def test_ctrl_d_ends_a_shell(shell: Terminal) -> None:
    shell.type(b"\x04")
    assert shell.ended() == 0


def test_a_terminated_client_leaves_a_sane_terminal(shell: Terminal) -> None:
    shell.process.terminate()
    assert shell.ended() == 128 + signal.SIGTERM
    assert shell.is_as_before()


def test_the_terminal_is_as_before_when_the_pod_goes(namespace, faults: Faults) -> None:
    kube = namespace()
    kube.apply(pod("main", RAY, ["sleep", "3600"]))
    kube.run("wait", "--for=condition=Ready", "pod/main", "--timeout=90s", timeout=100)
    terminal = Terminal(kube, "sh")
    terminal.type(b"echo re''ady\r")
    terminal.wait_for(b"ready")
    faults.delete_pod(kube, "main", force=True)
    assert terminal.ended(10) != 0
    assert terminal.is_as_before()


@pytest.mark.alone
def test_the_api_server_goes_under_a_command(
    own_cluster: Path, pods: Kube, target: Target, machine_faults: Faults
) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run(api_of(pods), target, ["sleep", "60"])
        except StreamLost as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    time.sleep(1)
    with machine_faults.no_api_server():
        until(lambda: not thread.is_alive(), 20, "the command's caller is told")
    assert "sleep ended is not known" in errors[0].what
