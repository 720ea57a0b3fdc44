"""What runs in a cluster's pods needs nothing but a Python of 3.9 or newer."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from raystead.manifests.programs import program_files

FOLDER = Path(__file__).parents[2] / "src" / "raystead" / "incluster"
PROGRAMS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_it_is_written_for_the_oldest_python_of_a_ray_image(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    lazily_typed = "from __future__ import annotations" in path.read_text()
    assert lazily_typed or path.stem == "__init__", "X | None in an annotation is evaluated without it"
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_it_imports_the_standard_library_and_its_neighbours_only(path: Path) -> None:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    assert found <= sys.stdlib_module_names


def test_a_program_is_shipped_with_all_that_it_imports() -> None:
    for program in ("submitter", "keeper", "steward", "beside", "tick"):
        shipped = program_files(program)
        for name, text in shipped.items():
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and node.level:
                    assert f"{node.module}.py" in shipped, name
