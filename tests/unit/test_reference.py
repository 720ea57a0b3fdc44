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
from raystead.cli.main import COMMANDS
from raystead.cli.root import root
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


def functions(path: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """All functions and classes of a module by name, methods too."""
    tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))
    return {n.name: n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def named_in(path: str, name: str) -> set[str]:
    """Every name in a function, and in those of the same module that it names."""
    known, found, todo = functions(path), set[str](), [name]
    while todo:
        for node in ast.walk(known[todo.pop()]):
            word = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
            if word and word not in found:
                found.add(word)
                todo += [word] if word in known else []
    return found


def test_the_way_of_an_up_can_be_followed_from_function_to_function() -> None:
    """Down to the line that writes a Deployment: each function is there, and called by one that stands before it."""
    way = ARCHITECTURE.partition("## The way of a `raystead up`")[2].partition("\n## ")[0]
    steps = re.findall(r"`([\w/]+\.py):(\w+)`", way)
    assert len(steps) > 20
    assert steps[0] == ("cli/main.py", "main")
    before: set[str] = {"main"}
    for path, name in steps:
        assert name in functions(path), f"{path}:{name} is not there"
        assert name in before, f"nothing above {path}:{name} calls it"
        before |= named_in(path, name)


def test_the_line_that_the_way_leads_to_writes_a_deployment() -> None:
    last = functions("manifests/deployments.py")["_deployment"].body[-1]
    assert isinstance(last, ast.Return)
    assert "'kind': 'Deployment'" in ast.unparse(last)


def test_every_function_that_the_page_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py):(\w+)`", ARCHITECTURE)
    assert [f"{path}:{name}" for path, name in named if name not in functions(path)] == []


def test_every_layer_is_named_where_code_goes_is_told() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [part.strip().removeprefix("raystead.") for row in contract["layers"] for part in row.split("|")]
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    for name in {*layers, *packages}:
        assert f"| `{name}` |" in ARCHITECTURE, name
        assert f"`{name}`" in CONTRIBUTING, name
    assert "docs/architecture.md" in CONTRIBUTING


def recipes() -> dict[str, str]:
    """The recipes of CONTRIBUTING by their names."""
    part = CONTRIBUTING.partition("- **A new verb**")
    told = (part[1] + part[2]).partition("## Habits")[0]
    return dict(re.findall(r"- \*\*(.+?)\*\*: (.*?)(?=\n- \*\*|\Z)", told, re.S))


PATH = re.compile(
    r"(?<![\w./~-])((?:src/raystead|tests|docs|scripts|bench|testcluster|examples|\.ci)/[\w./*-]*[\w*])"
)


def pages() -> list[Path]:
    return [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))


def test_every_path_that_a_page_names_is_there() -> None:
    named = [
        (page, path) for page in pages() for path in PATH.findall(page.read_text(encoding="utf-8")) if path
    ]
    assert len(named) > 40
    assert [f"{page.name}: {path}" for page, path in named if not list(ROOT.glob(path))] == []


def test_every_target_of_make_that_a_page_names_is_there() -> None:
    makefile = "".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "testcluster/targets.mk")
    )
    targets = {name for names in re.findall(r"^([\w -]+):", makefile, re.M) for name in names.split()}
    named = {
        (page.name, target)
        for page in pages()
        for target in re.findall(
            r"(?:`(?:\w+=\S+ )*|^)make ([\w-]+)(?=`|\s+#|$)", page.read_text(encoding="utf-8"), re.M
        )
    }
    assert len(named) > 8
    assert [f"{page}: make {target}" for page, target in named if target not in targets] == []


def test_the_three_recipes_say_which_files_which_command_and_which_test() -> None:
    found = recipes()
    assert list(found) == ["A new verb", "A new cause", "A new kind of object"]
    for name, text in found.items():
        paths = PATH.findall(text)
        assert any(path.startswith("src/raystead/") for path in paths), name
        assert "`.venv/bin/python " in text or "UPDATE_GOLDEN=1 .venv/bin/python " in text, name
        assert any(re.fullmatch(r"tests/unit/test_\w+\.py", path) for path in paths), name


@pytest.mark.parametrize(
    ("recipe", "path", "name"),
    [
        ("A new verb", "cli/main.py", "COMMANDS"),
        ("A new verb", "cli/up.py", "command"),
        ("A new cause", "explain/cause.py", "Cause"),
    ],
)
def test_what_a_recipe_tells_to_write_is_what_the_code_has(recipe: str, path: str, name: str) -> None:
    assert f"`{name}`" in recipes()[recipe]
    tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))
    there = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | set(functions(path))
    assert name in there


TYPED = re.compile(r"`raystead ([^`\n]+)`|^(?:\$ |    )raystead ([^\n]+?)(?:   .*)?$", re.M)


def options_of(words: list[str]) -> set[str]:
    """Every option of the command that the words name; none where there is no such command."""
    command: click.Command | None = root
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word.partition("|")[0].partition("\\")[0])
    if command is None:
        return set()
    own = [param for param in command.params if isinstance(param, click.Option)]
    return {
        "--help",
        "--help-all",
        *(flag for option in own for flag in (*option.opts, *option.secondary_opts)),
    }


def test_every_command_that_a_page_shows_has_its_verb_and_its_flags() -> None:
    shown = [
        (page.name, found[1] or found[2])
        for page in pages()
        for found in TYPED.finditer(page.read_text(encoding="utf-8"))
    ]
    assert len(shown) > 80
    wrong = []
    for page, line in shown:
        words = line.partition(" -- ")[0].split()
        flags = {word.partition("=")[0].rstrip(".,;:…") for word in words if re.match(r"--?[a-z]", word)}
        if words[0].startswith("-") or "[OPTIONS]" in words:
            continue
        known = options_of(words)
        if not known or flags - known:
            wrong.append(f"{page}: raystead {line}: {', '.join(sorted(flags - known)) or 'no such verb'}")
    assert wrong == []
