"""The Python library's face: whole, documented, typed, and cheap to import."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import raystead
from raystead import errors
from raystead.cli.main import COMMANDS
from raystead.errors import KubeConfigError, UsageError
from raystead.library.inputs import SpecFlags, flags_of, seconds, text_of
from raystead.spec.flags import Flags

TOP = Path(__file__).parents[2]
SURFACE = TOP / "docs/public-api.txt"


def test_everything_promised_is_there_and_documented() -> None:
    for name in raystead.__all__:
        assert getattr(raystead, name)
    for one in (raystead.Cluster, raystead.JobHandle, raystead.TickHandle):
        for name, member in inspect.getmembers(one):
            if not name.startswith("_"):
                assert inspect.getdoc(member), name


def test_every_verb_has_a_method() -> None:
    assert [verb for verb in COMMANDS if not callable(getattr(raystead.Cluster, verb, None))] == []


def surface() -> str:
    """Everything that a program may use, a line each, with its signature."""
    lines = []
    for name in raystead.__all__:
        one = getattr(raystead, name)
        if inspect.ismodule(one):
            for inner in one.__all__:
                value = getattr(one, inner)
                fields = (
                    [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
                )
                lines.append(f"raystead.{name}.{inner}" + (f": {', '.join(fields)}" if fields else ""))
        elif inspect.isclass(one):
            lines.append(f"raystead.{name}")
            if fields := getattr(one, "__annotations__", None):
                lines += [f"raystead.{name}[{field!r}]" for field in fields]
            members = {k: v for base in reversed(one.__mro__) if _ours(base) for k, v in vars(base).items()}
            for member, value in sorted(members.items()):
                if not member.startswith("_"):
                    lines.append(f"raystead.{name}.{member}{_signature(value)}")
        else:
            lines.append(f"raystead.{name}{_signature(one)}")
    for error in (vars(errors)[name] for name in errors.EXIT_CODES):
        fields = [
            n for n in inspect.signature(error.__init__).parameters if n not in ("self", "args", "kwargs")
        ]
        lines.append(f"raystead.errors.{error.__name__} exits {error.exit_code}: {', '.join(fields)}")
    return "\n".join(lines) + "\n"


def _ours(one: type) -> bool:
    return one.__module__.startswith("raystead.")


def _signature(value: Any) -> str:
    value = getattr(value, "__func__", value)
    if not callable(value):
        return ""
    shown = inspect.signature(value)
    kept = [one for one in shown.parameters.values() if one.name not in ("self", "cls")]
    text = str(shown.replace(parameters=kept))
    return re.sub(r"<function (\w+) at \w+>", r"\1", text).replace("'", "")


def test_the_public_surface_is_the_reviewed_one() -> None:
    """UPDATE_GOLDEN=1 writes it anew; a line that goes or changes breaks somebody's program."""
    if os.environ.get("UPDATE_GOLDEN"):
        SURFACE.write_text(surface())
    assert surface() == SURFACE.read_text()


@pytest.mark.timeout(600)
def test_a_program_of_a_whole_life_type_checks_strictly(tmp_path: Path) -> None:
    """As somebody's program that has raystead installed: mypy must find its types by py.typed. So do the page's examples."""
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\nfollow_imports = silent\n")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import raystead\nraystead.Cluster.up(wokers=2)\nraystead.Cluster.up(workers='2')\nraystead.Nothing\n"
    )
    examples = re.findall(r"^```python\n(.*?)^```", (TOP / "docs/library.md").read_text(), re.M | re.S)
    assert len(examples) == 2
    (tmp_path / "examples.py").write_text("\n".join(examples))
    program = str(TOP / "tests/data/lifecycle.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", program, "examples.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[:2] for line in found] == [["wrong.py", n] for n in ("2", "3", "4")], done.stdout


def test_the_types_are_shipped() -> None:
    assert (Path(raystead.__file__).parent / "py.typed").exists()


def test_the_typed_flags_are_the_command_lines() -> None:
    flags = set(Flags.__struct_fields__) - {"name", "namespace"}
    assert set(SpecFlags.__annotations__) == flags


def test_import_raystead_imports_nothing_heavy() -> None:
    code = "import raystead, sys; print([m for m in ('msgspec', 'kubernetes', 'httpx', 'rich', 'logging') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_unknown_flag_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="'wokers'"):
        flags_of(None, {"wokers": 2})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": "2"}, "workers: expected a whole number, got a string"),
        ({"workers": True}, "workers: expected a whole number, got the boolean true"),
        ({"worker_cpu": 2}, "worker_cpu: expected a string, got the number 2"),
        ({"env": "A=b"}, "env: expected a list of strings, got a string"),
        (
            {"env": ["A=b", 3], "gpus": 1.5},
            "env: expected a list of strings, got a list; gpus: expected a whole",
        ),
    ],
)
def test_a_wrong_type_is_a_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        flags_of(None, given)
    assert words in caught.value.what


