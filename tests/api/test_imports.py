"""What each verb may import: half of a quick verb's time is imports, and one careless line brings them back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cli import Cli
from kube import Kube

pytestmark = pytest.mark.api
RULES, EVENTS, RAYJOB = "raystead.spec.rules", "raystead.ops.events", "raystead.spec.rayjob"
RAYCRON, FAILURE, SHAPE = "raystead.live.raycron", "raystead.cli.failure", "raystead.spec.shape"
HEAVY = (
    "asyncio", "concurrent.futures", "cryptography", "httpx", "importlib.resources", "logging", "msgspec", "pydantic",
    "rich", "urllib3", "websockets", RULES, EVENTS, RAYJOB, RAYCRON, FAILURE, SHAPE,
)  # fmt: skip
STREAMS = {"asyncio", "concurrent.futures", "logging"}
MAY = {
    "list": set(),
    "token": set(),
    "logs": set(),
    "exec -- true": STREAMS,
    "connect -- true": STREAMS,
    "status": {"msgspec"},
    "explain": {"msgspec"},
    "plan": {"msgspec", RULES, EVENTS, SHAPE},
    "doctor": {"msgspec", RULES, SHAPE},
    "render": {"msgspec", RULES, SHAPE},
    "--help": set(),
}
CODE = f"""
import sys
sys.argv = ["raystead", *sys.argv[1:]]
from raystead.cli.main import main
try:
    main()
except SystemExit:
    pass
print("\\nIMPORTED", *[name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.fixture(scope="module")
def user(admin: Kube, space: Kube, as_user: Callable[[Kube, str], Kube]) -> Kube:
    """Somebody whose namespace has a cluster; nothing of it runs here."""
    one = as_user(space, "edit")
    Cli(one)("up", "--timeout", "2s", code=68)
    return one


@pytest.mark.parametrize("verb", MAY)
def test_a_verb_imports_no_more_than_it_needs(user: Kube, verb: str) -> None:
    done: Any = subprocess.run(
        [sys.executable, "-c", CODE, *verb.split()],
        capture_output=True,
        text=True,
        env=Cli(user).env,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    (found,) = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED")]
    assert set(found.split()[1:]) <= MAY[verb], found
