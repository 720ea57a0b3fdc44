"""Every cause has its page, made of the tool's own words, and a test that finds it."""

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from test_explain_rules import TABLE

from raystead.explain import recording
from raystead.explain.engine import CAUSES, explain

ROOT = Path(__file__).parents[2]
RECORDINGS = sorted((ROOT / "tests" / "data" / "explain").glob("*.json"))


def script() -> Any:
    loader = SourceFileLoader("causes_script", str(ROOT / "scripts" / "causes"))
    module = module_from_spec(spec_from_loader("causes_script", loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    return module


def test_the_pages_are_made_from_the_tools_words() -> None:
    made = script().pages()
    written = {p.name: p.read_text() for p in (ROOT / "docs" / "causes").glob("*.md")}
    assert sorted(written) == sorted(made), "run: .venv/bin/python scripts/causes"
    assert [n for n in made if written[n] != made[n]] == [], "run: .venv/bin/python scripts/causes"


def test_every_cause_is_found_by_some_test() -> None:
    recorded = {json.loads(p.read_text())["expect"].get("cause") for p in RECORDINGS}
    assert set(CAUSES) - {row[1] for row in TABLE} - recorded == set()


@pytest.mark.parametrize("path", RECORDINGS, ids=[p.stem for p in RECORDINGS])
def test_a_recording_of_the_real_cluster_yields_what_it_was_made_for(path: Path) -> None:
    saved = json.loads(path.read_text())
    found = explain(recording.snapshot(saved))
    expect = saved["expect"]
    if groups := expect.get("groups"):
        assert {g: [f.cause for f in found if str(f.group) == g] for g in groups} == groups
    else:
        assert [(f.cause, f.group and str(f.group)) for f in found] == [(expect["cause"], expect["group"])]