@pytest.mark.parametrize(
    "call",
    [
        lambda: raystead.Cluster.up(3),  # type: ignore[arg-type]
        lambda: raystead.Cluster.up(timeout="soon"),  # type: ignore[arg-type]
        lambda: raystead.Cluster.up(name=3),  # type: ignore[arg-type]
        lambda: raystead.Cluster.up(namespace=3),  # type: ignore[arg-type]
        lambda: raystead.Cluster.up(Path("/nonexistent.yaml")),
        lambda: raystead.Cluster.list(labels={"team": 3}),  # type: ignore[dict-item]
        lambda: raystead.Cluster.run(ttl="soon").__enter__(),
        lambda: raystead.Cluster.run(ttl=5).__enter__(),
        lambda: raystead.Cluster.up(on_event=3),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused_before_a_server_is_asked(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with pytest.raises(UsageError):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.scale({3: 2}), "counts: expected a mapping with strings as keys"),
        (lambda c: c.scale("worker"), "counts: expected a mapping with strings as keys, got a string"),
        (
            lambda c: c.scale({"worker": "2"}),
            "worker: expected a whole number or two as bounds, got a string",
        ),
        (lambda c: c.scale(worker=(1, 2, 3)), "worker: expected a whole number or two as bounds"),
        (lambda c: c.submit("x", num_cpus="2"), "num_cpus: expected a number, got a string"),
        (lambda c: c.submit("x", memory=0.5), "memory: expected a whole number, got the number 0.5"),
        (lambda c: c.submit("x", resources={"a": "1"}), "resources: expected a mapping of numbers"),
        (lambda c: c.exec("cat", stdin="text"), "stdin: expected bytes, got a string"),
        (lambda c: c.submit("x", runtime_env="pip"), "runtime_env: expected a mapping"),
        (lambda c: c.submit("x", output=3), "output: expected a function, got the number 3"),
        (lambda c: c.wait(on_event=3), "on_event: expected a function, got the number 3"),
        (lambda c: c.down(on_event=3), "on_event: expected a function"),
        (lambda c: c.verify(on_event=3), "on_event: expected a function"),
        (lambda c: c.autoscale(on_event=3), "on_event: expected a function"),
        (lambda c: c.connect(client="yes").__enter__(), "client: expected true or false, got a string"),
    ],
)
def test_a_method_refuses_a_wrong_type_before_its_cluster_is_read(call: Any, words: str) -> None:
    nobody: Any = SimpleNamespace(namespace="team")  # a server that cannot be asked
    with pytest.raises(UsageError) as caught:
        call(raystead.Cluster(nobody, "mine"))
    assert words in caught.value.what


def test_lists_and_tuples_are_taken() -> None:
    assert flags_of("x", {"env": ["A=b"], "label": ("c=d",)}) == Flags(name="x", env=("A=b",), label=("c=d",))


def test_a_spec_is_text_a_path_a_mapping_or_a_document(tmp_path: Path) -> None:
    cluster = raystead.Cluster.render(name="x")
    assert any(item["kind"] == "Deployment" for item in cluster.objects)
    file = tmp_path / "a.yaml"
    file.write_text("kind: RayCluster\n")
    assert text_of(file) == ("kind: RayCluster\n", str(file))
    assert text_of({"kind": "RayCluster"}) == ("---\nkind: RayCluster\n", "spec")
    assert text_of(None) == (None, "")


def test_labels_are_on_all_objects_and_on_no_selector() -> None:
    objects = raystead.Cluster.render(name="x", label=["team=nlp", "kueue.x-k8s.io/queue-name=q"]).objects
    for item in objects:
        found = item["metadata"]["labels"]
        assert found["team"] == "nlp", item["kind"]
        assert "kueue.x-k8s.io/queue-name" not in found, item["kind"]
        assert "team" not in str(item["spec"].get("selector") if "spec" in item else "")


def test_spans_are_seconds_or_words() -> None:
    assert [seconds("ttl", value) for value in (90, "90s", "10m")] == [90.0, 90.0, 600.0]


def test_without_a_kubeconfig_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with pytest.raises(KubeConfigError, match="no kubeconfig"):
        raystead.Cluster.get()


def test_a_class_name_means_one_thing_in_the_whole_package() -> None:
    homes: dict[str, list[str]] = {}
    for path in sorted(Path(raystead.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_nothing_stands_in_a_module_that_nobody_uses() -> None:
    """Functions, classes and constants; `tests` alone do not count."""
    for_pages = {"ANNOTATIONS", "MARKS", "ENVIRONMENT", "EXIT_CODES"}  # docs/reference.md and public-api.txt
    trees = [ast.parse(path.read_text()) for path in sorted(Path(raystead.__file__).parent.rglob("*.py"))]
    used: set[str] = set()
    there: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            used |= {alias.name for alias in node.names}
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
            there.add(node.name)  # a decorator may be its user: click's commands
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            there |= {target.id for target in targets if isinstance(target, ast.Name)}
    unused = {name for name in there - used if not name.startswith("__")}
    assert unused == for_pages
