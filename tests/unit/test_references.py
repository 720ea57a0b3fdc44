"""A comment or a page that names a fact leads to it: every link into docs/ resolves, and none leads out of the repository."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SELF = Path(__file__).relative_to(ROOT)
# A link in Markdown; and in code and comments `docs/PAGE.md`, with `#heading` or without
_MARKDOWN = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PLAIN = re.compile(r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?")
_ADR = re.compile(r"\bADR 0*(\d+)|docs/adr/(\d{4})\b")
# What a reader outside cannot open: a private page by its section, a bare page name, a path of one machine, an issue
_FORBIDDEN = {
    "a private page": re.compile(r"\bdesign(?:\.md)? \d|\b(?:design|ux|style|kuberay-jobs)\.md\b"),
    "a page without its folder": re.compile(r"(?<![\w/\[-])(?<!\]\()(?:ray|kuberay|guide)\.md\b"),
    "a path outside the repository": re.compile(r"\.\./shared\b|/work/(?:shared|main|wt|ref|tools)\b"),
    "an issue by its number": re.compile(r"(?<!Ray's )\b[Ii]ssue \d"),
}


@functools.cache
def texts() -> dict[Path, str]:
    """Every text file that git knows, by its path from the root."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    found: dict[Path, str] = {}
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path.is_file() and path.name not in {"requirements.lock", "LICENSE"} and Path(name) != SELF:
            try:
                found[Path(name)] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return found


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    made: list[str] = []
    for line in re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S).splitlines():
        if heading := re.match(r"#+ +(.*)", line):
            plain = re.sub(r"[^\w\- ]", "", heading.group(1).strip().lower())
            made.append(plain.replace(" ", "-"))
    return frozenset(made)


def broken(target: str, base: Path) -> str:
    """Why a link leads nowhere; empty when it resolves."""
    path, _, fragment = target.partition("#")
    page = (ROOT / base / path).resolve() if path else None
    if page is not None and not page.is_relative_to(ROOT):
        return "leads out of the repository"
    if page is not None and not page.exists():
        return "no such file"
    if fragment and page is not None and page.suffix == ".md" and fragment not in anchors(page):
        return "no such heading"
    return ""


def in_code() -> Iterator[tuple[Path, str]]:
    for path, text in texts().items():
        if path.suffix != ".md":
            for found in _PLAIN.finditer(text):
                yield path, found.group()


def in_pages() -> Iterator[tuple[Path, str]]:
    for path, text in texts().items():
        if path.suffix == ".md":
            for found in _MARKDOWN.finditer(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
                if not re.match(r"[a-z]+:", found.group(1)):
                    yield path, found.group(1)


def test_every_link_of_the_code_into_the_docs_resolves() -> None:
    links = list(in_code())
    assert len(links) > 20  # the pattern still finds what it is for
    assert [f"{path}: {link}: {why}" for path, link in links if (why := broken(link, Path()))] == []


def test_every_link_of_a_page_resolves() -> None:
    links = list(in_pages())
    assert len(links) > 60
    found = [
        f"{path}: {link}: {why}"
        for path, link in links
        if (why := broken(f"{path.name}{link}" if link.startswith("#") else link, path.parent))
    ]
    assert found == []


def test_every_decision_that_is_named_exists() -> None:
    there = {int(path.name[:4]) for path in (ROOT / "docs/adr").glob("*.md")}
    named = [
        (path, int(found.group(1) or found.group(2)))
        for path, text in texts().items()
        for found in _ADR.finditer(text)
    ]
    assert named
    assert [f"{path}: ADR {number}" for path, number in named if number not in there] == []


@pytest.mark.parametrize("kind", _FORBIDDEN)
def test_nothing_refers_to_what_a_stranger_cannot_open(kind: str) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit.group()}"
        for path, text in texts().items()
        for hit in _FORBIDDEN[kind].finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a private page", "the token is a file (design 4)"),
        ("a page without its folder", "99 were enough (ray.md F)"),
        ("a path outside the repository", "see ../shared/ray.md"),
        ("an issue by its number", "as issue 13 asks"),
    ],
)
def test_the_patterns_find_the_old_forms(kind: str, text: str) -> None:
    assert _FORBIDDEN[kind].search(text)


def test_a_link_to_a_heading_that_is_not_there_is_found() -> None:
    assert broken("docs/facts/ray.md#head-loss", Path()) == ""
    assert broken("docs/facts/ray.md#no-such-heading", Path()) == "no such heading"
    assert broken("docs/facts/none.md", Path()) == "no such file"
    assert broken("../elsewhere.md", Path()) == "leads out of the repository"
