"""What a stranger reads about the code is true: the reference, the architecture, the tree of errors, and --help."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest

from raystead import errors
from raystead.base.reference import ANNOTATIONS, ENVIRONMENT, MARKS
from raystead.cli.help import SpecCommand, VerbCommand
from raystead.cli.main import COMMANDS, root
from raystead.spec.rules.names import _CHOICES

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "raystead"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("reference_script", str(ROOT / "scripts" / "reference"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_reference_is_current(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run scripts/reference"


def test_every_annotation_and_label_of_ours_has_a_meaning() -> None:
    found = {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'"(raystead\.io/[a-z-]+)"', path.read_text(encoding="utf-8"))
    }
    assert found == {*ANNOTATIONS, *MARKS}
    assert set(_CHOICES) == set(ANNOTATIONS)  # what a file may carry


def test_every_variable_that_is_read_has_a_meaning() -> None:
    known = {name for names in ENVIRONMENT for name in names.split(", ")}
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
                name = node.args[0]
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                name = node.slice
            else:
                continue
            if isinstance(name, ast.Constant) and "incluster" not in path.parts:
                found.add(name.value)
    assert found - {"no_proxy", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"} <= known


def test_the_tree_of_errors_is_the_real_one() -> None:
    classes = {name: getattr(errors, name) for name in errors.EXIT_CODES}
    real = {(name, cls.__mro__[1].__name__, cls.exit_code) for name, cls in classes.items()}
    assert {(name, parent, code) for name, parent, code, _ in errors.tree()} == real


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_and_help_all_is_whole(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command
    short = click.Context(command, info_name=name, terminal_width=80)
    assert len(command.get_help(short).splitlines()) <= 40
    if isinstance(command, VerbCommand):
        whole = click.Context(command, info_name=name, terminal_width=80)
        whole.meta["raystead.help-all"] = True
        text = command.get_help(whole)
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        assert len(options) > 20 or not isinstance(command, SpecCommand)
        assert [o.opts for o in options if o.opts[-1] not in text] == []


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def test_every_function_on_the_way_of_an_up_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py):(\w+)`", ARCHITECTURE)
    assert len(named) > 15
    assert [f"{path}:{name}" for path, name in named if name not in functions(SOURCE / path)] == []


def test_every_layer_is_named_where_code_goes_is_told() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [part.strip().removeprefix("raystead.") for row in contract["layers"] for part in row.split("|")]
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    for name in {*layers, *packages}:
        assert f"| `{name}` |" in ARCHITECTURE, name
        assert f"`{name}`" in CONTRIBUTING, name
    assert "docs/architecture.md" in CONTRIBUTING


def test_every_file_that_a_recipe_names_is_there() -> None:
    recipes = CONTRIBUTING.partition("- **A new verb**")[2].partition("## Habits")[0]
    named = re.findall(r"(?:src/raystead|tests|scripts)/[\w/.]*\w", recipes)
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []
