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
    "asyncio", "click", "concurrent.futures", "cryptography", "encodings.idna", "httpx", "importlib.resources",
    "logging", "msgspec", "pydantic", "rich", "ssl", "urllib3", "websockets", "yaml", RULES, EVENTS, RAYJOB, RAYCRON,
    FAILURE, SHAPE,
)  # fmt: skip
ASKS = {"click", "ssl", "yaml"}  # every verb that asks the API server: its kubeconfig is YAML
STREAMS = {"asyncio", "concurrent.futures", "logging"}
MAY = {
    "list": ASKS,
    "token": ASKS,
    "logs": ASKS,
    "exec -- true": ASKS | STREAMS,
    "connect -- true": ASKS | STREAMS,
    "status": ASKS | {"msgspec"},
    "explain": ASKS | {"msgspec"},
    "plan": ASKS | {"msgspec", RULES, EVENTS, SHAPE},
    "doctor": ASKS | {"msgspec", RULES, SHAPE},
    "render": {"click", "yaml", "msgspec", RULES, SHAPE},
    "--help": set(),
    "up --help": {"click"},
}
DECORATED = {
    "list": 7, "token": 11, "status": 20, "explain": 15, "plan": 25, "doctor": 25, "render": 9, "--help": 0,
}  # fmt: skip
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
COUNT = """
import dataclasses, sys
made, decorate = [], dataclasses._process_class
def noted(cls, *more):
    made.append(cls)
    return decorate(cls, *more)
dataclasses._process_class = noted
sys.argv = ["raystead", *sys.argv[1:]]
from raystead.cli.main import main
try:
    main()
except SystemExit:
    pass
print("\\nDECORATED", len(made))
"""


@pytest.fixture(scope="module")
def user(admin: Kube, space: Kube, as_user: Callable[[Kube, str], Kube]) -> Kube:
    """Somebody whose namespace has a cluster; nothing of it runs here."""
    one = as_user(space, "edit")
    Cli(one)("up", "--timeout", "2s", code=68)
    return one


def answer(user: Kube, code: str, verb: str, word: str) -> list[str]:
    """What stands after `word` when Python has run the code with the verb."""
    done: Any = subprocess.run(
        [sys.executable, "-c", code, *verb.split()],
        capture_output=True,
        text=True,
        env=Cli(user).env,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    (found,) = [line for line in done.stdout.splitlines() if line.startswith(word)]
    return str(found).split()[1:]


@pytest.mark.parametrize("verb", MAY)
def test_a_verb_imports_no_more_than_it_needs(user: Kube, verb: str) -> None:
    assert set(answer(user, CODE, verb, "IMPORTED")) <= MAY[verb]


@pytest.mark.parametrize("verb", DECORATED)
def test_a_verb_makes_few_dataclasses_which_cost_a_millisecond_each(user: Kube, verb: str) -> None:
    (count,) = answer(user, COUNT, verb, "DECORATED")
    assert int(count) <= DECORATED[verb]
