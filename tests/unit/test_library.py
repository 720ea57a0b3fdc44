"""The Python library's face: whole, documented, and cheap to import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import raystead
from raystead.errors import KubeConfigError, UsageError


def test_everything_promised_is_there_and_documented() -> None:
    for name in raystead.__all__:
        assert getattr(raystead, name)
    for name, member in inspect.getmembers(raystead.Cluster, inspect.isroutine):
        if not name.startswith("_"):
            assert inspect.getdoc(member), name


def test_nothing_public_is_forgotten_in_all() -> None:
    from raystead import library

    own = [
        name
        for name, member in vars(library).items()
        if inspect.isclass(member) and member.__module__ == library.__name__
    ]
    assert set(own) <= set(raystead.__all__)


def test_import_raystead_imports_nothing_heavy() -> None:
    code = "import raystead, sys; print([m for m in ('pydantic', 'kubernetes', 'httpx', 'rich') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_unknown_flag_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from raystead.library import _flags

    with pytest.raises(UsageError, match="'wokers'"):
        _flags(None, {"wokers": 2})


def test_without_a_kubeconfig_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with pytest.raises(KubeConfigError, match="no kubeconfig"):
        raystead.Cluster.get()
