"""The head's script against a real Redis: the newest head alone gets in, the one before is cut off."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raystead.manifests.scripts import take_redis

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
ADMIN = 'it\'s "quoted"'


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "password").write_text(ADMIN + "\n")
    words = [
        "redis-server",
        "--port",
        str(port),
        "--requirepass",
        ADMIN,
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while "NOAUTH" not in ask(port, "ping"):
        time.sleep(0.05)
    yield port
    process.kill()
    process.wait()


def head(tmp_path: Path, port: int, name: str, patience: float = 20) -> tuple[list[str], str]:
    """What a head of that name gets: user, password and address; and what it said. [] when it waits."""
    script = (
        take_redis(str(tmp_path / "password"))
        + 'printf "%s\\n" "$REDIS_USERNAME" "$REDIS_PASSWORD" "$RAY_REDIS_ADDRESS"'
    )
    env = {"RAY_CLOUD_INSTANCE_ID": name, "RAY_REDIS_ADDRESS": f"localhost:{port}", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        ["bash", "-c", script],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        subprocess.run(["kill", "--", f"-{process.pid}"], check=True)
        out, said = process.communicate()
        return [], said
    return out.splitlines(), said


def ask(port: int, *words: str) -> str:
    done = subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_newest_head_alone_gets_in(redis: int, tmp_path: Path) -> None:
    (user, first, address), _ = head(tmp_path, redis, "head-a")
    assert (user, address) == ("gcs", f"127.0.0.1:{redis}")
    held = socket.create_connection(("127.0.0.1", redis), 5)
    held.sendall(f"AUTH gcs {first}\r\nHSET RAYx@KV a b\r\n".encode())
    time.sleep(0.2)
    assert held.recv(100) == b"+OK\r\n:1\r\n"

    (_, second, _), _ = head(tmp_path, redis, "head-b")
    assert held.recv(100) == b"", "the old one's connection is closed"
    assert "WRONGPASS" in ask(redis, "--user", "gcs", "--pass", first, "--no-auth-warning", "ping")
    assert ask(redis, "--user", "gcs", "--pass", second, "--no-auth-warning", "hget", "RAYx@KV", "a") == "b\n"

    waiting, said = head(tmp_path, redis, "head-a", patience=2)
    assert waiting == []
    assert "another head came after this one" in said
    assert head(tmp_path, redis, "head-b")[0][1] != second, "the same head may start again"


def test_ray_may_write_everything_and_administrate_nothing(redis: int, tmp_path: Path) -> None:
    (user, password, _), _ = head(tmp_path, redis, "head-a")
    login = ("--user", user, "--pass", password, "--no-auth-warning")
    assert ask(redis, *login, "set", "DUMMY", "x") == "OK\n"
    for words in (
        ("acl", "list"),
        ("config", "get", "requirepass"),
        ("client", "kill", "user", "default"),
        ("shutdown",),
    ):
        assert "NOPERM" in ask(redis, *login, *words)


def test_it_waits_for_a_redis_that_is_full_and_says_so(redis: int, tmp_path: Path) -> None:
    admin = ("--pass", ADMIN, "--no-auth-warning")
    ask(redis, *admin, "config", "set", "maxmemory", "1")
    waiting, said = head(tmp_path, redis, "head-a", patience=2)
    assert waiting == []
    assert f"waiting for Redis at localhost:{redis} OOM command not allowed" in said
    ask(redis, *admin, "config", "set", "maxmemory", "0")
    assert head(tmp_path, redis, "head-a")[0][0] == "gcs"


def test_a_redis_without_users_gets_the_password_of_the_secret(redis: int, tmp_path: Path) -> None:
    """Redis 5 does not know ACL; here the command has another name."""
    ask(redis, "--pass", ADMIN, "--no-auth-warning", "shutdown", "nosave")
    words = [
        "redis-server",
        "--port",
        str(redis),
        "--requirepass",
        ADMIN,
        "--save",
        "",
        "--rename-command",
        "ACL",
        "X",
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        assert head(tmp_path, redis, "head-a")[0] == ["", ADMIN, f"127.0.0.1:{redis}"]
    finally:
        process.kill()
        process.wait()
