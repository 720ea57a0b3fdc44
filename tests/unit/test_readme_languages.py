"""README.md and README.zh-CN.md tell the same path: the same commands, the same output."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def fenced(name: str) -> list[str]:
    """The fenced blocks of a file, comments behind # left out: they are in its language."""
    text = (ROOT / name).read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"(?m)\s+# .*$", "", block) for block in blocks]


def inline(name: str) -> set[str]:
    """Commands that stand in the text."""
    return set(re.findall(r"`((?:raystead|kubectl|make|ray) [^`]*)`", (ROOT / name).read_text()))


def test_both_readmes_have_the_same_commands() -> None:
    assert fenced("README.md") == fenced("README.zh-CN.md")
    assert len(fenced("README.md")) >= 8
    assert inline("README.md") == inline("README.zh-CN.md")


def test_the_readme_names_every_verb() -> None:
    from raystead.cli.main import COMMANDS

    text = (ROOT / "README.md").read_text()
    assert [verb for verb in COMMANDS if not re.search(rf"\b{verb}\b", text)] == []


def test_nobody_is_sent_to_a_package_index_that_does_not_have_it() -> None:
    """raystead is not on PyPI: a line that installs it by its name would install somebody else's program."""
    by_name = re.compile(r"pip3? install (?:-\S+ )*['\"]?raystead\b")
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    found = [
        f"{path.name}: {line}"
        for path in texts
        for line in path.read_text().splitlines()
        if by_name.search(line)
    ]
    assert [line for line in found if "is not it" not in line and "装到的不是它" not in line] == []
    assert len(found) == 2, "both READMEs say so"
