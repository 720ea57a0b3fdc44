"""The examples of docs/library.md, statement by statement on a real API server, where no pod ever runs.

`test_library.py` type-checks all of them; here each is run that needs no pod, and no other is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube import Kube
from raycronjobs import raycronjob

import raystead
from raystead import errors
from raystead.spec.builtin import builtin

pytestmark = pytest.mark.api
PAGE = Path(__file__).parents[2] / "docs/library.md"
# What needs Ray itself, or a tick that has begun, by how the statement begins.
NEED_PODS = (
    "job = cluster.submit(",
    "(handle.status(), handle.logs(), handle.wait(), handle.cancel())",
    "with raystead.connect(",
)
# What says that there is no pod, or no tick.
REFUSED: dict[str, type[errors.RaysteadError]] = {
    "cluster.wait(": errors.NotReady,
    "with raystead.Cluster.run(": errors.NotReady,
    "nightly.tick().logs()": errors.JobNotFound,
}


class WithoutWaits(ast.NodeTransformer):
    """Nothing becomes ready where no pod runs: what would wait for it returns at once, or gives up after a second."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        given = {keyword.arg for keyword in node.keywords}
        if name in ("up", "scale") and "wait" not in given:
            node.keywords.append(ast.keyword("wait", ast.Constant(False)))
        if name in ("wait", "run"):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "timeout"]
            node.keywords.append(ast.keyword("timeout", ast.Constant(1)))
        return node


def statements() -> list[ast.stmt]:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [statement for block in blocks for statement in ast.parse(block).body]


def test_every_example_of_the_page_does_what_it_says(
    namespace: Callable[..., Kube],
    as_user: Callable[[Kube, str], Kube],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = as_user(namespace(), "edit")
    config = yaml.safe_load(Path(user.kubeconfig).read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = user.namespace
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "raycluster.yaml").write_text(yaml.safe_dump(builtin().document()))
    (tmp_path / "raycronjob.yaml").write_text(raycronjob())
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.chdir(tmp_path)
    raystead.Cluster.up(name="auto", autoscale=True, wait=False)  # which the page takes for granted
    names: dict[str, Any] = {}
    left: list[str] = []
    refused: list[type[errors.RaysteadError]] = []
    for statement in statements():
        text = ast.unparse(statement)
        if text.startswith(NEED_PODS):
            left.append(text)
            continue
        tree = ast.fix_missing_locations(WithoutWaits().visit(ast.Module([statement], [])))
        expected = next((error for start, error in REFUSED.items() if text.startswith(start)), None)
        if expected is None:
            exec(compile(tree, str(PAGE), "exec"), names)
        else:
            refused.append(expected)
            with pytest.raises(expected):
                exec(compile(tree, str(PAGE), "exec"), names)
        if text.startswith("stop = "):
            names["stop"].set()  # told before: it does not begin
    assert {start for start in NEED_PODS for text in left if text.startswith(start)} == set(NEED_PODS)
    assert len(refused) == len(REFUSED)
    assert names["plan"].mutates
    assert [row.name for row in names["mine"]] == ["run-7"]
    host = f"run-7-head-svc.{user.namespace}.svc"
    assert names["env"] == {"RAY_ADDRESS": f"ray://{host}:10001", "DASHBOARD": f"http://{host}:8265"}
    assert names["nightly"].name == "nightly"
    assert {row.name: row.state for row in raystead.Cluster.list()} == {
        "auto": "not ready",
        "nightly": "scheduled",
        "ray-cluster": "data kept",  # the page's down(keep_data=True)
        "run-7": "not ready",
    }
