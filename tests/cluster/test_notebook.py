"""The notebook of the documentation runs as it stands, in a real kernel, by a user with `edit`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from cli import Cli
from kube import Kube
from nbclient import NotebookClient
from patience import patience

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def test_the_notebook_runs(space: Kube, as_user: Callable[[Kube, str], Kube], tmp_path: Path) -> None:
    user = as_user(space, "edit")
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=int(patience(200))).execute(
        env={**Cli(user).env, "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    )
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    state, status, scaled, listed, line, gone = (_result(cell) for cell in code)
    assert state == "'Ready'"
    assert "sum of squares 328350" in str(code[1].outputs)
    assert status == "'SUCCEEDED'"
    assert "('worker', 3)" in scaled
    assert "SUCCEEDED" in listed
    assert len(line) > 10
    assert "Downed" in gone
    assert user.items("pods,deployments,services,secrets,configmaps", "-l", "raystead.io/cluster") == []


def _result(cell: Any) -> str:
    return str(next(o for o in cell.outputs if o.output_type == "execute_result").data["text/plain"])
