"""`make check` finds a Struct where only a dataclass may stand: mypy alone does not, and the call fails at run time."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PLUGIN = TOP / "tests/kit/structs_plugin.py"
PROGRAM = """
import dataclasses
from dataclasses import asdict, dataclass, fields, replace
from typing import TypeVar
from msgspec import Struct, structs

class Base(Struct, frozen=True):
    count: int = 0

class Derived(Base, frozen=True):
    more: int = 0

@dataclass(frozen=True)
class Plain:
    count: int = 0

Any = TypeVar("Any", bound=Base)

def all_of_them(either: Plain | Derived, plain: Plain, kind: type[Derived]) -> None:
    replace(Derived(), more=1)  # refused
    asdict(Derived())  # refused
    fields(Derived)  # refused
    fields(kind)  # refused
    dataclasses.astuple(Base())  # refused
    asdict(either)  # refused
    replace(plain, count=2)
    asdict(plain)
    fields(Plain)
    structs.replace(Derived(), more=1)
    structs.asdict(Derived())

def generic(value: Any) -> Any:
    return replace(value, count=1)  # refused
"""


def test_the_plugin_is_part_of_the_check() -> None:
    configured = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["mypy"]
    assert [TOP / path for path in configured["plugins"]] == [PLUGIN]


@pytest.mark.timeout(600)
def test_a_struct_is_no_dataclass(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nplugins = {PLUGIN}\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.split(":")[1] for line in done.stdout.splitlines() if "msgspec Struct, not a data" in line]
    refused = [
        str(number) for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# refused")
    ]
    assert found == refused, done.stdout
    assert f"Found {len(refused)} errors" in done.stdout
