"""The keys in a Redis of others: where they are, and why they could not be removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.ops.rediskeys import Keys, keys_in, last_words
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    ("address", "beside"),
    [
        ("127.0.0.1:6380", True),
        ("redis://127.0.0.1:6380", True),
        ("localhost:6379", True),
        ("rediss://[::1]:6379", True),
        ("redis:6379", False),
        ("redis.example:6379,redis2.example:6379", False),
        ("10.0.0.1:6379", False),
        ("", False),
    ],
)
def test_a_redis_beside_the_head_is_known_by_its_address(address: str, beside: bool) -> None:
    assert Keys("space", address).beside_the_head is beside


def test_the_command_removes_just_these_keys_and_shows_no_password() -> None:
    keys = Keys("ns-a", "rediss://user:word@redis.example:6380")
    assert "redis-cli -h redis.example -p 6380 --scan --pattern 'RAYns-a@*'" in keys.command
    assert "word" not in f"{keys} {keys.command}"


@pytest.mark.parametrize(
    ("file", "found"), [("external-redis", True), ("guide", False), ("kuberay-minimal", False)]
)
def test_the_head_itself_says_where_its_keys_are(file: str, found: bool) -> None:
    spec = read(RayCluster, yaml.safe_load((GOLDEN / f"{file}.in.yaml").read_text()))
    keys = keys_in(manifests(spec, Facts(storage_namespace="0-uid")), spec.name)
    assert bool(keys) is found
    if keys:
        env = next(i for i in manifests(spec, Facts(storage_namespace="0-uid")) if i["kind"] == "Deployment")
        text = str(env["spec"]["template"]["spec"]["containers"][0]["env"])
        assert keys.space in text
        assert keys.address in text


NATIVE = """\
[2026-11-25 10:00:00,123 W 7 7] redis_context.cc:400: Failed to connect to Redis, retrying
[2026-11-25 10:01:00,123 C 7 7] (python3) redis_context.cc:478:  Check failed: status.ok() Connection refused
*** StackTrace Information ***
/home/ray/lib/python3.11/site-packages/ray/_raylet.so(+0x15a3e6a) [0x7f3a] ray::operator<<()
/home/ray/lib/python3.11/site-packages/ray/_raylet.so(_ZN3ray6RayLogD1Ev+0x479) [0x7f3b] ray::RayLog::~RayLog()
python3(PyObject_Vectorcall+0x2c) [0x50a2cc] PyObject_Vectorcall
[2026-11-25 10:01:00,200 E 7 7] logging.cc:497: *** SIGABRT received at time=1764064860 ***
PC: @     0x7f3c00000000  (unknown)  pthread_kill
    @     0x7f3c11111111       4048  (unknown)
Fatal Python error: Aborted
Stack (most recent call first):
  File "<string>", line 9 in <module>
Extension modules: ray._raylet (total: 1)
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (NATIVE, "Check failed: status.ok() Connection refused"),
        ("Traceback\n  File \"x\", line 1\nOSError: [Errno 111] Connection refused\n", "OSError: [Errno 111] Connection refused"),
        ("WRONGPASS invalid username-password pair\nbye", "WRONGPASS invalid username-password pair"),
        ("only this", "only this"),
        ("*** SIGABRT ***\n  @ 0x1", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_native_stack_is_never_the_reason(log: str, words: str) -> None:
    assert last_words(log) == words
